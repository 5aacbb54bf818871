//! What feedback does, and how often it counts: once.

use stageroute_core::checks::{is_bill, is_reward};
use stageroute_core::{Batch, Error, Observation, Observe, ObserveMany, Release, Router, Tokens};

use super::{Kind, Model};
use crate::broken::{Checked, ensure};

/// Whether a call did what it had to do.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(
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
    pub(super) fn find(&mut self, id: u64) -> Result<usize, Kind> {
        let found = self.look_up(id);
        self.count(found.err());
        found
    }

    pub(super) fn look_up(&self, id: u64) -> Result<usize, Kind> {
        let made = self.entries.len() as u64;
        let place = usize::try_from(id).ok().filter(|_| id < made).ok_or(Kind::Unknown)?;
        let is_kept = place >= self.oldest && !self.is_too_old(place);
        if is_kept { Ok(place) } else { Err(Kind::Expired) }
    }

    pub(super) fn count(&mut self, refusal: Option<Kind>) {
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

    pub(super) fn reward(&mut self, id: usize, reward: f64) {
        self.entries[id].has_reward = true;
        self.counters.rewards += 1;
        let (count, sum) = &mut self.arms[self.entries[id].arm].rewards;
        *count += 1;
        *sum += reward;
    }

    /// The query was answered.
    pub(super) fn finish(&mut self, id: usize) {
        let entry = &mut self.entries[id];
        if entry.is_released {
            return;
        }
        entry.is_released = true;
        let arm = &mut self.arms[entry.arm];
        arm.traffic.under_way -= 1;
        arm.health.succeed(entry.at, self.clock, &self.config.health);
    }

    /// An arm's health, after feedback for one of its decisions.
    pub(super) fn check_feedback(&self, id: u64, router: &Router) -> Checked {
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
