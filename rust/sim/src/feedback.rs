//! What becomes of a query: when it is answered, what it is billed, and how that is reported: late,
//! in parts, twice, wrongly, or never.

use std::borrow::Cow;

use stageroute_core::{
    Correct, Decision, Fail, FailureReason, Observation, Observe, ObserveMany, Release, Tokens,
};

use crate::broken::Checked;
use crate::draw;
use crate::due::{Due, Report};
use crate::world::World;

/// Bills that nothing foresaw are so many times what was.
const SURPRISE: f64 = 3.0;

impl World {
    /// A provider serves a query.
    pub(crate) fn serve(&mut self, decision: &Decision, tokens: Option<Tokens>) {
        let id = decision.id;
        let provider = &mut self.providers[decision.arm.index()];
        let dice = &mut self.dice;
        if dice.chance(self.plan.outages) {
            provider.down_until = self.steady + dice.magnitude(1.0, 10);
            self.counts.outages += 1;
        }
        if dice.chance(self.plan.corrections) {
            let at = self.steady + dice.length(4.0 * self.plan.latency);
            let cost = draw::usd(dice, 4e-3);
            self.due.push(Due { at, report: Report::Correct { id, cost } });
        }
        let is_down = self.steady < provider.down_until;
        let at = self.steady + dice.length(self.plan.latency);
        if dice.chance(if is_down { 0.95 } else { self.plan.failures }) {
            let known = FailureReason::NAMES.map(|(_, reason)| reason);
            let others = if self.plan.is_first_version { 0 } else { 2 };
            let others = (0..others).map(FailureReason::Other);
            let reasons: Vec<_> = known.into_iter().chain(others).collect();
            let reason = dice.pick(&reasons);
            let cost = dice.maybe(0.2, |dice| draw::usd(dice, 1e-4));
            let retry_after = dice.maybe(self.plan.retry_after, |dice| dice.magnitude(0.1, 12));
            self.counts.failures += 1;
            self.report(at, Report::Fail { id, reason, cost, retry_after });
            if self.dice.chance(self.plan.late) {
                // It was billed all the same, as becomes known later.
                let (cost, tokens) = self.bill(decision, tokens);
                let bill = Observation { id, reward: None, cost, tokens };
                self.report(at + 10.0, Report::Observe(bill));
            }
            return;
        }
        let reward = Some(if dice.chance(provider.reward) { 1.0 } else { dice.unit() });
        let (cost, tokens) = self.bill(decision, tokens);
        if self.dice.chance(self.plan.in_parts) {
            if self.dice.chance(0.5) {
                self.report(at, Report::Release(id));
            }
            let (before, after) = (self.dice.length(1.0), self.dice.length(30.0));
            let bill = Observation { id, reward: None, cost, tokens };
            self.report(at + before, Report::Observe(bill));
            let thumb = Observation { id, reward, cost: None, tokens: None };
            self.report(at + after, Report::Observe(thumb));
        } else {
            self.report(at, Report::Observe(Observation { id, reward, cost, tokens }));
        }
    }

    /// What a query costs and uses: no more than was foreseen, unless there are surprises.
    fn bill(
        &mut self,
        decision: &Decision,
        known: Option<Tokens>,
    ) -> (Option<f64>, Option<Tokens>) {
        let dice = &mut self.dice;
        let settings = self.providers[decision.arm.index()].settings;
        let is_surprise = dice.chance(self.plan.surprises);
        let worst = settings.max_cost.unwrap_or(4e-3) * if is_surprise { SURPRISE } else { 1.0 };
        let mut used = draw::tokens(dice);
        if let Some(Tokens { input, output, .. }) = known {
            let output = if is_surprise { SURPRISE * output } else { output };
            used = Tokens { input, cached: used.cached.min(input), output };
        }
        match settings.prices {
            None => (Some(draw::usd(dice, worst)), dice.maybe(0.3, |_| used)),
            Some(prices) if known.is_some() || prices.bill(&used) <= worst => (None, Some(used)),
            Some(_) => (Some(draw::usd(dice, worst)), Some(used)),
        }
    }

    fn report(&mut self, at: f64, report: Report) {
        let dice = &mut self.dice;
        if dice.chance(self.plan.missing) {
            self.counts.missing += 1;
            return;
        }
        let mut at = at;
        if dice.chance(self.plan.late) {
            at += dice.magnitude(1.0, 16);
            self.counts.late += 1;
        }
        self.due.push(Due { at, report });
        if dice.chance(self.plan.repeated) {
            at += dice.length(10.0);
            self.due.push(Due { at, report });
            self.counts.repeated += 1;
        }
    }

    /// Makes the calls for all that has come.
    pub(crate) fn deliver(&mut self) -> Checked {
        let mut batch = Vec::new();
        while self.due.peek().is_some_and(|due| due.at <= self.steady) {
            let Some(Due { report, .. }) = self.due.pop() else { break };
            self.counts.feedback += 1;
            let is_wrong = self.dice.chance(self.plan.wrong);
            match report {
                Report::Observe(observation) => {
                    let observation = if is_wrong { self.spoil(observation) } else { observation };
                    if self.plan.batches && batch.len() < 8 {
                        batch.push(observation);
                    } else {
                        self.observe(observation)?;
                    }
                }
                Report::Fail { id, reason, cost, retry_after } => {
                    let now = self.now()?;
                    let retry_after = if is_wrong { Some(-1.0) } else { retry_after };
                    let call = Fail { now, id, reason, cost, retry_after };
                    let answer = self.trial.apply(&call)?;
                    self.trace(|_| format!("{call:?} -> {answer:?}"));
                    self.model.fail(&call, &answer, self.trial.router())?;
                }
                Report::Correct { id, cost } => {
                    let cost = if is_wrong { -1.0 } else { cost };
                    let call = Correct { now: self.now()?, id, cost };
                    let answer = self.trial.apply(&call)?;
                    self.trace(|_| format!("{call:?} -> {answer:?}"));
                    self.model.correct(&call, &answer, self.trial.router())?;
                    self.counts.corrected += 1;
                }
                Report::Release(id) => {
                    let id = if is_wrong { id + 1_000_000 } else { id };
                    let call = Release { now: self.now()?, id };
                    let answer = self.trial.apply(&call)?;
                    self.trace(|_| format!("{call:?} -> {answer:?}"));
                    self.model.release(&call, &answer, self.trial.router())?;
                }
            }
        }
        if !batch.is_empty() {
            self.observe_many(batch)?;
        }
        Ok(())
    }

    fn observe(&mut self, observation: Observation) -> Checked {
        let call = Observe { now: self.now()?, observation };
        let answer = self.trial.apply(&call)?;
        self.trace(|_| format!("{call:?} -> {answer:?}"));
        self.model.observe(&call, &answer, self.trial.router())
    }

    fn observe_many(&mut self, batch: Vec<Observation>) -> Checked {
        let now = self.now()?;
        let observations = Cow::Owned(batch);
        let call = ObserveMany { now, observations, all_or_none: self.dice.chance(0.5) };
        let answer = self.trial.apply(&call)?;
        self.trace(|_| format!("{call:?} -> {answer:?}"));
        self.model.observe_many(&call, &answer, self.trial.router())
    }

    /// Feedback as it should not be: of no decision, or with impossible values.
    fn spoil(&mut self, observation: Observation) -> Observation {
        self.counts.wrong += 1;
        let dice = &mut self.dice;
        let reward = Some(dice.pick(&[1.5, -0.1, f64::NAN]));
        let cost = Some(dice.pick(&[-1e-9, 1e10, f64::INFINITY]));
        let tokens = Some(Tokens { input: 10.0, cached: 11.0, output: 1.0 });
        match dice.below(5) {
            0 => Observation { reward, ..observation },
            1 => Observation { cost, ..observation },
            2 => Observation { tokens, ..observation },
            3 => Observation { id: observation.id + 1_000_000, ..observation },
            // Of an arm without prices that cannot be billed.
            _ => Observation { cost: None, tokens: Some(Tokens::default()), ..observation },
        }
    }
}
