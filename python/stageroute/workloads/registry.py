"""Every workload and change by its kind, and how each is made from plain values, or from a text."""

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from stageroute.errors import InvalidInputError
from stageroute.workloads.adversarial import Adversarial
from stageroute.workloads.arrivals import BetterNewcomer, Clocked, RandomArrivals
from stageroute.workloads.base import OnTop, Workload
from stageroute.workloads.changes import CHANGES, Change, Changing
from stageroute.workloads.feedback import Delayed, Noisy, Repeated, Sparse
from stageroute.workloads.held_out import HalfAtStart, OtherPrices
from stageroute.workloads.needle import NeedleArrivals
from stageroute.workloads.sota import LargePool, StateOfTheArt
from stageroute.workloads.tables import BuiltIn, TableFile


def _by_kind(*classes: type[Any]) -> Mapping[str, type[Any]]:
    return MappingProxyType({cls.kind: cls for cls in classes})


BASES: Final[Mapping[str, type[Workload]]] = _by_kind(
    BuiltIn, TableFile, StateOfTheArt, LargePool, NeedleArrivals
)
CHANGE_KINDS: Final[Mapping[str, type[Change]]] = _by_kind(*CHANGES)
ON_TOP: Final[Mapping[str, type[OnTop]]] = _by_kind(
    Adversarial, BetterNewcomer, Clocked, HalfAtStart, Noisy, Delayed, OtherPrices, Sparse,
    Repeated, RandomArrivals,
)  # fmt: skip
"""What comes on top of another workload, but for `Changing`."""

_LAYERS: Final = {**CHANGE_KINDS, **ON_TOP}
_ALL: Final[Mapping[str, type[Any]]] = {
    **BASES,
    Changing.kind: Changing,
    **ON_TOP,
    **CHANGE_KINDS,
}

SHORT_NAMES: Final = {"N": "num_models", "K": "num_batches", "n": "models_per_batch",
                      "announced": "is_announced"}  # fmt: skip
"""Symbols and short names for options."""

WHEN: Final = ("at", "is_announced")
"""Options of a change that are those of `Changing`."""


def workload_from_json(values: Mapping[str, Any]) -> Workload:
    """Rebuild a workload from what `dataclasses.asdict` gave, JSON in between or not.

    Raises
    ------
    InvalidInputError
        If a kind is unknown, a value is missing, too much, or breaks its rule.
    """
    workload = _rebuilt(values)
    if not isinstance(workload, Workload):
        raise InvalidInputError(f"{values!r} describes no workload; it must be of a kind that is")
    return workload


def _rebuilt(value: Any) -> Any:
    if isinstance(value, Mapping):
        rest = {name: _rebuilt(part) for name, part in value.items()}
        kind = rest.pop("kind", None)
        if kind not in _ALL:
            raise InvalidInputError(f"kind = {kind!r}: must be one of {', '.join(_ALL)}")
        try:
            return _ALL[kind](**rest)
        except TypeError as error:
            raise InvalidInputError(f"a workload of kind {kind!r}: {error}") from None
    if isinstance(value, list | tuple):
        return tuple(_rebuilt(part) for part in value)
    return value


def parse_workload(text: str) -> Workload:
    """Make the workload that a text describes.

    A workload, and with a plus before each, what comes on top of it. After a colon its options,
    ``name=value`` with commas between them; a file's first option may be its path alone::

        builtin
        file:outcomes.parquet,drop_missing=true
        sota:N=50+outage:at=0.3,duration=0.1+delayed:queries=200
        pool:N=1000+noisy:flips=0.1
        needle:n=8

    A change (``regression``, ``price_cut``, ``outage``, ``decline``) takes `at` as well, a
    ``price_cut`` also ``announced=true``. Options
    that hold several values cannot be written so, nor can a path with a comma, a plus or an equals
    sign.

    Raises
    ------
    InvalidInputError
        If a name is unknown or a value cannot be read; the message lists the choices.
    """
    first, *layers = text.split("+")
    kind, options = _split(first)
    if kind not in BASES:
        raise InvalidInputError(f"workload = {kind!r}: must be one of {', '.join(BASES)}")
    workload: Workload = _make(kind, BASES[kind], options)
    for layer in layers:
        kind, options = _split(layer)
        if kind not in _LAYERS:
            choices = ", ".join(_LAYERS)
            raise InvalidInputError(f"workload = ...+{kind!r}: must be one of {choices}")
        if kind in CHANGE_KINDS:
            when: dict[str, str] = {name: options.pop(name) for name in WHEN if name in options}
            change = _make(kind, CHANGE_KINDS[kind], options)
            workload = _make(kind, Changing, when, base=workload, change=change)
        else:
            workload = _make(kind, ON_TOP[kind], options, base=workload)
    return workload


def _split(text: str) -> tuple[str, dict[str, str]]:
    kind, _, rest = text.partition(":")
    options: dict[str, str] = {}
    for place, part in enumerate(rest.split(",") if rest else []):
        name, equals, value = part.partition("=")
        if not equals and kind == "file" and place == 0:
            name, value = "path", part
        elif not equals or not value:
            raise InvalidInputError(f"workload = {text!r}: {part!r} must be an option, name=value")
        options[SHORT_NAMES.get(name, name)] = value
    return kind, options


def _make(kind: str, cls: type[Any], options: dict[str, str], **parts: Any) -> Any:
    """Make a dataclass; values are read as the types of its fields."""
    hints = get_type_hints(cls)
    names = [field.name for field in fields(cls) if field.init and field.name not in parts]
    readable = {name: reader for name in names if (reader := _reader(hints[name])) is not None}
    for name in options:
        if name not in readable:
            choices = ", ".join(readable) or "none"
            raise InvalidInputError(f"{kind}: there is no option {name!r}; options are {choices}")
    values = {name: _read(kind, name, readable[name], value) for name, value in options.items()}
    try:
        return cls(**parts, **values)
    except TypeError as error:
        raise InvalidInputError(f"{kind}: {error}") from None


def _reader(hint: Any) -> type[Any] | None:
    """Return the plain type that a field takes, None or not; None if it takes no plain one."""
    plain = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return next((kind for kind in (bool, int, float, str) if kind in plain), None)


def _read(kind: str, name: str, reader: type[Any], value: str) -> Any:
    try:
        if reader is bool:
            return {"true": True, "false": False}[value]
        return reader(value)
    except (ValueError, KeyError):
        what = {bool: "true or false", int: "a whole number", float: "a number"}[reader]
        raise InvalidInputError(f"{kind}: {name} = {value!r}: must be {what}") from None
