"""Checks of arguments and of what is installed, and the one form of message for each."""

import math
import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Any, Final, NamedTuple, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from stageroute.errors import InvalidInputError, MissingExtraError

MOST_SHOWN: Final = 200
"""A message shows no more of a value than that, in characters."""


def shown(value: object) -> str:
    """Return how a message shows a value, whatever it is."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # such as an int of more digits than Python writes down
        return f"<{type(value).__name__}>"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def require(ok: bool, argument: str, value: object, rule: str) -> None:  # noqa: FBT001
    """Raise `InvalidInputError` naming argument, value and rule unless `ok`."""
    if not ok:
        raise InvalidInputError(f"{argument} = {shown(value)}: {rule}")


def plain(value: object) -> int | float | None:
    """Return any real number (a `Decimal`, one of numpy) as Python's own; None for all else.

    A truth value is none.
    """
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        return None
    try:
        return int(value) if isinstance(value, Integral) else float(value)
    except (ValueError, OverflowError):
        return None


def is_number(value: object) -> bool:
    """Whether `value` is a finite real number (and not a bool)."""
    number = plain(value)
    try:
        return number is not None and math.isfinite(number)
    except OverflowError:  # an int above every float
        return False


def is_text(value: object) -> bool:
    """Whether `value` is a string that is not empty, and that UTF-8 can hold."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False


def is_whole(value: object) -> bool:
    """Whether `value` is a whole number of 64 bits (and not a bool)."""
    number = plain(value)
    return isinstance(number, int) and abs(number) < 2**64


class Check(NamedTuple):
    """A rule of a field, as metadata of its type: ``Annotated[str, must(is_text, "must …")]``."""

    holds: Callable[[Any], bool]
    rule: str
    choices: tuple[str, ...] = ()

    def __call__(self, argument: str, value: object, also: str = "") -> None:
        """Raise `InvalidInputError` unless the argument of that name may have that value."""
        if not self.holds(value):
            near = get_close_matches(str(value), self.choices, n=1) if is_text(value) else ()
            hint = f"did you mean {near[0]!r}? It " if near else ""
            raise InvalidInputError(f"{argument} = {shown(value)}: {hint}{self.rule}{also}")

    def __repr__(self) -> str:
        return self.rule


must = Check


def one_of(choices: tuple[str, ...]) -> Check:
    """Return the check that a value is one of the choices."""
    return Check(
        lambda value: isinstance(value, str) and value in choices,
        f"must be one of {', '.join(choices)}",
        choices,
    )


def require_one_of(argument: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise `InvalidInputError` with the choices, the nearest first, unless `value` is one."""
    one_of(choices)(argument, value)


NUMBER: Final = Check(is_number, "must be a finite number")
"""Of settings whose interval the core checks."""
WHOLE: Final = Check(is_whole, "must be a whole number")


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
        lambda value: is_kind(value) and low <= _of(value) <= high and _of(value) not in ends,
        f"must be {rule}" + (f", in {unit}" if unit else ""),
    )


def _of(value: Any) -> Any:
    """Return what a `Decimal` is kept as, so that this is what is checked."""
    return float(value) if isinstance(value, Decimal) else value


def _bound(text: str) -> float:
    base, _, exponent = text.partition("**")
    return math.pow(float(base), float(exponent or 1))


def check_fields(instance: object, whose: str = "") -> None:
    """Make the checks that the annotations of a dataclass hold; None passes where it is allowed.

    Numbers become Python's own. Messages name a field and `whose` it is.
    """
    cls: Any = type(instance)
    for name, (checks, is_optional) in _checks(cls).items():
        value = getattr(instance, name)
        if value is not None or not is_optional:
            for check in checks:
                check(name + whose, value, ", or None" if is_optional else "")
            if (number := plain(value)) is not None and type(number) is not type(value):
                object.__setattr__(instance, name, number)


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


def listed(argument: str, values: Any, what: str) -> list[Any]:
    """List what an iterable holds; a string, or what cannot be iterated over, is refused."""
    try:
        items: Iterator[Any] | None = None if isinstance(values, str | bytes) else iter(values)
    except TypeError:
        items = None
    if items is None:
        rule = f"must be {what}, in a list or another collection"
        raise InvalidInputError(f"{argument} = {shown(values)}: {rule}")
    return list(items)


def as_path(argument: str, value: object) -> Path:
    """Return a path of anything that can be the path of a file."""
    try:
        ok = not isinstance(value, bytes) and b"\0" not in os.fsencode(value)  # type: ignore[arg-type]
    except (TypeError, UnicodeEncodeError):
        ok = False
    require(ok, argument, value, "must be the path of a file")
    return Path(os.fsdecode(value))  # type: ignore[arg-type]


def as_ids(argument: str, values: object) -> NDArray[np.uint64]:
    """Make an array of ids of decisions."""
    array = _array(argument, values)
    ok = array.size == 0 or (array.dtype.kind in "iu" and bool((array >= 0).all()))
    require(ok, argument, values, "must be ids of decisions, whole numbers in [0, 2**64)")
    return array.astype(np.uint64)


def as_floats(argument: str, values: object) -> NDArray[np.float64]:
    """Make an array of floats of any real numbers, of `Decimal` too, but not of truth values."""
    array = _array(argument, values)
    if array.dtype.kind == "O":
        numbers = [plain(value) for value in array.tolist()]
        for index, number in enumerate(numbers):
            require(number is not None, f"{argument}[{index}]", array[index], "must be a number")
        array = np.array([_float(number) for number in numbers])
    require(array.dtype.kind in "fiu", argument, values, "must be numbers")
    return array.astype(np.float64)


def _float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:  # an int above every float
        return math.inf


def _array(argument: str, values: object) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError):  # lists of different lengths, say
        array = np.empty(())
    require(array.ndim == 1, argument, values, "must be an array of one dimension")
    return array


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
