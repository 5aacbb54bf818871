"""Workloads in which something happens to a model."""

from dataclasses import dataclass, field, replace

from stageroute.checks import is_number, require
from stageroute.datasets.messages import PriceChange
from stageroute.datasets.streams import Stream
from stageroute.workloads.base import OnTop
from stageroute.workloads.changes import Change, PriceCut, change_stream

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
    is_announced : bool, default False
        Whether policies are told of it, as of a new list price; for a `PriceCut` only.
    """

    change: Change
    at: float = 0.5
    is_announced: bool = False
    kind: str = field(default="changing", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(isinstance(self.change, Change), "change", self.change, "must be a Change")
        ok = is_number(self.at) and 0 < self.at < 1
        require(ok, "at", self.at, "must be in (0, 1): a share of the stream")
        ok = not self.is_announced or isinstance(self.change, PriceCut)
        require(ok, "change", self.change, "only a PriceCut can be announced, as a price")

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        told = " announced" if self.is_announced else ""
        return f"{self.base.label}, {self.change.kind.replace('_', ' ')}{told}"

    def over(self, stream: Stream, seed: int) -> Stream:  # noqa: ARG002
        """Change it."""
        at = max(1, int(self.at * stream.num_queries))
        victim = self.change.victim(stream.regime(at), stream.candidates(at))
        changed = change_stream(stream, self.change, at, victim)
        if not isinstance(self.change, PriceCut) or not self.is_announced:
            return changed
        return replace(changed, announced=PriceChange(at, victim, self.change.factor))
