//! Exact values of sets, and the best set seen.

use super::program::{Goal, SetProblem};
use super::sets::LIMIT_TOLERANCE;
use crate::error::Error;
use crate::lp::{Problem, RoutingLp, Status};

/// Two sets whose values differ by less are as good as each other; then the lower spend decides. More
/// than rounding, less than any stated accuracy.
const TIE: f64 = 1e-12;

/// The best set seen, and what it takes to value another.
#[derive(Debug)]
pub(super) struct Incumbent<'a> {
    problem: &'a SetProblem<'a>,
    unit: f64,
    /// The best set, ascending; empty as long as there is none.
    set: Vec<usize>,
    value: f64,
    spend: f64,
    lp: RoutingLp,
    reward: Vec<f64>,
    cost: Vec<f64>,
    cap: Vec<f64>,
}

impl<'a> Incumbent<'a> {
    pub(super) fn new(problem: &'a SetProblem<'a>) -> Result<Self, Error> {
        let unit = problem.unit();
        // Below all that a set can reach: a mixture is no worse than its worst arm.
        let worst = match problem.goal {
            Goal::Reward => problem.mixture.reward.iter().copied().fold(0.0, f64::min),
            Goal::Thrift => -1.0 - problem.start.iter().sum::<f64>() / unit,
            Goal::Caps => 0.0,
        };
        let nothing = Problem { reward: &[0.0], cost: &[0.0], cap: &[1.0], budget: 0.0 };
        Ok(Self {
            problem,
            unit,
            set: Vec::new(),
            value: worst - 1.0,
            spend: f64::INFINITY,
            lp: RoutingLp::new(nothing)?,
            reward: Vec::new(),
            cost: Vec::new(),
            cap: Vec::new(),
        })
    }

    /// The value of the best set; less than that of any set as long as there is none.
    pub(super) fn value(&self) -> f64 {
        self.value
    }

    pub(super) fn into_set(self) -> Option<Vec<usize>> {
        Some(self.set).filter(|set| !set.is_empty())
    }

    /// Takes a set, in ascending order, if it is better than the best so far.
    pub(super) fn offer(&mut self, set: &[usize]) -> Result<(), Error> {
        let Some((value, spend)) = self.judge(set)? else { return Ok(()) };
        let is_tie = (value - self.value).abs() <= TIE;
        if value > self.value + TIE || (is_tie && spend < self.spend - TIE * self.unit) {
            (self.value, self.spend) = (value, spend);
            self.set.clear();
            self.set.extend_from_slice(set);
        }
        Ok(())
    }

    /// Value and spend of a set; None if it has no mixture that counts.
    fn judge(&mut self, set: &[usize]) -> Result<Option<(f64, f64)>, Error> {
        if set.is_empty() {
            return Ok(None);
        }
        let Problem { reward, cost, cap, budget } = self.problem.mixture;
        if self.problem.goal == Goal::Caps {
            return Ok(Some((set.iter().map(|&arm| cap[arm]).sum(), 0.0)));
        }
        let start: f64 = set.iter().map(|&arm| self.problem.start[arm]).sum();
        let left = budget - start;
        for list in [&mut self.reward, &mut self.cost, &mut self.cap] {
            list.clear();
        }
        self.cap.extend(set.iter().map(|&arm| cap[arm]));
        if self.problem.goal == Goal::Thrift {
            self.reward.extend(set.iter().map(|&arm| -cost[arm] / self.unit));
            self.cost.resize(set.len(), 0.0);
        } else if left < -LIMIT_TOLERANCE * self.unit {
            return Ok(None);
        } else {
            self.reward.extend(set.iter().map(|&arm| reward[arm]));
            self.cost.extend(set.iter().map(|&arm| cost[arm]));
        }
        let Self { reward, cost, cap, lp, .. } = self;
        lp.load(Problem { reward, cost, cap, budget: left.max(0.0) })?;
        if lp.solve_cold()? != Status::Optimal {
            return Ok(None);
        }
        Ok(Some(match self.problem.goal {
            Goal::Thrift => (lp.objective() - start / self.unit, 0.0),
            _ => (lp.objective(), lp.spend() + start),
        }))
    }
}
