//! Queries that were not served.

use super::Router;
use super::arm::Arm;
use super::effects::{Charge, FailureEffect, FailureReason};
use super::events::Event;
use crate::answers::Answers;
use crate::arm_index::ArmIndex;
use crate::checks::{BILL_RULE, check, is_bill};
use crate::decisions::{Bill, OpenDecision};
use crate::error::Error;
use crate::health::{Strike, Tolerance};
use crate::limiter::Limiter;
use crate::stats::ArmStats;

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
        let FailureEffect { reward, charge, strike } = self.config.effect_of(reason)?;
        let now = self.advance_clock(now)?;
        let open = match self.decisions.find(id, now) {
            Ok(open) if open.has_failed || (open.has_reward && open.has_cost) => {
                return Err(self.count_refusal(Error::AlreadyObserved { id, kind: "outcome" }));
            }
            Ok(open) => *open,
            Err(error) => return Err(self.count_refusal(error)),
        };
        let reward = reward.filter(|_| !open.has_reward);
        let kind = if cost.is_some() { Bill::Known } else { Bill::Estimate };
        let kind = if self.takes_bills { kind } else { Bill::Unknown };
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
        self.counters.count_failure(reason);
        if let Some(bill) = bill {
            // A failed query may have used nothing: its tokens come back unless it was billed.
            (marked.expected_cost, marked.bill) = (bill, kind);
            if bill <= 0.0 {
                marked.tokens = 0.0;
                self.settle_tokens(id, &open, 0.0, now);
            }
            self.bill(id, &open, bill);
        }
        if reward.is_some() {
            self.counters.rewards += 1;
            self.update(open.arm, reward, None);
        }
        if !open.is_released {
            self.arms[open.arm].traffic.release(open.at, now);
        }
        let counts = strike != Strike::None && strike != Strike::Throttle && reward.is_none();
        if counts && self.config.health.tolerance.counts_failures() {
            self.count_against(open.arm, bill.unwrap_or(0.0), now);
        }
        self.strike(&open, strike, retry_after, now);
        Ok(())
    }

    /// Lowers an arm's chance of an answer. A failure with a reward of its own has lowered that instead.
    fn count_against(&mut self, arm: ArmIndex, bill: f64, now: f64) {
        let ArmStats { reward, cost } = &self.learner.stats()[arm];
        let answers = reward.count().max(cost.count());
        let half_lives = self.config.health.tolerance.half_lives();
        self.arms[arm].answers.note_failure(now, half_lives, answers, bill);
        self.gates.unproven = true;
        self.update_gates();
        self.load_value(arm);
    }

    /// What a failure means for an arm's health and for how much traffic it gets.
    fn strike(&mut self, open: &OpenDecision, strike: Strike, retry_after: Option<f64>, now: f64) {
        let config = self.config.health;
        let Tolerance { failure_rate, min_attempts, learns_limits, .. } = config.tolerance;
        let Arm { health, answers, limiter, traffic, .. } = &mut self.arms[open.arm];
        let rate = answers.failure_rate(min_attempts);
        let is_too_often = failure_rate.is_some_and(|most| rate.is_some_and(|rate| rate >= most));
        let (mut at_least, mut learnt) = (0.0, None);
        if let Some(seconds) = retry_after {
            if learns_limits {
                health.pause(seconds, now, &config);
            } else {
                at_least = seconds;
            }
        }
        if strike == Strike::Throttle && learns_limits {
            let limiter =
                limiter.get_or_insert_with(|| Box::new(Limiter::new(traffic.requests_sent(), now)));
            let is_learnt = limiter.note_refused(retry_after.is_some(), open.at, now);
            learnt = is_learnt.then(|| limiter.per_minute(now));
            self.gates.unproven = true;
            self.shares_due = f64::NEG_INFINITY;
        }
        if health.note_failure(strike, is_too_often, at_least, open.at, now, &config) {
            self.counters.cooldowns += 1;
            let is_live = self.live.slot(open.arm).is_some();
            self.has_lost_slot |= is_live && health.has_failed(now, &config);
            let seconds = health.cooled_until() - now;
            self.note(Event::CooledDown { arm: open.arm, seconds });
        }
        if let Some(per_minute) = learnt {
            self.note(Event::LearntLimit { arm: open.arm, per_minute });
        }
        self.update_gates();
    }

    /// Ends an arm's cool-down, and whatever else keeps traffic from it for its failures: its owner knows
    /// that it works.
    ///
    /// # Errors
    /// [`Error::UnknownArm`] or [`Error::RetiredArm`].
    pub fn end_cooldown(&mut self, now: f64, arm: ArmIndex) -> Result<(), Error> {
        self.check_candidate("arm", arm)?;
        let now = self.advance_clock(now)?;
        if !self.arms[arm].health.is_closed() {
            self.note(Event::Recovered { arm });
        }
        let state = &mut self.arms[arm];
        state.health.reset(now);
        state.answers = Answers::default();
        state.limiter = None;
        self.shares_due = f64::NEG_INFINITY;
        self.load_value(arm);
        self.update_gates();
        self.require_stage();
        Ok(())
    }

    /// Notes that an arm's provider says how many queries it will still take until a number of seconds from
    /// now, as with `x-ratelimit-remaining` and `x-ratelimit-reset`. The latest word counts, up to
    /// the longest cool-down. Of an arm that has retired it says nothing.
    ///
    /// # Errors
    /// [`Error::UnknownArm`] or [`Error::InvalidNumber`].
    pub fn note_quota(
        &mut self,
        now: f64,
        arm: ArmIndex,
        left: u32,
        reset: f64,
    ) -> Result<(), Error> {
        match self.check_candidate("arm", arm) {
            Err(Error::RetiredArm { .. }) => return Ok(()),
            known => known?,
        }
        check(reset >= 0.0, "reset", reset, "must not be negative, in seconds")?;
        let now = self.advance_clock(now)?;
        let Arm { limiter, traffic, .. } = &mut self.arms[arm];
        if limiter.is_some() || Limiter::is_few(left) {
            let until = now + reset.min(self.config.health.max_cooldown);
            limiter
                .get_or_insert_with(|| Box::new(Limiter::new(traffic.requests_sent(), now)))
                .note_quota(left, until);
            self.gates.unproven = true;
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
