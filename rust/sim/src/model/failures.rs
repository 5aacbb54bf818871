//! What a failure means for reward, bill and health.

use stageroute_core::checks::is_bill;
use stageroute_core::{
    ArmIndex, Charge, Error, Fail, FailureEffect, FailureReason, Failures, Router, RouterConfig,
    Strike,
};

use super::feedback::same;
use super::health::Trip;
use super::{Kind, Model};
use crate::broken::Checked;

/// What a failure does, by the settings.
fn effect(config: &RouterConfig, reason: FailureReason) -> Option<FailureEffect> {
    let Failures { timeout, rate_limit, refusal, error } = config.failures;
    match reason {
        FailureReason::Timeout => Some(timeout),
        FailureReason::RateLimit => Some(rate_limit),
        FailureReason::Refusal => Some(refusal),
        FailureReason::Error => Some(error),
        FailureReason::Other(place) => {
            config.other_failures.get(usize::from(place)).map(|other| other.effect)
        }
    }
}

impl Model {
    pub(crate) fn fail(
        &mut self,
        call: &Fail,
        answer: &Result<(), Error>,
        router: &Router,
    ) -> Checked {
        let expected = self.try_fail(call, router);
        same(&expected, answer, call)?;
        self.check_feedback(call.id, router)
    }

    fn try_fail(&mut self, call: &Fail, router: &Router) -> Result<(), Kind> {
        let Fail { now, id, reason, cost, retry_after } = *call;
        let is_length = |seconds: f64| seconds.is_finite() && seconds >= 0.0;
        if !(cost.is_none_or(is_bill) && retry_after.is_none_or(is_length)) {
            return Err(Kind::Input);
        }
        let FailureEffect { reward, charge, strike } =
            effect(&self.config, reason).ok_or(Kind::Input)?;
        let now = self.tell(now)?;
        let id = self.find(id)?;
        let before = self.entries[id];
        if before.has_failed || (before.has_reward && before.bill.is_some()) {
            self.count(Some(Kind::Already));
            return Err(Kind::Already);
        }
        (self.entries[id].has_failed, self.entries[id].is_released) = (true, true);
        self.count_reason(reason);
        let bill = match (cost, charge) {
            _ if before.bill.is_some() => None,
            (Some(cost), _) => Some(cost),
            (None, Charge::Nothing) => Some(0.0),
            (None, Charge::Expected) => Some(self.assumed_bill(id, router)),
            (None, Charge::Open) => None,
        };
        if let Some(bill) = bill {
            self.bill(id, bill);
            self.entries[id].is_estimate = cost.is_none() && self.takes_bills;
            let used = if bill > 0.0 { before.tokens } else { 0.0 };
            self.arms[before.arm].traffic.use_tokens(id as u64, used);
        }
        let reward = reward.filter(|_| !before.has_reward);
        if let Some(reward) = reward {
            self.reward(id, reward);
        }
        if !before.is_released {
            self.arms[before.arm].traffic.under_way -= 1;
        }
        let is_trouble = matches!(strike, Strike::Failure | Strike::CoolDown) && reward.is_none();
        self.trouble(before.arm, before.at, now, strike, is_trouble, retry_after, router);
        Ok(())
    }

    fn count_reason(&mut self, reason: FailureReason) {
        if let FailureReason::Other(place) = reason {
            self.counters.other_failures[usize::from(place)] += 1;
        } else if let Some(place) =
            FailureReason::NAMES.iter().position(|&(_, known)| known == reason)
        {
            self.counters.failures[place] += 1;
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn trouble(
        &mut self,
        index: ArmIndex,
        sent: f64,
        now: f64,
        strike: Strike,
        is_trouble: bool,
        retry_after: Option<f64>,
        router: &Router,
    ) {
        let config = &self.config.health;
        let tolerance = config.tolerance;
        let is_live = self.live.contains(&index);
        let arm = &mut self.arms[index];
        if is_trouble && (tolerance.memory.is_some() || tolerance.failure_rate.is_some()) {
            let known = &router.learner().stats()[index];
            let answers = known.reward.count().max(known.cost.count());
            arm.health.count_failure(answers, now, config);
        }
        let mut at_least = 0.0;
        match retry_after {
            Some(seconds) if tolerance.learns_limits => arm.health.pause(seconds, now, config),
            Some(seconds) => at_least = seconds,
            None => {}
        }
        if strike == Strike::Throttle && tolerance.learns_limits {
            arm.traffic.refused = Some(now);
        }
        let has_tripped = match arm.health.strike(strike, sent, now, config) {
            Trip::No => false,
            Trip::Yes => true,
            Trip::Either => router.counters().cooldowns > self.counters.cooldowns,
        };
        if has_tripped {
            arm.health.cool(at_least, now, config);
            self.counters.cooldowns += 1;
            self.has_lost_slot |= is_live && arm.health.has_failed(now, config);
        }
    }
}
