"""The hard instance behind the lower bound: needles among models that arrive."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import require
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import NEVER, Stream, stage_starts
from stageroute.errors import InvalidInputError
from stageroute.workloads.base import Count, Positive, Several, Workload, check_draw

HITS = 4
"""By how many rows a needle's column is better: tables have about HITS / ε rows."""

KL_CONSTANT = 0.5 * math.sqrt(16.0 * math.log(4.0 / 3.0))
"""1.07: what the learner can know, in units of ε sqrt(L / n); see `NeedleArrivals`."""

NEEDLE_STREAM = 0x6E65
"""Keeps the draws of needles apart from those of queries."""


def cube_root_stages(num_queries: int) -> int:
    """Return K ≈ T^(1/3), the number of stages that balances learning against discovery."""
    return max(1, round(math.cbrt(num_queries)))


@dataclass(frozen=True)
class NeedleArrivals(Workload):
    """Batches of equal models arrive, and one model of each batch is better by a hair.

    Why it is hard, and the source of the Ω(T^(2/3)) for streaming models (Li & Li 2026, arXiv
    2506.17254, where stages are T^(1/3) in number). The stream is cut into K batches of L = T / K
    queries. At the start of each the n models of the last batch retire and n new ones arrive, with
    Bernoulli rewards of mean 1/2, but for one of them, the needle, which has 1/2 + ε. What was
    learnt of earlier batches says nothing about this one, so the batches are K separate bandits.

    In a batch without a needle a model gets L / n queries on average over the models. Making one of
    them the needle changes what the learner sees by a Kullback-Leibler divergence of at most
    8 ln(4/3) ε² per visit (for ε ≤ 1/4), hence by Pinsker's inequality the needle gets at most
    L / n + 1.07 ε L sqrt(L / n) queries, on average over which model it is (Auer, Cesa-Bianchi,
    Freund & Schapire 2002, theorem 5.1). The oracle sends it α L. So

        regret of a batch ≥ ε L (α - 1 / n - 1.07 ε sqrt(L / n)),

    and with ε = a sqrt(n / L) over all batches

        regret ≥ a sqrt(n K T) (α - 1 / n - 1.07 a),

    which is Ω(T^(2/3)) for K = T^(1/3), where ε ~ T^(-1/3). (`regret_floor`.)

    All models cost the same, so only quality matters. Run it with as many stages as there are
    batches (`num_stages`): then every batch is live from its first query on, and what is measured
    is learning. A model that retires within a stage serves until the stage's end, so with fewer
    stages the newcomers are also found late.

    Parameters
    ----------
    models_per_batch : int, default 4
        n, at least 2.
    num_batches : int, optional
        K; round(T^(1/3)) by default.
    advantage : float, default 0.25
        a: the needle's ε = a sqrt(n K / T), rounded to a multiple of 1 / rows.
    cost : float, default 0.0005
        USD per query, of every model.
    """

    models_per_batch: Several = 4
    num_batches: Count | None = None
    advantage: Positive = 0.25
    cost: Positive = 0.0005
    label = "needle arrivals"
    kind: str = field(default="needle", init=False)

    def num_stages(self, num_queries: int) -> int:
        """Return K, the number of batches of a stream of T queries."""
        return cube_root_stages(num_queries) if self.num_batches is None else self.num_batches

    def gap(self, num_queries: int) -> float:
        """Return ε, by how much a needle is better; above 1/4 it is refused."""
        batches = self.num_stages(num_queries)
        gap = self.advantage * math.sqrt(self.models_per_batch * batches / num_queries)
        rule = "the needle's advantage must be at most 1/4: lower `advantage`, or take more queries"
        require(gap <= 0.25, "gap", gap, rule)
        return HITS / _num_rows(gap)

    def regret_floor(self, num_queries: int, throughput_cap: float = 1.0) -> float:
        """Return a regret that no learner can stay below on average over seeds; see the class.

        It is 0 where the cap α forces the learner to find the needle anyway.
        """
        batches, n, gap = self.num_stages(num_queries), self.models_per_batch, self.gap(num_queries)
        length = num_queries / batches
        left = throughput_cap - 1.0 / n - KL_CONSTANT * gap * math.sqrt(length / n)
        return batches * gap * length * max(0.0, left)

    def needles(self, num_queries: int, seed: int) -> NDArray[np.int64]:
        """Return the column of each batch's needle, shape (K,)."""
        batches, n = self.num_stages(num_queries), self.models_per_batch
        return np.arange(batches) * n + _needle_generator(seed).integers(n, size=batches)

    def stream(self, num_queries: int, seed: int) -> Stream:
        """Draw needles by the seed, and queries i.i.d. from their table."""
        check_draw(num_queries, seed)
        batches, n = self.num_stages(num_queries), self.models_per_batch
        starts = stage_starts(num_queries, batches)
        table = self._table(num_queries, seed)
        rows = np.random.default_rng(seed).integers(
            table.num_rows, size=num_queries, dtype=np.uint32
        )
        ends = np.append(starts[1:], NEVER)
        return Stream(table, rows, np.repeat(starts, n), np.repeat(ends, n))

    def table(self) -> OutcomeTable:
        """Refuse: there is another for each seed."""
        raise InvalidInputError(
            "needle arrivals have no table of their own: each seed and number of queries has "
            "another; take stream(num_queries, seed).table"
        )

    def _table(self, num_queries: int, seed: int) -> OutcomeTable:
        """Columns with just the right number of ones, in random order: exact means."""
        batches, n = self.num_stages(num_queries), self.models_per_batch
        num_rows = _num_rows(self.gap(num_queries))
        ones = np.full(batches * n, num_rows // 2)
        ones[self.needles(num_queries, seed)] += HITS
        reward = (np.arange(num_rows)[:, None] < ones).astype(np.float64)
        generator = _needle_generator(seed)
        generator.integers(n, size=batches)  # those of `needles`
        names = [f"batch-{batch}-{place}" for batch in range(batches) for place in range(n)]
        cost = np.full(reward.shape, self.cost)
        return OutcomeTable(self.label, tuple(names), generator.permuted(reward, axis=0), cost)


def _num_rows(gap: float) -> int:
    """Rows, an even number, so that HITS of them are the gap."""
    return 2 * round(HITS / (2.0 * gap))


def _needle_generator(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, NEEDLE_STREAM])
