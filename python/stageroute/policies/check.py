"""`check_policy`: whether a policy keeps the rules that a comparison rests on."""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import Stream, draw_stream
from stageroute.errors import InvalidInputError
from stageroute.policies.base import Limits, Policy, Setting
from stageroute.policies.driver import ReplayResult, replay
from stageroute.policies.frequencies import check_frequencies
from stageroute.policies.registry import CONTEXTUAL, POLICIES, Maker, find_policy
from stageroute.policies.rules import RULES, broken

QUERIES: Final = 600
STAGES: Final = 6
ROWS: Final = 120
DELAY: Final = 7
SEED: Final = 11

MEANS: Final = (0.35, 0.6, 0.75, 0.5, 0.8, 0.9)
COSTS: Final = (0.0002, 0.0006, 0.001, 0.0004, 0.0016, 0.003)
LIMITS: Final = Limits(0.0009, 3, (0.6, 0.5, 0.5, 0.4, 0.45, 0.5), solver="native")
"""Any three caps leave room for all queries; the best models cost more than the budget."""

AMPLE: Final = replace(LIMITS, budget=1.0)
"""Money for whatever a policy may do: its price is finite."""

TASKS: Final = ("sums-long", "sums-short", "poems", "letters")


def check_policy(policy: Maker | str) -> None:
    """Check that a policy keeps the rules of a comparison, `stageroute.policies.RULES`.

    It is made several times and run on short streams in which models arrive and retire, feedback
    comes late, and money and caps bind. Everything is seeded, so that the verdict is the same each
    time. Rules in `Policy.exempt` are left out.

    Parameters
    ----------
    policy : class, callable or str
        What makes the policy from a `Setting`: as a rule its class. Or a name that `find_policy`
        knows. Whether decisions depend on the process is checked where the class can be imported
        by its name.

    Raises
    ------
    PolicyError
        If a rule is broken: it names the policy, the rule, the stage and query, what was expected
        and what was seen.
    InvalidInputError
        If the policy is exempt from something that is no rule.

    Examples
    --------
    >>> check_policy("greedy")
    """
    world = _World(find_policy(policy) if isinstance(policy, str) else policy, _stream())
    exempt = world.policy().exempt
    unknown = sorted(set(exempt) - set(RULES))
    if unknown:
        raise InvalidInputError(
            f"exempt names {', '.join(unknown)}; the rules are {', '.join(RULES)}"
        )
    trace = replay(world.policy(), world.stream, STAGES, limits=LIMITS)
    for rule, error in trace.errors.items():
        if rule not in exempt:
            raise error
    checks = {"price": _check_price}
    if "repeatable" not in exempt:  # each of these compares two runs
        checks |= {"repeatable": _check_repeatable, "native": _check_native}
        checks |= {"outcomes": _check_outcomes}
    for rule, check in checks.items():
        if rule not in exempt:
            check(world, trace)
    if "frequency" not in exempt:
        check_frequencies(world.setting, world.make)


@dataclass(frozen=True, eq=False)
class _World:
    """What makes the policy, and what it runs on."""

    make: Maker
    stream: Stream
    limits: Limits = LIMITS

    @property
    def setting(self) -> Setting:
        return Setting(self.stream, self.limits, STAGES, SEED)

    def policy(self) -> Policy:
        return self.make(self.setting)

    def run(self, *, native: bool = True) -> ReplayResult:
        return replay(self.policy(), self.stream, STAGES, native=native)


def _stream() -> Stream:
    """Draw six models, of which three come later and one leaves, on tasks of their own hardness."""
    generator = np.random.default_rng(SEED)
    task = generator.integers(len(TASKS), size=ROWS)
    means = np.clip(MEANS - 0.1 * task[:, None], 0.05, 0.95)
    reward = (generator.random(means.shape) < means).astype(np.float64)
    cost = generator.uniform(0.5, 1.5, means.shape) * COSTS
    names = tuple(f"model-{letter}" for letter in "abcdef")
    prompts = tuple(f"{TASKS[kind]}: number {row}" for row, kind in enumerate(task.tolist()))
    table = OutcomeTable("check", names, reward, cost, task=np.array(TASKS)[task], prompts=prompts)
    retirements = {"model-b": QUERIES * 2 // 3}
    stream = draw_stream(table, SEED, num_queries=QUERIES, num_initial=3, retirements=retirements)
    return replace(stream, delay=DELAY)


def _check_price(world: _World, trace: ReplayResult) -> None:
    ample = replace(world, limits=AMPLE).run()
    finite = f"a finite price at a budget of {AMPLE.budget} USD per query"
    for price, is_price, expected in (
        (trace.budget_price, trace.budget_price >= 0.0, "a price from 0 on, in rewards per USD"),
        (ample.budget_price, np.isfinite(ample.budget_price), finite),
    ):
        if not is_price.all():
            at = int(np.argmin(is_price))
            raise broken(world.policy(), "price", _where(trace, at), expected, price[at])


def _check_native(world: _World, trace: ReplayResult) -> None:
    _require_same(world, "native", world.run(native=False), trace)


def _check_outcomes(world: _World, trace: ReplayResult) -> None:
    """Change what the policy has not been told, up to some query and over the whole stream."""
    for told in (QUERIES // 4, QUERIES * 5 // 8, QUERIES):
        other = replace(world, stream=_with_other_outcomes(world.stream, trace, told)).run()
        _require_same(world, "outcomes", trace, other, until=told)


def _with_other_outcomes(stream: Stream, trace: ReplayResult, told: int) -> Stream:
    """Turn all outcomes over but those observed by query `told`, and shuffle the rows from there.

    Bad models become good and cheap ones expensive. The true means stay, for the policies that know
    them.
    """
    table = stream.table
    is_known = np.zeros(table.reward.shape, dtype=bool)
    observed = slice(max(told - 1 - stream.delay, 0))
    is_known[stream.rows[observed], trace.arm[observed]] = True
    reward = np.where(is_known, table.reward, 1.0 - table.reward)
    cost = np.where(is_known, table.cost, table.cost.min() * table.cost.max() / table.cost)
    rows = stream.rows.copy()
    rows[told:] = np.random.default_rng(SEED).permutation(rows[told:])
    return replace(stream, table=replace(table, reward=reward, cost=cost), rows=rows)


def _check_repeatable(world: _World, trace: ReplayResult) -> None:
    _require_same(world, "repeatable", trace, world.run())
    name = _name_elsewhere(world.make)
    if name is None:
        return
    code = f"from stageroute.policies.check import fingerprint; print(fingerprint({name!r}))"
    other_hashes = "1" if os.environ.get("PYTHONHASHSEED") == "0" else "0"
    paths = os.pathsep.join(filter(None, sys.path))
    answer = subprocess.run(  # noqa: S603  # this interpreter, and a class that is imported here
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": other_hashes},
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.stdout.split()[-1:] != [_hash(trace)]:
        error = (answer.stderr.strip().splitlines() or ["other decisions"])[-1]
        where = "in another process"
        raise broken(world.policy(), "repeatable", where, "the same decisions", error)


def _name_elsewhere(make: Maker) -> str | None:
    """Return what `find_policy` finds it by in another process, where it can."""
    for name, registered in {**POLICIES, **CONTEXTUAL}.items():
        if registered is make:
            return name
    module, name = getattr(make, "__module__", ""), getattr(make, "__qualname__", "")
    is_there = getattr(sys.modules.get(module), name, None) is make
    return f"{module}:{name}" if is_there and module != "__main__" else None


def fingerprint(name: str) -> str:
    """Return a hash of a policy's decisions in this process."""
    return _hash(_World(find_policy(name), _stream()).run())


def _hash(trace: ReplayResult) -> str:
    digest = hashlib.sha256(repr([list(map(int, live)) for live in trace.deployments]).encode())
    for column in (trace.arm, trace.probability, trace.budget_price):
        digest.update(column.tobytes())
    return digest.hexdigest()


def _require_same(
    world: _World, rule: str, expected: ReplayResult, seen: ReplayResult, until: int = QUERIES
) -> None:
    """Require the same decisions up to a query."""

    def differ(query: int, what: str, one: object, other: object) -> None:
        raise broken(world.policy(), rule, _where(expected, query), f"{what} {one}", other)

    pairs = zip(expected.stage_starts, expected.deployments, seen.deployments, strict=True)
    for start, one, other in pairs:
        if start < until and one != other:
            differ(int(start), "the live set", one, other)
    for what in ("arm", "probability", "budget_price"):
        ones, others = getattr(expected, what)[:until], getattr(seen, what)[:until]
        unlike = np.flatnonzero((ones != others) & ~((ones != ones) & (others != others)))
        if unlike.size:
            at = int(unlike[0])
            differ(at, what.replace("_", " "), ones[at], others[at])


def _where(trace: ReplayResult, query: int) -> str:
    stage = int(np.searchsorted(trace.stage_starts, query, side="right")) - 1
    return f"in stage {stage}, query {query}"
