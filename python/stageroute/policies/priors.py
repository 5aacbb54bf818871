"""What is known of the quality of models before they are tried."""

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import check_fields, number_in, one_of, whole_in
from stageroute.datasets.portable import bell
from stageroute.datasets.streams import Stream

SOURCES: Final = ("scores", "prices")

SCORE_STREAM: Final = 0x5C02
"""Keeps the draws of scores apart from those of queries."""


@dataclass(frozen=True, slots=True)
class RewardPrior:
    """Expected rewards that learning policies are told, as `Model.expected_reward`.

    Parameters
    ----------
    source : {"scores", "prices"}
        Scores on a public board: the true mean with an error that differs from model to model. Or
        what prices tell: the least squares fit of mean rewards on the logarithm of the mean cost
        and the order of arrival, over the stream's models; it asks for knowledge of
        the market, of which three numbers must be known.
    error : float, default 0.05
        Standard deviation of the scores' error, in rewards, not negative.
    weight : int, default 20
        How many observations they are worth.
    """

    source: Annotated[str, one_of(SOURCES)] = "scores"
    error: Annotated[float, number_in("[0, inf)")] = 0.05
    weight: Annotated[int, whole_in("[1, inf)", "observations")] = 20

    def __post_init__(self) -> None:
        check_fields(self)

    def expected_rewards(self, stream: Stream, seed: int) -> NDArray[np.float64]:
        """Return the expected reward of each model, shape (N,), in [0, 1]."""
        means = stream.regimes[0]
        if self.source == "prices":
            order = np.arange(means.reward.size) / means.reward.size
            design = np.column_stack([np.ones_like(order), np.log(means.cost), order])
            coefficients, *_ = np.linalg.lstsq(design, means.reward)
            expected = design @ coefficients
        else:
            generator = np.random.Generator(np.random.PCG64([seed, SCORE_STREAM]))
            expected = means.reward + self.error * bell(generator, means.reward.size)
        return np.asarray(np.clip(expected, 0.0, 1.0))
