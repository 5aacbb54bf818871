//! The routing LP of one query, solved exactly by a simplex specialised to its two rows.
//!
//! ```text
//! max  Σ r_m p_m    s.t.  Σ c_m p_m ≤ b,   Σ p_m = 1,   0 ≤ p_m ≤ α_m
//! ```
//!
//! [`RoutingLp`] owns the data, the last basis and all working memory: after the first solve of a
//! size it allocates nothing. Costs are never rescaled; all arithmetic is on differences between
//! two arms, which floating point forms accurately even when the costs themselves are tiny.

mod basis;
mod certificate;
mod problem;
mod simplex;

pub use crate::tolerances::{FEASIBILITY_TOLERANCE, TIE_TOLERANCE};
pub use certificate::{Certificate, Dual, certify};
pub use problem::{Problem, Status};

use serde::{Deserialize, Serialize};

use crate::checks::{is_cost, sound};
use crate::error::Error;
use basis::Simplex;

/// How often each way to an optimum was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SolveCounts {
    /// The last basis was still optimal.
    pub kept: u64,
    /// A few pivots from the last budget price.
    pub warm: u64,
    /// Solved from nothing.
    pub cold: u64,
}

/// What has changed since the last solve, so that only that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Change {
    /// At most the budget.
    None,
    /// The estimates of one arm.
    Arm(usize),
    /// Anything.
    All,
}

/// The routing LP with its working memory and last basis.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoutingLp {
    simplex: Simplex,
    status: Status,
    change: Change,
    counts: SolveCounts,
}

impl RoutingLp {
    /// An LP over the given data, not yet solved.
    ///
    /// # Errors
    /// As [`Problem::validate`].
    pub fn new(problem: Problem<'_>) -> Result<Self, Error> {
        problem.validate()?;
        let mut lp = Self {
            simplex: Simplex::default(),
            status: Status::Optimal,
            change: Change::All,
            counts: SolveCounts::default(),
        };
        lp.simplex.load(problem);
        Ok(lp)
    }

    /// Replaces all data; the next solve starts from nothing.
    ///
    /// # Errors
    /// As [`Problem::validate`]; the old data stay then.
    pub fn load(&mut self, problem: Problem<'_>) -> Result<(), Error> {
        problem.validate()?;
        self.simplex.load(problem);
        self.change = Change::All;
        Ok(())
    }

    /// Replaces the estimates of one arm. They must be finite, and the cost not negative: the
    /// caller's bounds are so by construction, and this is the hot path.
    ///
    /// # Panics
    /// If `arm` is out of range.
    #[inline]
    pub fn set_arm(&mut self, arm: usize, reward: f64, cost: f64) {
        debug_assert!(reward.is_finite() && is_cost(cost));
        self.simplex.reward[arm] = reward;
        self.simplex.cost[arm] = cost;
        self.change = match self.change {
            Change::None => Change::Arm(arm),
            Change::Arm(same) if same == arm => Change::Arm(arm),
            _ => Change::All,
        };
    }

    /// Replaces the budget, which must be finite and not negative.
    #[inline]
    pub fn set_budget(&mut self, budget: f64) {
        debug_assert!(is_cost(budget));
        self.simplex.budget = budget;
    }

    /// Solves, starting from the last basis: it is kept while it is strictly optimal, left by a
    /// few pivots where that leads to a strict optimum, and given up for [`RoutingLp::solve_cold`]
    /// at ties. The optimum is therefore the one that a cold solve finds.
    ///
    /// # Errors
    /// [`Error::PivotLimit`], a defect.
    #[inline]
    pub fn solve(&mut self) -> Result<Status, Error> {
        if self.status == Status::CapInfeasible && self.change != Change::All {
            self.change = Change::None;
            return Ok(self.status);
        }
        let kept = match self.change {
            Change::None => self.simplex.keep_basis(),
            Change::Arm(arm) => self.simplex.keep_basis_after(arm),
            Change::All => self.simplex.keep_basis_after_all(),
        };
        if kept {
            self.counts.kept += 1;
            self.change = Change::None;
            return Ok(self.status);
        }
        self.pivot()
    }

    /// Solves from nothing: the answer depends on the data alone.
    ///
    /// # Errors
    /// [`Error::PivotLimit`], a defect.
    pub fn solve_cold(&mut self) -> Result<Status, Error> {
        self.counts.cold += 1;
        self.status = self.simplex.solve_cold()?;
        self.change = Change::None;
        Ok(self.status)
    }

    /// The way out of [`RoutingLp::solve`] when the last basis is no longer optimal.
    #[cold]
    fn pivot(&mut self) -> Result<Status, Error> {
        if self.simplex.has_finite_price() && self.simplex.solve_from_price()? {
            self.counts.warm += 1;
            self.status = Status::Optimal;
            self.change = Change::None;
            return Ok(self.status);
        }
        self.solve_cold()
    }

    /// Checks an LP that was deserialised: its lengths, and that nothing points outside of them.
    pub(crate) fn check_soundness(&self, arms: usize) -> Result<(), Error> {
        self.problem().validate()?;
        let is_sound = match self.change {
            Change::Arm(arm) => arm < arms,
            Change::None | Change::All => true,
        };
        sound(is_sound && self.simplex.is_sound(arms), "the routing LP's parts")
    }

    /// The data as they stand.
    #[must_use]
    pub fn problem(&self) -> Problem<'_> {
        let Simplex { reward, cost, cap, budget, .. } = &self.simplex;
        Problem { reward, cost, cap, budget: *budget }
    }

    /// Status of the last solve.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// How often each way to an optimum was taken.
    #[must_use]
    pub fn counts(&self) -> SolveCounts {
        self.counts
    }

    /// The routing distribution found by the last solve, one entry for each arm.
    #[must_use]
    #[inline]
    pub fn probabilities(&self) -> &[f64] {
        &self.simplex.probabilities
    }

    /// The arms that may have a positive probability, ascending.
    #[must_use]
    #[inline]
    pub fn support(&self) -> &[usize] {
        &self.simplex.support
    }

    /// Σ r p of the last solve.
    #[must_use]
    pub fn objective(&self) -> f64 {
        self.simplex.expectation(&self.simplex.reward)
    }

    /// Σ c p of the last solve, USD per query.
    #[must_use]
    pub fn spend(&self) -> f64 {
        self.simplex.expectation(&self.simplex.cost)
    }

    /// λ ≥ 0: what one more USD per query would bring, in reward; infinite when the budget cannot
    /// be met.
    #[must_use]
    pub fn budget_price(&self) -> f64 {
        match self.status {
            Status::Optimal => self.simplex.price(),
            Status::BudgetInfeasible => f64::INFINITY,
            Status::CapInfeasible => 0.0,
        }
    }

    /// Dual price of the row Σ p = 1: reward per unit of mass (USD saved, where the budget cannot be
    /// met). An arm scores above it exactly if it stands at its cap.
    #[must_use]
    pub fn mass_price(&self) -> f64 {
        self.simplex.dual().mass_price
    }

    /// The marginal arm of the last solve, and the partner that it shares the rest with, if any.
    pub(crate) fn basic_arms(&self) -> (usize, Option<usize>) {
        (self.simplex.marginal, self.simplex.partner)
    }

    /// Residuals and gap of the last solve, computed from the data alone.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        certify(&self.problem(), self.status, self.probabilities(), self.simplex.dual())
    }

    /// What a little more of each arm's cap would bring, in reward per unit of share (in USD saved
    /// when the budget cannot be met); 0 for arms below their cap.
    ///
    /// # Panics
    /// If `out` is not as long as the arms.
    pub fn cap_prices(&self, out: &mut [f64]) {
        assert_eq!(out.len(), self.simplex.cap.len(), "one price for each arm");
        for (arm, price) in out.iter_mut().enumerate() {
            *price = self.simplex.reduced_value(arm).max(0.0);
        }
    }
}
