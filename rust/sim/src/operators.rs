//! What operators do: models come, change and go, live sets and settings are replaced; and calls that
//! nobody should make.

use std::borrow::Cow;

use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, Call, ChangeBudget, Configure, EndCooldown, Error, ExtendStage,
    HealthConfig, NoteQuota, Observation, Observe, Publish, RetireArm, ReviveArm, RouterConfig,
    SetArm, SetBudget, StartCost, StepClock,
};

use crate::broken::{Broken, Checked, ensure};
use crate::draw;
use crate::world::{Provider, World};

/// No world has more models.
const MOST_ARMS: usize = 14;

impl World {
    /// Whatever operators do before the next query.
    pub(crate) fn operate(&mut self) -> Checked {
        let is_due = self.trial.router().is_stage_due();
        if (is_due && self.dice.chance(0.3)) || (self.is_live_empty() && self.dice.chance(0.5)) {
            self.publish()?;
        }
        if self.dice.chance(self.plan.operators) {
            self.counts.operations += 1;
            self.operation()?;
        }
        if self.dice.chance(self.plan.configures) {
            self.configure()?;
        }
        if self.dice.chance(self.plan.nonsense) {
            self.nonsense()?;
        }
        Ok(())
    }

    fn operation(&mut self) -> Checked {
        let arms = self.providers.len();
        let arm = ArmIndex::try_from(self.dice.below(arms)).map_err(Broken::by)?;
        let is_retired = self.trial.router().arm(arm).is_retired;
        match self.dice.below(11) {
            0 if arms < MOST_ARMS => self.add_arm(),
            1 if !is_retired && self.trial.router().candidates(0.0).count() > 1 => {
                self.done(&RetireArm(arm))?;
                self.model.retire_arm(arm);
                Ok(())
            }
            2 => self.extend_stage(),
            3 if is_retired => {
                self.done(&ReviveArm(arm))?;
                self.model.revive_arm(arm);
                Ok(())
            }
            3 => {
                let free = self.dice.chance(0.1);
                let budget = if free { 0.0 } else { 2e-3 * self.dice.between(0.2, 3.0) };
                if self.plan.is_first_version {
                    self.done(&SetBudget(budget))?;
                    self.model.set_budget(budget);
                    return Ok(());
                }
                let call = ChangeBudget { budget, carry: self.dice.chance(0.5) };
                self.done(&call)?;
                self.model.change_budget(budget, call.carry);
                Ok(())
            }
            // The first version could not.
            4 if !is_retired && !self.plan.is_first_version => {
                let call = EndCooldown { now: self.now()?, arm };
                self.done(&call)?;
                self.model.end_cooldown(call.now, arm).map_err(|kind| Broken(format!("{kind:?}")))
            }
            5 if !self.plan.is_first_version => {
                let (left, reset) = (self.dice.below(8), self.dice.magnitude(0.5, 8));
                let left = u32::try_from(left).map_err(Broken::by)?;
                let call = NoteQuota { now: self.now()?, arm, left, reset };
                self.done(&call)?;
                self.model.note_quota(call.now, arm).map_err(|kind| Broken(format!("{kind:?}")))
            }
            6..9 if !is_retired => {
                let is_priced = self.providers[arm.index()].settings.prices.is_some();
                let settings = draw::settings(&mut self.dice, &self.plan, is_priced);
                self.done(&SetArm { arm, settings })?;
                self.providers[arm.index()].settings = settings;
                self.model.set_arm(arm, settings);
                Ok(())
            }
            _ => self.publish(),
        }
    }

    /// A call that succeeds.
    fn done<C: Call + std::fmt::Debug>(&mut self, call: &C) -> Checked
    where
        C::Answer: PartialEq + std::fmt::Debug,
    {
        let answer = self.trial.apply(call)?;
        self.trace(|_| format!("{call:?} -> {answer:?}"));
        ensure!(answer.is_ok(), "{call:?} answered {answer:?}");
        Ok(())
    }

    pub(crate) fn add_arm(&mut self) -> Checked {
        let spec = draw::spec(&mut self.dice, &self.plan);
        let ArmSpec { settings, prior } = spec;
        let answer = self.trial.add_arm(&spec)?;
        self.trace(|_| format!("{spec:?} -> {answer:?}"));
        ensure!(answer.is_ok(), "{spec:?} answered {answer:?}");
        let reward = self.dice.unit();
        self.providers.push(Provider { settings, reward, down_until: 0.0 });
        let costs = prior.cost.map_or(0, |(_, weight)| weight);
        let costs = prior.tokens.map_or(costs, |(_, weight)| weight);
        self.model.add_arm(settings, prior.reward, costs);
        Ok(())
    }

    fn extend_stage(&mut self) -> Checked {
        self.done(&ExtendStage)?;
        self.model.extend_stage();
        Ok(())
    }

    /// Makes some of the candidates live: those of the highest bounds, or any.
    pub(crate) fn publish(&mut self) -> Checked {
        let mut bounds = Vec::new();
        let router = self.trial.router();
        router.next_bounds(&mut bounds);
        let mut chosen: Vec<ArmIndex> = router.candidates(router.clock()).collect();
        if self.dice.chance(0.5) {
            let reward = |arm: &ArmIndex| bounds[arm.index()].reward_ucb;
            chosen.sort_by(|a, b| reward(b).total_cmp(&reward(a)));
        }
        chosen.truncate(1 + self.dice.below(6));
        if chosen.is_empty() {
            return self.extend_stage();
        }
        let start = if self.plan.start_costs {
            let queries = self.dice.between(1.0, 1_000.0);
            StartCost { usd: draw::usd(&mut self.dice, 0.01), queries }
        } else {
            StartCost::NONE
        };
        let mut call = Publish { deployed: Cow::Borrowed(&chosen), start };
        let mut answer = self.trial.apply(&call)?;
        self.trace(|_| format!("{call:?} -> {answer:?}"));
        let may_start = self.model.may_start(start.usd);
        let is_right = may_start.is_none_or(|may_start| answer.is_ok() == may_start);
        ensure!(is_right, "{call:?} answered {answer:?}");
        if let Err(Error::StartAboveLimit { .. }) = answer {
            call.start = StartCost::NONE;
            answer = self.trial.apply(&call)?;
        }
        ensure!(answer.is_ok(), "{call:?} answered {answer:?}");
        self.model.publish(&chosen, call.start);
        Ok(())
    }

    pub(crate) fn configure(&mut self) -> Checked {
        if self.plan.is_first_version {
            return Ok(());
        }
        self.counts.configured += 1;
        let config = draw::config(&mut self.dice, &self.plan, 0);
        self.done(&Configure(Box::new(config.clone())))?;
        self.model.configure(&config);
        Ok(())
    }

    /// A call that is refused, and changes nothing.
    fn nonsense(&mut self) -> Checked {
        let arms = self.providers.len();
        let unknown = ArmIndex::try_from(arms + 3).map_err(Broken::by)?;
        let known = self.trial.router().live().arms().first().copied();
        let settings = draw::settings(&mut self.dice, &self.plan, false);
        let bad =
            ArmSettings { throughput_cap: self.dice.pick(&[0.0, -1.0, 1.1, f64::NAN]), ..settings };
        let config = draw::config(&mut self.dice, &self.plan, 0);
        match self.dice.below(11) {
            0 => self.refuse(&SetArm { arm: unknown, settings }),
            1 if known.is_some() => {
                self.refuse(&SetArm { arm: known.unwrap_or_default(), settings: bad })
            }
            2 => self.refuse(&RetireArm(unknown)),
            3 => {
                let budget = self.dice.pick(&[-1.0, f64::NAN, f64::INFINITY]);
                self.refuse(&SetBudget(budget))
            }
            4 => {
                let deployed = Cow::Owned(vec![unknown]);
                self.refuse(&Publish { deployed, start: StartCost::NONE })
            }
            5 => {
                let deployed = Cow::Owned(known.into_iter().cycle().take(2).collect());
                self.refuse(&Publish { deployed, start: StartCost::NONE })
            }
            6 => self.refuse(&StepClock(f64::NAN)),
            7 => self.refuse(&EndCooldown { now: self.steady, arm: unknown }),
            8 => self.refuse(&Configure(Box::new(RouterConfig { open_decisions: 0, ..config }))),
            9 => {
                let health = HealthConfig { cooldown: 0.0, ..config.health };
                self.refuse(&Configure(Box::new(RouterConfig { health, ..config })))
            }
            _ => {
                let observation = Observation { reward: Some(2.0), ..Observation::default() };
                self.refuse(&Observe { now: self.steady + 1e3, observation })
            }
        }
    }
}
