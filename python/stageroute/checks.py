"""Checks of arguments and of what is installed, and the one form of message for each."""

import math
from difflib import get_close_matches
from importlib import import_module
from numbers import Integral, Real
from typing import Any

from stageroute.errors import InvalidInputError, MissingExtraError

__all__ = ["import_extra", "is_number", "is_text", "is_whole", "require", "require_one_of"]


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


def import_extra(module: str, what: str, extra: str) -> Any:
    """Import a module of an optional dependency; without it, say what needs it and its extra."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"{what} needs {package}: pip install 'stageroute[{extra}]'"
        ) from error
