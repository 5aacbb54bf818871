"""Estimators of what a target policy would have earned, or spent, per query.

All have one form. Let π_t(m) be the target's probability of model m at decision t, p_t(m) the
log's, y_t the outcome and v_t the query's weight. The target's value is a sum over cells (a model,
or a model in a group): the target's mass on each, times what that mass brings,

    V = Σ_c M_c θ_c     M_c = Σ_{t in c} v_t π_t(m) / Σ_t v_t
                        θ_c = Σ_{t in c} h_t Γ_t / Σ_{t in c} h_t

over decisions at which the log could have drawn the model. Estimators differ in h and Γ alone:

    ips          h = v π               Γ = 1{a = m} y / p            Horvitz & Thompson (1952)
    snips        h = v π 1{a = m} / p  Γ = y                         Swaminathan & Joachims (2015)
    dr           h = v π               Γ = q + 1{a = m} (y - q) / p  Dudík, Langford & Li (2011)
    adaptive_dr  h = v π sqrt(p)       Γ as for dr                   Hadad et al. (2021)

Where the log could have drawn all that the target uses, at every decision, ips and dr are the means
of the textbook. A routing LP gives most models probability 0 at any one decision, however. The
target's mass there is *carried*: valued like the rest of its cell. That is right if queries of a
cell are alike whether or not the model could be drawn. snips is normalised in each cell, not over
all of them, so that models have the target's proportions whatever the draws were.

Decisions of a learning router depend on the past. Yet, given the past, each draw has the logged
probability, so scores less their means are martingale differences, as long as π, q and h come from
the past alone: that is why q is a running mean, where independent data would allow any
cross-fitting. Standard errors are sums of squares of these differences, and intervals normal. They
hold where the conditional variances settle, and not where whether a model's probability is 0
depends on what it brought (Bibaut et al. 2021). adaptive_dr gives decisions less weight where p is
small, so that each has the same variance: where p varies much it is far more precise. It needs
queries of a cell to be alike over time, as carrying does.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ESTIMATORS: Final = ("ips", "snips", "dr", "adaptive_dr")

Floats = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """Decisions with a known outcome, n of them, over N models; shape (n, N) if not said."""

    outcome: Floats  # y: rewards, or costs in USD, shape (n,)
    logging: Floats  # p, the log's probabilities
    inverse: Floats  # 1 / p at the model that served, clipped if asked for; else 0
    target: Floats  # v π / Σ v: sums to 1 over all decisions and models
    expected: Floats  # q, from outcomes before each decision alone
    group: Index  # of each decision, counted from 0, shape (n,)

    @property
    def is_drawable(self) -> NDArray[np.bool_]:
        """Where the log could have drawn a model, shape (n, N)."""
        return self.logging > 0.0

    def by_cell(self, values: Floats) -> Floats:
        """Sum over the decisions of each group, shape (groups, N)."""
        sums = np.zeros((int(self.group.max()) + 1, values.shape[1]))
        np.add.at(sums, self.group, values)
        return sums


def _terms(sample: Sample, estimator: str) -> tuple[Floats, Floats]:
    """Return weights h, shape (n, N), and scores Γ, of that shape or (n, 1)."""
    outcome = sample.outcome[:, None]
    if estimator == "snips":
        return sample.target * sample.inverse, outcome
    weights = sample.target * sample.is_drawable
    if estimator == "ips":
        return weights, sample.inverse * outcome
    robust = sample.expected + sample.inverse * (outcome - sample.expected)
    if estimator == "dr":
        return weights, robust
    return weights * np.sqrt(sample.logging), robust


def estimate(sample: Sample, estimator: str) -> tuple[float, float]:
    """Return a value per query and its standard error, in the outcome's unit.

    Every cell that the target uses must hold a decision for its model.
    """
    weights, scores = _terms(sample, estimator)
    masses, totals = sample.by_cell(sample.target), sample.by_cell(weights)
    is_used = masses > 0.0

    def per_total(sums: Floats) -> Floats:
        return np.divide(sums, totals, out=np.zeros_like(totals), where=is_used)

    means = per_total(sample.by_cell(weights * scores))
    value = float((masses * means).sum())
    # A decision errs by its own scores, and by which queries the log happens to have.
    means_here, scale_here = means[sample.group], per_total(masses)[sample.group]
    own = (scale_here * weights * (scores - means_here)).sum(axis=1)
    queries = (sample.target * (means_here - value)).sum(axis=1)
    return value, float(np.sqrt(np.square(own + queries).sum()))


def running_means(outcome: Floats, is_chosen: NDArray[np.bool_], group: Index) -> Floats:
    """Return what each model could be expected to bring, from outcomes before each decision.

    It is the mean of the model in the decision's group, drawn with the weight of one observation
    towards the model's mean over all groups, and that towards the mean of all models; shape (n, N).
    `outcome` is NaN where it is not known, and `is_chosen` is true at the model that served.
    """
    seen = (is_chosen & ~np.isnan(outcome)[:, None]).astype(np.float64)
    brought = np.where(seen > 0.0, outcome[:, None], 0.0)
    of_any, seen_any = (values.sum(axis=1, keepdims=True) for values in (brought, seen))
    overall = _means_before(of_any, seen_any, np.zeros_like(of_any))
    of_model = _means_before(brought, seen, overall)
    if not group.any():
        return of_model
    expected = of_model.copy()
    for number in np.unique(group):
        rows = group == number
        expected[rows] = _means_before(brought[rows], seen[rows], of_model[rows])
    return expected


def _means_before(brought: Floats, seen: Floats, prior: Floats) -> Floats:
    total = np.cumsum(brought, axis=0) - brought
    count = np.cumsum(seen, axis=0) - seen
    return (total + prior) / (count + 1.0)
