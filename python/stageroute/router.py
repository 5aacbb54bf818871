"""The router: what a service calls."""

import logging
import threading
from collections.abc import Iterable
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from stageroute import _core
from stageroute._core import solve_routing_lp
from stageroute.deployment import DeploymentSolution, caps_suffice, solve_deployment
from stageroute.errors import InvalidInputError, NoModelError, SolverError, UnknownModelError
from stageroute.models import Confidence, Model, is_number, is_whole, require
from stageroute.router_state import Deployment, ModelState, RouterCounters
from stageroute.stage_clock import StageClock

__all__ = ["StageRouter"]

logger = logging.getLogger("stageroute")

INFEASIBLE_STATUSES: Final[dict[Literal["budget_infeasible", "cap_infeasible"], str]] = {
    "budget_infeasible": "no mixture of the live models met the budget; the cheapest served",
    "cap_infeasible": "the live models' caps sum to less than 1; traffic was split in proportion",
}
"""What a counter of decisions outside the limits means."""


class StageRouter(_core.Router):
    """Decide which models are live and which of them serves each query.

    Parameters
    ----------
    models : iterable of Model or str
        The first candidates; more can be added at any time. At least one.
    budget : float
        Average USD per query, above 0.
    max_deployed : int
        How many models can be live at once, at least 1.
    confidence : Confidence or str, default ``Confidence()``
        How statistics become optimistic estimates; a string names the family.
    pacing_horizon : float or None, default 500
        A deviation of the spend from the budget is made good over so many queries, at least 1.
        None gives every LP the budget itself, as published: optimistic costs then overspend.
    stage_queries : int, optional
        A stage ends after so many queries; the next one is deployed by the `route` that opens it.
    stage_seconds : float, optional
        A stage ends after so much time; a background thread deploys the next one. With neither,
        stages end by `advance_stage` alone.
    open_decisions : int, default 65536
        How many recent decisions can take feedback; rounded up to a power of two.
    time_limit : float, optional
        Seconds that the deployment MIP may take; see `solve_deployment`.
    seed : int, optional
        Fixes every random draw; drawn from the operating system by default.

    Raises
    ------
    InvalidInputError
        If an argument breaks its rule, names are not unique, or the caps of any `max_deployed`
        models sum to less than 1, so that traffic could not be served within them.

    Examples
    --------
    >>> router = StageRouter(["small", "large"], budget=0.001, max_deployed=2, seed=7)
    >>> decision = router.route()
    >>> router.observe(decision, reward=1.0, cost=0.0004)
    >>> router.counters.billed
    0.0004

    Notes
    -----
    One router may be used from many threads.
    """

    _budget: float
    _max_deployed: int
    _time_limit: float | None
    _models: list[Model]
    _retired: set[str]
    _failed_stages: int
    _infeasible_before: dict[str, int]
    _stage_lock: threading.RLock
    _deployment: Deployment
    _clock: StageClock | None

    def __new__(
        cls,
        models: Iterable[Model | str],
        *,
        budget: float,
        max_deployed: int,
        confidence: Confidence | str | None = None,
        pacing_horizon: float | None = 500.0,
        stage_queries: int | None = None,
        stage_seconds: float | None = None,
        open_decisions: int = 65_536,
        time_limit: float | None = None,
        seed: int | None = None,
    ) -> Self:
        """Check the settings, create the native half and deploy the first stage."""
        candidates = _as_models(models)
        _check_settings(budget, max_deployed, stage_queries, stage_seconds, open_decisions, seed)
        if confidence is None:
            confidence = Confidence()
        elif isinstance(confidence, str):
            confidence = Confidence(family=confidence)
        is_confidence = isinstance(confidence, Confidence)
        require(is_confidence, "confidence", confidence, "must be a Confidence or a family's name")
        _check_caps(candidates, max_deployed)
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
        self = super().__new__(
            cls,
            budget=budget,
            confidence=confidence.resolved(budget, candidates),
            pacing_horizon=pacing_horizon,
            open_decisions=open_decisions,
            stage_queries=stage_queries,
            seed=seed,
        )
        self._budget = float(budget)
        self._max_deployed = max_deployed
        self._time_limit = time_limit
        self._models = []
        self._retired = set()
        self._failed_stages = 0
        self._infeasible_before = dict.fromkeys(INFEASIBLE_STATUSES, 0)
        # Held while a stage changes, so that two boundaries never overlap. Routing never takes it.
        self._stage_lock = threading.RLock()
        for model in candidates:
            self.add_model(model)
        self._deployment = self._deploy()
        self._clock = (
            None if stage_seconds is None else StageClock(self._advance_or_extend, stage_seconds)
        )
        return self

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model ever added, in that order."""
        return tuple(self._models)

    @property
    def deployment(self) -> Deployment:
        """The live set."""
        return self._deployment

    @property
    def counters(self) -> RouterCounters:
        """What was done and spent so far."""
        return RouterCounters(**self._counters(), failed_stages=self._failed_stages)

    def add_model(self, model: Model | str) -> None:
        """Add a candidate; it can be live from the next stage on.

        Raises
        ------
        InvalidInputError
            If its name is taken.
        """
        model = _as_model(model)
        with self._stage_lock:
            if any(model.name == known.name for known in self._models):
                raise InvalidInputError(
                    f"name = {model.name!r}: this router has a model of that name already"
                )
            self._add_arm(model.name, model.throughput_cap, model.cost_prior)
            self._models.append(model)

    def retire_model(self, name: str) -> None:
        """Retire a model for good: no new decisions, while feedback for earlier ones still counts.

        Its slot stays empty until the next stage.

        Raises
        ------
        UnknownModelError
            If there is no such model, or it has retired already.
        """
        with self._stage_lock:
            arm = self._arm(name)
            if name in self._retired:
                raise UnknownModelError(f"name = {name!r}: this model has retired already")
            self._retire_arm(arm)
            self._retired.add(name)

    def advance_stage(self) -> Deployment:
        """End the stage: deploy anew from what is known now.

        Returns
        -------
        Deployment
            The live set of the new stage.

        Raises
        ------
        NoModelError
            If every model has retired.
        SolverError
            If the MIP ended without a proven optimum; the old set stays live.
        """
        with self._stage_lock:
            self._deployment = self._deploy()
            return self._deployment

    def advance_stage_if_due(self) -> None:
        """End the stage if its queries are over; never raises for the solver's sake.

        A boundary at which no deployment can be found keeps the old one for another stage, is
        logged, and is counted in ``counters.failed_stages``.
        """
        with self._stage_lock:
            if self._is_stage_due():
                self._advance_or_extend()

    def state(self, name: str) -> ModelState:
        """Return what is known of a model.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        """
        with self._stage_lock:
            arm = self._arm(name)
            _, live = self._plan()
            reward_ucb, cost_lcb = self._bounds()
            known = {key: column[arm].item() for key, column in self._statistics().items()}
            return ModelState(
                model=self._models[arm],
                is_live=arm in live,
                is_retired=name in self._retired,
                reward_count=int(known["reward_count"]),
                cost_count=int(known["cost_count"]),
                reward_mean=known["reward_mean"],
                cost_mean=known["cost_mean"],
                reward_ucb=float(reward_ucb[arm]),
                cost_lcb=float(cost_lcb[arm]),
            )

    def close(self) -> None:
        """Stop the background thread of `stage_seconds`; routing goes on over the last set."""
        if self._clock is not None:
            self._clock.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _advance_or_extend(self) -> None:
        try:
            self.advance_stage()
        except (SolverError, NoModelError) as error:
            self._failed_stages += 1
            self._extend_stage()
            logger.warning("stage not advanced, the live set stays as it was: %s", error)

    def _arm(self, name: str) -> int:
        for arm, model in enumerate(self._models):
            if model.name == name:
                return arm
        known = ", ".join(model.name for model in self._models)
        raise UnknownModelError(f"name = {name!r}: no such model; this router knows {known}")

    def _warn_of_last_stage(self) -> None:
        """Say once, at the boundary, that queries of the stage were served outside the limits."""
        counters = self._counters()
        for status, reason in INFEASIBLE_STATUSES.items():
            since = counters[status] - self._infeasible_before[status]
            if since:
                stage = self._plan()[0]
                logger.warning("stage %d: %d decisions were %s: %s", stage, since, status, reason)
            self._infeasible_before[status] = counters[status]

    def _deploy(self) -> Deployment:
        self._warn_of_last_stage()
        self._refresh_bounds()
        reward_ucb, cost_lcb = self._bounds()
        candidates = np.array(
            [arm for arm, model in enumerate(self._models) if model.name not in self._retired],
            dtype=np.intp,
        )
        if candidates.size == 0:
            raise NoModelError("every model has retired: add one before advancing the stage")
        caps = np.array([self._models[arm].throughput_cap for arm in candidates])
        reward, cost = reward_ucb[candidates], cost_lcb[candidates]
        _, live = self._plan()
        live_slots = np.flatnonzero(np.isin(candidates, live))
        current_price = 0.0
        if live_slots.size:
            current = solve_routing_lp(
                reward[live_slots], cost[live_slots], caps[live_slots], self._budget
            )
            current_price = current.budget_price if current.status == "optimal" else 0.0
        solution = solve_deployment(
            reward,
            cost,
            caps,
            self._budget,
            self._max_deployed,
            previous=live_slots.tolist(),
            current_price=current_price,
            time_limit=self._time_limit,
        )
        stage = self._publish([int(candidates[slot]) for slot in solution.deployed])
        if solution.status != "optimal":
            logger.warning("stage %d: deployment is %s", stage, solution.status)
        return self._describe(stage, candidates, solution)

    def _describe(
        self, stage: int, candidates: NDArray[np.intp], solution: DeploymentSolution
    ) -> Deployment:
        names = {slot: self._models[candidates[slot]].name for slot in solution.deployed}
        return Deployment(
            stage=stage,
            models=tuple(names.values()),
            status=solution.status,
            weights={name: float(solution.weights[slot]) for slot, name in names.items()},
            expected_reward=solution.objective,
            expected_spend=solution.spend,
        )


def _as_model(model: Model | str) -> Model:
    return Model(model) if isinstance(model, str) else model


def _as_models(models: Iterable[Model | str]) -> list[Model]:
    candidates = [_as_model(model) for model in models]
    if not candidates:
        raise InvalidInputError("models is empty: a router needs at least one model to start")
    return candidates


def _check_settings(
    budget: float,
    max_deployed: int,
    stage_queries: int | None,
    stage_seconds: float | None,
    open_decisions: int,
    seed: int | None,
) -> None:
    rule = "must be finite and above 0, in USD per query"
    require(is_number(budget) and budget > 0, "budget", budget, rule)
    counts = {
        "max_deployed": max_deployed,
        "stage_queries": stage_queries,
        "open_decisions": open_decisions,
    }
    for argument, value in counts.items():
        ok = value is None or (is_whole(value) and value >= 1)
        require(ok, argument, value, "must be a whole number, at least 1")
    if stage_seconds is not None:
        ok = is_number(stage_seconds) and stage_seconds > 0
        require(ok, "stage_seconds", stage_seconds, "must be finite and above 0")
        require(
            stage_queries is None,
            "stage_seconds",
            stage_seconds,
            "cannot be combined with stage_queries: choose one of them",
        )
    if seed is not None:
        ok = is_whole(seed) and 0 <= seed < 2**64
        require(ok, "seed", seed, "must be a whole number in [0, 2**64)")


def _check_caps(models: list[Model], max_deployed: int) -> None:
    caps = sorted((model.throughput_cap for model in models), reverse=True)[:max_deployed]
    require(
        caps_suffice(caps, max_deployed),
        "throughput_cap",
        caps,
        f"the largest {len(caps)} caps must sum to at least 1, or live models could not take all "
        "the traffic: raise them, or max_deployed, or add models",
    )
