"""Measure what adding models costs when there are many already.

    python benches/python/many_models.py

Prints the CPU time of adding 2,000 and 8,000 models to a router, and their ratio: 4 if a model
costs the same however many there are.
"""

import time

from stageroute import StageRouter

COUNTS = (2_000, 8_000)
ROUNDS = 5


def add_models(count: int) -> float:
    """Return the seconds that adding `count` models to a new router takes."""
    router = StageRouter(["first"], budget=0.001, max_deployed=1, seed=1)
    names = [f"model {number}" for number in range(count)]
    start = time.process_time()
    for name in names:
        router.add_model(name)
    return time.process_time() - start


def main() -> None:
    few, many = (min(add_models(count) for _ in range(ROUNDS)) for count in COUNTS)
    print(f"add_model: {COUNTS[0]} in {few:.3f} s, {COUNTS[1]} in {many:.3f} s: {many / few:.2f} x")


if __name__ == "__main__":
    main()
