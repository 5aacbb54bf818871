"""What the best mixture earns when each query's context is known: one LP over all contexts.

    max  Σ_f w_f Σ_m μ_fm p_fm    s.t.  Σ_f w_f Σ_m c_fm p_fm <= b,   Σ_f w_f p_fm <= α_m,
                                        Σ_m p_fm = 1,   p_fm >= 0

Money and each model's share of the traffic are shared by all contexts f, so that expensive models
serve where they bring most. With one context it is the routing LP.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from stageroute.checks import require
from stageroute.errors import SolverError
from stageroute.policies.base import Floats

ITERATIONS: Final = 100
"""Far more than the method takes: some 15."""

GAP: Final = 1e-9
"""Duality gap and residuals at which it stops; rewards are of size 1."""

STEP: Final = 0.995
"""Part of the way to the boundary that is gone at most."""


@dataclass(frozen=True, eq=False, slots=True)
class JointOptimum:
    """The optimum of the joint LP.

    Attributes
    ----------
    probabilities : ndarray, shape (F, M)
        Distribution over the models in each context.
    reward, cost : float
        Its mean reward, and mean cost in USD.
    budget_price : float
        Dual of the budget: reward per USD.
    """

    probabilities: Floats
    reward: float
    cost: float
    budget_price: float


def joint_optimum(
    weights: Floats, reward: Floats, cost: Floats, caps: Floats, budget: float
) -> JointOptimum:
    """Solve the joint LP, by Mehrotra's interior-point method (1992).

    Parameters
    ----------
    weights : ndarray, shape (F,)
        Share of each context among the queries; positive, sums to 1.
    reward, cost : ndarray, shape (F, M)
        Means of every model in every context; USD for costs.
    caps : ndarray, shape (M,)
        Largest share of the traffic of each model.
    budget : float
        USD per query.

    Raises
    ------
    InvalidInputError
        If no mixture meets caps and budget with room to spare, which the method needs.
    SolverError
        If the method does not converge, a defect.
    """
    contexts, models = reward.shape
    require(caps.sum() > 1.0, "sum of the caps", caps.sum(), "must be above 1")
    least = cheapest_spend(weights @ cost, caps)
    require(least < budget, "cost of the cheapest mixture", least, "must be below the budget")
    # Variables w_f p_fm, then the slacks of budget and caps; costs in budgets.
    size = contexts * models
    matrix = np.zeros((contexts + 1 + models, size + 1 + models))
    matrix[:contexts, :size] = np.repeat(np.eye(contexts), models, axis=1)
    matrix[contexts, :size] = cost.ravel() / budget
    matrix[contexts + 1 :, :size] = np.tile(np.eye(models), contexts)
    matrix[contexts:, size:] = np.eye(1 + models)
    right = np.concatenate([weights, [1.0], caps])
    objective = np.concatenate([-reward.ravel(), np.zeros(1 + models)])
    x, y = _interior_point(matrix, right, objective)
    served = x[:size]
    return JointOptimum(
        probabilities=_distributions(served.reshape(contexts, models)),
        reward=float(reward.ravel() @ served),
        cost=float(cost.ravel() @ served),
        budget_price=max(0.0, -float(y[contexts]) / budget),
    )


def _distributions(served: Floats) -> Floats:
    """Scale rows to sum to 1; an interior point is a little off every 0."""
    sure = np.where(served > 1e-7 * served.sum(axis=1, keepdims=True), served, 0.0)
    return np.asarray(sure / sure.sum(axis=1, keepdims=True))


def cheapest_spend(cost: Floats, caps: Floats) -> float:
    """Return what the cheapest mixture costs that is the same in every context, USD per query."""
    left, total = 1.0, 0.0
    for model in np.argsort(cost).tolist():
        share = min(left, float(caps[model]))
        left, total = left - share, total + share * float(cost[model])
    return total


def _interior_point(matrix: Floats, right: Floats, objective: Floats) -> tuple[Floats, Floats]:
    """Minimise objective · x with matrix x = right, x >= 0; return x and the rows' duals."""
    x, y, z = _start(matrix, right, objective)
    for _ in range(ITERATIONS):
        primal, dual = right - matrix @ x, objective - matrix.T @ y - z
        gap = x @ z / x.size
        if max(np.abs(primal).max(), np.abs(dual).max(), x @ z) < GAP:
            return x, y
        normal = (matrix * (x / z)) @ matrix.T
        normal[np.diag_indices_from(normal)] += 1e-14 * np.trace(normal) / len(normal)

        def direction(
            complementarity: Floats, primal: Floats = primal, dual: Floats = dual
        ) -> tuple[Floats, Floats, Floats]:
            side = primal + matrix @ ((x * dual - complementarity) / z)  # noqa: B023
            dy = np.asarray(np.linalg.solve(normal, side), dtype=np.float64)  # noqa: B023
            dz = dual - matrix.T @ dy
            return (complementarity - x * dz) / z, dy, dz  # noqa: B023

        dx, _, dz = direction(-x * z)
        after = (x + _reach(x, dx) * dx) @ (z + _reach(z, dz) * dz) / x.size
        centring = (after / gap) ** 3 * gap
        dx, dy, dz = direction(centring - x * z - dx * dz)
        far, deep = STEP * _reach(x, dx), STEP * _reach(z, dz)
        x, y, z = x + far * dx, y + deep * dy, z + deep * dz
    raise SolverError(f"the joint LP has not converged in {ITERATIONS} steps")


def _reach(values: Floats, step: Floats) -> float:
    """Return how far along a step, up to 1, all values stay positive."""
    falls = step < 0.0
    return float(min(1.0, np.min(-values[falls] / step[falls], initial=np.inf)))


def _start(matrix: Floats, right: Floats, objective: Floats) -> tuple[Floats, Floats, Floats]:
    """Return Mehrotra's starting point."""
    normal = matrix @ matrix.T
    x = matrix.T @ np.linalg.solve(normal, right)
    y = np.asarray(np.linalg.solve(normal, matrix @ objective), dtype=np.float64)
    z = objective - matrix.T @ y
    x, z = x + max(0.0, -1.5 * x.min()) + 0.1, z + max(0.0, -1.5 * z.min()) + 0.1
    return x + 0.5 * (x @ z) / z.sum(), y, z + 0.5 * (x @ z) / x.sum()
