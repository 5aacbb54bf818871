"""What an operator asks of the live models beside the paper's constraints, by name."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import Check, check_fields, is_text, listed, number_in, require, whole_in
from stageroute.config.constraints import DeploymentConstraints
from stageroute.config.models import Model, scope_key
from stageroute.config.settings import HardLimit
from stageroute.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Fleet:
    """Constraints on the set of live models; by default there are none.

    What starting a model costs is said by the model: `Model.start_cost`.

    Parameters
    ----------
    memory_gb : float, optional
        GPU memory that the live models may use together, GB, finite and above 0. Every candidate
        then needs its `Model.memory_gb`.
    pinned, forbidden : collection of str, default ()
        Models that must be live, and models that must not; none of them both.
    min_providers : int, default 1
        How many different providers the live models must have at least. Above 1 every candidate
        needs its `Model.provider`.
    max_changes : int, optional
        How many models can be started at a stage's beginning, not negative. A model that replaces
        another is one change; stopping alone is none. While nothing is live, as at first, any
        number can be started.
    groups : mapping of str to collection of str, optional
        Named groups of at least two models each, of which at most one is live: sizes or versions
        of one model, models that share a GPU.
    budgets : mapping of str to float, optional
        Average cost, USD per query of the router, of a model, or of all models of a provider or a
        pool together.
    requests_per_minute, tokens_per_minute : mapping of str to float, optional
        Never more in any 60 seconds for a model, or for all models of a provider or a pool
        together.

    Raises
    ------
    InvalidInputError
        If a field breaks its rule.

    Examples
    --------
    >>> fleet = Fleet(memory_gb=80, pinned=["small"], groups={"large": ["large-v1", "large-v2"]})
    >>> fleet.groups
    {'large': ('large-v1', 'large-v2')}
    """

    memory_gb: Annotated[float | None, number_in("(0, inf)", "GB")] = None
    pinned: Collection[str] = ()
    forbidden: Collection[str] = ()
    min_providers: Annotated[int, whole_in("[1, inf)")] = 1
    max_changes: Annotated[int | None, whole_in("[0, inf)")] = None
    groups: Mapping[str, Collection[str]] | None = None
    budgets: Mapping[str, float] | None = None
    requests_per_minute: Mapping[str, float] | None = None
    tokens_per_minute: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for field in ("pinned", "forbidden"):
            object.__setattr__(self, field, _names(getattr(self, field), field))
        for name in self.pinned:
            rule = "is forbidden as well: take it out of pinned, or out of forbidden"
            require(name not in self.forbidden, "pinned", name, rule)
        object.__setattr__(self, "groups", _groups(self.groups))
        for field, check in SHARED.items():
            object.__setattr__(self, field, _shared(field, getattr(self, field), check))

    def scopes(self, hard_limits: Collection[HardLimit]) -> list[dict[str, Any]]:
        """Return what models share, as the core takes it."""
        shared = {field: getattr(self, field) for field in SHARED}
        scoped = [limit for limit in hard_limits if limit.scope is not None]
        names = {limit.scope: None for limit in scoped if limit.scope is not None}
        names |= dict.fromkeys(name for values in shared.values() for name in values)
        return [
            {
                "key": scope_key(name),
                "hard_limits": [limit.to_core() for limit in scoped if limit.scope == name],
                "calendars": [limit.calendar() for limit in scoped if limit.scope == name],
                "budget": shared["budgets"].get(name),
                "limits": {
                    "requests_per_minute": shared["requests_per_minute"].get(name),
                    "tokens_per_minute": shared["tokens_per_minute"].get(name),
                    "concurrent": None,
                    "burst_seconds": 3.0,
                },
            }
            for name in names
        ]

    def constraints(
        self,
        models: Sequence[Model],
        stage_queries: float | None = None,
        *,
        retired: Collection[str] = (),
        start_room: float = math.inf,
    ) -> DeploymentConstraints | None:
        """Say the same of these candidates by index, as `solve_deployment` takes it.

        What is live now is not needed here: `solve_deployment` is told by `previous`.

        Parameters
        ----------
        models : sequence of Model
            The candidates, in the order of the deployment problem's arms.
        stage_queries : float, optional
            How many queries the stage is expected to have, above 0: start costs are spread over
            them. Needed where a candidate has one.
        retired : collection of str, default ()
            Models that are known and no longer candidates. To name them is no error, and asks for
            nothing: retiring a pinned model unpins it.
        start_room : float, default inf
            What starting models may cost together, USD: what hard limits leave for it.

        Returns
        -------
        DeploymentConstraints or None
            None where nothing is asked and starting is free.

        Raises
        ------
        InvalidInputError
            If a name is of no model, a candidate lacks what a constraint needs to know of it, or
            `stage_queries` breaks its rule.
        """
        arms = {model.name: arm for arm, model in enumerate(models)}
        groups = {
            group: _indices(members, f"groups[{group!r}]", arms, retired)
            for group, members in (self.groups or {}).items()
        }
        memory = provider = None
        if self.memory_gb is not None:
            rule = (
                f"the live models' memory is limited to {self.memory_gb:g} GB; "
                "say how much this one takes, 0 if it is served elsewhere"
            )
            memory = np.array(_known(models, "memory_gb", rule), dtype=np.float64)
        if self.min_providers > 1:
            rule = (
                f"at least {self.min_providers} different providers are asked for; "
                "name the provider of this one"
            )
            provider = _known(models, "provider", rule)
        start_cost = _start_costs(models, stage_queries)
        constraints = DeploymentConstraints(
            start_cost=start_cost,
            start_capacity=_start_capacity(start_room, stage_queries),
            memory=memory,
            memory_capacity=self.memory_gb,
            pinned=_indices(self.pinned, "pinned", arms, retired),
            forbidden=_indices(self.forbidden, "forbidden", arms, retired),
            provider=provider,
            min_providers=self.min_providers,
            groups=tuple(groups.values()),
            max_changes=self.max_changes,
            names=tuple(model.name for model in models),
            group_names=tuple(groups),
        )
        return constraints if constraints.asks_anything else None


def _known(models: Sequence[Model], field: str, rule: str) -> tuple[Any, ...]:
    """Return what must be known of every model."""
    values = tuple(getattr(model, field) for model in models)
    for model, value in zip(models, values, strict=True):
        require(value is not None, f"{field} of model {model.name!r}", value, rule)
    return values


def _start_costs(
    models: Sequence[Model], stage_queries: float | None
) -> NDArray[np.float64] | None:
    """Spread what starting costs over the queries of the stage."""
    if stage_queries is not None:
        number_in("(0, inf)")("stage_queries", stage_queries, ", or None")
    costly = [model.name for model in models if model.start_cost > 0.0]
    if not costly:
        return None
    if stage_queries is None:
        raise InvalidInputError(
            f"stage_queries = None: model {costly[0]!r} has a start_cost, which is spread over the "
            "queries of a stage; say how many are expected"
        )
    return np.array([model.start_cost for model in models]) / stage_queries


def _start_capacity(start_room: float, stage_queries: float | None) -> float | None:
    """Spread what starting may cost in the same way."""
    if stage_queries is None or start_room == math.inf:
        return None
    return start_room / stage_queries


def _shared(field: str, given: Any, check: Check) -> dict[str, float]:
    rule = "must map names of models, providers or pools to numbers, or be None"
    require(given is None or isinstance(given, Mapping), field, given, rule)
    shared = {}
    for name, value in (given or {}).items():
        require(is_text(name), field, name, "must be the name of a model, a provider or a pool")
        check(f"{field}[{name!r}]", value)
        shared[name] = float(value)
    return shared


SHARED: Final = {
    "budgets": number_in("[0, inf)", "USD per query"),
    "requests_per_minute": number_in("[1, inf)"),
    "tokens_per_minute": number_in("[1, inf)"),
}
"""What models can share, and its rules."""


def _groups(groups: Mapping[str, Collection[str]] | None) -> dict[str, tuple[str, ...]]:
    if groups is None:
        return {}
    rule = "must map names of groups to names of models, or be None"
    require(isinstance(groups, Mapping), "groups", groups, rule)
    checked = {}
    for group, members in groups.items():
        require(is_text(group), "groups", group, "a group's name must be a string, not empty")
        argument = f"groups[{group!r}]"
        checked[group] = _names(members, argument)
        rule = "must name at least two different models, since one alone limits nothing"
        require(len(checked[group]) > 1, argument, members, rule)
    return checked


def _names(names: Collection[str], argument: str) -> tuple[str, ...]:
    """Check names of models; each is kept once."""
    ok = not isinstance(names, str) and isinstance(names, Collection)
    require(ok, argument, names, "must be a collection of models' names, such as a list")
    names = listed(argument, names, "names of models")
    for name in names:
        require(is_text(name), argument, name, "a model's name must be a string that is not empty")
    return tuple(dict.fromkeys(names))


def _indices(
    names: Collection[str], argument: str, arms: Mapping[str, int], retired: Collection[str]
) -> tuple[int, ...]:
    for name in names:
        if name not in arms and name not in retired:
            raise InvalidInputError(
                f"{argument} = {name!r}: no such model; there are {', '.join(arms)}"
            )
    return tuple(arms[name] for name in names if name in arms)
