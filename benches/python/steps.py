"""One route and one observe: ours, and every rival's."""

import random
import time
from collections.abc import Iterator
from typing import Protocol

from measuring import Batch, Effort, Row, compare
from numba_rival import NumbaRouter, make_jitclass_router, numba_observe, numba_route
from rivals import NumpyHighsRouter, TunedHighsRouter
from stageroute import StageRouter
from workloads import Workload, make_workload

cpu_time = time.thread_time

MODEL_COUNTS = (5, 11, 32)


class Stepper(Protocol):
    """A rival that routes and learns by arm number."""

    def route(self) -> tuple[int, float]:
        """Decide on a query: arm and its probability."""

    def observe(self, arm: int, reward: float, cost: float) -> None:
        """Learn what a decision brought."""


def step_ours(router: StageRouter, workload: Workload, steps: int) -> Batch:
    """`route`, look up the outcome, `observe`."""
    rows = workload.by_name * (steps // len(workload.by_name))

    def batch() -> float:
        route, observe = router.route, router.observe
        start = cpu_time()
        for row in rows:
            decision = route()
            reward, cost = row[decision.model]
            observe(decision, reward=reward, cost=cost)
        return (cpu_time() - start) / len(rows)

    return batch


def step_by_arm(router: Stepper, workload: Workload, steps: int) -> Batch:
    """Do the same with a rival's methods."""
    rows = workload.by_arm * (steps // len(workload.by_arm))

    def batch() -> float:
        route, observe = router.route, router.observe
        start = cpu_time()
        for row in rows:
            arm, _ = route()
            reward, cost = row[arm]
            observe(arm, reward, cost)
        return (cpu_time() - start) / len(rows)

    return batch


def step_numba(router: NumbaRouter, workload: Workload, steps: int) -> Batch:
    """Do the same with compiled functions, called without a method in between."""
    rows, state = workload.by_arm * (steps // len(workload.by_arm)), router.state

    def batch() -> float:
        start = cpu_time()
        for row in rows:
            arm, _ = numba_route(state)
            reward, cost = row[arm]
            numba_observe(state, arm, reward, cost)
        return (cpu_time() - start) / len(rows)

    return batch


def step_choices(workload: Workload, steps: int) -> Batch:
    """Draw with fixed weights: no statistics, no LP, no budget."""
    names, weights = list(workload.names), [1.0 / len(workload.names)] * len(workload.names)

    def batch() -> float:
        choices = random.choices
        start = cpu_time()
        for _ in range(steps):
            choices(names, weights)
        return (cpu_time() - start) / steps

    return batch


def step_nothing(workload: Workload, steps: int) -> Batch:
    """Run the loop around a step alone: the part of every step's time that no router causes."""
    rows, name = workload.by_name * (steps // len(workload.by_name)), workload.names[0]

    def batch() -> float:
        start = cpu_time()
        for row in rows:
            _reward, _cost = row[name]
        return (cpu_time() - start) / len(rows)

    return batch


def step_rows(effort: Effort) -> Iterator[Row]:
    """`route` + `observe` against everything else."""
    for num_models in MODEL_COUNTS:
        workload = make_workload(num_models)
        settings, steps, slow = workload.settings, effort.steps, effort.slow_steps
        ours = workload.make_router(seed=1)
        packed = NumbaRouter(settings, 2)
        classy = make_jitclass_router(settings, 3)
        plain, tuned = NumpyHighsRouter(settings, 4), TunedHighsRouter(settings, 5)
        for warm_up in (
            step_ours(ours, workload, effort.warm_up),
            step_numba(packed, workload, effort.warm_up),
            step_by_arm(classy, workload, effort.warm_up),
            step_by_arm(plain, workload, effort.warm_up),
            step_by_arm(tuned, workload, effort.warm_up),
        ):
            warm_up()
        yield from compare(
            f"step, M = {num_models}",
            step_ours(ours, workload, steps),
            [
                ("numpy + HiGHS kept warm", step_by_arm(plain, workload, slow), 300.0),
                ("the same, tuned", step_by_arm(tuned, workload, slow), 300.0),
                ("numba, one array", step_numba(packed, workload, steps), 3.0),
                ("numba, jitclass", step_by_arm(classy, workload, steps), 3.0),
                ("random.choices", step_choices(workload, steps), 2.0),
                ("the loop alone", step_nothing(workload, steps), None),
            ],
            effort.rounds,
        )
