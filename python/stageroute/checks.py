"""Checks of arguments and of what is installed, and the one form of message for each."""

import math
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from numbers import Integral, Real
from types import NoneType
from typing import Any, get_args, get_type_hints

from stageroute.errors import InvalidInputError, MissingExtraError

Check = Callable[[str, object], None]
"""Raises `InvalidInputError` unless the argument of that name may have that value."""


def require(ok: bool, argument: str, value: object, rule: str) -> None:  # noqa: FBT001
    """Raise `InvalidInputError` naming argument, value and rule unless `ok`."""
    if not ok:
        raise InvalidInputError(f"{argument} = {value!r}: {rule}")


def is_number(value: object) -> bool:
    """Whether `value` is a finite real number (and not a bool)."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def is_text(value: object) -> bool:
    """Whether `value` is a string that is not empty."""
    return isinstance(value, str) and bool(value)


def is_whole(value: object) -> bool:
    """Whether `value` is a whole number (and not a bool)."""
    return not isinstance(value, bool) and isinstance(value, Integral)


def require_one_of(argument: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise `InvalidInputError` with the choices, the nearest first, unless `value` is one."""
    if value not in choices:
        near = get_close_matches(str(value), choices, n=1)
        hint = f"did you mean {near[0]!r}? It " if near else ""
        require(False, argument, value, f"{hint}must be one of {', '.join(choices)}")  # noqa: FBT003


def must(ok: Callable[[Any], bool], rule: str) -> Check:
    """Return a check for `check_fields`: ``Annotated[float, must(is_positive, "must be ...")]``."""
    return lambda argument, value: require(ok(value), argument, value, rule)


def one_of(choices: tuple[str, ...]) -> Check:
    """Return the check that a value is one of the choices."""
    return lambda argument, value: require_one_of(argument, value, choices)


def check_fields(instance: object) -> None:
    """Make the checks that the annotations of a dataclass hold; None passes where it is allowed."""
    for name, hint in get_type_hints(type(instance), include_extras=True).items():
        for option in (hint, *get_args(hint)):
            for check in getattr(option, "__metadata__", ()):
                value = getattr(instance, name)
                if value is not None or NoneType not in get_args(hint):
                    check(name, value)


def import_extra(module: str, what: str, extra: str) -> Any:
    """Import a module of an optional dependency; without it, say what needs it and its extra."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"{what} needs {package}: pip install 'stageroute[{extra}]'"
        ) from error
