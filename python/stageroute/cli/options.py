"""Options made of settings: each name, rule, default and description is that of a dataclass."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, TypedDict, get_args, get_type_hints

import docstring_parser
from cyclopts import Parameter

from stageroute.config import CONFIDENCE_FAMILIES, SOLVERS
from stageroute.config.settings import ChangeTest
from stageroute.datasets.streams import ARRIVAL_ORDERS, STREAM_ORDERS
from stageroute.errors import InvalidInputError
from stageroute.policies import CONTEXTUAL, POLICIES, RIVALS

__all__ = ["OFF", "changes_of", "flag_of", "read_changes", "write_value"]

OFF: Final = "off"
"""How the command line says None where a setting has that value."""


class Form(NamedTuple):
    """How a field looks on the command line where its type does not say it.

    Attributes
    ----------
    hint : type
        What the command line reads.
    read : callable
        Makes the field's value of that.
    write : callable
        The other way round, as words.
    """

    hint: Any
    read: Callable[[Any], Any]
    write: Callable[[Any], list[str]]


def _retirements(words: Sequence[str]) -> tuple[tuple[str, int], ...]:
    pairs = [word.rpartition("=")[::2] for word in words]
    for word, (name, query) in zip(words, pairs, strict=True):
        if not name or not query.isdecimal():
            raise InvalidInputError(f"--retire {word!r}: must be MODEL=QUERY, as in gpt-4=20000")
    return tuple((name, int(query)) for name, query in pairs)


def _choice(choices: tuple[str, ...]) -> Form:
    return Form(Literal[choices], lambda text: text, lambda value: [value])


FORMS: Final[Mapping[str, Form]] = {
    "family": _choice(CONFIDENCE_FAMILIES),
    "order": _choice(STREAM_ORDERS),
    "solver": _choice(SOLVERS),
    "use_prices": Form(
        Literal["known", "unknown"],
        lambda text: text == "known",
        lambda value: ["known" if value else "unknown"],
    ),
    "throughput_cap": Form(
        tuple[float, ...],
        lambda caps: caps[0] if len(caps) == 1 else tuple(caps),
        lambda caps: [str(cap) for cap in (caps if isinstance(caps, Sequence) else [caps])],
    ),
    "arrival_order": Form(
        str,
        lambda text: text if text in ARRIVAL_ORDERS else tuple(text.split(",")),
        lambda order: [order if isinstance(order, str) else ",".join(order)],
    ),
    "retirements": Form(
        tuple[str, ...],
        _retirements,
        lambda pairs: [f"{name}={query}" for name, query in pairs],
    ),
    "change_test": Form(bool, lambda is_on: ChangeTest() if is_on else None, lambda _: []),
}

FLAGS: Final[Mapping[str, str]] = {
    "budgets": "--budget",
    "family": "--confidence",
    "num_initial": "--initial-models",
    "num_queries": "--queries",
    "num_stages": "--stages",
    "path": "--data",
    "retirements": "--retire",
    "use_prices": "--prices",
}
"""Options that are not called as the field is."""


def flag_of(name: str) -> str:
    """Return the option that changes a field."""
    return FLAGS.get(name, f"--{name.replace('_', '-')}")


def changes_of(settings: object, *, without: Sequence[str] = (), show_defaults: bool = True) -> Any:
    """Return the type of changes to settings: what is given of their fields, by name.

    Parameters
    ----------
    settings : dataclass instance
        Its defaults are shown; its class says which fields there are, of what type, and in its
        docstring what they mean.
    without : sequence of str
        Fields that cannot be changed so.
    show_defaults : bool, default True
        Whether help shows the values of `settings`.
    """
    cls = type(settings)
    hints, meaning = get_type_hints(cls), _meanings(cls)
    members = {}
    for field in fields(cls):  # type: ignore[arg-type]
        if not field.init or field.name in without:
            continue
        text, default = meaning[field.name], getattr(settings, field.name)
        if field.name == "policies":
            text += f" Names: {', '.join([*POLICIES, *CONTEXTUAL, *RIVALS])}."
        if show_defaults and default not in (None, False, ()):
            text += f" [default: {' '.join(write_value(field.name, default))}]"
        members[field.name] = _option(field.name, hints[field.name], text, default)
    return TypedDict(f"{cls.__name__}Changes", members, total=False)  # type: ignore[operator]


def _meanings(cls: type) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say of each field."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        for field in docstring_parser.parse(inspect.getdoc(base) or "").params:
            for name in field.arg_name.split(", "):
                found[name] = " ".join((field.description or "").replace("`", "").split())
    return found


def _option(name: str, hint: Any, text: str, default: object) -> Any:
    known = FORMS.get(name)
    kind = hint if known is None else known.hint
    options: dict[str, Any] = {"name": flag_of(name), "help": text}
    if default is False:
        options["negative"] = ""
    elif isinstance(kind, UnionType) and (number := _number(kind)) is not None:
        options["converter"] = _or_off(number)
    return Annotated[kind, Parameter(**options)]


def _number(kind: UnionType) -> type[Any] | None:
    return next((number for number in (int, float) if number in get_args(kind)), None)


def _or_off(number: type[Any]) -> Callable[..., Any]:
    what = "a whole number" if number is int else "a number"

    def read(_: object, tokens: Sequence[Any]) -> Any:
        text = tokens[0].value
        try:
            return None if text == OFF else number(text)
        except ValueError:
            raise ValueError(f"{text!r} must be {what}, or {OFF!r}") from None

    return read


def read_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of fields that were given."""
    return {
        name: FORMS[name].read(value) if name in FORMS else value for name, value in changes.items()
    }


def write_value(name: str, value: Any) -> list[str]:
    """Return a field's value as words of the command line."""
    if name in FORMS:
        return FORMS[name].write(value)
    if value is None:
        return [OFF]
    values = value if isinstance(value, list | tuple) else [value]
    return [str(each) for each in values]
