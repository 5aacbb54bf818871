"""Options made of settings: each name, rule, default and description is that of a dataclass."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, TypedDict, get_args, get_type_hints

import docstring_parser
from cyclopts import Parameter

from stageroute.checks import choices_of
from stageroute.config.settings import ChangeTest
from stageroute.datasets.streams import ARRIVAL_ORDERS
from stageroute.errors import InvalidInputError
from stageroute.policies import CONTEXTUAL, POLICIES, RIVALS

OFF: Final = "off"
"""How the command line says None where a setting has that value."""


class Form(NamedTuple):
    """How a field looks on the command line where its type does not say it."""

    hint: Any
    """What the command line reads."""
    read: Callable[[Any], Any]
    """Makes the field's value of that."""
    write: Callable[[Any], list[str]]
    """The other way round, as words."""


def _retirements(words: Sequence[str]) -> tuple[tuple[str, int], ...]:
    pairs = [word.rpartition("=")[::2] for word in words]
    for word, (name, query) in zip(words, pairs, strict=True):
        if not name or not query.isdecimal():
            raise InvalidInputError(f"--retire {word!r}: must be MODEL=QUERY, as in gpt-4=20000")
    return tuple((name, int(query)) for name, query in pairs)


FORMS: Final[Mapping[str, Form]] = {
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

    Their class says which fields there are, of what type, and in its docstring what they mean; help
    shows their values as defaults where that is asked for.
    """
    cls = type(settings)
    hints, choices = get_type_hints(cls), choices_of(cls)
    meaning = {
        name: " ".join((field.description or "").replace("`", "").split())
        for base in reversed(cls.__mro__[:-1])
        for field in docstring_parser.parse(inspect.getdoc(base) or "").params
        for name in field.arg_name.split(", ")
    }
    members = {}
    for name in (field.name for field in fields(cls) if field.init):  # type: ignore[arg-type]
        if name in without:
            continue
        text, default = meaning[name], getattr(settings, name)
        if name == "policies":
            text += f" Names: {', '.join([*POLICIES, *CONTEXTUAL, *RIVALS])}."
        if show_defaults and default not in (None, False, ()):
            text += f" [default: {' '.join(write_value(name, default))}]"
        kind = Literal[choices[name]] if name in choices else hints[name]
        kind = FORMS[name].hint if name in FORMS else kind
        options: dict[str, Any] = {"name": flag_of(name), "help": text}
        if default is False:
            options["negative"] = ""
        for number, what in ((int, "a whole number"), (float, "a number")):
            if isinstance(kind, UnionType) and number in get_args(kind):
                options["converter"] = _or_off(number, what)
                break
        members[name] = Annotated[kind, Parameter(**options)]
    return TypedDict(f"{cls.__name__}Changes", members, total=False)  # type: ignore[operator]


def _or_off(number: type[Any], what: str) -> Callable[..., Any]:
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
    return [str(each) for each in (value if isinstance(value, list | tuple) else [value])]
