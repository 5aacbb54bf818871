"""What a stage boundary would do, and why: the deployment problem put and answered by names."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from stageroute._core import solve_routing_lp
from stageroute.config.models import Model
from stageroute.config.router import RouterSettings
from stageroute.deployment.constraints import reasons
from stageroute.deployment.solve import solve_deployment
from stageroute.errors import NoModelError

if TYPE_CHECKING:
    from stageroute._core import CorePlanning


ACTIONS: Final = {
    (True, False): "start",
    (True, True): "stay",
    (False, True): "stop",
    (False, False): "idle",
}
"""What becomes of a candidate: whether it is chosen, and whether it is live."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate in a plan.

    Attributes
    ----------
    model : str
    action : {"start", "stay", "stop", "idle"}
        What becomes of it.
    reason : str
        Why.
    weight : float
        Its share in the optimal mixture.
    reward_ucb, cost_lcb : float
        The optimistic estimates; cost in USD per query.
    reduced_value : float
        Estimated reward less cost at the plan's budget price.
    throughput_share : float
        The largest share of the traffic that it can take.
    """

    model: str
    action: str
    reason: str
    weight: float
    reward_ucb: float
    cost_lcb: float
    reduced_value: float
    throughput_share: float


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A live set for the next stage, not yet live.

    Attributes
    ----------
    after_stage : int
        The stage that it follows; it can be committed during that stage only.
    models : tuple of str
        The live set, in the order in which the models were added.
    start, stop, stay : tuple of str
        What changes against the live set of now.
    status : str
        Of the deployment problem on optimistic estimates; see `DeploymentSolution`.
    expected_reward, expected_spend : float
        Of the optimal mixture on optimistic estimates; USD per query.
    budget_price : float
        Dual price of the budget, reward per USD.
    start_cost : float
        What starting costs once, USD.
    stage_queries : float
        How many queries the stage is expected to have; start costs are spread over them.
    candidates : tuple of Candidate
        Every candidate, with the grounds.
    """

    after_stage: int
    models: tuple[str, ...]
    start: tuple[str, ...]
    stop: tuple[str, ...]
    stay: tuple[str, ...]
    status: str
    expected_reward: float
    expected_spend: float
    budget_price: float
    start_cost: float
    stage_queries: float
    candidates: tuple[Candidate, ...]

    @property
    def weights(self) -> dict[str, float]:
        """Share of each live model in the optimal mixture."""
        return {c.model: c.weight for c in self.candidates if c.model in self.models}

    def __str__(self) -> str:
        width = max(len("model"), *(len(candidate.model) for candidate in self.candidates))
        lines = [
            f"after stage {self.after_stage}: {self.status}, expected reward "
            f"{self.expected_reward:.4f} at {self.expected_spend:.6g} USD per query, budget price "
            f"{self.budget_price:.4g}, start cost {self.start_cost:.4g} USD",
            f"{'model':{width}}  action  weight  reward<=   cost>=     value  why",
        ]
        lines += [
            f"{c.model:{width}}  {c.action:6}  {c.weight:6.3f}  {c.reward_ucb:8.4f}  "
            f"{c.cost_lcb:8.2g}  {c.reduced_value:8.4f}  {c.reason}"
            for c in self.candidates
        ]
        return "\n".join(lines)


def make_plan(
    settings: RouterSettings,
    planning: "CorePlanning",
    models: Sequence[Model],
    live: Collection[int],
    stage: int,
    stage_queries: float,
) -> StagePlan:
    """Choose the live set of the next stage: see `StageRouter.plan_stage`.

    `models` are all of them, by arm, `live` the arms of now, `stage` is the one that is running and
    `stage_queries` what the next one is expected to have.
    """
    arms = planning["arms"].tolist()
    if not arms:
        raise NoModelError(
            "no candidate is left: every model has retired or failed; add one, or wait"
        )
    reward, cost, share = planning["reward_ucb"], planning["cost_lcb"], planning["share"]
    candidates = [models[arm] for arm in arms]
    names = {model.name for model in candidates}
    others = [model.name for model in models if model.name not in names]
    constraints = settings.fleet.constraints(
        candidates, stage_queries, retired=others, start_room=planning["start_room"]
    )
    slots = [slot for slot, arm in enumerate(arms) if arm in live]
    current_price = 0.0
    if slots:
        current = solve_routing_lp(reward[slots], cost[slots], share[slots], settings.budget)
        current_price = current.budget_price if current.status == "optimal" else 0.0
    solution = solve_deployment(
        reward,
        cost,
        share,
        settings.budget,
        settings.max_deployed,
        solver=settings.solver,
        previous=slots,
        current_price=current_price,
        time_limit=settings.time_limit,
        constraints=constraints,
    )
    forced: Sequence[tuple[str, ...]] = [()] * len(arms)
    if constraints is not None:
        forced = reasons(constraints, solution.deployed, len(arms), slots)
    price, weights = solution.budget_price, solution.weights.tolist()
    values = reward - price * cost if np.isfinite(price) else -cost
    chosen = {arms[slot] for slot in solution.deployed}

    def described(slot: int, arm: int) -> Candidate:
        is_chosen = arm in chosen
        return Candidate(
            model=models[arm].name,
            action=ACTIONS[is_chosen, arm in live],
            reason=_reason(forced[slot], is_chosen=is_chosen, weight=weights[slot]),
            weight=weights[slot],
            reward_ucb=float(reward[slot]),
            cost_lcb=float(cost[slot]),
            reduced_value=float(values[slot]),
            throughput_share=float(share[slot]),
        )

    def named(some: set[int]) -> tuple[str, ...]:
        return tuple(models[arm].name for arm in sorted(some))

    started = chosen.difference(live)
    return StagePlan(
        after_stage=stage,
        models=named(chosen),
        start=named(started),
        stop=named(set(live) - chosen),
        stay=named(chosen - started),
        status=solution.status,
        expected_reward=solution.objective,
        expected_spend=solution.spend,
        budget_price=price,
        start_cost=sum(models[arm].start_cost for arm in started),
        stage_queries=stage_queries,
        candidates=tuple(described(slot, arm) for slot, arm in enumerate(arms)),
    )


def _reason(forced: tuple[str, ...], *, is_chosen: bool, weight: float) -> str:
    if is_chosen and weight > 0.0:
        return "in the optimal mixture"
    if forced:
        return ("kept live by " if is_chosen else "kept out by ") + ", ".join(forced)
    if is_chosen:
        return "fills a free slot: highest value of the rest"
    return "lower value at the budget price than the live ones"
