//! What the exact LP says of single sets.
//!
//! A set is worth what its best mixture is. Starting arms costs money whatever they serve, so a set's
//! start costs are taken off the budget before the LP sees it, or off the value where the cheapest set
//! is looked for.

use std::cell::OnceCell;

use super::problem::{DeploymentProblem, Goal};
use crate::error::Error;
use crate::lp::{Problem, RoutingLp, Status};
use crate::tolerances::LIMIT_TOLERANCE;

/// What is known of a set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    /// Of the LP; a set whose start costs exceed the budget does not meet it either.
    pub(super) status: Status,
    /// What the goal maximises.
    pub(super) value: f64,
    /// USD per query, with the start costs; 0 where it is not the goal's business.
    pub(super) spend: f64,
}

impl Verdict {
    /// What the mixture leaves of the budget, USD per query.
    pub(super) fn left_of(self, budget: f64) -> f64 {
        if self.status == Status::Optimal { (budget - self.spend).max(0.0) } else { 0.0 }
    }
}

/// Judges sets, and keeps the memory that it takes.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    problem: &'a DeploymentProblem<'a>,
    unit: OnceCell<f64>,
    /// None until there is something to judge.
    lp: Option<RoutingLp>,
    reward: Vec<f64>,
    cost: Vec<f64>,
    cap: Vec<f64>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(problem: &'a DeploymentProblem<'a>) -> Self {
        let unit = OnceCell::new();
        Self { problem, unit, lp: None, reward: Vec::new(), cost: Vec::new(), cap: Vec::new() }
    }

    /// See [`DeploymentProblem::unit`]: seldom needed, and not for nothing in a large problem.
    pub(super) fn unit(&self) -> f64 {
        *self.unit.get_or_init(|| self.problem.unit())
    }

    /// Judges a set that has an arm.
    pub(super) fn judge(&mut self, goal: Goal, set: &[usize]) -> Result<Verdict, Error> {
        let Problem { reward, cost, cap, budget } = self.problem.mixture;
        if goal == Goal::Largest {
            let value = set.iter().map(|&arm| cap[arm]).sum();
            return Ok(Verdict { status: Status::Optimal, value, spend: 0.0 });
        }
        for list in [&mut self.reward, &mut self.cost, &mut self.cap] {
            list.clear();
        }
        self.cap.extend(set.iter().map(|&arm| cap[arm]));
        let start: f64 = set.iter().map(|&arm| self.problem.start_of(arm)).sum();
        if goal == Goal::Cheapest {
            let unit = self.unit();
            self.reward.extend(set.iter().map(|&arm| -cost[arm] / unit));
            self.cost.resize(set.len(), 0.0);
            let lp = self.solve(0.0)?;
            let (status, reward) = (lp.status(), lp.objective());
            return Ok(Verdict { status, value: reward - start / unit, spend: 0.0 });
        }
        self.reward.extend(set.iter().map(|&arm| reward[arm]));
        self.cost.extend(set.iter().map(|&arm| cost[arm]));
        let left = budget - start;
        let is_exceeded = left < 0.0 && left < -LIMIT_TOLERANCE * self.unit();
        let lp = self.solve(left.max(0.0))?;
        let status = match lp.status() {
            Status::Optimal if is_exceeded => Status::BudgetInfeasible,
            status => status,
        };
        Ok(Verdict { status, value: lp.objective(), spend: lp.spend() + start })
    }

    fn solve(&mut self, budget: f64) -> Result<&RoutingLp, Error> {
        let Self { reward, cost, cap, lp, .. } = self;
        let problem = Problem { reward, cost, cap, budget };
        let lp = match lp {
            Some(lp) => {
                lp.load(problem)?;
                lp
            }
            None => lp.insert(RoutingLp::new(problem)?),
        };
        lp.solve_cold()?;
        Ok(lp)
    }

    /// The mixture of the set judged last, in the order of its arms.
    pub(super) fn probabilities(&self) -> &[f64] {
        self.lp.as_ref().map_or(&[], RoutingLp::probabilities)
    }

    /// Dual price of the budget within the set judged last, reward per USD; infinite where it cannot be
    /// met.
    pub(super) fn budget_price(&self, verdict: Verdict) -> f64 {
        let is_out_of_reach = verdict.status == Status::BudgetInfeasible;
        let price = self.lp.as_ref().map_or(0.0, RoutingLp::budget_price);
        if is_out_of_reach { f64::INFINITY } else { price }
    }

    /// Prices of the budget and of the mass in the set judged last, which has a mixture.
    pub(super) fn prices(&self, goal: Goal) -> (f64, f64) {
        match &self.lp {
            Some(lp) if goal == Goal::Best => (lp.budget_price(), lp.mass_price()),
            Some(lp) if goal == Goal::Cheapest => (0.0, lp.mass_price()),
            _ => (0.0, 0.0),
        }
    }

    /// The most that an arm can add to the value of a set with these prices.
    pub(super) fn worth(
        &self,
        goal: Goal,
        arm: usize,
        (budget_price, mass_price): (f64, f64),
    ) -> f64 {
        let Problem { reward, cost, cap, .. } = self.problem.mixture;
        match goal {
            Goal::Best => {
                let score = reward[arm] - budget_price * cost[arm];
                (score - mass_price).max(0.0) * cap[arm] - budget_price * self.problem.start_of(arm)
            }
            Goal::Cheapest => {
                let score = -cost[arm] / self.unit();
                (score - mass_price).max(0.0) * cap[arm] - self.problem.start_of(arm) / self.unit()
            }
            Goal::Largest => cap[arm],
        }
    }
}
