//! A deployment problem as rows and columns.
//!
//! An arm's weight is `p = α x`, and the relaxation lets an arm be live no further than it is used:
//! `z = x`. So each arm is one column, with a part that goes with its weight and a part that goes
//! with its being live. A free arm's column has both; of a pinned arm the second part is certain, and
//! is taken off the right-hand side.

use super::problem::{DeploymentProblem, Goal};
use super::sets::{LiveSets, is_set};
use crate::lp::Problem;
use crate::tolerances::{LIMIT_TOLERANCE, MIXTURE_TOLERANCE};

/// What has been decided of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Free,
    /// Live, whatever its weight.
    Pinned,
    /// Not live.
    Excluded,
}

/// Rows `Σ a x ≤ right`, with an equation for the mass; row after row, one entry for each arm.
#[derive(Debug, Default)]
pub(super) struct Program {
    /// The arms' indices in the problem, ascending.
    pub(super) arms: Vec<usize>,
    pub(super) right: Vec<f64>,
    /// Whether a row is an equation.
    pub(super) is_equation: Vec<bool>,
    /// By how much a row may be missed.
    pub(super) tolerance: Vec<f64>,
    pub(super) by_weight: Vec<f64>,
    pub(super) by_life: Vec<f64>,
    pub(super) gain_by_weight: Vec<f64>,
    pub(super) gain_by_life: Vec<f64>,
}

impl Program {
    /// The rows of a problem, over the arms that are not forbidden.
    pub(super) fn new(problem: &DeploymentProblem<'_>, goal: Goal) -> Self {
        let Problem { reward, cost, cap, budget } = problem.mixture;
        let (unit, sets) = (problem.unit(), &problem.sets);
        let start = |arm: usize| problem.start_of(arm) / unit;
        let arms = (0..reward.len()).filter(|&arm| !is_set(sets.forbidden, arm)).collect();
        let mut program = Self { arms, ..Self::default() };
        if goal != Goal::Largest {
            program.add_row(1.0, true, |arm| (cap[arm], 0.0));
        }
        if goal == Goal::Best {
            let of_arm = |arm: usize| (cap[arm] * cost[arm] / unit, start(arm));
            program.add_row(budget / unit, false, of_arm);
        }
        program.tolerance.resize(program.right.len(), MIXTURE_TOLERANCE);
        program.add_row(sets.max_deployed as f64, false, |_| (0.0, 1.0));
        for (uses, most) in sets.limits() {
            program.add_row(most, false, |arm| (0.0, uses[arm]));
        }
        program.add_provider_rows(sets);
        program.tolerance.resize(program.right.len(), LIMIT_TOLERANCE);
        let gain = |&arm: &usize| match goal {
            Goal::Best => (cap[arm] * reward[arm], 0.0),
            Goal::Cheapest => (-cap[arm] * cost[arm] / unit, -start(arm)),
            Goal::Largest => (0.0, cap[arm]),
        };
        (program.gain_by_weight, program.gain_by_life) = program.arms.iter().map(gain).unzip();
        program
    }

    /// Slots that one provider must leave to others: implied by the sets, but not by the other rows.
    fn add_provider_rows(&mut self, sets: &LiveSets<'_>) {
        if sets.min_providers <= 1 {
            return;
        }
        let most = sets.most_of_one_provider();
        let mut numbers: Vec<usize> = self.arms.iter().map(|&arm| sets.provider[arm]).collect();
        numbers.sort_unstable();
        for same in numbers.chunk_by(|a, b| a == b) {
            if same.len() as f64 > most {
                let is_own = |arm: usize| f64::from(u8::from(sets.provider[arm] == same[0]));
                self.add_row(most, false, |arm| (0.0, is_own(arm)));
            }
        }
    }

    fn add_row(&mut self, right: f64, is_equation: bool, parts: impl Fn(usize) -> (f64, f64)) {
        self.right.push(right);
        self.is_equation.push(is_equation);
        for &arm in &self.arms {
            let (by_weight, by_life) = parts(arm);
            self.by_weight.push(by_weight);
            self.by_life.push(by_life);
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.right.len()
    }

    /// Drops all columns but those at `kept`, which ascend.
    pub(super) fn keep(&mut self, kept: &[usize]) {
        let arms = self.arms.len();
        self.by_weight = select(&self.by_weight, arms, kept);
        self.by_life = select(&self.by_life, arms, kept);
        self.gain_by_weight = select(&self.gain_by_weight, arms, kept);
        self.gain_by_life = select(&self.gain_by_life, arms, kept);
        self.arms = kept.iter().map(|&at| self.arms[at]).collect();
    }
}

/// The entries of some columns, of a matrix that is stored row after row.
pub(super) fn select(matrix: &[f64], columns: usize, kept: &[usize]) -> Vec<f64> {
    matrix.chunks_exact(columns).flat_map(|row| kept.iter().map(move |&at| row[at])).collect()
}
