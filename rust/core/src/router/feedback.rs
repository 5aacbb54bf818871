//! From feedback to statistics, bills and health.

use super::Router;
use super::arm::Arm;
use super::events::Event;
use super::observation::{Batch, Observation};
use crate::arm_index::ArmIndex;
use crate::confidence::Bounds;
use crate::decisions::{Bill, OpenDecision};
use crate::error::Error;
use crate::tariff::Usage;
use crate::usage::{CostFeedback, Tokens};

impl Router {
    /// Counts the reward, the cost, or both, of an earlier decision. Each counts once.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`], [`Error::InvalidFeedback`]; or, counted, [`Error::UnknownDecision`],
    /// [`Error::ExpiredDecision`] or [`Error::AlreadyObserved`]. Nothing else changes then.
    ///
    /// What a failure was only assumed to cost gives way to the cost observed.
    #[inline]
    pub fn observe(&mut self, now: f64, observation: &Observation) -> Result<(), Error> {
        observation.validate()?;
        let before = self.clock;
        let now = self.advance_clock(now)?;
        match self.admit(now, observation) {
            Err(error @ Error::InvalidFeedback(_)) => {
                self.clock = before;
                Err(error)
            }
            Ok(open) => {
                let before = open.take(observation);
                self.learn(now, &before, observation);
                Ok(())
            }
            Err(error) => Err(self.count_refusal(error)),
        }
    }

    /// [`Router::observe`] with tokens of all kinds: without a `cost` they are billed at the arm's list.
    ///
    /// # Errors
    /// As [`Router::observe`].
    pub fn observe_usage(
        &mut self,
        now: f64,
        observation: &Observation,
        usage: &Usage,
    ) -> Result<(), Error> {
        usage.validate()?;
        let open = self.decisions.find(observation.id, now.max(self.clock)).map(|open| *open);
        let list = open.ok().and_then(|open| self.arms[open.arm].list_bill(open.prices, usage));
        let cost = observation.cost.or(list);
        self.observe(now, &Observation { cost, tokens: Some(usage.tokens()), ..*observation })
    }

    /// Counts a batch of observations, all or none.
    ///
    /// # Errors
    /// The index of the first bad observation, and its error as in [`Router::observe`].
    pub fn observe_all(
        &mut self,
        now: f64,
        observations: &[Observation],
    ) -> Result<(), (usize, Error)> {
        validate_all(observations)?;
        let before = self.clock;
        let now = self.advance_clock(now).map_err(|error| (0, error))?;
        // The same decision may be there twice, so that each claims what it brings before the next is asked.
        for (index, observation) in observations.iter().enumerate() {
            match self.admit(now, observation) {
                Ok(open) => open.claim(observation),
                Err(error) => {
                    self.unclaim(now, &observations[..index]);
                    if matches!(error, Error::InvalidFeedback(_)) {
                        self.clock = before;
                    }
                    return Err((index, self.count_refusal(error)));
                }
            }
        }
        self.unclaim(now, observations);
        for (index, observation) in observations.iter().enumerate() {
            self.observe(now, observation).map_err(|error| (index, error))?;
        }
        Ok(())
    }

    /// Counts those observations of a batch that can be counted, and says how many those were.
    ///
    /// # Errors
    /// The index of the first observation whose values break a rule; nothing is counted then.
    pub fn observe_each(
        &mut self,
        now: f64,
        observations: &[Observation],
    ) -> Result<Batch, (usize, Error)> {
        validate_all(observations)?;
        let before = self.clock;
        let now = self.advance_clock(now).map_err(|error| (0, error))?;
        for (index, observation) in observations.iter().enumerate() {
            let open = self.decisions.find(observation.id, now);
            if let Err(error) = open.map_or(Ok(()), |open| check_billable(open, observation)) {
                self.clock = before;
                return Err((index, error));
            }
        }
        let mut batch = Batch::default();
        for (index, observation) in observations.iter().enumerate() {
            match self.observe(now, observation) {
                Ok(()) => batch.counted += 1,
                Err(Error::AlreadyObserved { .. }) => batch.repeated += 1,
                Err(Error::UnknownDecision { .. }) => batch.unknown += 1,
                Err(Error::ExpiredDecision { .. }) => batch.expired += 1,
                Err(error) => return Err((index, error)),
            }
        }
        Ok(batch)
    }

    /// Notes that the answer to a query is complete, so that it no longer occupies its arm; reward
    /// and cost may still come. The first observation of a decision does the same.
    ///
    /// # Errors
    /// [`Error::UnknownDecision`] or [`Error::ExpiredDecision`], counted.
    pub fn release(&mut self, now: f64, id: u64) -> Result<(), Error> {
        let now = self.advance_clock(now)?;
        match self.decisions.find(id, now) {
            Ok(open) => {
                let open = open.release();
                self.succeed(&open, now);
                Ok(())
            }
            Err(error) => Err(self.count_refusal(error)),
        }
    }

    /// The decision of an observation, if it can take it.
    #[inline]
    fn admit(&mut self, now: f64, observation: &Observation) -> Result<&mut OpenDecision, Error> {
        let id = observation.id;
        let open = self.decisions.find(id, now)?;
        if observation.reward.is_some() && open.has_reward {
            return Err(Error::AlreadyObserved { id, kind: "reward" });
        }
        if observation.has_cost() && open.has_cost && open.bill != Bill::Estimate {
            return Err(Error::AlreadyObserved { id, kind: "cost" });
        }
        check_billable(open, observation)?;
        Ok(open)
    }

    /// Takes back what [`OpenDecision::claim`] noted.
    fn unclaim(&mut self, now: f64, observations: &[Observation]) {
        for observation in observations {
            if let Ok(open) = self.decisions.find(observation.id, now) {
                open.has_reward &= observation.reward.is_none();
                if observation.has_cost() {
                    open.has_cost = open.bill == Bill::Due;
                    open.bill = if open.has_cost { Bill::Estimate } else { Bill::Unknown };
                }
            }
        }
    }

    /// Updates everything with an observation that was taken; `open` is how its decision was before.
    #[inline]
    fn learn(&mut self, now: f64, open: &OpenDecision, observation: &Observation) {
        let Observation { id, reward, cost, tokens } = *observation;
        let mut lesson = None;
        if let Some(tokens) = tokens {
            lesson = self.learn_tokens(now, open, observation, tokens);
        } else if let Some(usd) = cost {
            if open.has_cost {
                self.replace_bill(id, open, usd);
            } else {
                self.bill(id, open, usd);
                let has_prices = self.arms[open.arm].settings.prices.is_some();
                self.counters.costs_without_tokens += u64::from(has_prices);
                lesson = (!has_prices).then_some(CostFeedback::Usd(usd));
            }
        }
        self.counters.rewards += u64::from(reward.is_some());
        if reward.is_some() || lesson.is_some() {
            self.update(open.arm, reward, lesson);
        }
        self.succeed(open, now);
    }

    /// Bills what was used, at what it was billed if that is told; returns what is to be learnt.
    #[inline(never)]
    fn learn_tokens(
        &mut self,
        now: f64,
        open: &OpenDecision,
        observation: &Observation,
        tokens: Tokens,
    ) -> Option<CostFeedback> {
        let arm = &self.arms[open.arm];
        let (cost, takes_bills) = (observation.cost, self.takes_bills);
        // Tokens alone are admitted only where there are prices to bill them at.
        let list = || arm.list_bill(open.prices, &tokens.into());
        let usd = cost.or_else(list).unwrap_or_default();
        let used = tokens.input + tokens.output;
        self.settle_tokens(observation.id, open, used, now);
        self.decisions.note_bill(observation.id, usd, used);
        if open.has_cost {
            // It failed: what it was billed says nothing of a query that is answered.
            self.replace_bill(observation.id, open, usd);
            return None;
        }
        let arm = &mut self.arms[open.arm];
        let lesson = match arm.settings.prices {
            None => Some(CostFeedback::Usd(usd)),
            Some(prices) if (cost.is_some() && takes_bills) || arm.tariff().is_some() => {
                let known = arm.prices.get((open.prices as usize).wrapping_sub(1));
                arm.learn_markup(known.unwrap_or(&prices).usage_worth(usd, &tokens), used)
            }
            Some(_) => Some(CostFeedback::Tokens(tokens)),
        };
        self.counters.costs_without_tokens += u64::from(lesson.is_none());
        self.bill(observation.id, open, usd);
        lesson
    }

    /// Updates an arm's statistics and its entry in the LP.
    #[inline]
    pub(super) fn update(
        &mut self,
        arm: ArmIndex,
        reward: Option<f64>,
        cost: Option<CostFeedback>,
    ) {
        let bounds = self.learner.learn(arm, reward, cost);
        debug_assert!(bounds.is_sound(), "{bounds:?} of arm {arm}");
        self.load_bounds(arm, bounds);
    }

    /// Writes what an attempt of an arm is worth to the LP.
    pub(super) fn load_value(&mut self, arm: ArmIndex) {
        self.load_bounds(arm, self.learner.bounds()[arm]);
    }

    #[inline]
    fn load_bounds(&mut self, arm: ArmIndex, bounds: Bounds) {
        if let (Some(slot), Some(lp)) = (self.live.slot(arm), &mut self.lp) {
            if self.gates.unproven {
                let Bounds { reward_ucb, cost_lcb } = self.arms[arm].answers.of_attempt(bounds);
                lp.set_arm(slot, reward_ucb, cost_lcb);
                self.widen_share(arm);
            } else {
                lp.set_arm(slot, bounds.reward_ucb, bounds.cost_lcb);
            }
        }
    }

    /// The query was answered: it no longer occupies its arm, which works. One that has failed was
    /// released by that.
    #[inline]
    fn succeed(&mut self, open: &OpenDecision, now: f64) {
        if open.is_released {
            return;
        }
        let Arm { traffic, health, .. } = &mut self.arms[open.arm];
        debug_assert!(!open.has_failed, "what has failed was released by that: {open:?}");
        traffic.release(open.at, now);
        let has_closed = health.note_success(open.at);
        if has_closed || self.gates.unproven {
            self.note_recovery(open, has_closed, now);
        }
    }

    /// Counts an answer for an arm that has failed before.
    #[cold]
    fn note_recovery(&mut self, open: &OpenDecision, has_closed: bool, now: f64) {
        if has_closed {
            self.update_gates();
            self.note(Event::Recovered { arm: open.arm });
        }
        let half_lives = self.config.health.tolerance.half_lives();
        let Arm { answers, limiter, .. } = &mut self.arms[open.arm];
        if let Some(limiter) = limiter {
            limiter.note_accepted(open.at);
        }
        if !answers.is_clean() {
            if has_closed {
                answers.forget_recent();
            }
            answers.note_answer(now, half_lives);
            if answers.is_clean() {
                self.look_for_unproven();
                self.update_gates();
            }
            self.load_value(open.arm);
        }
    }

    /// Settles the decisions that are too old for feedback.
    #[inline(never)]
    pub(super) fn write_off_aged(&mut self, now: f64) {
        while let Some(evicted) = self.decisions.evict_aged(now) {
            self.write_off(&evicted);
        }
    }

    /// Settles a decision that was evicted: what is still unknown of it is never taken for free.
    #[inline]
    pub(super) fn write_off(&mut self, open: &OpenDecision) {
        debug_assert!(open.at <= self.clock, "decided later than now: {open:?}");
        if !open.has_cost {
            self.ledger.land(open.expected_cost);
            self.ledger.written_off += open.expected_cost;
            self.counters.evicted += 1;
        }
        if !open.is_released {
            self.arms[open.arm].traffic.forget();
        }
    }

    #[cold]
    pub(super) fn count_refusal(&mut self, error: Error) -> Error {
        match error {
            Error::AlreadyObserved { .. } => self.counters.repeated += 1,
            Error::UnknownDecision { .. } => self.counters.unknown += 1,
            Error::ExpiredDecision { .. } => self.counters.expired += 1,
            _ => {}
        }
        error
    }
}

impl OpenDecision {
    /// Notes what it has had with an observation; returns what was known before.
    #[inline]
    fn take(&mut self, observation: &Observation) -> Self {
        let before = *self;
        self.has_reward |= observation.reward.is_some();
        self.is_released = true;
        if observation.has_cost() {
            debug_assert!(!self.has_cost || self.bill == Bill::Estimate, "a cost counts once");
            self.has_cost = true;
            self.bill = Bill::Known;
            self.expected_cost = observation.cost.unwrap_or(self.expected_cost);
        }
        before
    }

    /// Notes what an observation would bring.
    fn claim(&mut self, observation: &Observation) {
        self.has_reward |= observation.reward.is_some();
        if observation.has_cost() {
            self.bill = if self.has_cost { Bill::Due } else { Bill::Unknown };
            self.has_cost = true;
        }
    }
}

/// Tokens can be billed only at prices.
#[inline]
fn check_billable(open: &OpenDecision, observation: &Observation) -> Result<(), Error> {
    let has_tokens_alone = observation.tokens.is_some() && observation.cost.is_none();
    let takes_bill = !open.has_cost || open.bill == Bill::Estimate;
    if has_tokens_alone && open.prices == 0 && takes_bill {
        return Err(Error::InvalidFeedback(
            "tokens without a cost: this model has no prices, so that its tokens cannot be billed; \
             give the cost too, or give the model prices",
        ));
    }
    Ok(())
}

fn validate_all(observations: &[Observation]) -> Result<(), (usize, Error)> {
    for (index, observation) in observations.iter().enumerate() {
        observation.validate().map_err(|error| (index, error))?;
    }
    Ok(())
}
