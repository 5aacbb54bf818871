"""How statistics become optimistic estimates: the user's side of the core's confidence bounds."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from stageroute.checks import check_fields, number_in, one_of, require, whole_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stageroute.config.models import Model

FAMILY_DEFAULTS: Final = {
    "paper": {"gamma": 0.1, "growth": 0.0, "min_visits": 0},
    "bernstein": {"gamma": 0.15, "growth": 1.0, "min_visits": 20},
    "kl": {"gamma": 1.0, "growth": 0.5, "min_visits": 20},
    "hoeffding": {"gamma": 1.0, "growth": 0.5, "min_visits": 20},
}
"""The published settings for ``"paper"``; for the others, what did well on the RouterBench
surrogate (docs/decisions)."""

CONFIDENCE_FAMILIES: Final = tuple(FAMILY_DEFAULTS)


@dataclass(frozen=True, slots=True)
class Confidence:
    """How statistics become optimistic estimates.

    Parameters
    ----------
    family : {"bernstein", "paper", "kl", "hoeffding"}
        Shape of the interval. ``"paper"`` is faithful to Li & Li (2026) and can lock out an arm
        whose first reward is 0; ``"bernstein"`` (empirical variance; Audibert et al. 2009) does
        not.
    gamma : float
        Width of the interval, above 0; the paper's experiments use 0.1, its theory
        Θ(log(NT/δ)). This and the next two have defaults for each family, in `FAMILY_DEFAULTS`.
    growth : float
        How fast the interval widens for the reward of a model that was visited less than its fair
        share, not negative; 0 is as published. It lets a model recover from an unlucky start.
    min_visits : int
        Forced visits: below this many observations a model keeps its initial bounds.
    initial_reward_ucb : float, default 1.0
        Upper reward bound of a model without enough rewards, in [0, 1].
    initial_cost_lcb : float, optional
        Lower cost bound of a model without enough costs, USD; `cost_floor` by default.
    cost_floor : float, default 0.0
        No mean cost is taken to be below it, USD per query.
    cost_ceiling : float, optional
        What one query can cost at most, USD: the unit in which the radius of the cost is
        measured. By default the router takes the largest `Model.expected_cost`, or ten times the
        budget where there is none.

    Raises
    ------
    InvalidInputError
        If a field breaks its rule.
    """

    family: Annotated[str, one_of(CONFIDENCE_FAMILIES)] = "bernstein"
    # These three are filled in below.
    gamma: Annotated[float, number_in("(0, inf)")] = None  # type: ignore[assignment]
    growth: Annotated[float, number_in("[0, inf)")] = None  # type: ignore[assignment]
    min_visits: Annotated[int, whole_in("[0, inf)")] = None  # type: ignore[assignment]
    initial_reward_ucb: Annotated[float, number_in("[0, 1]")] = 1.0
    initial_cost_lcb: Annotated[float | None, number_in("[0, inf)", "USD")] = None
    cost_floor: Annotated[float, number_in("[0, inf)", "USD per query")] = 0.0
    cost_ceiling: Annotated[float | None, number_in("(0, inf)", "USD per query")] = None

    def __post_init__(self) -> None:
        one_of(CONFIDENCE_FAMILIES)("family", self.family)
        for field, default in FAMILY_DEFAULTS[self.family].items():
            if getattr(self, field) is None:
                object.__setattr__(self, field, default)
        check_fields(self)
        floor, ceiling, lcb = self.cost_floor, self.cost_ceiling, self.initial_cost_lcb
        rule = f"must be above cost_floor = {floor}, or None"
        require(ceiling is None or ceiling > floor, "cost_ceiling", ceiling, rule)
        rule = f"must be at least cost_floor = {floor}, or None"
        require(lcb is None or lcb >= floor, "initial_cost_lcb", lcb, rule)

    def resolved(self, budget: float, models: "Sequence[Model]") -> dict[str, Any]:
        """Return it as the core takes it, with what depends on the router's other arguments."""
        ceiling, lcb = self.cost_ceiling, self.initial_cost_lcb
        if ceiling is None:
            known = [model.prior_cost for model in models if model.prior_cost]
            ceiling = max(*(known or [10.0 * budget or 1.0]), 2.0 * self.cost_floor)
        return asdict(self) | {
            "initial_cost_lcb": self.cost_floor if lcb is None else lcb,
            "cost_ceiling": ceiling,
        }
