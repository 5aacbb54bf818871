"""Logged decisions: as columns, one by one, and as lines of JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, cast

from stageroute._core import FACTS, decisions_to_json

if TYPE_CHECKING:
    from stageroute._core import CoreLog

# A decision's reasons, by the number whose bits they are, lowest first.
REASONS_OF_BITS: Final = tuple(
    tuple(name for bit, name in enumerate(FACTS["reasons"]) if bits >> bit & 1)
    for bits in range(2 ** len(FACTS["reasons"]))
)
LIVE: Final = frozenset({"live_arm", "live_probability", "live_reward_ucb", "live_cost_lcb"})
"""Columns with an element for each live model of each decision."""
STATUSES: Final[tuple[str, ...]] = FACTS["statuses"]  # their names, by their number


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """One decision with its grounds.

    Attributes
    ----------
    id : int
    time : float
        Seconds since 1970.
    stage : int
    model : str
        The model chosen.
    probability : float
        With which it was drawn.
    status : {"optimal", "throttled", "budget_infeasible", "cap_infeasible"}
        Of the LP behind it; see `RouterCounters`.
    reasons : tuple of str
        See `Decision.reasons`.
    budget_price : float
        Dual price of the budget, reward per USD; infinite when it could not be met.
    paced_budget : float
        The LP's budget, USD per query.
    models : tuple of str
        The live models.
    probabilities, reward_ucb, cost_lcb : tuple of float
        Of each live model: its probability (0 where it was left out) and its optimistic estimates.
    is_repeated : bool
        Whether the router has logged it again when it went on from its journal, since a kill may
        have kept it from the log.
    """

    id: int
    time: float
    stage: int
    model: str
    probability: float
    status: str
    reasons: tuple[str, ...]
    budget_price: float
    paced_budget: float
    models: tuple[str, ...]
    probabilities: tuple[float, ...]
    reward_ucb: tuple[float, ...]
    cost_lcb: tuple[float, ...]
    is_repeated: bool


class DecisionBatch:
    """Decisions in the order in which they were made; iterate over it for `LoggedDecision`.

    Parameters
    ----------
    columns : dict of ndarray
        What the native log gave: one array for each field, ``live_*`` for the live models of all
        decisions one after the other, those of decision k from ``first_arm[k]`` on.
    names : sequence of str
        The name of each model, by its number in the columns.
    is_repeated : bool, default False
        Of all of them; see `LoggedDecision`.
    """

    def __init__(
        self, columns: "CoreLog", names: Sequence[str], *, is_repeated: bool = False
    ) -> None:
        self.columns = columns
        self.names = list(names)
        self.is_repeated = is_repeated

    def __len__(self) -> int:
        return len(self.columns["id"])

    def __iter__(self) -> Iterator[LoggedDecision]:
        columns, names = self.columns, self.names
        models = [names[arm] for arm in columns["live_arm"].tolist()]
        starts = [*columns["first_arm"].tolist(), len(models)]
        for k, (start, end) in enumerate(pairwise(starts)):
            live = slice(start, end)
            yield LoggedDecision(
                id=int(columns["id"][k]),
                time=float(columns["time"][k]),
                stage=int(columns["stage"][k]),
                model=names[int(columns["arm"][k])],
                probability=float(columns["probability"][k]),
                status=STATUSES[int(columns["status"][k])],
                reasons=REASONS_OF_BITS[int(columns["reasons"][k])],
                budget_price=float(columns["budget_price"][k]),
                paced_budget=float(columns["paced_budget"][k]),
                models=tuple(models[live]),
                probabilities=tuple(columns["live_probability"][live].tolist()),
                reward_ucb=tuple(columns["live_reward_ucb"][live].tolist()),
                cost_lcb=tuple(columns["live_cost_lcb"][live].tolist()),
                is_repeated=self.is_repeated,
            )

    def behind(self, count: int) -> "DecisionBatch":
        """Return the decisions behind the first `count`."""
        columns = cast("dict[str, Any]", self.columns)
        first = [*columns["first_arm"].tolist(), len(columns["live_arm"])][count]
        rest: dict[str, Any] = {
            name: values if name == "dropped" else values[first if name in LIVE else count :]
            for name, values in columns.items()
        }
        rest["first_arm"] = rest["first_arm"] - first
        return DecisionBatch(cast("CoreLog", rest), self.names, is_repeated=self.is_repeated)

    def to_json_lines(self) -> bytes:
        """Return one JSON object a line, fields as in `LoggedDecision`; infinite is null."""
        return decisions_to_json(self.columns, self.names, self.is_repeated)
