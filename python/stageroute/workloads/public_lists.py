"""Models from public lists of prices, ratings and first appearances."""

import csv
import datetime as dt
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from stageroute.errors import DatasetError
from stageroute.workloads.market import MEAN_TOKENS, Suite

FIRST_SEEN: Final = "lmarena_first_seen.csv"
CATALOG: Final = "arena_catalog_prices.json"
PRICE_LIST: Final = "litellm_model_prices_and_context_window.json"

FIRST_DAY: Final = dt.date(2023, 5, 8)
DAYS_PER_YEAR: Final = 365.25

NOT_ITS_OWN_PRICE: Final = frozenset({"gemini-exp-1206"})
"""Names to which a list gives the price of another model: an experimental model, free when it was
on the board, listed at the price of one released half a year later."""


class PublicLists(NamedTuple):
    """Models with a price and a rating, in order of first appearance.

    And how many models appeared on the board, and how many of them have a price.
    """

    suite: Suite
    num_listed: int
    num_priced: int


def read_public_lists(folder: str | Path) -> PublicLists:
    """Read ratings, first appearances and list prices, joined by name.

    Three files of the folder are read: the models of the Chatbot Arena's board with the day each
    first appeared and its last rating (``lmarena_first_seen.csv``), the Arena's catalogue of prices
    (``arena_catalog_prices.json``), and LiteLLM's list of prices
    (``litellm_model_prices_and_context_window.json``), which is asked where the catalogue has no
    price. Names must be equal, but for case: no model gets the price of a similar one, so most
    models without an API of their own have none. Ratings of different days are not on one scale:
    models that were no longer on the board on its last day are left out.

    Raises
    ------
    DatasetError
        If a file is missing or does not hold what it should.
    """
    folder = Path(folder)
    try:
        with (folder / FIRST_SEEN).open(encoding="utf-8", newline="") as file:
            board = list(csv.DictReader(file))
        prices = _list_prices(folder / PRICE_LIST) | _catalog_prices(folder / CATALOG)
        return _joined(board, prices)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatasetError(f"{error.filename or folder}: cannot be read: {reason}") from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(f"{folder}: does not hold the lists as published: {error!r}") from error


Prices = dict[str, tuple[float, ...]]
"""USD per token of input and of output, by name."""


def _catalog_prices(path: Path) -> Prices:
    entries: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    fields = "input_token_price", "output_token_price"
    return {
        entry["model_api_name"].lower(): tuple(float(entry[field]) / 1e6 for field in fields)
        for entry in entries
        if all(entry[field] for field in fields)
    }


def _list_prices(path: Path) -> Prices:
    entries: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    fields = "input_cost_per_token", "output_cost_per_token"
    return {
        name.lower(): tuple(float(entry[field]) for field in fields)
        for name, entry in entries.items()
        if entry.get("mode") == "chat" and all(entry.get(field) for field in fields)
    }


def _joined(board: list[dict[str, str]], prices: Prices) -> PublicLists:
    last_day = max(row["last_seen"] for row in board)
    prices = {name: usd for name, usd in prices.items() if name not in NOT_ITS_OWN_PRICE}
    priced = [row for row in board if row["model"].lower() in prices]
    kept = [row for row in priced if row["last_seen"] == last_day]
    kept.sort(key=lambda row: row["first_seen_on_arena"])  # stable: the board's order within a day
    days = [dt.date.fromisoformat(row["first_seen_on_arena"]) - FIRST_DAY for row in kept]
    inputs, outputs = np.array([prices[row["model"].lower()] for row in kept]).T
    suite = Suite(
        tuple(row["model"] for row in kept),
        np.array([day.days for day in days]) / DAYS_PER_YEAR,
        np.array([float(row["last_rating"]) for row in kept]),
        MEAN_TOKENS[0] * inputs + MEAN_TOKENS[1] * outputs,
    )
    return PublicLists(suite, len(board), len(priced))
