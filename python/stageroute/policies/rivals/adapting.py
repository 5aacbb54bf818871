"""What adapters share: the live set, contexts, what no rival knows of."""

from types import MappingProxyType
from typing import Final

import numpy as np

from stageroute.datasets import OutcomeTable
from stageroute.policies.base import Arms, Floats, first_by

UNKNOWN = float("nan")
"""The probability of a rival that does not tell it, and the price of one that has none."""

UNBOUND: Final = MappingProxyType(
    {
        "caps": "it has no caps on a share of traffic",
        "price": "it has no price of money, or does not tell it",
    }
)
"""Rules that rivals do not know of."""


def best_ranked(
    candidates: Arms, score: Floats, max_deployed: int, generator: np.random.Generator
) -> tuple[int, ...]:
    """Return the live set: the candidates that a rival itself ranks highest, ties at random.

    `score`, shape (M,), is the rival's own of each; all alike where it ranks none.
    """
    return first_by(candidates, max_deployed, generator.random(candidates.size), -score)


class TaskContexts:
    """Features of a query: its task, one-hot, with a constant 1 at the end if wanted.

    `of_task`, shape (tasks, dimension), holds one context for each task, in alphabetic order; a
    single one, the constant, for a table without tasks.
    """

    def __init__(self, table: OutcomeTable, *, with_bias: bool) -> None:
        self.of_task, self._task = np.ones((1, 1)), np.zeros(table.num_rows, dtype=np.intp)
        if table.task is not None:
            names, self._task = np.unique(table.task, return_inverse=True)
            self.of_task = np.eye(names.size, names.size + with_bias)
            self.of_task[:, names.size :] = 1.0
        self._seen = np.zeros(len(self.of_task))

    def of_row(self, row: int) -> Floats:
        """Return the context of a row of the table, shape (dimension,)."""
        context: Floats = self.of_task[self._task[row]]
        return context

    def count(self, row: int) -> None:
        """Take note of a query."""
        self._seen[self._task[row]] += 1.0

    def shares(self) -> Floats:
        """Return each task's share of the queries so far, shape (tasks,); even before the first."""
        total = self._seen.sum()
        return np.full_like(self._seen, 1.0 / self._seen.size) if not total else self._seen / total
