"""Policies that each break one rule, and some that break none; worker processes import them."""

import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import numpy as np

from stageroute.policies import Policy, Setting, UniformPolicy
from stageroute.policies.base import Arms


class EvenPolicy(Policy):
    """A policy of Python alone: the first candidates, drawn alike."""

    name = "even"
    told: float | None = None
    """The probability that it tells of each draw, where that is not its share."""
    price = 0.0

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.generator = np.random.default_rng(setting.seed)
        self.live: tuple[int, ...] = ()

    def choose(self, candidates: Arms) -> tuple[int, ...]:
        return tuple(candidates[: self.setting.limits.max_deployed].tolist())

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        self.live = self.choose(candidates)
        return self.live

    def draw(self, row: int) -> int:
        return int(self.generator.choice(self.live))

    def route(self, row: int) -> tuple[int, float, float]:
        told = 1.0 / len(self.live) if self.told is None else self.told
        return self.draw(row), told, self.price

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        pass


def telling(rule: str, **told: float) -> type[EvenPolicy]:
    """Make a policy that breaks the rule by what it tells of its draws."""
    return type(rule, (EvenPolicy,), {"name": rule, **told})


TellsNoProbability = telling("probability", told=float("nan"))
TellsPercentages = telling("probability", told=100.0 / 3.0)
TellsZero = telling("probability", told=0.0)
OverstatesProbability = telling("frequency", told=0.5)
UnderstatesProbability = telling("frequency", told=0.2)
HasNoPrice = telling("price", price=float("nan"))
PaysForSpending = telling("price", price=-1.0)
HasNoFinitePrice = telling("price", price=float("inf"))


class DeploysWhatIsToCome(EvenPolicy):
    name = "candidates"

    def choose(self, candidates: Arms) -> tuple[int, ...]:
        return (*super().choose(candidates)[:-1], self.setting.num_models - 1)


class DeploysNone(EvenPolicy):
    name = "candidates"

    def choose(self, candidates: Arms) -> tuple[int, ...]:
        return ()


class DeploysTwice(EvenPolicy):
    name = "candidates"

    def choose(self, candidates: Arms) -> tuple[int, ...]:
        return (int(candidates[0]), int(candidates[0]))


class ForgetsRetirements(EvenPolicy):
    name = "candidates"

    def choose(self, candidates: Arms) -> tuple[int, ...]:
        return self.live or super().choose(candidates)


class ServesByOthers(EvenPolicy):
    name = "live"

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        return super().begin_stage(candidates)[:-1]


class DeploysTooMany(EvenPolicy):
    name = "max_deployed"

    def choose(self, candidates: Arms) -> tuple[int, ...]:
        return tuple(candidates.tolist())


class IgnoresCaps(EvenPolicy):
    name = "caps"
    told = 1.0

    def draw(self, row: int) -> int:
        return self.live[-1]


class DrawsBeyondCaps(EvenPolicy):
    name = "caps"

    def route(self, row: int) -> tuple[int, float, float]:
        is_first = self.generator.random() < 0.9
        return (self.live[0], 0.9, 0.0) if is_first else (self.live[1], 0.1, 0.0)


class KnowsTheQuery(EvenPolicy):
    """The best model by the table's outcomes of the very query, within caps."""

    name = "outcomes"

    def draw(self, row: int) -> int:
        arm = super().draw(row)
        return arm if self.setting.stream.table.reward[row, arm] >= 0.5 else self.live[0]


class LearnsFromAll(EvenPolicy):
    """Deploys by the mean outcomes of all models on the queries so far, served or not."""

    name = "outcomes"

    def choose(self, candidates: Arms) -> tuple[int, ...]:
        mean = self.setting.stream.table.reward.mean(axis=0)
        best = candidates[np.argsort(-mean[candidates], kind="stable")]
        return super().choose(np.sort(best[: self.setting.limits.max_deployed]))


class HasNoSeed(EvenPolicy):
    name = "repeatable"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.generator = np.random.default_rng()


class DrawsFromTheGlobalGenerator(EvenPolicy):
    name = "repeatable"

    def draw(self, row: int) -> int:
        return random.choice(self.live)


class DependsOnHashes(EvenPolicy):
    name = "repeatable"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.generator = np.random.default_rng(abs(hash(f"policy {setting.seed}")))


class OtherKernel(UniformPolicy):
    """Decides otherwise in Python than its kernel does."""

    name = "native"

    def route(self, row: int) -> tuple[int, float, float]:
        self.kernel.route(row)
        decision: tuple[int, float, float] = self.kernel.route(row)
        return decision


WRONG = (
    DeploysWhatIsToCome, DeploysNone, DeploysTwice, ForgetsRetirements, ServesByOthers,
    DeploysTooMany, IgnoresCaps, DrawsBeyondCaps, TellsNoProbability, TellsPercentages, TellsZero,
    OverstatesProbability, UnderstatesProbability, HasNoPrice, PaysForSpending, HasNoFinitePrice,
    KnowsTheQuery, LearnsFromAll, HasNoSeed, DrawsFromTheGlobalGenerator, DependsOnHashes,
    OtherKernel,
)  # fmt: skip
"""Each is called by the rule that it breaks."""


class Rotates(EvenPolicy):
    """One after the other, without chance: within one query of its share."""

    told = 1.0
    queries = 0

    def draw(self, row: int) -> int:
        self.queries += 1
        return self.live[self.queries % len(self.live)]


class Unsaid(EvenPolicy):
    told = float("nan")
    exempt: ClassVar = {"probability": "it has none to tell"}


class Unbound(IgnoresCaps):
    name = "unbound"
    exempt: ClassVar = {"caps": "it stands for a service without limits"}


class Misspelt(EvenPolicy):
    exempt: ClassVar = {"cap": "no such rule"}


class Interrupting(UniformPolicy):
    """Counts its runs in a file; has Ctrl-C pressed for its parent process once, after twenty."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        path = Path(os.environ["INTERRUPT"])
        with path.open("a") as file:
            file.write(".")
        if path.stat().st_size >= 20:
            with suppress(FileExistsError):
                path.with_suffix(".pressed").touch(exist_ok=False)
                os.kill(os.getppid(), signal.SIGINT)
