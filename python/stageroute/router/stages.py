"""The router's stages: planned, committed, and deployed in the background."""

import logging
import weakref
from collections.abc import Callable
from typing import Final, Literal

from stageroute.checks import require
from stageroute.deployment.plan import StagePlan, make_plan
from stageroute.errors import ForkedRouterError, JournalError, NoModelError, StalePlanError
from stageroute.router.controller import StageController
from stageroute.router.part import Part
from stageroute.router.state import Deployment

logger = logging.getLogger("stageroute")

INFEASIBLE_STATUSES: Final[dict[Literal["budget_infeasible", "cap_infeasible"], str]] = {
    "budget_infeasible": "no mixture of the live models met the budget; the cheapest served",
    "cap_infeasible": "the live models' caps sum to less than 1; traffic was split in proportion",
}
"""What a counter of decisions outside the limits means."""

USUAL_STAGE_QUERIES: Final = 1_000
"""Length of a stage about which nothing is known yet; only start costs are spread over it."""


class Stages(Part):
    """The stages of a router, at whose boundaries its live set changes."""

    _start_models: Callable[[StagePlan], object] | None = None
    _controller: StageController | None = None
    _has_started = False
    _infeasible_before: dict[str, int]

    @property
    def deployment(self) -> Deployment:
        """The live set."""
        deployment = self._facts.deployment
        if deployment is None:
            raise NoModelError("nothing was deployed yet")
        return deployment

    def plan_stage(self) -> StagePlan:
        """Choose the next live set from what is known now, and change nothing.

        Returns
        -------
        StagePlan
            What would start, stop and stay, and why. `commit` makes it live.

        Raises
        ------
        NoModelError
            If every model has retired or failed.
        DeploymentConflictError
            If no set satisfies the fleet's constraints.
        SolverError
            If the MIP ended without a proven optimum.
        """
        with self._lock:
            stage, live = self._control.live()
            planning, facts = self._control.planning(), self._facts
            given = planning, facts.models, live, stage
            queries = self._expected_queries()
        return make_plan(facts.settings, *given, queries)

    def commit(self, plan: StagePlan) -> Deployment:
        """End the stage: switch to a planned live set in one step.

        Parameters
        ----------
        plan : StagePlan
            What `plan_stage` returned during this stage.

        Returns
        -------
        Deployment
            The live set of the new stage.

        Raises
        ------
        StalePlanError
            If another plan was committed since, or a model of this one has retired.
        """
        require(isinstance(plan, StagePlan), "plan", plan, "must be what plan_stage returned")
        with self._lock:
            stage, _ = self._control.live()
            if plan.after_stage != stage:
                raise StalePlanError(
                    f"this plan follows stage {plan.after_stage}, and stage {stage} is running: "
                    "plan again"
                )
            arms = {name: self._control.arm(name) for name in plan.models}
            retired = [name for name, arm in arms.items() if self._control.is_retired(arm)]
            if retired:
                raise StalePlanError(
                    f"{', '.join(retired)} retired after this plan was made: plan again"
                )
            self._warn_of_last_stage(stage)
            deployment = Deployment(
                stage=stage + 1,
                models=plan.models,
                status=plan.status,
                weights=plan.weights,
                expected_reward=plan.expected_reward,
                expected_spend=plan.expected_spend,
                first_query=self._control.counters()["queries"],
            )
            self._control.publish(
                list(arms.values()),
                plan.start_cost,
                plan.stage_queries,
                self._facts.change(deployment=deployment),
            )
            if plan.status != "optimal":
                logger.warning("stage %d: deployment is %s", stage + 1, plan.status)
            return deployment

    def advance_stage(self) -> Deployment:
        """End the stage: plan and commit at once.

        Returns
        -------
        Deployment
            The live set of the new stage.

        Raises
        ------
        NoModelError, DeploymentConflictError, SolverError
            As `plan_stage`; the old set stays live.
        """
        with self._lock:
            return self.commit(self.plan_stage())

    def _start_stages(self) -> None:
        """See to the end of stages, if they end by themselves, from now on."""
        self._has_started = True
        self._start_models = self._around.start_models
        self._adapt_stages()

    def _adapt_stages(self) -> None:
        """See to the end of stages as the settings are now; once more does nothing more."""
        settings, around = self._facts.settings, self._around
        if not self._has_started:
            return
        ends_by_itself = (
            settings.stage_queries is not None
            or settings.stage_seconds is not None
            or settings.on_lost_slot == "redeploy"
        )
        if not ends_by_itself:
            self._end_controller()
        elif self._controller is not None:
            self._controller.wait_for(settings.stage_seconds)
        elif around.controller == "background":
            due = self._control.due
            self._controller = StageController(
                self._end_stage_in_background, due, settings.stage_seconds
            )
        else:
            # A strong one would be a cycle through the native half, which nothing collects.
            method = weakref.WeakMethod(self._end_stage_inline)

            def end_stage() -> None:
                if (bound := method()) is not None:
                    bound()

            self._control.call_when_due(end_stage)

    def _stop_stages(self) -> None:
        self._has_started = False
        self._end_controller()

    def _end_controller(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def _end_stage_inline(self) -> None:
        with self._lock:
            try:
                self._end_stage(is_asked=True)
            except Exception as error:  # noqa: BLE001
                self._extend(error)

    def _end_stage_in_background(self, is_asked: bool) -> None:  # noqa: FBT001
        try:
            self._end_stage(is_asked=is_asked)
        except ForkedRouterError:
            raise
        except BaseException as error:  # noqa: BLE001  # a callback's `SystemExit` ends no thread
            self._extend(error)

    def _end_stage(self, *, is_asked: bool) -> None:
        """Deploy the next stage; where that raises, the old set stays live."""
        if is_asked and not self._control.is_stage_due():
            # Asked twice for one boundary, or a plan was committed in the meantime.
            return
        while not self._deploy():
            logger.info("a planned model has retired meanwhile: planning again")

    def _expected_queries(self) -> float:
        """How many queries the next stage will have: as set, else as many as the last one."""
        settings, deployment = self._facts.settings, self._facts.deployment
        if settings.stage_queries is not None:
            return settings.stage_queries
        if deployment is None:
            return USUAL_STAGE_QUERIES
        last: int = self._control.counters()["queries"] - deployment.first_query
        return last or USUAL_STAGE_QUERIES

    def _deploy(self) -> bool:
        """Plan, have models started, commit; False if a planned model has retired meanwhile."""
        plan = self.plan_stage()
        if self._start_models is not None:
            self._start_models(plan)
        with self._lock:
            stage, _ = self._control.live()
            try:
                self.commit(plan)
            except StalePlanError as error:
                if plan.after_stage == stage:
                    return False
                # The stage was ended by another call: nothing is left to do.
                logger.warning("dropped what was planned in the background: %s", error)
        return True

    def _extend(self, error: BaseException) -> None:
        with self._lock:
            try:
                self._control.extend_stage(self._facts.change(failed_stages=1))
            except JournalError:
                # Then the stage is still due, and the next query asks for it again.
                logger.debug("the journal does not take the failed boundary either")
        logger.warning("stage not advanced, the live set stays as it was: %s", told(error))

    def _count_from_here(self) -> None:
        """Leave what was done before this process out of its warnings."""
        counters = self._control.counters()
        self._infeasible_before = {status: counters[status] for status in INFEASIBLE_STATUSES}

    def _warn_of_last_stage(self, stage: int) -> None:
        """Say once, at the boundary, that queries of the stage were served outside the limits."""
        counters = self._control.counters()
        for status, reason in INFEASIBLE_STATUSES.items():
            since = counters[status] - self._infeasible_before[status]
            if since:
                logger.warning("stage %d: %d decisions were %s: %s", stage, since, status, reason)
            self._infeasible_before[status] = counters[status]


def told(error: BaseException) -> str:
    """Say what an error says; one without words says its type."""
    return str(error) if isinstance(error, Exception) and str(error) else repr(error)
