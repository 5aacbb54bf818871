"""The settings of a router in service: how they change, and how code and journal are reconciled."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stageroute.checks import require
from stageroute.config.models import Model
from stageroute.config.router import RouterSettings, as_fields
from stageroute.deployment.solve import caps_suffice
from stageroute.router.facts import as_json, differences
from stageroute.router.models import Models, check_foreseeable
from stageroute.router.rollback import Rollback

logger = logging.getLogger("stageroute")


class Configurable(Models, Rollback):
    """A router whose settings can change."""

    @property
    def settings(self) -> RouterSettings:
        """All settings, defaults filled in."""
        return self._facts.settings

    def configure(self, **changes: Any) -> RouterSettings:
        """Change settings from the next query on; what was learnt, spent and counted stays.

        A hard limit goes on from what the one of the same window before it has committed; a stage
        ends after its new number of queries from now; of open decisions the latest are kept.

        Parameters
        ----------
        **changes
            Settings of `RouterSettings` with their new values: all but `seed`.

        Returns
        -------
        RouterSettings
            As they are now.

        Raises
        ------
        InvalidInputError
            If a setting cannot be changed, or breaks its rule; nothing has changed then.
        """
        for name, value in changes.items():
            require(name in RouterSettings.__dataclass_fields__, name, value, "is no setting")
            rule = "cannot be changed: what was drawn before was drawn with the old one"
            require(name != "seed", name, value, rule)
        return self._configure(changes)

    def _configure(self, changes: Mapping[str, Any], **told: Any) -> RouterSettings:
        with self._lock:
            before = self._facts.settings
            settings = replace(before, **as_fields(changes))
            self._around.check(settings)
            candidates = [self._facts.models[arm] for arm in self._control.planning()["arms"]]
            check_caps(candidates, settings.max_deployed)
            if settings.fleet != before.fleet or settings.hard_limits != before.hard_limits:
                for model in candidates:
                    check_foreseeable(model, settings)
            core = settings.to_core(self._facts.models)
            keeps_confidence = settings.confidence == before.confidence
            # The budget is a change of its own. What is told goes with the last one.
            but_budget = replace(settings, budget=before.budget)
            is_last = settings == but_budget
            change = self._facts.change(settings=but_budget, **(told if is_last else {}))
            self._control.configure(core, keeps_confidence, change)
            if not is_last:
                change = self._facts.change(settings=settings, **told)
                self._control.set_budget(float(settings.budget), carry=False, change=change)
        # Also where nothing has changed: the call that changed it may have been interrupted here.
        self._adapt_stages()
        return settings

    def set_budget(self, budget: float, *, carry: bool = False) -> None:
        """Change the average budget from the next query on.

        Parameters
        ----------
        budget : float
            USD per query, not negative. At 0 only models serve that cost nothing.
        carry : bool, default False
            Whether what was over- or underspent so far, at the budgets of its time, is made up for;
            by default it is forgotten.

        Raises
        ------
        InvalidInputError
            If it breaks its rule.
        """
        with self._lock:
            settings = replace(self._facts.settings, budget=budget)
            self._control.set_budget(
                float(settings.budget), bool(carry), self._facts.change(settings=settings)
            )

    def _reconcile(self, source: str, wanted: Mapping[str, Any], models: Sequence[Model]) -> None:
        """Take over what the code says now and did not say at the last start; tell what differs.

        What differs of a model is what was changed in service, or in the code since: it stays.
        """
        here, there = as_json(wanted), as_json(self._facts.settings)
        changes = {name: wanted[name] for name in differences(self._facts, wanted)}
        for name, value in here.items():
            if value != there[name] and (name, value) != ("seed", None):
                verdict = "is so now" if name in changes and name != "seed" else "the first stays"
                found = (source, name, there[name], value, verdict)
                logger.warning("%s: %s is %r there, %r here: %s", *found)
        changes.pop("seed", None)
        if changes or here != self._facts.given:
            self._configure(changes, given=here)
        known = {model.name: model for model in self._facts.models}
        for model in models:
            stored = known.pop(model.name, model)
            if stored != model:
                remedy = "the first stays; update_model changes it"
                logger.warning("%s: %r there, %r here: %s", source, stored, model, remedy)
        for name in known:
            if not self.state(name).is_retired:
                remedy = "it stays; retire_model retires it"
                logger.warning(
                    "%s: model %r is not among the models here: %s", source, name, remedy
                )


def check_caps(models: Sequence[Model], max_deployed: int) -> None:
    """Require that the models could take all the traffic."""
    caps = sorted((model.throughput_cap for model in models), reverse=True)[:max_deployed]
    require(
        caps_suffice(caps, max_deployed),
        "throughput_cap",
        caps,
        f"the largest {len(caps)} caps must sum to at least 1, or live models could not take all "
        "the traffic: raise them, or max_deployed, or add models",
    )
