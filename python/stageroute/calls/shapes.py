"""Looks into objects of other packages, which may as well be plain JSON."""

from collections.abc import Mapping
from typing import Any

from stageroute.checks import is_number


def get(thing: Any, *names: str) -> Any:
    """Follow fields, as keys or attributes; None where one is missing."""
    try:
        for name in names:
            thing = thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
    except Exception:  # noqa: BLE001  # of a property: then it is not there
        return None
    return thing


def count(value: Any) -> float | None:
    """Return a number that is not negative, else None."""
    return float(value) if is_number(value) and value >= 0 else None
