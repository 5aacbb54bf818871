"""What a router says of itself: the live set, what is known of each model, what was done."""

from collections.abc import Mapping
from dataclasses import dataclass

from stageroute.config.models import Model


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
    first_query : int
        How many queries came before the stage.
    """

    stage: int
    models: tuple[str, ...]
    status: str
    weights: Mapping[str, float]
    expected_reward: float
    expected_spend: float
    first_query: int


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is known of one model.

    Attributes
    ----------
    model : Model
    is_live, is_retired : bool
    reward_count, cost_count : int
        Observations, the weight of a prior included, what was forgotten not.
    reward_mean, cost_mean : float
        Means of them; None where nothing is known. Costs in USD.
    reward_variance, cost_variance : float
        Their variances.
    reward_ucb, cost_lcb : float
        The optimistic estimates.
    expected_tokens : tuple of float or None
        Input, output and cached tokens of the usual query, for a model with a price.
    throughput_share : float
        The largest share of the traffic it gets: its cap, or what its other limits leave of it.
    under_way : int
        Queries not yet answered.
    health : {"healthy", "cooling", "probing", "failed", "paused"}
        Paused: its provider wants no traffic for a while.
    changes : int
        How often its change test has fired.
    answer_chance : float
        Chance that an attempt is answered, from failures and answers of late.
    """

    model: Model
    is_live: bool
    is_retired: bool
    reward_count: int
    cost_count: int
    reward_mean: float | None
    cost_mean: float | None
    reward_variance: float
    cost_variance: float
    reward_ucb: float
    cost_lcb: float
    expected_tokens: tuple[float, float, float] | None
    throughput_share: float
    under_way: int
    health: str
    changes: int
    answer_chance: float


@dataclass(frozen=True, slots=True)
class LimitState:
    """What a hard limit stands at.

    Attributes
    ----------
    usd : float
        The limit.
    per : str
        Its window.
    committed : float
        Bills and open reservations of the decisions made in the present window, USD.
    ends : float
        When the window ends, seconds since 1970; infinite for ``"total"``.
    """

    usd: float
    per: str
    committed: float
    ends: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of the calls in a journal.

    Attributes
    ----------
    repeated : int
        Calls that were done once more, on top of the last snapshot.
    lost : int
        Acknowledged calls that are gone, at least; above 0 only with ``allow_loss=True``.
    cut : int
        How many of those are in the journal, but follow others that are not.
    gap : str
        How one can tell that something is missing; empty where nothing is.
    """

    repeated: int
    lost: int
    cut: int
    gap: str


@dataclass(frozen=True, slots=True)
class RouterCounters:
    """What a router has done and spent.

    Attributes
    ----------
    queries : int
        Decisions made; the next five add up to it.
    optimal : int
        From an optimal LP over the whole live set.
    throttled : int
        The paced budget could not be met although the budget could: the cheapest mixture served
        until earlier overspend was corrected.
    budget_infeasible : int
        No live mixture meets the budget; the cheapest served.
    cap_infeasible : int
        The live caps sum to less than 1; traffic was split in proportion to them.
    restricted : int
        Not every live model was considered; see `Decision.reasons`.
    restricted_infeasible : int
        Of the restricted ones: no mixture of the models considered meets the budget, or their caps
        sum to less than 1.
    refused_traffic, refused_cooling, refused_hard_limit, refused_excluded : int
        Queries refused with `RateLimitedError`, `ModelsDownError`, `HardLimitError`,
        `ExcludedError`.
    rewards, costs : int
        Observations counted.
    costs_without_tokens : int
        Costs of models with a price that came without tokens: billed, but nothing was learnt.
    above_reservation : int
        Bills above what hard limits had reserved: `max_cost` of some model is too low.
    corrected : int
        Bills that took the place of an estimate or of an earlier bill.
    repeated, unknown, expired : int
        Feedback refused: it had come before, its decision was never made, or it was evicted.
    evicted : int
        Decisions evicted before their cost was known; it counts at its expected value.
    failures : dict of str to int
        By reason.
    panicked : int
        Decisions for which models that were cooling down were taken in again, since most were.
    clock_steps : int
        Jumps of the wall clock that were noticed.
    cooldowns : int
        Cool-downs started.
    billed : float
        Observed costs, and what was paid off of start costs, USD.
    in_flight : float
        Expected cost of the open decisions whose cost is not known, USD.
    written_off : float
        Expected cost of the decisions that were evicted without a cost, USD.
    paced_budget : float
        The budget of the next LP, USD per query.
    arrival_rate : float
        Estimated queries per second; 0 where no live model has limits on its traffic.
    failed_stages : int
        Stage boundaries at which no new deployment could be made, so that the old one stayed.
    log_dropped : int
        Decisions that the decision log had no room for, or whose sink failed, since this process
        started.
    """

    queries: int
    optimal: int
    throttled: int
    budget_infeasible: int
    cap_infeasible: int
    restricted: int
    restricted_infeasible: int
    refused_traffic: int
    refused_cooling: int
    refused_hard_limit: int
    refused_excluded: int
    rewards: int
    costs: int
    costs_without_tokens: int
    above_reservation: int
    corrected: int
    repeated: int
    unknown: int
    expired: int
    evicted: int
    failures: dict[str, int]
    panicked: int
    clock_steps: int
    cooldowns: int
    billed: float
    in_flight: float
    written_off: float
    paced_budget: float
    arrival_rate: float
    failed_stages: int
    log_dropped: int

    @property
    def spent(self) -> float:
        """What the average budget counts as spent, USD: billed, in flight and written off."""
        return self.billed + self.in_flight + self.written_off
