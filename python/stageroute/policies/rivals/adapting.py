"""What adapters share: the live set, contexts, tokens."""

from types import MappingProxyType
from typing import Final

import numpy as np

from stageroute.datasets import OutcomeTable
from stageroute.policies.base import Arms, Floats, first_by

__all__ = ["UNBOUND", "UNKNOWN", "TaskContexts", "best_ranked"]

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

    Parameters
    ----------
    candidates : ndarray of int, shape (M,)
    score : ndarray, shape (M,)
        The rival's own score of each; all alike where it ranks none.
    max_deployed : int
    generator : Generator
        Breaks the ties.

    Returns
    -------
    tuple of int
        Arms, ascending.
    """
    return first_by(candidates, max_deployed, generator.random(candidates.size), -score)


class TaskContexts:
    """Features of a query: its task, one-hot, with a constant 1 at the end if wanted.

    Attributes
    ----------
    of_task : ndarray, shape (tasks, dimension)
        One context for each task, in alphabetic order; a single one for a table without tasks.
    """

    def __init__(self, table: OutcomeTable, *, with_bias: bool) -> None:
        if table.task is None:
            self.of_task, self._task = np.ones((1, 1)), np.zeros(table.num_rows, dtype=np.intp)
        else:
            names, self._task = np.unique(table.task, return_inverse=True)
            one_hot = np.eye(names.size)
            bias = np.ones((names.size, 1))
            self.of_task = np.hstack([one_hot, bias]) if with_bias else one_hot
        self._seen = np.zeros(len(self.of_task))

    @property
    def dimension(self) -> int:
        """Number of features."""
        return self.of_task.shape[1]

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
