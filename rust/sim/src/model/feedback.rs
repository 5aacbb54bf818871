//! What feedback does, and how often it counts: once.

use stageroute_core::checks::{is_bill, is_reward};
use stageroute_core::{
    ArmIndex, Batch, Charge, Correct, Error, Fail, FailureEffect, FailureReason, Failures,
    Observation, Observe, ObserveMany, Release, Router, RouterConfig, Strike, Tokens,
};

use super::health::Trip;
use super::money::nano;
use super::{Kind, Model};
use crate::broken::{Checked, ensure};

/// Whether a call did what it had to do.
fn same<T: PartialEq + std::fmt::Debug>(
    expected: &Result<T, Kind>,
    answer: &Result<T, Error>,
    call: &impl std::fmt::Debug,
) -> Checked {
    let is_same = match (expected, answer) {
        (Ok(expected), Ok(answer)) => expected == answer,
        (Err(kind), Err(error)) => *kind == Kind::of(error),
        _ => false,
    };
    ensure!(is_same, "{call:?} answered {answer:?}, not {expected:?}");
    Ok(())
}

fn is_valid(observation: &Observation) -> bool {
    let is_count = |tokens: f64| (0.0..=1e9).contains(&tokens);
    let are_tokens = |Tokens { input, cached, output }| {
        is_count(input) && is_count(output) && (0.0..=input).contains(&cached)
    };
    observation.reward.is_none_or(is_reward)
        && observation.cost.is_none_or(is_bill)
        && observation.tokens.is_none_or(are_tokens)
}

fn has_cost(observation: &Observation) -> bool {
    observation.cost.is_some() || observation.tokens.is_some()
}

/// What a failure does, by the settings.
pub(crate) fn effect(config: &RouterConfig, reason: FailureReason) -> Option<FailureEffect> {
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
    pub(crate) fn observe(
        &mut self,
        call: &Observe,
        answer: &Result<(), Error>,
        router: &Router,
    ) -> Checked {
        let expected = self.try_observe(call.now, &call.observation);
        same(&expected, answer, call)?;
        self.check_feedback(call.observation.id, router)
    }

    pub(crate) fn observe_many(
        &mut self,
        call: &ObserveMany<'_>,
        answer: &Result<Batch, Error>,
        router: &Router,
    ) -> Checked {
        let expected = self.try_observe_many(call);
        same(&expected, answer, call)?;
        self.check_clock(router)
    }

    pub(crate) fn release(
        &mut self,
        call: &Release,
        answer: &Result<(), Error>,
        router: &Router,
    ) -> Checked {
        let expected = self.tell(call.now).and_then(|_| self.find(call.id));
        same(&expected.map(|id| self.finish(id)), answer, call)?;
        self.check_feedback(call.id, router)
    }

    /// The decision, if it can take feedback; counts it where it cannot.
    fn find(&mut self, id: u64) -> Result<usize, Kind> {
        let found = self.look_up(id);
        self.count(found.err());
        found
    }

    fn look_up(&self, id: u64) -> Result<usize, Kind> {
        let made = self.entries.len() as u64;
        let place = usize::try_from(id).ok().filter(|_| id < made).ok_or(Kind::Unknown)?;
        let is_kept = place >= self.oldest && !self.is_too_old(place);
        if is_kept { Ok(place) } else { Err(Kind::Expired) }
    }

    fn count(&mut self, refusal: Option<Kind>) {
        match refusal {
            Some(Kind::Unknown) => self.counters.unknown += 1,
            Some(Kind::Expired) => self.counters.expired += 1,
            Some(Kind::Already) => self.counters.repeated += 1,
            _ => {}
        }
    }

    fn try_observe(&mut self, now: f64, observation: &Observation) -> Result<(), Kind> {
        if !is_valid(observation) {
            return Err(Kind::Input);
        }
        let before = self.clock;
        self.tell(now)?;
        match self.admit(observation) {
            Ok(id) => {
                self.learn(id, observation);
                Ok(())
            }
            Err(Kind::Input) => {
                self.clock = before;
                Err(Kind::Input)
            }
            Err(kind) => {
                self.count(Some(kind));
                Err(kind)
            }
        }
    }

    fn admit(&self, observation: &Observation) -> Result<usize, Kind> {
        let id = self.look_up(observation.id)?;
        let entry = &self.entries[id];
        let is_again = (observation.reward.is_some() && entry.has_reward)
            || (has_cost(observation) && entry.bill.is_some() && !entry.is_estimate);
        if is_again {
            return Err(Kind::Already);
        }
        if self.is_billable(id, observation) { Ok(id) } else { Err(Kind::Input) }
    }

    /// Tokens alone are billed at prices.
    fn is_billable(&self, id: usize, observation: &Observation) -> bool {
        let has_tokens_alone = observation.tokens.is_some() && observation.cost.is_none();
        let entry = &self.entries[id];
        !has_tokens_alone || entry.prices.is_some() || (entry.bill.is_some() && !entry.is_estimate)
    }

    fn try_observe_many(&mut self, call: &ObserveMany<'_>) -> Result<Batch, Kind> {
        let ObserveMany { now, observations, all_or_none } = call;
        if !observations.iter().all(is_valid) {
            return Err(Kind::Input);
        }
        let before = self.clock;
        self.tell(*now)?;
        let refused = if *all_or_none {
            self.admit_all(observations).err()
        } else {
            let is_unbillable = |each: &Observation| {
                self.look_up(each.id).is_ok_and(|id| !self.is_billable(id, each))
            };
            observations.iter().any(is_unbillable).then_some(Kind::Input)
        };
        if let Some(kind) = refused {
            if kind == Kind::Input {
                self.clock = before;
            }
            self.count(Some(kind));
            return Err(kind);
        }
        let mut batch = Batch::default();
        for observation in observations.iter() {
            match self.try_observe(*now, observation) {
                Ok(()) => batch.counted += 1,
                Err(Kind::Unknown) => batch.unknown += 1,
                Err(Kind::Expired) => batch.expired += 1,
                Err(_) => batch.repeated += 1,
            }
        }
        Ok(batch)
    }

    /// Whether all can be counted, one after the other.
    fn admit_all(&self, observations: &[Observation]) -> Result<(), Kind> {
        for (place, this) in observations.iter().enumerate() {
            let repeats = |other: &Observation| {
                other.id == this.id
                    && ((other.reward.is_some() && this.reward.is_some())
                        || (has_cost(other) && has_cost(this)))
            };
            if observations[..place].iter().any(repeats) {
                return Err(Kind::Already);
            }
            self.admit(this)?;
        }
        Ok(())
    }

    fn learn(&mut self, id: usize, observation: &Observation) {
        let Observation { reward, cost, tokens, .. } = *observation;
        let entry = self.entries[id];
        let at_prices = |tokens: Tokens| entry.prices.map(|prices| prices.bill(&tokens));
        let bill = cost.or_else(|| tokens.and_then(at_prices));
        if let Some(bill) = bill.filter(|_| entry.is_estimate) {
            // It failed: that says nothing of a query that is answered.
            self.replace_bill(id, bill);
        } else if let Some(bill) = bill {
            let arm = &mut self.arms[entry.arm];
            let is_priced = arm.settings.prices.is_some();
            let is_learnt = !is_priced || tokens.is_some();
            self.counters.costs_without_tokens += u64::from(!is_learnt);
            arm.costs += u64::from(is_learnt);
            self.bill(id, bill);
        }
        if let Some(Tokens { input, output, .. }) = tokens {
            self.arms[entry.arm].traffic.use_tokens(id as u64, input + output);
        }
        if let Some(reward) = reward {
            self.reward(id, reward);
        }
        self.finish(id);
    }

    fn reward(&mut self, id: usize, reward: f64) {
        self.entries[id].has_reward = true;
        self.counters.rewards += 1;
        let (count, sum) = &mut self.arms[self.entries[id].arm].rewards;
        *count += 1;
        *sum += reward;
    }

    fn bill(&mut self, id: usize, bill: f64) {
        let entry = &mut self.entries[id];
        entry.bill = Some(bill);
        self.ledger.billed += bill;
        self.ledger.in_flight -= entry.expected;
        self.counters.costs += 1;
        if self.money.is_off() {
            return;
        }
        let amount = nano(bill);
        let is_above = entry.reservation.is_none_or(|reservation| amount > reservation);
        self.counters.above_reservation += u64::from(is_above);
        self.has_excess |= is_above;
        self.money.bill(id as u64, entry.wall, entry.reservation.unwrap_or(0), amount);
    }

    /// Another bill takes the place of one that was known, or assumed.
    fn replace_bill(&mut self, id: usize, bill: f64) {
        let entry = self.entries[id];
        let before = entry.bill.unwrap_or(0.0);
        (self.entries[id].bill, self.entries[id].is_estimate) = (Some(bill), false);
        self.ledger.billed += bill - before;
        self.counters.corrected += 1;
        if self.money.is_off() {
            return;
        }
        let (before, amount) = (nano(before), nano(bill));
        let reserved = if entry.is_estimate { entry.reservation } else { Some(before) };
        let is_above = reserved.is_none_or(|reserved| amount > reserved.max(before));
        self.counters.above_reservation += u64::from(is_above);
        self.has_excess |= is_above;
        self.money.bill(id as u64, entry.wall, before, amount);
    }

    pub(crate) fn correct(
        &mut self,
        call: &Correct,
        answer: &Result<(), Error>,
        router: &Router,
    ) -> Checked {
        let expected = self.try_correct(call);
        same(&expected, answer, call)?;
        self.check_feedback(call.id, router)
    }

    fn try_correct(&mut self, call: &Correct) -> Result<(), Kind> {
        if !is_bill(call.cost) {
            return Err(Kind::Input);
        }
        let before = self.clock;
        self.tell(call.now)?;
        let id = self.find(call.id)?;
        if self.entries[id].bill.is_none() {
            self.clock = before;
            return Err(Kind::Input);
        }
        self.replace_bill(id, call.cost);
        Ok(())
    }

    /// The query was answered.
    fn finish(&mut self, id: usize) {
        let entry = &mut self.entries[id];
        if entry.is_released {
            return;
        }
        entry.is_released = true;
        let arm = &mut self.arms[entry.arm];
        arm.traffic.under_way -= 1;
        arm.health.succeed(entry.at, self.clock, &self.config.health);
    }

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

    /// What is taken for a bill: what was expected, but no more than was reserved.
    fn assumed_bill(&self, id: usize, router: &Router) -> f64 {
        let entry = &self.entries[id];
        match entry.reservation {
            _ if self.money.is_off() => entry.expected,
            Some(reservation) => entry.expected.min(reservation as f64 / 1e9),
            // Only the router knows what it reserved where no limit asked for it.
            None => (router.ledger().billed - self.ledger.billed).max(0.0),
        }
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
        let has_tripped = match arm.health.strike(strike, sent, config) {
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

    /// An arm's health, after feedback for one of its decisions.
    fn check_feedback(&self, id: u64, router: &Router) -> Checked {
        self.check_clock(router)?;
        let Some(entry) = usize::try_from(id).ok().and_then(|id| self.entries.get(id)) else {
            return Ok(());
        };
        let (arm, config) = (&self.arms[entry.arm], &self.config.health);
        let state = router.arm(entry.arm);
        let found = (state.health.is_closed(), state.under_way);
        let expected = (arm.health.level == 0, arm.traffic.under_way);
        ensure!(found == expected, "arm {} is {found:?}, not {expected:?}", entry.arm);
        let opens = arm.health.opens(config).max(self.clock);
        let reopens = state.health.reopens(config).max(self.clock);
        let is_same = (opens - reopens).abs() <= 1e-9 * opens;
        ensure!(is_same, "arm {} opens at {reopens}, not at {opens}", entry.arm);
        if let Some(chance) = arm.health.chance_at(self.clock) {
            let found = state.answer_chance;
            let is_close = (found - chance).abs() <= 1e-3;
            ensure!(is_close, "arm {} answers with {found}, not {chance}", entry.arm);
        }
        Ok(())
    }
}
