"""How statistics become optimistic estimates: the user's side of the core's confidence bounds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict

from stageroute.checks import is_number, is_whole, require

if TYPE_CHECKING:
    from stageroute.config.models import Model

__all__ = ["CONFIDENCE_FAMILIES", "Confidence"]


class FamilyDefaults(NamedTuple):
    """Settings that suit a confidence family."""

    gamma: float
    growth: float
    min_visits: int


FAMILY_DEFAULTS: Final = {
    "paper": FamilyDefaults(gamma=0.1, growth=0.0, min_visits=0),
    "bernstein": FamilyDefaults(gamma=0.15, growth=1.0, min_visits=20),
    "kl": FamilyDefaults(gamma=1.0, growth=0.5, min_visits=20),
    "hoeffding": FamilyDefaults(gamma=1.0, growth=0.5, min_visits=20),
}
"""The published settings for ``"paper"``; for the others, what did well on the RouterBench
surrogate (docs/decisions)."""

CONFIDENCE_FAMILIES: Final = tuple(FAMILY_DEFAULTS)


class CoreConfidence(TypedDict):
    """`Confidence` with every default filled in, as the core takes it."""

    family: str
    gamma: float
    growth: float
    initial_reward_ucb: float
    initial_cost_lcb: float
    min_visits: int
    cost_floor: float
    cost_ceiling: float


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

    family: str = "bernstein"
    gamma: float = None  # type: ignore[assignment]  # filled in below
    growth: float = None  # type: ignore[assignment]
    min_visits: int = None  # type: ignore[assignment]
    initial_reward_ucb: float = 1.0
    initial_cost_lcb: float | None = None
    cost_floor: float = 0.0
    cost_ceiling: float | None = None

    def __post_init__(self) -> None:
        require(
            self.family in CONFIDENCE_FAMILIES,
            "confidence family",
            self.family,
            f"must be one of {', '.join(CONFIDENCE_FAMILIES)}",
        )
        for field, default in FAMILY_DEFAULTS[self.family]._asdict().items():
            if getattr(self, field) is None:
                object.__setattr__(self, field, default)
        require(is_number(self.gamma) and self.gamma > 0, "gamma", self.gamma, "must be above 0")
        require(
            is_number(self.growth) and self.growth >= 0.0,
            "growth",
            self.growth,
            "must be finite and not negative",
        )
        visits = self.min_visits
        require(
            is_whole(visits) and visits >= 0,
            "min_visits",
            visits,
            "must be a whole number, not negative",
        )
        require(
            is_number(self.initial_reward_ucb) and 0.0 <= self.initial_reward_ucb <= 1.0,
            "initial_reward_ucb",
            self.initial_reward_ucb,
            "must be in [0, 1]",
        )
        require(
            is_number(self.cost_floor) and self.cost_floor >= 0.0,
            "cost_floor",
            self.cost_floor,
            "must be finite and not negative, in USD per query",
        )
        ceiling = self.cost_ceiling
        require(
            ceiling is None or (is_number(ceiling) and ceiling > self.cost_floor),
            "cost_ceiling",
            ceiling,
            f"must be finite and above cost_floor = {self.cost_floor}, in USD per query, or None",
        )
        lcb = self.initial_cost_lcb
        require(
            lcb is None or (is_number(lcb) and lcb >= self.cost_floor),
            "initial_cost_lcb",
            lcb,
            f"must be finite and at least cost_floor = {self.cost_floor}, in USD, or None",
        )

    def resolved(self, budget: float, models: "list[Model]") -> CoreConfidence:
        """Fill in the defaults that depend on the router's other arguments."""
        known = [model.prior_cost for model in models if model.prior_cost]
        ceiling = self.cost_ceiling
        if ceiling is None:
            ceiling = max(known) if known else 10.0 * budget
            ceiling = max(ceiling, 2.0 * self.cost_floor)
        lcb = self.cost_floor if self.initial_cost_lcb is None else self.initial_cost_lcb
        return CoreConfidence(
            family=self.family,
            gamma=float(self.gamma),
            growth=float(self.growth),
            initial_reward_ucb=float(self.initial_reward_ucb),
            initial_cost_lcb=float(lcb),
            min_visits=self.min_visits,
            cost_floor=float(self.cost_floor),
            cost_ceiling=float(ceiling),
        )
