//! From feedback to statistics, bills and health.

use serde::{Deserialize, Serialize};

use super::Router;
use crate::decisions::OpenDecision;
use crate::error::{BILL_RULE, Error, REWARD_RULE, check, is_bill, is_reward};
use crate::guard::Nanodollars;
use crate::health::Strike;
use crate::usage::{CostFeedback, Tokens};

/// Feedback for one decision. Reward and cost may come together or apart, in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The decision.
    pub id: u64,
    /// Reward in \[0, 1\], if known.
    pub reward: Option<f64>,
    /// What it was billed, USD, if known. An arm with prices is billed by its tokens without it.
    pub cost: Option<f64>,
    /// The tokens it used, if known; part of its cost.
    pub tokens: Option<Tokens>,
}

impl Observation {
    fn has_cost(&self) -> bool {
        self.cost.is_some() || self.tokens.is_some()
    }

    fn validate(&self) -> Result<(), Error> {
        if let Some(reward) = self.reward {
            check(is_reward(reward), "reward", reward, REWARD_RULE)?;
        }
        if let Some(cost) = self.cost {
            check(is_bill(cost), "cost", cost, BILL_RULE)?;
        }
        self.tokens.map_or(Ok(()), |tokens| tokens.validate())
    }
}

/// Why a query was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureReason {
    /// No answer in time.
    Timeout,
    /// The provider refused for too much traffic.
    RateLimit,
    /// The model declined to answer.
    Refusal,
    /// Anything else.
    Error,
}

impl FailureReason {
    /// All reasons, by the name each has in the interface.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("timeout", Self::Timeout),
        ("rate_limit", Self::RateLimit),
        ("refusal", Self::Refusal),
        ("error", Self::Error),
    ];

    /// What each does unless it is set otherwise. Trouble of the provider says nothing of a model's
    /// quality; a refusal does, and is no trouble. Only a query that never ran is known to be free.
    pub const DEFAULT_EFFECTS: [FailureEffect; 4] = [
        FailureEffect { reward: None, charge: Charge::Expected, strike: Strike::Failure },
        FailureEffect { reward: None, charge: Charge::Nothing, strike: Strike::CoolDown },
        FailureEffect { reward: Some(0.0), charge: Charge::Open, strike: Strike::None },
        FailureEffect { reward: None, charge: Charge::Nothing, strike: Strike::Failure },
    ];
}

/// What a failed query is billed when its failure does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Charge {
    /// Nothing.
    Nothing,
    /// What it was expected to cost.
    Expected,
    /// That is not known yet: its cost is still to come.
    Open,
}

/// What a failure does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FailureEffect {
    /// The reward that is observed, if any.
    pub reward: Option<f64>,
    /// What is billed.
    pub charge: Charge,
    /// What it means for the arm's health.
    pub strike: Strike,
}

impl FailureEffect {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let reward = self.reward.unwrap_or(0.0);
        check(is_reward(reward), "reward", reward, REWARD_RULE)
    }
}

/// What became of the observations of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    /// Counted.
    pub counted: u64,
    /// Refused: they had come before, …
    pub repeated: u64,
    /// … their decision was never made, …
    pub unknown: u64,
    /// … or it had been evicted.
    pub expired: u64,
}

impl Router {
    /// Counts the reward, the cost, or both, of an earlier decision. Each counts once.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`], [`Error::InvalidFeedback`]; or, counted, [`Error::UnknownDecision`],
    /// [`Error::ExpiredDecision`] or [`Error::AlreadyObserved`]. Nothing else changes then.
    #[inline]
    pub fn observe(&mut self, now: f64, observation: &Observation) -> Result<(), Error> {
        observation.validate()?;
        let now = self.advance_clock(now)?;
        match self.admit(now, observation) {
            Ok(open) => self.learn(now, open, observation),
            Err(error) => Err(self.count_refusal(error)),
        }
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
        let now = self.advance_clock(now).map_err(|error| (0, error))?;
        for (index, observation) in observations.iter().enumerate() {
            if let Err(error) = self.admit(now, observation) {
                for earlier in &observations[..index] {
                    self.unmark(now, earlier);
                }
                return Err((index, self.count_refusal(error)));
            }
        }
        for (index, observation) in observations.iter().enumerate() {
            self.decisions
                .find(observation.id, now)
                .and_then(|open| self.learn(now, open, observation))
                .map_err(|error| (index, error))?;
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
        let now = self.advance_clock(now).map_err(|error| (0, error))?;
        for (index, observation) in observations.iter().enumerate() {
            let open = self.decisions.find(observation.id, now);
            open.map_or(Ok(()), |open| check_billable(&open, observation))
                .map_err(|error| (index, error))?;
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
        let mut open = match self.decisions.find(id, now) {
            Ok(open) if open.has_failed || (open.has_reward && open.has_cost) => {
                return Err(self.count_refusal(Error::AlreadyObserved { id, kind: "outcome" }));
            }
            Ok(open) => open,
            Err(error) => return Err(self.count_refusal(error)),
        };
        let FailureEffect { reward, charge, strike } = self.config.failures[reason as usize];
        let reward = reward.filter(|_| !open.has_reward);
        let bill = match (cost, charge) {
            _ if open.has_cost => None,
            (Some(cost), _) => Some(cost),
            (None, Charge::Nothing) => Some(0.0),
            (None, Charge::Expected) => Some(self.assumed_bill(&open)),
            (None, Charge::Open) => None,
        };
        open.has_failed = true;
        open.has_reward |= reward.is_some();
        open.has_cost |= bill.is_some();
        self.counters.failures[reason as usize] += 1;
        if let Some(bill) = bill {
            // A failed query may have used nothing: its tokens come back unless it was billed.
            let used = if bill > 0.0 { open.tokens } else { 0.0 };
            self.bill(&open, bill, Some(used), now);
        }
        if reward.is_some() {
            self.counters.rewards += 1;
            self.update(open.arm as usize, reward, None)?;
        }
        self.release_open(&mut open, now);
        self.decisions.update(id, open);
        let config = self.config.health;
        let health = &mut self.arms[open.arm as usize].health;
        if health.note_failure(strike, open.at, now, retry_after, &config) {
            self.counters.cooldowns += 1;
            let is_live = self.plan.slot(open.arm as usize).is_some();
            self.has_lost_slot |= is_live && health.has_failed(now, &config);
            self.update_gates();
        }
        Ok(())
    }

    /// Notes that the answer to a query is complete, so that it no longer occupies its arm; reward
    /// and cost may still come. The first observation of a decision does the same.
    ///
    /// # Errors
    /// [`Error::UnknownDecision`] or [`Error::ExpiredDecision`], counted.
    pub fn release(&mut self, now: f64, id: u64) -> Result<(), Error> {
        let now = self.advance_clock(now)?;
        match self.decisions.find(id, now) {
            // A query that has failed was released by that, and has not succeeded.
            Ok(open) if open.is_released => Ok(()),
            Ok(mut open) => {
                self.succeed(&mut open, now);
                self.decisions.update(id, open);
                Ok(())
            }
            Err(error) => Err(self.count_refusal(error)),
        }
    }

    /// Finds the decision of an observation, if it can take it, and notes that it has had it.
    #[inline]
    fn admit(&mut self, now: f64, observation: &Observation) -> Result<OpenDecision, Error> {
        let id = observation.id;
        let (reward, cost) = (observation.reward.is_some(), observation.has_cost());
        let open = self.decisions.find(id, now)?;
        if reward && open.has_reward {
            return Err(Error::AlreadyObserved { id, kind: "reward" });
        }
        if cost && open.has_cost {
            return Err(Error::AlreadyObserved { id, kind: "cost" });
        }
        check_billable(&open, observation)?;
        let (has_reward, has_cost) = (open.has_reward || reward, open.has_cost || cost);
        self.decisions.update(id, OpenDecision { has_reward, has_cost, ..open });
        Ok(open)
    }

    /// Takes back what [`Router::admit`] noted.
    fn unmark(&mut self, now: f64, observation: &Observation) {
        if let Ok(mut open) = self.decisions.find(observation.id, now) {
            open.has_reward &= observation.reward.is_none();
            open.has_cost &= !observation.has_cost();
            self.decisions.update(observation.id, open);
        }
    }

    /// Updates everything with an observation that was admitted.
    #[inline]
    fn learn(
        &mut self,
        now: f64,
        open: OpenDecision,
        observation: &Observation,
    ) -> Result<(), Error> {
        let Observation { id, reward, cost, tokens } = *observation;
        let arm = open.arm as usize;
        let mut lesson = None;
        if observation.has_cost() {
            let bill = match (cost, tokens) {
                (Some(cost), _) => cost,
                (None, Some(tokens)) => {
                    self.arms[arm].prices[open.prices as usize - 1].bill(&tokens)
                }
                (None, None) => 0.0,
            };
            let is_priced = self.arms[arm].settings.prices.is_some();
            lesson = match tokens {
                Some(tokens) if is_priced => Some(CostFeedback::Tokens(tokens)),
                _ if is_priced => None,
                _ => Some(CostFeedback::Usd(bill)),
            };
            self.counters.costs_without_tokens += u64::from(lesson.is_none());
            let used = tokens.map(|tokens| tokens.input + tokens.output);
            self.bill(&open, bill, used, now);
        }
        self.counters.rewards += u64::from(reward.is_some());
        if reward.is_some() || lesson.is_some() {
            self.update(arm, reward, lesson)?;
        }
        if !open.is_released {
            // Only the mark has changed since the decision was found.
            let mut open = self.decisions.find(id, now)?;
            self.succeed(&mut open, now);
            self.decisions.update(id, open);
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

    /// Bills a decision: the ledger, the hard limits and the token bucket.
    #[inline]
    fn bill(&mut self, open: &OpenDecision, bill: f64, used: Option<f64>, now: f64) {
        self.ledger.billed = self.billed.add(bill);
        self.ledger.in_flight -= open.expected_cost;
        self.counters.costs += 1;
        if !self.guard.is_off() {
            let bill = Nanodollars::from_usd(bill);
            self.counters.above_reservation += u64::from(bill > open.reservation);
            self.guard.bill(open.at, open.reservation, bill);
        }
        if let Some(used) = used {
            let traffic = &mut self.arms[open.arm as usize].traffic;
            traffic.settle(open.at, open.tokens, used, now);
        }
    }

    /// Updates an arm's statistics and its entry in the LP.
    #[inline]
    fn update(
        &mut self,
        arm: usize,
        reward: Option<f64>,
        cost: Option<CostFeedback>,
    ) -> Result<(), Error> {
        let bounds = self.learner.observe(arm, reward, cost)?;
        if let (Some(slot), Some(lp)) = (self.plan.slot(arm), &mut self.lp) {
            lp.set_arm(slot, bounds.reward_ucb, bounds.cost_lcb);
        }
        Ok(())
    }

    /// The query was answered: it no longer occupies its arm, which works.
    #[inline]
    fn succeed(&mut self, open: &mut OpenDecision, now: f64) {
        self.release_open(open, now);
        if self.arms[open.arm as usize].health.note_success(open.at) {
            self.update_gates();
        }
    }

    #[inline]
    fn release_open(&mut self, open: &mut OpenDecision, now: f64) {
        if !open.is_released {
            open.is_released = true;
            self.arms[open.arm as usize].traffic.release(open.at, now);
        }
    }

    /// Settles a decision that was evicted: what is still unknown of it is never taken for free.
    #[inline]
    pub(super) fn write_off(&mut self, open: &OpenDecision) {
        if !open.has_cost {
            self.ledger.in_flight -= open.expected_cost;
            self.ledger.written_off += open.expected_cost;
            self.counters.evicted += 1;
        }
        if !open.is_released {
            self.arms[open.arm as usize].traffic.forget();
        }
    }

    #[cold]
    fn count_refusal(&mut self, error: Error) -> Error {
        match error {
            Error::AlreadyObserved { .. } => self.counters.repeated += 1,
            Error::UnknownDecision { .. } => self.counters.unknown += 1,
            Error::ExpiredDecision { .. } => self.counters.expired += 1,
            _ => {}
        }
        error
    }
}

/// Tokens can be billed only at prices.
#[inline]
fn check_billable(open: &OpenDecision, observation: &Observation) -> Result<(), Error> {
    let has_tokens_alone = observation.tokens.is_some() && observation.cost.is_none();
    if has_tokens_alone && open.prices == 0 && !open.has_cost {
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
