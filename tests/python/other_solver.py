"""Linear programs of routing, by a solver that is not ours."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog

Floats = NDArray[np.float64]


def joint_value(
    weights: Floats, reward: Floats, cost: Floats, budget: float, most: ArrayLike, caps: ArrayLike
) -> float:
    """Most reward of routing by context (or stage) within one budget.

    Weights have shape (contexts,); reward, cost and `most`, which bounds each probability, shape
    (contexts, models); `caps`, shape (models,), hold over all contexts together.
    """
    contexts, models = reward.shape
    spend = (weights[:, None] * cost).ravel() / budget
    found = linprog(
        -(weights[:, None] * reward).ravel(),
        A_ub=np.vstack([spend, np.kron(weights, np.eye(models))]),
        b_ub=np.append(1.0, np.broadcast_to(caps, models)),
        A_eq=np.kron(np.eye(contexts), np.ones(models)),
        b_eq=np.ones(contexts),
        bounds=[(0.0, cap) for cap in np.broadcast_to(most, reward.shape).ravel()],
    )
    return -float(found.fun)
