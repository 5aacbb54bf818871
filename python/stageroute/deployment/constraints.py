"""An operator's constraints on the live set, by name: which decided what, and which conflict."""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stageroute._core import FACTS, solve_deployment
from stageroute.config.constraints import DeploymentConstraints, existing_arms
from stageroute.errors import DeploymentConflictError, SolverError

if TYPE_CHECKING:
    from stageroute._core import CoreConstraints

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]


class Rule(NamedTuple):
    """One constraint: Σ use of the live arms <= most; for providers, each uses up -1 once."""

    kind: Literal["pinned", "forbidden", "providers", "limit", "slots"]
    name: str
    remedy: str
    use: Floats
    most: float


@dataclass(frozen=True, eq=False, slots=True)
class NamedConstraints:
    """Which sets of arms may be live, with a name for every constraint.

    `provider` numbers the providers from 0; `start` is what a start costs, USD per query.
    """

    rules: tuple[Rule, ...]
    provider: Arms
    start: Floats

    def of(self, kind: str) -> list[Rule]:
        """Return the rules of one kind."""
        return [rule for rule in self.rules if rule.kind == kind]

    def for_core(self) -> "CoreConstraints":
        """Leave out the names, and the number of live arms, which goes apart."""
        none, limits = np.zeros(self.start.size), self.of("limit")
        return {
            "start": self.start,
            "most": np.array([limit.most for limit in limits], dtype=np.float64),
            "uses": np.concatenate([np.zeros(0), *(limit.use for limit in limits)]),
            "pinned": sum((rule.use for rule in self.of("pinned")), none) < 0.0,
            "forbidden": sum((rule.use for rule in self.of("forbidden")), none) > 0.0,
            "provider": self.provider.tolist(),
            "min_providers": int(-sum(rule.most for rule in self.of("providers"))) or 1,
        }

    def only(self, names: Collection[str]) -> "NamedConstraints":
        """Keep the constraints of these names, and no others."""
        return replace(self, rules=tuple(rule for rule in self.rules if rule.name in names))

    def broken(self, arms: Arms) -> tuple[str, ...]:
        """Names of the constraints that this set breaks."""
        first_of_provider = arms[np.unique(self.provider[arms], return_index=True)[1]]
        return tuple(
            rule.name
            for rule in self.rules
            if rule.use[first_of_provider if rule.kind == "providers" else arms].sum()
            > rule.most + FACTS["limit_tolerance"]
        )


def name_constraints(
    constraints: DeploymentConstraints,
    size: int,
    previous: Sequence[int] | None,
    max_deployed: int | None,
) -> NamedConstraints:
    """Name the constraints of a problem over `size` arms; None for any number of live arms."""
    asked = constraints
    asked.check_size(size)
    labels = asked.names or tuple(map(str, range(size)))
    groups = asked.group_names or tuple(map(str, range(len(asked.groups))))
    live = existing_arms(previous, size)
    rules = [
        Rule("pinned", f"pinned {labels[i]}", f"unpin {labels[i]}", -_indicator([i], size), -1.0)
        for i in sorted(set(asked.pinned))
    ]
    rules += [
        Rule(
            "forbidden", f"forbidden {labels[i]}", f"allow {labels[i]}", _indicator([i], size), 0.0
        )
        for i in sorted(set(asked.forbidden))
    ]
    if (least := asked.min_providers) > 1:
        name = f"min_providers = {least}"
        rules.append(Rule("providers", name, "lower min_providers", -np.ones(size), -float(least)))
    rules += [
        Rule("limit", f"group {name}", f"split group {name}", _indicator(group, size), 1.0)
        for name, group in zip(groups, asked.groups, strict=True)
    ]
    if asked.memory is not None and asked.memory_capacity is not None:
        name = f"memory_gb = {asked.memory_capacity:.12g}"
        use = asked.memory / asked.memory_capacity
        rules.append(Rule("limit", name, "raise memory_gb", use, 1.0))
    start = asked.start_costs(size, previous)
    if (room := asked.start_capacity) is not None and start.any():
        name = "what hard limits leave for start costs"
        use = np.where(start > 0.0, 2.0, 0.0) if room == 0.0 else start / room
        rules.append(Rule("limit", name, "raise the hard limit or lower start_cost", use, 1.0))
    if (most := asked.max_changes) is not None and live.size:
        use = 1.0 - _indicator(live, size)
        rules.append(Rule("limit", f"max_changes = {most}", "raise max_changes", use, float(most)))
    if (most := max_deployed) is not None:
        name = f"max_deployed = {most}"
        rules.append(Rule("slots", name, "raise max_deployed", np.ones(size), float(most)))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(asked.provider or ()))}
    provider = np.array([numbers[key] for key in asked.provider or ()], dtype=np.intp)
    return NamedConstraints(
        rules=tuple(rules),
        provider=np.zeros(size, dtype=np.intp) if asked.provider is None else provider,
        start=start,
    )


def reasons(
    constraints: DeploymentConstraints,
    deployed: Iterable[int],
    size: int,
    previous: Sequence[int] | None,
) -> tuple[tuple[str, ...], ...]:
    """For each arm, the constraints that keep it live, or keep it from being live.

    Those that would be broken if an arm of `deployed` alone were stopped, or another were started
    as well. Where that is nothing, the estimates or the budget decided.
    """
    named = name_constraints(constraints, size, previous, None)
    arms = np.array(sorted(deployed), dtype=np.intp)
    return tuple(named.broken(np.setxor1d(arms, arm)) for arm in range(size))


def find_conflict(named: NamedConstraints, time_limit: float | None) -> DeploymentConflictError:
    """Name constraints that together allow no set, while any one less would: a deletion filter.

    A `SolverError` says that it took longer than `time_limit` seconds, or that some set is allowed.
    """
    end = None if time_limit is None else time.monotonic() + time_limit

    def allows_any(some: NamedConstraints) -> bool:
        # Arms that cost nothing and take all traffic.
        zeros, ones = np.zeros(some.start.size), np.ones(some.start.size)
        slots = int(sum(rule.most for rule in some.of("slots"))) or zeros.size
        asked = replace(some, start=zeros).for_core()
        left = None if end is None else max(end - time.monotonic(), 0.0)
        answer = solve_deployment(zeros, zeros, ones, 0.0, slots, asked, 0.0, None, left)
        return answer is not None

    if allows_any(named):
        raise SolverError("the solver finds no live set although the constraints allow one")
    remedies = {rule.name: rule.remedy for rule in named.rules}
    kept = list(remedies)
    for name in remedies:
        rest = [other for other in kept if other != name]
        if not allows_any(named.only(rest)):
            kept = rest
    remedy = ", or ".join(dict.fromkeys(remedies[name] for name in kept))
    return DeploymentConflictError(
        f"no set of models satisfies {' and '.join(kept)}; to resolve this conflict, {remedy}",
        tuple(kept),
    )


def _indicator(arms: Iterable[int], size: int) -> Floats:
    indicator = np.zeros(size)
    indicator[list(arms)] = 1.0
    return indicator
