"""Other routers, driven through their own interfaces for comparison; none is needed to route.

``docs/rivals.md`` says how each is driven. They are policies of the registry and imported from
there when one is made.
"""
