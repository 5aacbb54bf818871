"""Hard limits at length: threads, tiers, start costs, jumps of the clock, restarts, changes.

python tests/python/soak_limits.py [QUERIES]     # 10,000,000 by default: some ten minutes
"""

import random
import sys
import tempfile
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from stageroute import DecisionLog, HardLimit, JournalSettings, Model, Price, StageRouter, Tokens
from stageroute.decision_log.batch import DecisionBatch
from stageroute.errors import RefusedError

THREADS = 8
LIVES = 10
STARTS = 1_784_883_300.0
LOW, HIGH, PER_DAY = 4.0, 6.0, 90.0
CHEAP, EXPENSIVE = (
    Price(1.0 * k, 5.0 * k, above={200_000.0: Price(2.0 * k, 10.0 * k)}) for k in (0.25, 1.0)
)
PRICES = {"a": CHEAP, "b": EXPENSIVE, "c": CHEAP}
SIZES = ((1_000.0, 200.0), (50_000.0, 400.0), (250_000.0, 800.0))


@dataclass
class Soak:
    """What was asked, and what it came to: bills by decision, decisions by the wall's hour."""

    folder: Path
    bills: dict[int, float] = field(default_factory=dict)
    hours: dict[int, int] = field(default_factory=dict)
    refused: int = 0
    jumps: int = 0
    seconds: float = 0.0
    offset: float = 0.0

    def clock(self) -> tuple[float, float]:
        """Show a second more at each look."""
        self.seconds += 1.0
        return STARTS + self.seconds + self.offset, self.seconds

    def take(self, batch: DecisionBatch) -> None:
        """Note the hour of each decision, as the router saw it."""
        columns = batch.columns
        self.hours |= zip(columns["id"].tolist(), (columns["time"] // 3_600).tolist(), strict=True)

    def make(self) -> StageRouter:
        """Begin another life."""
        starts = {"a": 0.05, "b": 0.02, "c": 0.0}
        return StageRouter(
            [
                Model(name, price=price, max_tokens=300_000.0, start_cost=starts[name])
                for name, price in PRICES.items()
            ],
            budget=0.0006,
            max_deployed=2,
            hard_limits=limits(HIGH),
            stage_queries=20_000,
            controller="inline",
            seed=1,
            journal=JournalSettings(self.folder / "journal"),
            decision_log=DecisionLog(self.take, capacity=2**22),
            clock=self.clock,
        )

    def work(self, router: StageRouter, queries: int, seed: int) -> None:
        """Ask some queries, and tell their bills."""
        draw, bills, refused = random.Random(seed), {}, 0
        for _ in range(queries):
            size = draw.choices(SIZES, (90, 9, 1))[0]
            try:
                decision = router.route(tokens=size)
            except RefusedError:
                refused += 1
                continue
            if draw.random() < 0.02:
                router.fail(decision, "error")
                continue
            used = Tokens(size[0], float(draw.randint(1, int(size[1]))))
            bills[decision.id] = PRICES[decision.model].bill(used)
            router.observe(decision, tokens=used, reward=draw.random())
        self.bills |= bills
        self.refused += refused

    def live(self, life: int, queries: int) -> None:
        """Serve from many threads, while the clock jumps and the limits change."""
        router, draw = self.make(), random.Random(life)
        threads = [
            threading.Thread(target=self.work, args=(router, queries // THREADS, 100 * life + k))
            for k in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            threads[0].join(0.02)
            if draw.random() < 0.2:
                self.offset = draw.choice((0.0, 0.0, 3_600.0, -3_600.0, 86_400.0, -300.0))
                self.jumps += 1
            if draw.random() < 0.2:
                router.configure(hard_limits=limits(draw.choice((LOW, HIGH))))
        router.close()

    def spent(self) -> tuple[dict[int, float], dict[int, float]]:
        """Sum up the bills of each hour and day of the wall, USD."""
        hours: defaultdict[int, float] = defaultdict(float)
        days: defaultdict[int, float] = defaultdict(float)
        for number, bill in self.bills.items():
            hour = self.hours[number]
            hours[hour] += bill
            days[(hour - 6) // 24] += bill
        return hours, days


def limits(usd: float) -> list[HardLimit]:
    """Hold an hour to this, and a day from six in the morning to what it is held to."""
    return [HardLimit(usd, "hour"), HardLimit(PER_DAY, "day", reset_hour=6)]


def soak(folder: Path, queries: int, lives: int = LIVES) -> Soak:
    """Ask so many queries in so many lives of a router."""
    done = Soak(folder)
    for life in range(lives):
        done.live(life, queries // lives)
    return done


if __name__ == "__main__":
    asked = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory() as kept:
        found = soak(Path(kept), asked)
    by_hour, by_day = found.spent()
    print(f"{asked:,} queries from {THREADS} threads, {len(found.bills):,} billed, "
          f"{found.refused:,} refused; {found.jumps} jumps, {LIVES - 1} restarts")  # fmt: skip
    print(f"{len(by_hour)} hours, at most {max(by_hour.values()):.6f} of {HIGH} USD; "
          f"{len(by_day)} days, at most {max(by_day.values()):.6f} of {PER_DAY} USD")  # fmt: skip
    raise SystemExit(max(by_hour.values()) > HIGH + 1e-9 or max(by_day.values()) > PER_DAY + 1e-9)
