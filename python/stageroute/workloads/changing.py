"""Workloads in which something happens to a model."""

from dataclasses import dataclass, field

from stageroute.checks import is_number, require
from stageroute.datasets.streams import Stream
from stageroute.workloads.base import OnTop
from stageroute.workloads.changes import Change, change_stream

__all__ = ["Changing"]


@dataclass(frozen=True)
class Changing(OnTop):
    """Something happens to a model in the middle of the stream.

    The stage oracle knows of it at once; a learner finds out from feedback, if it looks.

    Parameters
    ----------
    base : Workload
    change : Change
        What happens, and to which of the models that have arrived.
    at : float, default 0.5
        When, as a share of the stream, in (0, 1).
    """

    change: Change
    at: float = 0.5
    kind: str = field(default="changing", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(isinstance(self.change, Change), "change", self.change, "must be a Change")
        ok = is_number(self.at) and 0 < self.at < 1
        require(ok, "at", self.at, "must be in (0, 1): a share of the stream")

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        return f"{self.base.label}, {self.change.kind.replace('_', ' ')}"

    def stream(self, num_queries: int, seed: int) -> Stream:
        """Draw from the base, and change it."""
        stream = self.base.stream(num_queries, seed)
        at = max(1, int(self.at * num_queries))
        victim = self.change.victim(stream.regime(at), stream.candidates(at))
        return change_stream(stream, self.change, at, victim)
