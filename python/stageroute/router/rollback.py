"""Back to an earlier live set."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from stageroute.checks import require
from stageroute.deployment.plan import StagePlan, make_plan
from stageroute.errors import StalePlanError
from stageroute.router.stages import Stages
from stageroute.router.state import Deployment

if TYPE_CHECKING:
    from stageroute._core import CorePlanning


class Rollback(Stages):
    """A router that knows its last live sets and can make one of them live again."""

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """The live sets of the last 32 stages, oldest first; the last one is live."""
        return self._facts.deployments

    def rollback(self, stage: int | None = None) -> Deployment:
        """Make the live set of an earlier stage live again, at once, as a stage of its own.

        What was learnt since stays, and so the next stage is decided by it: a model that is not to
        come back has to be paused, or forbidden by the fleet's rules. These hold for the set too,
        but for `Fleet.max_changes`. `start_models` is called before, as for any stage.

        Parameters
        ----------
        stage : int, optional
            One of `deployments`; by default the last one with another live set than now.

        Returns
        -------
        Deployment
            The live set of the new stage.

        Raises
        ------
        InvalidInputError
            If there is no such stage, a model of it has retired or failed, or is forbidden now.
        DeploymentConflictError
            If its set breaks the fleet's rules of now.
        StalePlanError
            If a model of it retired while models were started.
        """
        while True:
            plan = self._plan_rollback(stage)
            if self._start_models is not None:
                self._start_models(plan)
            try:
                return self.commit(plan)
            except StalePlanError:
                if self._control.live()[0] == plan.after_stage:
                    raise

    def _plan_rollback(self, stage: int | None) -> StagePlan:
        """Plan a stage in which the live set of an earlier one is all that may be live."""
        with self._lock:
            now, live = self._control.live()
            planning, facts = self._control.planning(), self._facts
            names = self._live_at(stage, [facts.models[arm].name for arm in live])
            wanted = {self._control.arm(name) for name in names}
            queries = self._expected_queries()
        kept = np.isin(planning["arms"], [*wanted])
        gone = [facts.models[arm].name for arm in sorted(wanted.difference(planning["arms"]))]
        rule = f"{', '.join(gone)} has retired or failed: resume it, or end its cool-down"
        require(not gone, "stage", stage, rule)
        barred = [name for name in names if name in facts.settings.fleet.forbidden]
        require(not barred, "stage", stage, f"{', '.join(barred)} is forbidden by the fleet now")
        fleet = replace(facts.settings.fleet, pinned=names, max_changes=None)
        settings = replace(facts.settings, fleet=fleet)
        chosen: CorePlanning = {
            "arms": planning["arms"][kept],
            "reward_ucb": planning["reward_ucb"][kept],
            "cost_lcb": planning["cost_lcb"][kept],
            "share": planning["share"][kept],
            "start_room": planning["start_room"],
        }
        return make_plan(settings, chosen, facts.models, live, now, queries)

    def _live_at(self, stage: int | None, now: Sequence[str]) -> tuple[str, ...]:
        known = {deployment.stage: deployment.models for deployment in self.deployments}
        if stage is None:
            earlier = [number for number, models in known.items() if set(models) != set(now)]
            require(bool(earlier), "stage", stage, "no stage that is remembered had another set")
            stage = earlier[-1]
        rule = f"must be one of the stages that are remembered: {', '.join(map(str, known))}"
        require(stage in known, "stage", stage, rule)
        return known[stage]
