"""What a router knows beside its core, and how both are written down.

The state of the core is bytes that the core understands; beside it stand the facade's own few facts
(settings, models by name, the live set) as JSON. A journal holds such a snapshot and the commands
since; each command carries, as a note, what it changes of the facade's facts.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any, Final

from stageroute.checks import plain, require
from stageroute.config.models import Model
from stageroute.config.prices import Price, Tokens
from stageroute.config.router import RouterSettings, settings_from_json
from stageroute.errors import InvalidInputError, SnapshotCorruptError, SnapshotMismatchError
from stageroute.journal import snapshot_file
from stageroute.router.roster import Roster
from stageroute.router.state import Deployment

STATE_VERSION: Final = 2
"""Raised whenever the core's state, its commands or the decisions that follow from them change."""

FINGERPRINTS: Final = tuple(f"a router's state of version {v + 1}" for v in range(STATE_VERSION))
"""Of all versions, which this one reads; it writes the last."""

REMEMBERED_STAGES: Final = 32
"""How many live sets are kept, the last one included."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the facade knows beside the core: models by arm, the live sets of the last stages.

    `settings` are the present ones, `given` those that the router was last started with, as JSON.

    They never change: a call of the native half that changes the core is given those after it, and
    puts them in the place of these in the same instant.
    """

    settings: RouterSettings
    models: Roster[Model] = field(default_factory=Roster)
    deployments: tuple[Deployment, ...] = ()
    failed_stages: int = 0
    given: dict[str, Any] = field(default_factory=dict)
    changed_arm: int | None = None
    """Of the last change of a model: which one it was."""

    def __post_init__(self) -> None:
        if "seed" not in self.given:  # of version 1, or of a new router
            object.__setattr__(self, "given", as_json(self.settings) | self.given)

    @property
    def deployment(self) -> Deployment | None:
        """The last live set, from the first stage on."""
        return self.deployments[-1] if self.deployments else None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Facts":
        """Read what `asdict` gave, through JSON; anything else is a `SnapshotCorruptError`."""
        try:
            # Version 1 knew the last live set alone.
            lives = stored["deployments"] if "deployments" in stored else [stored["deployment"]]
            return cls(
                settings=settings_from_json(stored["settings"]),
                models=Roster(_model(fields) for fields in stored["models"]),
                deployments=tuple(_deployment(live) for live in lives if live is not None),
                failed_stages=stored["failed_stages"],
                # Version 1 knew the first budget alone.
                given=stored["given"] if "given" in stored else {"budget": stored["first_budget"]},
            )
        except (KeyError, TypeError, InvalidInputError) as error:
            raise SnapshotCorruptError(f"a snapshot without the facts: {error!r}") from error

    def change(self, arm: int | None = None, **change: Any) -> tuple[bytes, "Facts"]:
        """Return a note of a change, for `repeated`, and the facts after it.

        Parameters
        ----------
        arm : int, optional
            Of a model that changes; a model without one is new.
        **change
            Fields with their new values; a ``model``; the next ``deployment``; how many
            ``failed_stages`` more.
        """
        return json.dumps(change, default=_plain).encode(), self._after(change, arm)

    def repeated(self, note: bytes, arm_of: Callable[[str], int | None]) -> "Facts":
        """Return the facts after the change that a note tells of."""
        if not note:
            return self
        try:
            change = json.loads(note)
            readers = {"deployment": _deployment, "settings": settings_from_json, "model": _model}
            change |= {name: read(change[name]) for name, read in readers.items() if name in change}
            return self._after(change, arm_of(change["model"].name) if "model" in change else None)
        except (ValueError, KeyError, TypeError) as error:
            raise SnapshotCorruptError(f"a note that cannot be read: {error!r}") from error

    def _after(self, change: dict[str, Any], arm: int | None) -> "Facts":
        fields = dict(change)
        if "model" in fields:
            at = len(self.models) if arm is None else arm
            fields |= {"models": self.models.put(at, fields.pop("model")), "changed_arm": at}
        if "deployment" in fields:
            deployments = (*self.deployments, fields.pop("deployment"))
            fields["deployments"] = deployments[-REMEMBERED_STAGES:]
        if "given" in fields:
            fields["given"] = self.given | fields["given"]
        if "failed_stages" in fields:
            fields["failed_stages"] += self.failed_stages
        return replace(self, **fields)


def header(facts: Facts) -> dict[str, Any]:
    """Return what a snapshot says beside the core's state."""
    fields = {
        "settings": facts.settings,
        "models": [*facts.models],
        "deployments": facts.deployments,
        "failed_stages": facts.failed_stages,
        "given": facts.given,
    }
    return {"fingerprint": FINGERPRINTS[-1], "facts": as_json(fields)}


def decode(data: bytes, source: str) -> tuple[Facts, bytes]:
    """Read facts and state from a snapshot; a `SnapshotError` names its source."""
    header, state = snapshot_file.loads(data, source)
    snapshot_file.require_fingerprint(source, FINGERPRINTS, header.get("fingerprint"))
    return Facts.from_json(header.get("facts", {})), state


def differences(stored: Facts, wanted: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what is stored and what is wanted of each setting in which they differ.

    A `seed` of None is whatever it is. What was changed in service, but is wanted as it was given
    at the last start, stays: a service can be started again as it was started before.
    """
    there, here = as_json(stored.settings), as_json(wanted)
    for name in here:
        require(name in there, name, here[name], "is no setting of a router")
    return {
        name: (there[name], value)
        for name, value in here.items()
        if value not in (there[name], stored.given.get(name, there[name]))
        and (name, value) != ("seed", None)
    }


def require_settings(source: str, stored: Facts, wanted: Mapping[str, Any]) -> None:
    """Raise `SnapshotMismatchError` unless a saved router has the settings that are wanted."""
    differing = [
        f"{name}: {there!r} there, {here!r} here"
        for name, (there, here) in differences(stored, wanted).items()
    ]
    if differing:
        raise SnapshotMismatchError(
            f"{source} belongs to a router with other settings: {'; '.join(differing)}. Open it "
            "with its own settings, with on_difference='apply', or start anew with another path"
        )


def as_json(value: Any) -> Any:
    """Take a value through JSON, so that it compares with what was stored."""
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    """Numbers of numpy, and settings that have a class of their own."""
    if (number := plain(value)) is not None:
        return number
    require(is_dataclass(value), "settings", value, "is no setting of a router")
    return asdict(value)


def _model(fields: Mapping[str, Any]) -> Model:
    values = dict(fields)
    if values["price"] is not None:
        values["price"] = Price(**values["price"])
    if values["expected_tokens"] is not None:
        values["expected_tokens"] = Tokens(*values["expected_tokens"])
    return Model(**values)


def _deployment(fields: Mapping[str, Any]) -> Deployment:
    return Deployment(**{**fields, "models": tuple(fields["models"])})
