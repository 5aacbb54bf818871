"""Workloads in an order that hurts."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import one_of, require
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import Regime, Stream
from stageroute.errors import InvalidInputError
from stageroute.workloads.base import OnTop, Share

ADVERSARIAL_ORDERS: Final = ("bad_luck_first", "task_blocks", "best_last", "dear_first")


@dataclass(frozen=True)
class Adversarial(OnTop):
    """The base's queries or models in an order that hurts policies that learn from samples.

    Guarantees for i.i.d. queries do not hold here: early samples say the wrong thing of the whole.
    The means that oracles know, and regret is measured by, stay those of the whole table, so they
    are not what the best policy with hindsight of the order would use.

    Parameters
    ----------
    order : str
        - ``"bad_luck_first"``: the queries on which good models did worst against poor ones come
          first. A learner that trusts early samples is locked out of the good ones.
        - ``"task_blocks"``: queries sorted by family of tasks, in the order of their names: what
          was learnt of one block is wrong in the next.
        - ``"best_last"``: models arrive in ascending order of mean reward, so that the best is not
          there until the end, and each newcomer is worth a slot.
        - ``"dear_first"``: models arrive in descending order of mean cost, so that the first stages
          have the least choice under a budget.
    share : float, default 0.1
        Of ``"bad_luck_first"``: the share of the queries that is picked for the beginning, in
        (0, 1]; the others follow as they were drawn.
    model : str, optional
        Of ``"bad_luck_first"``: the queries on which this one model did worst are picked instead.
    """

    order: Annotated[str, one_of(ADVERSARIAL_ORDERS)] = "bad_luck_first"
    share: Share = 0.1
    model: str | None = None
    said = "{order}"
    kind: str = field(default="adversarial", init=False)

    def over(self, stream: Stream, seed: int) -> Stream:  # noqa: ARG002
        """Put it in order; orders of queries need a base that does not change."""
        means = stream.regimes[0]
        if self.order == "best_last":
            return models_in_order(stream, np.argsort(means.reward, kind="stable"))
        if self.order == "dear_first":
            return models_in_order(stream, np.argsort(-means.cost, kind="stable"))
        if len(stream.regimes) > 1:
            raise InvalidInputError(
                f"order = {self.order!r}: queries of a base that changes cannot change places; "
                "put the change on top: Changing(Adversarial(...), ...)"
            )
        order = self._by_luck(stream) if self.order == "bad_luck_first" else _by_task(stream)
        return replace(stream, rows=stream.rows[order])

    def _by_luck(self, stream: Stream) -> NDArray[np.intp]:
        models = stream.table.models
        if self.model is None:
            mean = stream.regimes[0].reward
            weights = mean - mean.mean()
        else:
            known = ", ".join(models)
            require(self.model in models, "model", self.model, f"must be of {known}")
            weights = np.array([float(name == self.model) for name in models])
        return _by_luck(stream, weights, self.share)


def _by_luck(stream: Stream, weights: NDArray[np.float64], share: float) -> NDArray[np.intp]:
    """Put first the queries with the least weighted rewards, the others as they come."""
    of_row = np.zeros(stream.table.num_rows)
    for column, weight in enumerate(weights.tolist()):  # one order of additions everywhere
        of_row += weight * stream.table.reward[:, column]
    luck = of_row[stream.rows]
    count = max(1, round(share * luck.size))
    unlucky = np.argsort(luck, kind="stable")[:count]
    return np.concatenate([unlucky, np.setdiff1d(np.arange(luck.size), unlucky)])


def _by_task(stream: Stream) -> NDArray[np.intp]:
    labels = stream.table.required_task("order = 'task_blocks'")
    _, number = np.unique(labels, return_inverse=True)
    return np.argsort(number[stream.rows], kind="stable")


def models_in_order(stream: Stream, order: NDArray[np.intp]) -> Stream:
    """Let the models take each other's times of arrival; retirements stay with the models."""
    reported, told = stream.reported_reward, stream.announced
    return replace(
        stream,
        announced=told and told._replace(arm=int(np.argmax(order == told.arm))),
        table=_selected(stream.table, tuple(stream.table.models[k] for k in order)),
        retirements=stream.retirements[order],
        regimes=tuple(Regime(r.start, r.reward[order], r.cost[order]) for r in stream.regimes),
        reported_reward=None if reported is None else np.ascontiguousarray(reported[:, order]),
    )


@lru_cache(maxsize=2)
def _selected(table: OutcomeTable, models: tuple[str, ...]) -> OutcomeTable:
    return table.select(models)
