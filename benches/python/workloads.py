"""The jobs that every contestant gets: models, prepared outcomes, streams, deployment problems."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rivals import Settings
from stageroute import Confidence, Model, StageRouter

__all__ = [
    "HARD_KINDS",
    "Instance",
    "Outcomes",
    "Workload",
    "deployment_instances",
    "hard_instance",
    "make_workload",
]

Floats = NDArray[np.float64]
Outcomes = list[tuple[float, float]]
"""Reward and cost of every model on one query."""

BUDGET = 0.001
NUM_ROWS = 256
"""Prepared queries, used over and over: few enough to stay in the cache."""


@dataclass(frozen=True, slots=True)
class Workload:
    """M live models and what they would bring on each query.

    Attributes
    ----------
    settings : Settings
        Of every contestant.
    names : tuple of str
    by_arm : list of list of (reward, cost)
        One list for each query, for contestants that know models by number.
    by_name : list of dict of str to (reward, cost)
        The same, for contestants that know them by name.
    """

    settings: Settings
    names: tuple[str, ...]
    by_arm: list[Outcomes]
    by_name: list[dict[str, tuple[float, float]]]

    def make_router(self, seed: int) -> StageRouter:
        """Make our contestant; every model is live."""
        models = [
            Model(name, cap) for name, cap in zip(self.names, self.settings.caps, strict=True)
        ]
        return StageRouter(
            models,
            budget=self.settings.budget,
            max_deployed=len(models),
            confidence=Confidence(
                gamma=self.settings.gamma,
                min_visits=self.settings.min_visits,
                cost_ceiling=self.settings.cost_ceiling,
            ),
            pacing_horizon=self.settings.pacing_horizon,
            seed=seed,
        )


def make_workload(num_models: int, seed: int = 0) -> Workload:
    """Draw stochastic outcomes: better models cost more, the most expensive five times the budget.

    Rewards are 0 or 1, costs follow a gamma law. With caps of one half the budget binds, so that
    the optimum shares the traffic between two or three models.
    """
    generator = np.random.default_rng(seed)
    mean_reward = np.linspace(0.3, 0.9, num_models) + generator.uniform(-0.02, 0.02, num_models)
    mean_cost = BUDGET * np.geomspace(0.05, 5.0, num_models)
    reward = generator.random((NUM_ROWS, num_models)) < mean_reward
    cost = mean_cost * generator.gamma(4.0, 0.25, (NUM_ROWS, num_models))
    names = tuple(f"model-{k}" for k in range(num_models))
    by_arm = [
        list(zip(rewards, costs, strict=True))
        for rewards, costs in zip(reward.astype(float).tolist(), cost.tolist(), strict=True)
    ]
    by_name = [dict(zip(names, outcomes, strict=True)) for outcomes in by_arm]
    settings = Settings((0.5,) * num_models, BUDGET, 10.0 * BUDGET)
    return Workload(settings, names, by_arm, by_name)


@dataclass(frozen=True, slots=True)
class Instance:
    """One deployment problem."""

    reward: Floats
    cost: Floats
    cap: Floats
    budget: float


def deployment_instances(num_models: int, count: int, seed: int = 0) -> Sequence[Instance]:
    """Draw problems with caps between 0.15 and 0.5 that four live models can always serve.

    Costs are spread over two orders of magnitude and rise with quality, with noise, so that which
    models are worth a slot is not obvious.
    """
    generator = np.random.default_rng(seed)
    instances: list[Instance] = []
    while len(instances) < count:
        cap = generator.uniform(0.15, 0.5, num_models)
        if np.sort(cap)[-4:].sum() < 1.0:
            continue
        quality = generator.random(num_models)
        reward = np.clip(0.3 + 0.6 * quality + generator.normal(0.0, 0.05, num_models), 0.0, 1.0)
        cost = BUDGET * 10.0 ** (2.0 * quality - 1.3 + generator.normal(0.0, 0.2, num_models))
        instances.append(Instance(reward, cost, cap, BUDGET))
    return instances


HARD_KINDS = ("fleet", "tight", "uneven", "near ties", "frontier", "ties")
"""What makes a deployment problem hard; see `hard_instance`."""


def hard_instance(
    kind: str, num_models: int, generator: np.random.Generator
) -> tuple[Instance, int]:
    """Draw a problem in which the number of live models tends to matter, and that number.

    "fleet" is what `deployment_instances` draws, with four slots. In the others eight slots hardly
    suffice: "tight" has caps around one eighth; "uneven" caps over two orders of magnitude; "near
    ties" rewards and costs that differ by 1e-5 and 1e-3 of themselves; "frontier" no model that is
    both worse and more expensive than another; "ties" few distinct values.
    """
    if kind == "fleet":
        seed = int(generator.integers(2**32))
        return deployment_instances(num_models, 1, seed)[0], 4
    size, slots = num_models, 8
    quality = generator.random(size)
    reward = np.clip(0.3 + 0.6 * quality + generator.normal(0.0, 0.05, size), 0.0, 1.0)
    cost = BUDGET * 10.0 ** (2.0 * quality - 1.3 + generator.normal(0.0, 0.2, size))
    cap = generator.uniform(0.8 / slots, 1.4 / slots, size)
    if kind == "uneven":
        cap = 10.0 ** -generator.uniform(0.0, 2.0, size)
        slots = 5
    elif kind == "near ties":
        reward = 0.5 * (1.0 + 1e-5 * generator.random(size))
        cost = BUDGET * (1.0 + 1e-3 * generator.normal(size=size))
    elif kind == "frontier":
        reward, cost = 0.2 + 0.7 * quality, 3.0 * BUDGET * quality**2
    elif kind == "ties":
        reward = generator.choice([0.25, 0.5, 0.75, 1.0], size)
        cost = BUDGET * generator.choice([0.25, 0.5, 1.0, 2.0], size)
        cap = generator.choice([0.9, 1.1, 1.2, 1.3], size) / slots
    return Instance(reward, cost, cap, BUDGET), slots
