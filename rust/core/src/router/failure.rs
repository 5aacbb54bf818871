//! Queries that were not served.

use super::Router;
use super::effects::{Charge, FailureEffect, FailureReason};
use crate::checks::{BILL_RULE, check, is_bill};
use crate::decisions::OpenDecision;
use crate::error::Error;

impl Router {
    /// Counts a failure: its effect on reward, bill and health is that of its reason. A `cost` that
    /// is given is billed, whatever the reason says. Nothing is learnt of the arm's cost.
    ///
    /// # Errors
    /// As [`Router::observe`]; [`Error::AlreadyObserved`] for a decision that has failed before or
    /// has had all its feedback.
    pub fn fail(
        &mut self,
        now: f64,
        id: u64,
        reason: FailureReason,
        cost: Option<f64>,
        retry_after: Option<f64>,
    ) -> Result<(), Error> {
        if let Some(cost) = cost {
            check(is_bill(cost), "cost", cost, BILL_RULE)?;
        }
        if let Some(seconds) = retry_after {
            let rule = "must be finite and not negative, in seconds";
            check(seconds.is_finite() && seconds >= 0.0, "retry_after", seconds, rule)?;
        }
        let now = self.advance_clock(now)?;
        let open = match self.decisions.find(id, now) {
            Ok(open) if open.has_failed || (open.has_reward && open.has_cost) => {
                return Err(self.count_refusal(Error::AlreadyObserved { id, kind: "outcome" }));
            }
            Ok(open) => *open,
            Err(error) => return Err(self.count_refusal(error)),
        };
        let FailureEffect { reward, charge, strike } = self.config.failures.of(reason);
        let reward = reward.filter(|_| !open.has_reward);
        let bill = match (cost, charge) {
            _ if open.has_cost => None,
            (Some(cost), _) => Some(cost),
            (None, Charge::Nothing) => Some(0.0),
            (None, Charge::Expected) => Some(self.assumed_bill(&open)),
            (None, Charge::Open) => None,
        };
        let marked = self.decisions.find(id, now)?;
        marked.has_failed = true;
        marked.has_reward |= reward.is_some();
        marked.has_cost |= bill.is_some();
        marked.is_released = true;
        debug_assert!(!open.has_failed && open.at <= now, "{open:?} at {now}");
        self.counters.failures[reason as usize] += 1;
        if let Some(bill) = bill {
            // A failed query may have used nothing: its tokens come back unless it was billed.
            let used = if bill > 0.0 { open.tokens } else { 0.0 };
            self.bill(&open, bill, Some(used), now);
        }
        if reward.is_some() {
            self.counters.rewards += 1;
            self.update(open.arm, reward, None);
        }
        if !open.is_released {
            self.arms[open.arm].traffic.release(open.at, now);
        }
        let config = self.config.health;
        let health = &mut self.arms[open.arm].health;
        if health.note_failure(strike, open.at, now, retry_after, &config) {
            self.counters.cooldowns += 1;
            let is_live = self.live.slot(open.arm).is_some();
            self.has_lost_slot |= is_live && health.has_failed(now, &config);
            self.update_gates();
        }
        Ok(())
    }

    /// What a query is taken to have cost of which that is not known: what was expected, but no more
    /// than hard limits foresaw.
    fn assumed_bill(&self, open: &OpenDecision) -> f64 {
        if self.guard.is_off() {
            return open.expected_cost;
        }
        open.expected_cost.min(open.reservation.to_usd())
    }
}
