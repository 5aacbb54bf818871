"""Checks of arguments and of what is installed, and the one form of message for each."""

import math
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from numbers import Integral, Real
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints

from stageroute.errors import InvalidInputError, MissingExtraError


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


class Check(NamedTuple):
    """A rule of a field, as metadata of its type: ``Annotated[str, must(is_text, "must …")]``."""

    holds: Callable[[Any], bool]
    rule: str
    choices: tuple[str, ...] = ()

    def __call__(self, argument: str, value: object, also: str = "") -> None:
        """Raise `InvalidInputError` unless the argument of that name may have that value."""
        if not self.holds(value):
            near = get_close_matches(str(value), self.choices, n=1)
            hint = f"did you mean {near[0]!r}? It " if near else ""
            raise InvalidInputError(f"{argument} = {value!r}: {hint}{self.rule}{also}")

    def __repr__(self) -> str:
        return self.rule


must = Check


def one_of(choices: tuple[str, ...]) -> Check:
    """Return the check that a value is one of the choices."""
    return Check(choices.__contains__, f"must be one of {', '.join(choices)}", choices)


def require_one_of(argument: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise `InvalidInputError` with the choices, the nearest first, unless `value` is one."""
    one_of(choices)(argument, value)


def number_in(interval: str, unit: str = "") -> Check:
    """Return the check that a value is a finite number in an interval: ``"(0, 1]"``."""
    return _within(interval, unit, is_number, "", "finite and ")


def whole_in(interval: str, unit: str = "") -> Check:
    """Return the check that a value is a whole number in an interval: ``"[1, 2**32)"``."""
    return _within(interval, unit, is_whole, "a whole number ", "a whole number, ")


def _within(
    interval: str, unit: str, is_kind: Callable[[Any], bool], kind: str, kind_and: str
) -> Check:
    low, high = (_bound(text) for text in interval[1:-1].split(", "))
    ends = [low] * (interval[0] == "(") + [high] * (interval[-1] == ")")
    if high < math.inf:
        rule = f"{kind}in {interval}"
    elif low in ends:
        rule = f"{kind_and}above {low:g}"
    else:
        rule = kind_and + (f"at least {low:g}" if low else "not negative")
    return Check(
        lambda value: is_kind(value) and low <= value <= high and value not in ends,
        f"must be {rule}" + (f", in {unit}" if unit else ""),
    )


def _bound(text: str) -> float:
    base, _, exponent = text.partition("**")
    return math.pow(float(base), float(exponent or 1))


def check_fields(instance: object, whose: str = "") -> None:
    """Make the checks that the annotations of a dataclass hold; None passes where it is allowed.

    Messages name a field and `whose` it is.
    """
    cls: Any = type(instance)
    for name, (checks, is_optional) in _checks(cls).items():
        value = getattr(instance, name)
        if value is not None or not is_optional:
            for check in checks:
                check(name + whose, value, ", or None" if is_optional else "")


def choices_of(cls: Any) -> dict[str, tuple[str, ...]]:
    """Return the choices of each field of a dataclass that is one of some."""
    return {
        name: check.choices
        for name, (checks, _) in _checks(cls).items()
        for check in checks
        if check.choices
    }


@cache
def _checks(cls: type) -> dict[str, tuple[list[Check], bool]]:
    """Return the checks of each field, and whether it can be None."""
    found = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        options = get_args(hint.__origin__ if hasattr(hint, "__metadata__") else hint)
        marked = (hint, *options)
        checks = [check for kind in marked for check in getattr(kind, "__metadata__", ())]
        if checks:
            found[name] = checks, NoneType in options
    return found


def import_extra(module: str, what: str, extra: str) -> Any:
    """Import a module of an optional dependency; without it, say what needs it and its extra."""
    package = module.partition(".")[0]
    try:
        import_module(package)
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs {package}: pip install 'stageroute[{extra}]'"
        ) from error
