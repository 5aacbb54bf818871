"""What is drawn anew for every seed, so that nothing can be tuned to it: arrivals and prices."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Final

import numpy as np

from stageroute.checks import number_in
from stageroute.datasets.portable import bell, exp
from stageroute.datasets.streams import Regime, Stream, even_arrivals
from stageroute.workloads.adversarial import models_in_order
from stageroute.workloads.base import OnTop

ORDER_STREAM: Final = 0x4A1F
PRICE_STREAM: Final = 0x9B1C
"""Keep the draws of the order and of the prices apart from those of queries."""

NUM_CHEAPEST: Final = 2
"""With throughput caps of one half, as many can serve everything."""


@dataclass(frozen=True)
class HalfAtStart(OnTop):
    """Half of the base's models are there at the start, the two cheapest among them.

    The others arrive evenly. Which they are, and in what order, is drawn anew for every seed. The
    two cheapest are there so that a budget that any mixture meets is met from the first query on.
    """

    said = "half at the start"
    kind: str = field(default="half", init=False)

    def over(self, stream: Stream, seed: int) -> Stream:
        """Draw the order, and let the models arrive in it."""
        count = stream.table.num_models
        order = np.argsort(stream.regimes[0].cost, kind="stable")
        others = np.random.default_rng([seed, ORDER_STREAM]).permutation(order[NUM_CHEAPEST:])
        arranged = models_in_order(stream, np.append(order[:NUM_CHEAPEST], others))
        initial = max(min(NUM_CHEAPEST, count), (count + 1) // 2)
        return replace(arranged, arrivals=even_arrivals(count, initial, stream.num_queries))


@dataclass(frozen=True)
class OtherPrices(OnTop):
    """Every model costs a log-normal factor more or less on each query; anew for every seed.

    Parameters
    ----------
    spread : float, default 0.5
        Standard deviation of the factor's logarithm, in [0, 8].
    """

    spread: Annotated[float, number_in("[0, 8]")] = 0.5
    said = "costs × exp(± {spread:g})"
    kind: str = field(default="prices", init=False)

    def over(self, stream: Stream, seed: int) -> Stream:
        """Draw the factors, and scale costs and their means."""
        generator = np.random.default_rng([seed, PRICE_STREAM])
        factor = exp(self.spread * bell(generator, stream.table.num_models))
        return replace(
            stream,
            table=replace(stream.table, cost=stream.table.cost * factor),
            regimes=tuple(Regime(r.start, r.reward, r.cost * factor) for r in stream.regimes),
        )
