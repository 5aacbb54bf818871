//! The best set seen.

use super::judge::Judge;
use super::problem::{DeploymentProblem, Goal};
use crate::error::Error;
use crate::lp::Status;
use crate::tolerances::VALUE_TIE;

/// The best set seen. Of two that are as good as each other it is the one with the lower spend.
#[derive(Debug)]
pub(super) struct Incumbent<'a> {
    judge: Judge<'a>,
    goal: Goal,
    /// Ascending; empty as long as there is none.
    set: Vec<usize>,
    value: f64,
    spend: f64,
}

impl<'a> Incumbent<'a> {
    pub(super) fn new(problem: &'a DeploymentProblem<'a>, goal: Goal) -> Self {
        let judge = Judge::new(problem);
        // Below all that a set can reach: a mixture is no worse than its worst arm.
        let worst = match goal {
            Goal::Best => problem.mixture.reward.iter().copied().fold(0.0, f64::min),
            Goal::Cheapest => -1.0 - problem.start.iter().sum::<f64>() / judge.unit(),
            Goal::Largest => 0.0,
        };
        Self { judge, goal, set: Vec::new(), value: worst - 1.0, spend: f64::INFINITY }
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
        if set.is_empty() {
            return Ok(());
        }
        let verdict = self.judge.judge(self.goal, set)?;
        let gain = verdict.value - self.value;
        let is_cheaper = verdict.spend < self.spend - VALUE_TIE * self.judge.unit();
        if verdict.status == Status::Optimal
            && (gain > VALUE_TIE || gain >= -VALUE_TIE && is_cheaper)
        {
            (self.value, self.spend) = (verdict.value, verdict.spend);
            self.set.clear();
            self.set.extend_from_slice(set);
        }
        Ok(())
    }
}
