"""Other routers, driven through their own interfaces for comparison; none is needed to route."""
