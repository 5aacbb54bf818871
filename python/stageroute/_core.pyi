from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from os import PathLike
from typing import Any, Self, TypedDict, final, type_check_only

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import disjoint_base

__all__ = [
    "FACTS",
    "IS_UNOPTIMISED",
    "Birth",
    "Control",
    "Decision",
    "FeedbackBatch",
    "Kernel",
    "LateFeedback",
    "Router",
    "RoutingSolution",
    "Signal",
    "Tail",
    "__version__",
    "decisions_to_json",
    "keep_for_ever",
    "replay",
    "solve_deployment",
    "solve_routing_lp",
]

__version__: str
FACTS: Mapping[str, Any]
IS_UNOPTIMISED: bool

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

@type_check_only
class CoreConstraints(TypedDict):
    start: NDArray[np.float64]
    most: NDArray[np.float64]
    uses: NDArray[np.float64]
    pinned: NDArray[np.bool_]
    forbidden: NDArray[np.bool_]
    provider: list[int]
    min_providers: int

def solve_deployment(
    reward: ArrayLike,
    cost: ArrayLike,
    throughput_cap: ArrayLike,
    budget: float,
    max_deployed: int,
    constraints: CoreConstraints | None,
    current_price: float,
    solver: Callable[[str, bool], list[int] | None] | None,
    time_limit: float | None,
) -> tuple[str, list[int], NDArray[np.float64], float, float, float, str] | None: ...

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
    @property
    def reasons(self) -> tuple[str, ...]: ...

@final
class FeedbackBatch:
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    @property
    def counted(self) -> int: ...
    @property
    def repeated(self) -> int: ...
    @property
    def unknown(self) -> int: ...
    @property
    def expired(self) -> int: ...

@type_check_only
class CoreArmState(TypedDict):
    is_retired: bool
    reward_count: int
    cost_count: int
    reward_mean: float | None
    cost_mean: float | None
    reward_variance: float
    cost_variance: float
    reward_ucb: float
    cost_lcb: float
    throughput_share: float
    under_way: int
    health: str
    answer_chance: float
    changes: int
    expected_tokens: tuple[float, float, float] | None

@type_check_only
class CorePlanning(TypedDict):
    arms: NDArray[np.uintp]
    reward_ucb: NDArray[np.float64]
    cost_lcb: NDArray[np.float64]
    share: NDArray[np.float64]
    start_room: float

@type_check_only
class CoreLog(TypedDict):
    dropped: int
    id: NDArray[np.uint64]
    time: NDArray[np.float64]
    arm: NDArray[np.uintp]
    probability: NDArray[np.float64]
    stage: NDArray[np.uint64]
    budget_price: NDArray[np.float64]
    paced_budget: NDArray[np.float64]
    reasons: NDArray[np.uint8]
    first_arm: NDArray[np.uintp]
    status: NDArray[np.uint8]
    live_arm: NDArray[np.uint32]
    live_probability: NDArray[np.float64]
    live_reward_ucb: NDArray[np.float64]
    live_cost_lcb: NDArray[np.float64]

def decisions_to_json(columns: CoreLog, names: Sequence[str], is_repeated: bool) -> bytes: ...

@disjoint_base
class Router:
    def __new__(
        cls,
        settings: dict[str, Any],
        clock: Callable[[], float | tuple[float, float]] | None = None,
        *,
        log_capacity: int = 0,
        state: bytes | None = None,
    ) -> Self: ...
    @property
    def _control(self) -> Control: ...
    @property
    def _is_inherited(self) -> bool: ...
    def route(
        self,
        *,
        allowed: Iterable[str] | None = None,
        max_cost: float | Decimal | None = None,
        tokens: tuple[float, float] | None = None,
    ) -> Decision: ...
    def observe(
        self,
        decision_or_id: Decision | int,
        *,
        reward: float | None = None,
        cost: float | Decimal | None = None,
        tokens: Sequence[float] | None = None,
    ) -> None: ...
    def observe_many(
        self,
        ids: ArrayLike,
        *,
        rewards: ArrayLike | None = None,
        costs: ArrayLike | None = None,
        all_or_none: bool = True,
    ) -> FeedbackBatch: ...
    def fail(
        self,
        decision_or_id: Decision | int,
        reason: str,
        *,
        cost: float | Decimal | None = None,
        retry_after: float | None = None,
    ) -> None: ...
    def correct(self, decision_or_id: Decision | int, cost: float | Decimal) -> None: ...
    def release(self, decision_or_id: Decision | int) -> None: ...

@final
class Birth:
    def __new__(cls) -> Self: ...
    @property
    def is_inherited(self) -> bool: ...
    def check(self) -> None: ...

def keep_for_ever(kept: object) -> None: ...

@final
class Control:
    def add_arm(
        self,
        name: str,
        settings: dict[str, Any],
        terms: dict[str, Any],
        prior: dict[str, Any],
        change: tuple[bytes, object],
    ) -> None: ...
    def set_arm(
        self,
        arm: int,
        settings: dict[str, Any],
        terms: dict[str, Any],
        change: tuple[bytes, object],
    ) -> None: ...
    def revive_arm(self, arm: int) -> None: ...
    def retire_arm(self, arm: int) -> None: ...
    def end_cooldown(self, arm: int) -> None: ...
    def note_quota(self, arm: int, left: int, reset: float) -> None: ...
    def configure(
        self, settings: dict[str, Any], keeps_confidence: bool, change: tuple[bytes, object]
    ) -> None: ...
    def set_budget(self, budget: float, carry: bool, change: tuple[bytes, object]) -> None: ...
    def publish(
        self,
        deployed: Sequence[int],
        start_cost: float,
        stage_queries: float,
        change: tuple[bytes, object],
    ) -> None: ...
    def extend_stage(self, change: tuple[bytes, object]) -> None: ...
    def is_stage_due(self) -> bool: ...
    @property
    def due(self) -> Signal: ...
    def tell_if_due(self) -> None: ...
    def call_when_due(self, callback: Callable[[], object]) -> None: ...
    def call_on_news(self, callback: Callable[[], object]) -> None: ...
    def take_news(self) -> list[tuple[str, float, str | None, dict[str, Any]]]: ...
    def attach_journal(self, tail: Tail) -> None: ...
    def repeat(self, record: bytes) -> bytes | None: ...
    def snapshot(self) -> tuple[tuple[int, int] | None, Any, bytes]: ...
    def facts(self) -> Any: ...
    def set_facts(self, facts: object) -> None: ...
    def name_arms(self, names: Sequence[str]) -> None: ...
    def arm(self, name: str) -> int: ...
    def has(self, name: str) -> bool: ...
    def num_arms(self) -> int: ...
    def is_retired(self, arm: int) -> bool: ...
    def live(self) -> tuple[int, list[int]]: ...
    def planning(self) -> CorePlanning: ...
    def arm_state(self, arm: int) -> CoreArmState: ...
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def counters(self) -> dict[str, Any]: ...
    def limits(self) -> list[tuple[float, str, float, float]]: ...
    def drain_log(self) -> CoreLog: ...
    def forget_log(self) -> None: ...

@final
class Signal:
    def __new__(cls) -> Self: ...
    def wait(self, seconds: float | None = None) -> bool: ...
    def raise_(self) -> None: ...

@final
class Tail:
    @staticmethod
    def create(
        path: str | PathLike[str], capacity: int, identity: bytes, start: tuple[int, int]
    ) -> Tail: ...
    @staticmethod
    def open(
        path: str | PathLike[str], identity: bytes, committed: tuple[int, int]
    ) -> tuple[Tail, bytes, tuple[int, int], tuple[int, int, bool]]: ...
    def begin(self, start: tuple[int, int]) -> None: ...
    @staticmethod
    def read_range(
        path: str | PathLike[str], start: tuple[int, int], end: tuple[int, int]
    ) -> bytes: ...
    @staticmethod
    def split(records: bytes) -> list[bytes]: ...
    @property
    def capacity(self) -> int: ...
    @property
    def pending(self) -> int: ...
    def head(self) -> tuple[int, int]: ...
    def has_room(self, length: int) -> bool: ...
    def append(self, payload: bytes) -> int: ...
    def release(self, committed: tuple[int, int]) -> None: ...
    def close(self) -> None: ...
    def wait(self, seconds: float) -> bool: ...
    def wake(self) -> None: ...

@final
class Kernel:
    def __new__(
        cls, name: str, config: Mapping[str, Any], features: NDArray[np.float64] | None = None
    ) -> Self: ...
    def begin_stage(self) -> tuple[list[float], list[float]]: ...
    def publish(
        self,
        deployed: Sequence[int],
        *,
        probabilities: ArrayLike | None = None,
        price: float = 0.0,
    ) -> None: ...
    def budget_price(self) -> float: ...
    def counts(self) -> tuple[int, int, int, int] | None: ...
    def probabilities(self) -> list[float]: ...
    def seen(self) -> list[int]: ...
    def values(self, rows: Sequence[int]) -> list[float]: ...
    def route(self, row: int) -> tuple[int, float, float]: ...
    def observe(self, row: int, arm: int, reward: float, cost: float) -> None: ...

@final
class LateFeedback:
    def __new__(cls, delay: int) -> Self: ...

def replay(
    kernel: Router | Kernel,
    reward: NDArray[np.float64],
    cost: NDArray[np.float64],
    rows: NDArray[np.uint32],
    arm: NDArray[np.uint32],
    probability: NDArray[np.float64],
    budget_price: NDArray[np.float64],
    late: LateFeedback | None = None,
) -> None: ...
