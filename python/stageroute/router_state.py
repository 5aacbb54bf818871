"""What a router says of itself: the live set, what is known of each model, what was done."""

from collections.abc import Mapping
from dataclasses import dataclass

from stageroute.models import Model

__all__ = ["Deployment", "ModelState", "RouterCounters"]


@dataclass(frozen=True, slots=True)
class Deployment:
    """The live set of one stage.

    Attributes
    ----------
    stage : int
        Number of the stage, from 1.
    models : tuple of str
        The live models, in the order in which they were added.
    status : str
        Of the deployment problem on optimistic estimates; see `DeploymentSolution`.
    weights : mapping of str to float
        The mixture d* that names the set; not a routing distribution.
    expected_reward, expected_spend : float
        Of that mixture, on optimistic estimates; USD per query.
    """

    stage: int
    models: tuple[str, ...]
    status: str
    weights: Mapping[str, float]
    expected_reward: float
    expected_spend: float


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is known of one model.

    Attributes
    ----------
    model : Model
    is_live, is_retired : bool
    reward_count, cost_count : int
        Observations, the weight of a cost prior included.
    reward_mean, cost_mean : float
        Means of them; 0 before the first. Costs in USD.
    reward_ucb, cost_lcb : float
        The optimistic estimates.
    """

    model: Model
    is_live: bool
    is_retired: bool
    reward_count: int
    cost_count: int
    reward_mean: float
    cost_mean: float
    reward_ucb: float
    cost_lcb: float


@dataclass(frozen=True, slots=True)
class RouterCounters:
    """What a router has done and spent.

    Attributes
    ----------
    queries : int
        Decisions made; the next four add up to it.
    optimal : int
        From an optimal LP.
    throttled : int
        The paced budget could not be met although the budget could: the cheapest mixture served
        until earlier overspend was made good.
    budget_infeasible : int
        No live mixture meets the budget; the cheapest served.
    cap_infeasible : int
        The live caps sum to less than 1; traffic was split in proportion to them.
    rewards, costs : int
        Observations counted.
    billed, in_flight : float
        Observed costs, and expected cost of the decisions whose cost is still open, USD.
    paced_budget : float
        The budget of the next LP, USD per query.
    failed_stages : int
        Stage boundaries at which no new deployment could be found, so that the old one stayed.
    """

    queries: int
    optimal: int
    throttled: int
    budget_infeasible: int
    cap_infeasible: int
    rewards: int
    costs: int
    billed: float
    in_flight: float
    paced_budget: float
    failed_stages: int
