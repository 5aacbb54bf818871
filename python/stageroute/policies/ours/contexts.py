"""StageRoute that routes by what it knows of each query, as features: its task, or its prompt.

The first feature is the intercept. The others are scaled so that ridge regression with a penalty of
1 shrinks what they say towards the intercept, the pooled estimate, as `SHRINKAGE` observations
would.
"""

import itertools
import re
import zlib
from abc import abstractmethod
from collections import Counter
from functools import lru_cache
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from stageroute._core import Kernel
from stageroute.checks import require
from stageroute.datasets import OutcomeTable
from stageroute.policies.base import Floats, Setting, Variants
from stageroute.policies.optimum import OptimumPolicy

SHRINKAGE: Final = 10.0
"""Pooled observations that a family's own ones are added to."""

RARE: Final = 0.005
"""Families with a smaller share of the queries are one family together."""

OTHER: Final = "other"

BUCKETS: Final = 2_048
"""Into which words and pairs of words are hashed."""

DIMENSION: Final = 24
"""Directions that are kept of the hashed prompts, the length among them."""

ROUNDS: Final = 4
SUBSPACE: Final = 0x5B5
"""Rounds, and the seed, of the search for these directions."""


def families(table: OutcomeTable) -> NDArray[np.str_]:
    """Return the family of each row's task: what its name begins with, up to a hyphen or a slash.

    ``mmlu-anatomy`` and ``mmlu-virology`` are ``mmlu``. A beginning makes a family where at least
    two tasks share it; other tasks are families of their own. Families with less than half a
    percent of the queries are put together.
    """
    tasks = table.required_task("routing by task").tolist()
    begins = {task: re.split(r"[-/]", task, maxsplit=1)[0] for task in dict.fromkeys(tasks)}
    shared = Counter(begins.values())
    family = np.array([begins[task] if shared[begins[task]] > 1 else task for task in tasks])
    weights = np.full(family.size, 1.0 / family.size) if table.weights is None else table.weights
    _, of_row = np.unique(family, return_inverse=True)
    share = np.bincount(of_row, weights=weights)
    return np.where(share[of_row] < RARE, OTHER, family)


def family_features(table: OutcomeTable) -> Floats:
    """Return the intercept and the family of each row, shape (rows, 1 + families)."""
    return np.hstack([np.ones((table.num_rows, 1)), _indicators(families(table))])


def task_features(table: OutcomeTable) -> Floats:
    """Return intercept, family and task of each row, shape (rows, 1 + families + tasks)."""
    tasks = np.zeros(table.num_rows) if table.task is None else table.task
    return np.hstack([family_features(table), _indicators(tasks)])


def _indicators(labels: NDArray[Any]) -> Floats:
    values, of_row = np.unique(labels, return_inverse=True)
    return np.asarray(np.eye(values.size)[of_row] / np.sqrt(SHRINKAGE))


def prompt_features(table: OutcomeTable) -> Floats:
    """Return the intercept and what each row's prompt is about, shape (rows, 1 + 24).

    Words and pairs of words are hashed, weighted by how rare they are (TF-IDF; Spärck Jones 1972)
    and reduced to the directions in which prompts differ most (latent semantic analysis; Deerwester
    et al. 1990), with the length. Outcomes are not looked at.
    """
    given = sum(map(bool, table.prompts or ()))
    require(
        given == table.num_rows,
        "rows with a prompt",
        given,
        f"must be all {table.num_rows} for routing by prompt",
    )
    return _reduced(table.prompts or ())


def _directions(matrix: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the first right singular vectors, shape (columns, count).

    By subspace iteration from random directions (Halko, Martinsson & Tropp 2011), which takes a
    small part of the time of a whole decomposition.
    """
    generator = np.random.default_rng(SUBSPACE)
    tried = generator.standard_normal((matrix.shape[1], 2 * count)).astype(np.float32)
    for _ in range(ROUNDS):
        basis, _ = np.linalg.qr(matrix @ tried)
        tried = matrix.T @ basis
    _, _, vectors = np.linalg.svd(tried.T, full_matrices=False)
    return np.asarray(vectors[:count].T)


@lru_cache(maxsize=2)
def _reduced(prompts: tuple[str, ...]) -> Floats:
    counts = np.zeros((len(prompts), BUCKETS), dtype=np.float32)
    for row, prompt in enumerate(prompts):
        words = re.findall(r"[a-z]+|[0-9]+|[^\sa-z0-9]", prompt.lower())
        pairs = map(" ".join, itertools.pairwise(words))
        for term in (*words, *pairs):
            counts[row, zlib.crc32(term.encode()) % BUCKETS] += 1.0
    seen = (counts > 0).sum(axis=0)
    weighted = np.log1p(counts) * np.log((1 + len(prompts)) / (1 + seen))
    weighted /= np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-12)
    weighted -= weighted.mean(axis=0)
    kept = _directions(weighted, DIMENSION - 1)
    length = np.log([len(prompt) for prompt in prompts])[:, None]
    own = np.hstack([weighted @ kept, length - length.mean()])
    own /= np.maximum(own.std(axis=0), 1e-12) * np.sqrt(SHRINKAGE)
    features = np.hstack([np.ones((len(prompts), 1)), own])
    features.setflags(write=False)
    return features


class ContextualPolicy(OptimumPolicy):
    """StageRoute whose routing has estimates for each query.

    Every model has a ridge regression of reward and cost on the features of a query, of which the
    first is the intercept: estimates are shrunk to the pooled ones while there are few. Routing
    adds `width` standard errors to the reward; forced visits are those of `Limits.confidence`.

    Deployment is the same as without context: the MIP on one pair of bounds for each model, from
    all that it has served. A router with context gives a model the queries that suit it, which
    makes it look better than it is; on the surrogate that did no harm.

    Money is shared by prices that all queries have in common (`SharedPrices` in the core): a query
    goes to the live model of the highest μ(x) - λ c(x) - ν. So money moves from queries that any
    model answers to those that only expensive ones do, and the throughput cap holds for a model's
    share of a stage's queries, which is what it limits, not for each query's distribution. Under
    the name ``…-own-budget`` each query solves the routing LP with the paced budget and the caps on
    its own.
    """

    is_contextual = True

    width: ClassVar[float] = 0.4
    """Bernstein's 2 sqrt(γ v), at its default γ = 0.15 and the largest variance, 1/4."""

    shares_prices: ClassVar[bool] = True
    money_step: ClassVar[float] = 0.03
    share_step: ClassVar[float] = 0.002

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting.limits)
        core = setting.core()
        prices = {
            "money_step": self.money_step,
            "share_step": self.share_step,
            "stage_queries": core["stage_queries"],
        }
        own = {
            "sharing": {"prices": prices} if self.shares_prices else "own",
            "width": self.width,
        }
        self.kernel = Kernel("context", core | own, self._features(setting.stream.table))

    @staticmethod
    @abstractmethod
    def _features(table: OutcomeTable) -> Floats:
        """Features of every row, shape (rows, d), the first of them 1."""


class FamilyPolicy(ContextualPolicy):
    """Knows each query's family of tasks; it needs a table with tasks."""

    name = "stageroute-family"
    variants: ClassVar[Variants] = {"stageroute-family-own-budget": {"shares_prices": False}}
    _features = staticmethod(family_features)


class TaskPolicy(ContextualPolicy):
    """Knows each query's family and task: tasks are shrunk to families, these to the pooled."""

    name = "stageroute-task"
    variants: ClassVar[Variants] = {"stageroute-task-own-budget": {"shares_prices": False}}
    _features = staticmethod(task_features)


class LinearPolicy(ContextualPolicy):
    """Knows each query's prompt; it needs a table with prompts."""

    name = "stageroute-linear"
    variants: ClassVar[Variants] = {"stageroute-linear-own-budget": {"shares_prices": False}}
    _features = staticmethod(prompt_features)
