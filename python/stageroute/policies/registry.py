"""Every policy by name: ours, the baselines, oracles, other routers, and those of others.

A class of `ours`, `baselines` or `oracles` that gives itself a `name` is registered by that, and
so are its `variants`.
"""

import pkgutil
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any, Final, TypeGuard

from stageroute.errors import InvalidInputError
from stageroute.policies import baselines, oracles, ours
from stageroute.policies.base import Policy, Setting
from stageroute.policies.rivals import RIVAL_CLASSES

Maker = Callable[[Setting], Policy]


def _is_policy(value: object) -> TypeGuard[type[Policy]]:
    return isinstance(value, type) and issubclass(value, Policy) and value is not Policy


def _variant(policy: type[Policy], name: str, settings: Mapping[str, Any]) -> type[Policy]:
    """Return the same policy under another name, with other settings."""
    return type(policy.__name__, (policy,), {"name": name, **settings})


def _registered(package: ModuleType) -> Iterator[type[Policy]]:
    """Yield the classes of a package's modules that have a name of their own, and variants."""
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = import_module(found.name)
        for value in vars(module).values():
            if _is_policy(value) and value.__module__ == found.name and "name" in vars(value):
                yield value
                for name, settings in vars(value).get("variants", {}).items():
                    yield _variant(value, name, settings)


_CLASSES: Final = [one for package in (ours, baselines, oracles) for one in _registered(package)]

POLICIES: Final = MappingProxyType[str, Maker](
    {policy.name: policy for policy in _CLASSES if not policy.is_contextual}
)
"""How each policy is made, by name."""

CONTEXTUAL: Final = MappingProxyType[str, Maker](
    {policy.name: policy for policy in _CLASSES if policy.is_contextual}
)
"""Policies that see more of a query than the others, and need a table that shows it."""


def _when_needed(name: str, path: str, settings: Mapping[str, Any]) -> Maker:
    def make(setting: Setting) -> Policy:
        maker: Maker = _variant(_load(path), name, settings)
        return maker(setting)

    return make


RIVALS: Final = MappingProxyType[str, Maker](
    {name: _when_needed(name, *rival) for name, rival in RIVAL_CLASSES.items()}
)
"""How each rival is made, by name. Its package must be installed: ``stageroute[rivals]``."""


def find_policy(name: str) -> Maker:
    """Return what makes a policy, without making it.

    Parameters
    ----------
    name : str
        One of `POLICIES`, `CONTEXTUAL` or `RIVALS`; or ``"module:Class"``, a policy of your own: a
        class of an importable module that is made from a `Setting`.

    Raises
    ------
    InvalidInputError
        If there is no policy of that name, or no such module or class; or if the class is not a
        `Policy`, or lacks one of its methods.
    """
    if ":" in name:
        return _load(name)
    makers = {**POLICIES, **CONTEXTUAL, **RIVALS}
    if name not in makers:
        near = get_close_matches(name, makers, n=1)
        hint = f"did you mean {near[0]!r}? It " if near else ""
        raise InvalidInputError(
            f"policy = {name!r}: {hint}must be one of {', '.join(makers)}; "
            "or module:Class for a policy of your own"
        )
    return makers[name]


def _load(path: str) -> type[Policy]:
    """Import the policy ``module:Class``."""
    name, _, attribute = path.partition(":")
    refuse = f"policy = {path!r}: "
    try:
        module = import_module(name)
    except (ImportError, ValueError) as error:
        raise InvalidInputError(
            f"{refuse}the module {name!r} cannot be imported ({error}); "
            "its folder must be the current one or in PYTHONPATH"
        ) from error
    found = getattr(module, attribute, None)
    if found is None:
        classes = [key for key, value in vars(module).items() if _is_policy(value)]
        near = get_close_matches(attribute, classes, n=1)
        hint = f"did you mean {name}:{near[0]}?" if near else f"its policies: {', '.join(classes)}"
        raise InvalidInputError(f"{refuse}the module {name!r} has no {attribute!r}; {hint}")
    if not _is_policy(found):
        raise InvalidInputError(f"{refuse}must be a subclass of stageroute.policies.Policy")
    missing = sorted(found.__abstractmethods__)
    if missing:
        raise InvalidInputError(f"{refuse}the class lacks {', '.join(missing)}")
    return found


def make_policy(name: str, setting: Setting) -> Policy:
    """Make a policy by its name; see `find_policy`.

    Raises
    ------
    MissingExtraError
        If it is a rival whose package is not installed.
    """
    return find_policy(name)(setting)
