"""One policy on one stream: the replay, what it amounts to, many of them over processes."""

from stageroute.policies.driver import ReplayResult, replay

__all__ = ["ReplayResult", "replay"]
