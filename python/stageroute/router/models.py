"""The router's models: what they are, what is known of them, and how they come, change and go."""

from dataclasses import replace
from typing import Any, Final

from stageroute.checks import require
from stageroute.config.models import Model
from stageroute.config.router import RouterSettings
from stageroute.errors import UnknownModelError
from stageroute.router.part import Part
from stageroute.router.state import ModelState

CHANGEABLE: Final = frozenset(Model.__dataclass_fields__) - {
    "name",
    *(
        f"expected_{what}{suffix}"
        for what in ("cost", "reward", "tokens")
        for suffix in ("", "_weight")
    ),
}
"""Fields of a model that can be changed while it is there: all but its name and what was believed
of it beforehand."""


class Models(Part):
    """The models of a router, by name, with everything that the core does not know of them."""

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model ever added, in that order, as it is now; of a name the last counts."""
        return tuple(self._facts.models)

    def add_model(self, model: Model | str) -> None:
        """Add a candidate; it can be live from the next stage on.

        Where stages end by themselves and nothing is live, that stage comes at once. Its name may
        be that of a model that has retired: it is another one, of which nothing was learnt.

        Raises
        ------
        InvalidInputError
            If its name is taken, or a hard limit needs its `max_cost`.
        """
        model = as_model(model)
        with self._lock:
            self._check_foreseeable(model)
            change = self._facts.change(model=model)
            self._control.add_arm(
                model.name, model.core_settings(), model.core_terms(), model.core_prior(), change
            )
        self._control.tell_if_due()

    def update_model(self, /, name: str, **changes: Any) -> Model:
        """Change a model's price, limits or other fields; they apply to the next query.

        Decisions already made are billed at the price under which they were made.

        Parameters
        ----------
        name : str
        **changes
            Fields of `Model` with their new values: all but the name and what was expected of the
            model before it was added.

        Returns
        -------
        Model
            As it is now.

        Raises
        ------
        UnknownModelError
            If there is no such model, or it has retired.
        InvalidInputError
            If a field cannot be changed, or a value breaks its rule.
        """
        for field in changes:
            rule = f"cannot be changed; these can: {', '.join(sorted(CHANGEABLE))}"
            require(field in CHANGEABLE, field, changes[field], rule)
        with self._lock:
            arm = self._arm_in_service(name)
            model = replace(self._facts.models[arm], **changes)
            self._check_foreseeable(model)
            change = self._facts.change(arm, model=model)
            self._control.set_arm(arm, model.core_settings(), model.core_terms(), change)
            return model

    def retire_model(self, name: str) -> None:
        """Retire a model: no new decisions, while feedback for earlier ones still counts.

        Its slot follows `on_lost_slot`. What was learnt of it is kept: `resume` brings it back with
        it, and `add_model` without.

        Raises
        ------
        UnknownModelError
            If there is no such model, or it has retired already.
        """
        with self._lock:
            self._control.retire_arm(self._arm_in_service(name))
        self._control.tell_if_due()

    def pause(self, name: str) -> None:
        """Take a model out of service for a while; `resume` ends that, across restarts too.

        It retires until then, with all that this means for its slot.

        Raises
        ------
        UnknownModelError
            If there is no such model, or it is out of service already.
        """
        self.retire_model(name)

    def resume(self, name: str) -> None:
        """Make a model that was paused or retired a candidate again, with all that was learnt.

        It can be live from the next stage on, as with `add_model`.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        InvalidInputError
            If it is in service, or a hard limit that came meanwhile needs its `max_cost`.
        """
        with self._lock:
            arm = self._control.arm(name)
            retired = self._control.is_retired(arm)
            require(retired, "name", name, "this model is in service already")
            self._check_foreseeable(self._facts.models[arm])
            self._control.revive_arm(arm)
        self._control.tell_if_due()

    def end_cooldown(self, name: str) -> None:
        """Give a model traffic again at once, as if it had not failed.

        Its cool-down, a pause that its provider asked for, its chance of an answer and what was
        learnt of its provider's limit start anew.

        Raises
        ------
        UnknownModelError
            If there is no such model, or it has retired.
        """
        with self._lock:
            self._control.end_cooldown(self._arm_in_service(name))

    def state(self, name: str) -> ModelState:
        """Return what is known of a model.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        """
        with self._lock:
            arm = self._control.arm(name)
            _, live = self._control.live()
            known = self._control.arm_state(arm)
            return ModelState(model=self._facts.models[arm], is_live=arm in live, **known)

    def _arm_in_service(self, name: str) -> int:
        arm = self._control.arm(name)
        if self._control.is_retired(arm):
            raise UnknownModelError(
                f"name = {name!r}: this model has retired; resume brings it back"
            )
        return arm

    def _check_foreseeable(self, model: Model) -> None:
        check_foreseeable(model, self._facts.settings)


def as_model(model: Model | str) -> Model:
    """Make a model of a name."""
    require(isinstance(model, Model | str), "model", model, "must be a Model, or the name of one")
    return Model(model) if isinstance(model, str) else model


def check_foreseeable(model: Model, settings: RouterSettings) -> None:
    """Require that limits can foresee the most that a query takes of a model."""
    names = {None, model.name, model.provider, model.pool}
    has_limit = model.tokens_per_minute is not None or not names.isdisjoint(
        settings.fleet.tokens_per_minute or ()
    )
    rule = "a limit in tokens must foresee the worst: give it, or a context_window"
    ok = model.largest_query is not None or not has_limit
    require(ok, f"max_tokens of model {model.name!r}", None, rule)
    has_limit = any(limit.scope in names for limit in settings.hard_limits)
    rule = "hard limits must foresee the worst: give it, or a price and max_tokens"
    ok = model.largest_cost is not None or not has_limit
    require(ok, f"max_cost of model {model.name!r}", None, rule)
