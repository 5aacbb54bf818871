"""Arrivals: when each request came, and how many tokens it used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import whole_in
from stageroute.datasets.formats import read_parquet
from stageroute.errors import DatasetError

COLUMNS: Final = ("t_s", "tokens_in", "tokens_out")

SYNTHETIC_RATE: Final = 5.5
"""Arrivals per second, averaged over the hour; with the shape below, much like the conversations of
the Azure LLM inference trace of 2023."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A stream of requests.

    Parameters
    ----------
    name : str
        How reports call it.
    seconds : ndarray of float, shape (n,)
        When each came, from 0, ascending.
    tokens_in, tokens_out : ndarray of int, shape (n,)
        Tokens of the request and of its answer.

    Raises
    ------
    DatasetError
        If the columns are not such a stream.
    """

    name: str
    seconds: NDArray[np.float64]
    tokens_in: NDArray[np.int64]
    tokens_out: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.seconds.size < 2:
            raise DatasetError(f"{self.name}: has {self.seconds.size} requests; give at least 2")
        if not (np.isfinite(self.seconds).all() and (np.diff(self.seconds) >= 0.0).all()):
            raise DatasetError(f"{self.name}: t_s must be finite and ascending: sort the requests")
        for column, tokens in (("tokens_in", self.tokens_in), ("tokens_out", self.tokens_out)):
            if tokens.shape != self.seconds.shape or (tokens < 0).any():
                rule = "needs a number of tokens, not negative, for each request"
                raise DatasetError(f"{self.name}: {column} {rule}")

    @property
    def span(self) -> float:
        """Time from the first request to the last, seconds."""
        return float(self.seconds[-1] - self.seconds[0])

    def __len__(self) -> int:
        return int(self.seconds.size)

    def head(self, queries: int) -> "Trace":
        """Keep the first requests.

        Raises
        ------
        InvalidInputError
            If `queries` is below 2.
        """
        whole_in("[2, inf)")("queries", queries)
        cut = slice(0, queries)
        return Trace(self.name, self.seconds[cut], self.tokens_in[cut], self.tokens_out[cut])

    def faster(self, factor: float) -> "Trace":
        """Return the same requests, `factor` times as fast."""
        return Trace(self.name, self.seconds / factor, self.tokens_in, self.tokens_out)


def read_trace(path: Path) -> Trace:
    """Read a trace from a parquet file with columns t_s (seconds), tokens_in, tokens_out.

    Raises
    ------
    DatasetError
        If the file cannot be read, or does not hold a trace.
    MissingExtraError
        If pyarrow is not installed.
    """
    try:
        columns = read_parquet(path, lambda name: "number" if name in COLUMNS else None)
        seconds, tokens_in, tokens_out = (columns[name] for name in COLUMNS)
    except (OSError, KeyError, DatasetError) as error:
        raise DatasetError(
            f"{path}: must be a parquet file with columns {', '.join(COLUMNS)}: {error}"
        ) from error
    # Before anything is made of it: a trace without its first second is still one from 0.
    seconds = seconds - seconds[:1]
    return Trace(path.stem, seconds, tokens_in.astype(np.int64), tokens_out.astype(np.int64))


def synthetic_trace(queries: int, seed: int) -> Trace:
    """Generate an hour-like stream of requests: a slow wave, bursts, and log-normal token counts.

    Parameters
    ----------
    queries : int
        How many, at least 2.
    seed : int
        Fixes every draw.

    Notes
    -----
    A shape and no data: the rate doubles towards the middle and falls again, short bursts lie on
    top, inputs have a median of some 800 tokens with a long tail and answers one of some 150.
    """
    whole_in("[2, inf)")("queries", queries)
    generator = np.random.default_rng(seed)
    phase = (np.arange(queries) + 0.5) / queries
    wave = 0.75 + 0.6 * np.exp(-(((phase - 0.5) / 0.18) ** 2))
    # Gaps more variable than a Poisson stream's (coefficient of variation 1.1).
    gaps = generator.gamma(0.83, 1.0 / 0.83, queries) / (SYNTHETIC_RATE * wave)
    seconds = np.cumsum(gaps) - gaps[0]
    tokens_in = np.clip(generator.lognormal(6.65, 0.9, queries), 2, 14_000)
    tokens_out = np.clip(generator.lognormal(5.0, 0.8, queries), 5, 1_000)
    return Trace("synthetic", seconds, tokens_in.astype(np.int64), tokens_out.astype(np.int64))
