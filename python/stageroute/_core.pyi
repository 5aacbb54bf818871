from collections.abc import Sequence
from typing import Self, TypedDict, final, type_check_only

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import disjoint_base

from stageroute.models import CoreConfidence

__all__ = [
    "IS_DEBUG_BUILD",
    "Decision",
    "Greedy",
    "Mixture",
    "Router",
    "RoutingSolution",
    "__version__",
    "replay",
    "solve_routing_lp",
]

__version__: str
IS_DEBUG_BUILD: bool

@final
class RoutingSolution:
    @property
    def status(self) -> str: ...
    @property
    def probabilities(self) -> NDArray[np.float64]: ...
    @property
    def objective(self) -> float: ...
    @property
    def spend(self) -> float: ...
    @property
    def budget_price(self) -> float: ...
    @property
    def mass_price(self) -> float: ...
    @property
    def cap_prices(self) -> NDArray[np.float64]: ...
    @property
    def primal_residual(self) -> float: ...
    @property
    def dual_residual(self) -> float: ...
    @property
    def gap(self) -> float: ...

def solve_routing_lp(
    reward: ArrayLike, cost: ArrayLike, throughput_cap: ArrayLike, budget: float
) -> RoutingSolution: ...

@final
class Decision:
    @property
    def id(self) -> int: ...
    @property
    def model(self) -> str: ...
    @property
    def probability(self) -> float: ...
    @property
    def stage(self) -> int: ...
    @property
    def budget_price(self) -> float: ...

@type_check_only
class CoreCounters(TypedDict):
    queries: int
    optimal: int
    throttled: int
    budget_infeasible: int
    cap_infeasible: int
    rewards: int
    costs: int
    billed: float
    in_flight: float
    paced_budget: float

@disjoint_base
class Router:
    def __new__(
        cls,
        *,
        budget: float,
        confidence: CoreConfidence,
        pacing_horizon: float | None,
        open_decisions: int,
        stage_queries: int | None,
        seed: int,
    ) -> Self: ...
    def route(self) -> Decision: ...
    def observe(
        self,
        decision_or_id: Decision | int,
        *,
        reward: float | None = None,
        cost: float | None = None,
    ) -> None: ...
    def observe_many(
        self,
        ids: ArrayLike,
        *,
        rewards: ArrayLike | None = None,
        costs: ArrayLike | None = None,
    ) -> None: ...
    def _add_arm(
        self, name: str, throughput_cap: float, cost_prior: tuple[float, int] | None
    ) -> int: ...
    def _retire_arm(self, arm: int) -> None: ...
    def _publish(self, deployed: Sequence[int]) -> int: ...
    def _refresh_bounds(self) -> None: ...
    def _extend_stage(self) -> None: ...
    def _is_stage_due(self) -> bool: ...
    def _plan(self) -> tuple[int, list[int]]: ...
    def _bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def _statistics(self) -> dict[str, NDArray[np.float64] | NDArray[np.uint64]]: ...
    def _counters(self) -> CoreCounters: ...

@final
class Greedy:
    def __new__(cls, confidence: CoreConfidence, throughput_cap: ArrayLike, seed: int) -> Self: ...
    def publish(self, deployed: Sequence[int]) -> None: ...
    def refresh_bounds(self) -> None: ...
    def bounds(self) -> tuple[list[float], list[float]]: ...
    def route(self) -> tuple[int, float, float]: ...
    def observe(self, arm: int, reward: float, cost: float) -> None: ...

@final
class Mixture:
    def __new__(cls, arms: int, seed: int) -> Self: ...
    def publish(self, deployed: Sequence[int], probabilities: ArrayLike) -> None: ...
    def route(self) -> tuple[int, float, float]: ...
    def observe(self, arm: int, reward: float, cost: float) -> None: ...

def replay(
    kernel: Router | Greedy | Mixture,
    reward: NDArray[np.float64],
    cost: NDArray[np.float64],
    rows: NDArray[np.uint32],
    arm: NDArray[np.uint32],
    probability: NDArray[np.float64],
    budget_price: NDArray[np.float64],
) -> None: ...
