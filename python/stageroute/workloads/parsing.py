"""Workloads as people write them on a command line."""

from dataclasses import fields
from types import UnionType
from typing import Any, Final, get_args, get_type_hints

from stageroute.errors import InvalidInputError
from stageroute.workloads.base import Workload
from stageroute.workloads.changing import Changing
from stageroute.workloads.registry import BASES, CHANGE_KINDS, ON_TOP

__all__ = ["parse_workload"]

SHORT_NAMES: Final = {"N": "num_models", "K": "num_batches", "n": "models_per_batch",
                      "announced": "is_announced"}  # fmt: skip
"""Symbols and short names for options."""

WHEN: Final = ("at", "is_announced")
"""Options of a change that are those of `Changing`."""

_LAYERS: Final = {**CHANGE_KINDS, **{kind: ON_TOP[kind] for kind in ON_TOP if kind != "changing"}}


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
    plain = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return next((kind for kind in (bool, int, float, str) if kind in plain), None)


def _read(kind: str, name: str, reader: type[Any], value: str) -> Any:
    try:
        if reader is bool:
            return {"true": True, "false": False}[value]
        return reader(value)
    except (ValueError, KeyError):
        what = {bool: "true or false", int: "a whole number", float: "a number"}[reader]
        raise InvalidInputError(f"{kind}: {name} = {value!r}: must be {what}") from None
