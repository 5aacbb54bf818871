"""Policies that each break one rule, and one that breaks none."""

import random
from typing import ClassVar

import numpy as np

from stageroute.policies import Policy, Setting, UniformPolicy
from stageroute.policies.base import Arms


class EvenPolicy(Policy):
    """A policy of Python alone: the first candidates, drawn alike."""

    name = "even"

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.generator = np.random.default_rng(setting.seed)
        self.live: tuple[int, ...] = ()

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        self.live = tuple(candidates[: self.setting.limits.max_deployed].tolist())
        return self.live

    def route(self, row: int) -> tuple[int, float, float]:
        return int(self.generator.choice(self.live)), 1.0 / len(self.live), 0.0

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        pass


class DeploysWhatIsToCome(EvenPolicy):
    name = "candidates"

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        live = super().begin_stage(candidates)
        self.live = (*live[:-1], self.setting.num_models - 1)
        return self.live


class DeploysNobody(EvenPolicy):
    name = "candidates"

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        return ()


class DeploysTwice(EvenPolicy):
    name = "candidates"

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        self.live = (int(candidates[0]), int(candidates[0]))
        return self.live


class ForgetsRetirements(EvenPolicy):
    name = "candidates"

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        self.live = self.live or super().begin_stage(candidates)
        return self.live


class ServesByOthers(EvenPolicy):
    name = "live"

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        return super().begin_stage(candidates)[:-1]


class DeploysTooMany(EvenPolicy):
    name = "max_deployed"

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        self.live = tuple(candidates.tolist())
        return self.live


class IgnoresCaps(EvenPolicy):
    name = "caps"

    def route(self, row: int) -> tuple[int, float, float]:
        return self.live[-1], 1.0, 0.0


class DrawsBeyondCaps(EvenPolicy):
    name = "caps"

    def route(self, row: int) -> tuple[int, float, float]:
        is_first = self.generator.random() < 0.9
        return (self.live[0], 0.9, 0.0) if is_first else (self.live[1], 0.1, 0.0)


class TellsNoProbability(EvenPolicy):
    name = "probability"
    told = float("nan")

    def route(self, row: int) -> tuple[int, float, float]:
        return super().route(row)[0], self.told, 0.0


class TellsPercentages(TellsNoProbability):
    told = 100.0 / 3.0


class TellsZero(TellsNoProbability):
    told = 0.0


class OverstatesProbability(EvenPolicy):
    name = "frequency"

    def route(self, row: int) -> tuple[int, float, float]:
        return super().route(row)[0], 0.5, 0.0


class UnderstatesProbability(EvenPolicy):
    name = "frequency"

    def route(self, row: int) -> tuple[int, float, float]:
        return super().route(row)[0], 0.2, 0.0


class HasNoPrice(EvenPolicy):
    name = "price"
    price = float("nan")

    def route(self, row: int) -> tuple[int, float, float]:
        return *super().route(row)[:2], self.price


class PaysForSpending(HasNoPrice):
    price = -1.0


class HasNoFinitePrice(HasNoPrice):
    price = float("inf")


class KnowsTheQuery(EvenPolicy):
    """The best model by the table's outcomes of the very query, within caps."""

    name = "outcomes"

    def route(self, row: int) -> tuple[int, float, float]:
        arm, probability, price = super().route(row)
        rewards = self.setting.stream.table.reward[row]
        is_good = rewards[arm] >= 0.5
        return (arm if is_good else self.live[0]), probability, price


class LearnsFromAll(EvenPolicy):
    """Deploys by the mean outcomes of all models on the queries so far, served or not."""

    name = "outcomes"

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        mean = self.setting.stream.table.reward.mean(axis=0)
        best = candidates[np.argsort(-mean[candidates], kind="stable")]
        return super().begin_stage(np.sort(best[: self.setting.limits.max_deployed]))


class HasNoSeed(EvenPolicy):
    name = "repeatable"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.generator = np.random.default_rng()


class DrawsFromTheGlobalGenerator(EvenPolicy):
    name = "repeatable"

    def route(self, row: int) -> tuple[int, float, float]:
        return random.choice(self.live), 1.0 / len(self.live), 0.0


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


class Rotates(EvenPolicy):
    """One after the other, without chance: within one query of its share."""

    queries = 0

    def route(self, row: int) -> tuple[int, float, float]:
        self.queries += 1
        return self.live[self.queries % len(self.live)], 1.0, 0.0


class Unsaid(TellsNoProbability):
    exempt: ClassVar = {"probability": "it has none to tell"}


class Unbound(IgnoresCaps):
    name = "unbound"
    exempt: ClassVar = {"caps": "it stands for a service without limits"}


class Misspelt(EvenPolicy):
    exempt: ClassVar = {"cap": "no such rule"}


WRONG = (
    DeploysWhatIsToCome, DeploysNobody, DeploysTwice, ForgetsRetirements, ServesByOthers,
    DeploysTooMany, IgnoresCaps, DrawsBeyondCaps, TellsNoProbability, TellsPercentages, TellsZero,
    OverstatesProbability, UnderstatesProbability, HasNoPrice, PaysForSpending, HasNoFinitePrice,
    KnowsTheQuery, LearnsFromAll, HasNoSeed, DrawsFromTheGlobalGenerator, DependsOnHashes,
    OtherKernel,
)  # fmt: skip
"""Each is called by the rule that it breaks."""
