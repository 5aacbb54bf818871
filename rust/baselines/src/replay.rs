//! The native replay loop: a policy against a matrix of outcomes, one call for a whole stage.

use std::collections::VecDeque;

use prefetch_index::prefetch_index;
use stageroute_core::checks::{BILL_RULE, REWARD_RULE, check_all, is_bill, is_reward};
use stageroute_core::{ArmIndex, Decision, Error};

use crate::policy::{Outcome, Policy};

/// How many queries ahead outcomes are asked for.
const READ_AHEAD: usize = 32;

/// Numbers in a line of the cache.
const VALUES_PER_LINE: usize = 8;

/// How many lines of a row are asked for: one of them is read, and a wide row is not worth the rest.
const LINES_AHEAD: usize = 8;

/// Queries between two looks at whether the caller wants an end.
const QUERIES_PER_LOOK: usize = 1024;

/// Outcomes of every arm on every row of a table, both matrices in row-major order.
#[derive(Debug, Clone, Copy)]
pub struct OutcomeMatrix<'a> {
    reward: &'a [f64],
    cost: &'a [f64],
    arms: usize,
}

impl<'a> OutcomeMatrix<'a> {
    /// Wraps two matrices of `rows × arms`.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if the shapes do not fit.
    pub fn new(reward: &'a [f64], cost: &'a [f64], arms: usize) -> Result<Self, Error> {
        let whole_rows = reward.len().checked_div(arms).unwrap_or(0) * arms;
        for (argument, actual) in [("reward", reward.len()), ("cost", cost.len())] {
            if actual != whole_rows {
                let rule = "rows x arms, the same for reward and cost";
                return Err(Error::WrongLength { argument, actual, expected: whole_rows, rule });
            }
        }
        Ok(Self { reward, cost, arms })
    }

    /// Checks that every outcome is valid.
    ///
    /// # Errors
    /// [`Error::InvalidElement`] for the first that is not.
    pub fn validate(&self) -> Result<(), Error> {
        check_all("reward", self.reward, REWARD_RULE, is_reward)?;
        check_all("cost", self.cost, BILL_RULE, is_bill)
    }

    /// Asks for a row, so that it is in the cache when its turn comes. Rows are drawn at random: without
    /// this the loop waits for memory at every query.
    #[inline]
    fn prefetch(&self, row: u32) {
        let first = row as usize * self.arms;
        for values in [self.reward, self.cost] {
            for at in (first..first + self.arms).step_by(VALUES_PER_LINE).take(LINES_AHEAD) {
                prefetch_index(values, at);
            }
            prefetch_index(values, first + self.arms - 1);
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.reward.len().checked_div(self.arms).unwrap_or(0)
    }

    /// The outcome of `arm` on `row`.
    ///
    /// # Panics
    /// If either is out of range.
    #[must_use]
    #[inline]
    pub fn outcome(&self, row: usize, arm: ArmIndex) -> Outcome {
        assert!(arm.index() < self.arms, "arm {arm} is not a column of the outcome matrix");
        let at = row * self.arms + arm.index();
        Outcome { reward: self.reward[at], cost: self.cost[at] }
    }
}

/// Where a replay writes its decisions: one entry for each query.
#[derive(Debug)]
pub struct Trace<'a> {
    /// The arm chosen.
    pub arm: &'a mut [u32],
    /// The probability with which it was drawn.
    pub probability: &'a mut [f64],
    /// λ behind it, reward per USD.
    pub budget_price: &'a mut [f64],
}

/// Feedback that comes a number of queries after its decision, from one stage to the next; what is
/// still on its way at the end is never delivered.
#[derive(Debug, Clone)]
pub struct LateFeedback {
    delay: usize,
    waiting: VecDeque<(Decision, u32)>,
}

impl LateFeedback {
    /// A queue for feedback that comes when `delay` further decisions have been made.
    #[must_use]
    pub fn new(delay: usize) -> Self {
        Self { delay, waiting: VecDeque::new() }
    }

    /// Takes a new decision; returns the one whose feedback is due.
    fn next_due(&mut self, decision: Decision, row: u32) -> Option<(Decision, u32)> {
        self.waiting.push_back((decision, row));
        if self.waiting.len() > self.delay { self.waiting.pop_front() } else { None }
    }
}

/// Replays the queries in `rows` (each a row of `outcomes`) through a policy, feedback at once or
/// late. `should_stop` is asked every thousand queries or so.
///
/// # Errors
/// [`Error::WrongLength`] if the trace does not fit; [`Error::InvalidElement`] for a row out of
/// range; [`Error::ReplayStopped`] if `should_stop` said so; whatever the policy returns. In the last
/// two cases the trace is written up to that query.
pub fn replay<P: Policy + ?Sized>(
    policy: &mut P,
    outcomes: &OutcomeMatrix<'_>,
    rows: &[u32],
    trace: &mut Trace<'_>,
    mut late: Option<&mut LateFeedback>,
    should_stop: &mut dyn FnMut() -> bool,
) -> Result<(), Error> {
    for (argument, actual) in [
        ("trace.arm", trace.arm.len()),
        ("trace.probability", trace.probability.len()),
        ("trace.budget_price", trace.budget_price.len()),
    ] {
        if actual != rows.len() {
            let rule = "one for each query";
            return Err(Error::WrongLength { argument, actual, expected: rows.len(), rule });
        }
    }
    if let Some(index) = rows.iter().position(|&row| row as usize >= outcomes.rows()) {
        let (argument, rule) = ("rows", "must be a row of the outcome matrix");
        let value = f64::from(rows[index]);
        return Err(Error::InvalidElement { argument, index, value, rule });
    }
    for (t, &row) in rows.iter().enumerate() {
        if t % QUERIES_PER_LOOK == 0 && should_stop() {
            return Err(Error::ReplayStopped { queries: t });
        }
        if let Some(&row) = rows.get(t + READ_AHEAD) {
            outcomes.prefetch(row);
        }
        // Looked at where it was written: a copy would wait until all of it has been.
        let result = policy.route(row as usize);
        let Ok(decision) = &result else { return result.map(drop) };
        trace.arm[t] = decision.arm.0;
        trace.probability[t] = decision.probability;
        trace.budget_price[t] = decision.budget_price;
        let Some(late) = &mut late else {
            let outcome = outcomes.outcome(row as usize, decision.arm);
            policy.observe(row as usize, decision, outcome)?;
            continue;
        };
        if let Some((due, row)) = late.next_due(*decision, row) {
            policy.observe(row as usize, &due, outcomes.outcome(row as usize, due.arm))?;
        }
    }
    Ok(())
}
