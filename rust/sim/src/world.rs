//! One world: queries that come, providers that answer or fail, a clock, operators, and crashes.

use std::borrow::Cow;
use std::collections::BinaryHeap;

use stageroute_core::{ArmIndex, ArmSettings, Error, Query, Router, StepClock};

use crate::broken::{Broken, Checked, ensure};
use crate::counts::Counts;
use crate::dice::Dice;
use crate::draw;
use crate::due::Due;
use crate::model::{Kind, Model};
use crate::plan::Plan;
use crate::trial::{Trial, upgraded};

/// Steps between two looks at all sums and counts, and between two additions of them anew.
const AUDIT_EVERY: u64 = 128;
const RECOUNT_EVERY: u64 = 4_096;

/// A provider of one model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Provider {
    pub(crate) settings: ArmSettings,
    pub(crate) reward: f64,
    /// Until when nearly everything fails.
    pub(crate) down_until: f64,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) dice: Dice,
    pub(crate) trial: Trial,
    pub(crate) model: Model,
    pub(crate) providers: Vec<Provider>,
    /// Feedback under way.
    pub(crate) due: BinaryHeap<Due>,
    /// Time that passes steadily, and what the wall clock shows more.
    pub(crate) steady: f64,
    offset: f64,
    /// Steady time as it is known from an owner's clock.
    reading: Option<f64>,
    pub(crate) counts: Counts,
    /// Calls are printed from this step on.
    trace: Option<u64>,
    pub(crate) step: u64,
}

impl World {
    pub(crate) fn new(seed: u64, trace: Option<u64>) -> Checked<Self> {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(&mut dice);
        let config = draw::config(&mut dice, &plan, seed);
        let mut router = Router::new(config.clone()).map_err(Broken::by)?;
        if plan.is_first_version {
            router = upgraded(&router)?;
        }
        let trial = Trial::new(router, plan.crashes > 0.0)?;
        let mut world = Self {
            steady: plan.start,
            offset: 0.0,
            reading: None,
            trial,
            model: Model::new(&config, !plan.is_first_version),
            providers: Vec::new(),
            due: BinaryHeap::new(),
            counts: Counts { worlds: 1, ..Counts::default() },
            trace,
            step: 0,
            plan,
            dice,
        };
        world.trace(|world| format!("{:?}\n{config:?}", world.plan));
        for _ in 0..world.plan.arms {
            world.add_arm()?;
        }
        world.publish()?;
        Ok(world)
    }

    /// Lives until so many queries have come.
    pub(crate) fn run(&mut self, steps: u64) -> Checked {
        while self.step < steps {
            self.step += 1;
            self.pass_time();
            self.deliver()?;
            self.operate()?;
            self.disturb()?;
            if !self.dice.chance(0.02) {
                self.query()?;
            }
            if self.step.is_multiple_of(AUDIT_EVERY) {
                self.audit()?;
            }
        }
        self.audit()?;
        self.model.recount()?;
        self.counts.recounts += 1;
        self.trial.end()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let seconds = (self.steady - self.plan.start) as u64;
        self.counts.seconds += seconds;
        Ok(())
    }

    pub(crate) fn trace(&self, what: impl FnOnce(&Self) -> String) {
        if self.trace.is_some_and(|from| self.step >= from) {
            println!("{:>6}  {}", self.step, what(self));
        }
    }

    fn audit(&mut self) -> Checked {
        self.counts.audits += 1;
        self.model.audit(self.trial.router())?;
        self.trial.check_log()?;
        if self.step.is_multiple_of(RECOUNT_EVERY) {
            self.counts.recounts += 1;
            self.model.recount()?;
        }
        Ok(())
    }

    // ---- time -----------------------------------------------------------------------------------

    fn pass_time(&mut self) {
        let dice = &mut self.dice;
        // Many queries come at the same time.
        if !dice.chance(0.3) {
            self.steady += dice.length(1.4 / self.plan.per_second);
        }
        if dice.chance(self.plan.pauses) {
            self.steady += dice.magnitude(60.0, 16);
            self.counts.pauses += 1;
        }
        if dice.chance(self.plan.jumps) {
            let by = dice.magnitude(0.5, 18);
            let by = if dice.chance(0.5) { by } else { -by };
            // Half of the time a clock is put right again.
            let offset = if dice.chance(0.5) { 0.0 } else { (self.offset + by).clamp(-5e6, 5e7) };
            self.offset = offset;
            self.counts.jumps += 1;
        }
    }

    /// The time of the next call.
    pub(crate) fn now(&mut self) -> Checked<f64> {
        if self.plan.owners_clock {
            return self.read_owners_clock();
        }
        if (self.offset - self.model.offset).abs() > 1.0 {
            let call = StepClock(self.offset);
            let answer = self.trial.apply(&call)?;
            ensure!(answer.is_ok(), "{call:?} answered {answer:?}");
            self.model.step_clock(self.offset);
            self.trace(|_| format!("{call:?}"));
        }
        if !self.trial.router().needs_clock_to_route() && self.dice.chance(0.5) {
            return Ok(0.0);
        }
        if self.dice.chance(self.plan.backwards) {
            self.counts.backwards += 1;
            return Ok(self.steady - self.dice.magnitude(0.01, 16));
        }
        Ok(self.steady)
    }

    /// Of an owner's clock only the wall is known: later is time that has passed, earlier by more than
    /// a second a jump back in which none has.
    fn read_owners_clock(&mut self) -> Checked<f64> {
        let wall = self.steady + self.offset;
        let known = self.model.offset;
        let now = self.reading.map_or(wall, |before| before.max(wall - known));
        let found = self.trial.read_clock(wall)?;
        ensure!(
            (found - now).abs() <= 1e-6,
            "a clock that shows {wall} is read as {found}, not {now}"
        );
        if self.reading.is_some() && (wall - found - known).abs() > 1.0 {
            self.model.step_clock(wall - found);
        }
        self.reading = Some(found);
        Ok(found)
    }

    // ---- queries --------------------------------------------------------------------------------

    fn query(&mut self) -> Checked {
        let now = self.now()?;
        let (dice, wishes) = (&mut self.dice, self.plan.wishes);
        let arms = self.providers.len();
        let allowed = dice.maybe(wishes, |dice| {
            Cow::Owned(ArmIndex::first(arms).filter(|_| dice.chance(0.6)).collect())
        });
        let max_cost = dice.maybe(wishes, |dice| draw::usd(dice, 0.02));
        let tokens = dice.maybe(wishes, draw::tokens);
        let query = Query { now, allowed, max_cost, tokens: tokens.map(|t| (t.input, t.output)) };
        let answer = self.trial.apply(&query)?;
        self.trace(|_| format!("{query:?} -> {answer:?}"));
        self.model.route(&query, &answer, self.trial.router())?;
        match answer {
            Ok(decision) => {
                self.counts.decisions += 1;
                self.serve(&decision, tokens);
            }
            Err(error) => {
                self.counts.refusals += 1;
                let wait = wait_of(&error);
                if let Some(wait) = wait.filter(|_| self.dice.chance(0.01)) {
                    self.try_wait(&query, wait)?;
                }
                // Now and then callers wait as they are told, or an operator raises a limit.
                if self.dice.chance(0.02) {
                    match wait {
                        Some(wait) => self.steady += wait.min(1e7),
                        None => self.configure()?,
                    }
                }
            }
        }
        Ok(())
    }

    /// A refusal that names a time is true: the same query is served then.
    fn try_wait(&mut self, query: &Query<'_>, wait: f64) -> Checked {
        self.counts.retries += 1;
        let mut router = self.trial.router().clone();
        let now = router.clock() + wait;
        let later = router.route(&Query { now, ..query.clone() });
        // An arm may be back before that was known, and a limit refuse for it.
        let is_known = self.model.knows_when_arms_are_back();
        let may_refuse = matches!(later, Err(Error::AtHardLimit { .. })) && !is_known;
        let is_true = later.is_ok() || now > 1e11 || may_refuse;
        ensure!(is_true, "{query:?} was to wait {wait} s, but then {later:?}");
        if self.model.never_panics() && is_known {
            let mut router = self.trial.router().clone();
            let now = router.clock() + 0.99 * wait - 0.1;
            let before = router.route(&Query { now, ..query.clone() });
            ensure!(before.is_err(), "{query:?} was to wait {wait} s, but before {before:?}");
        }
        Ok(())
    }

    // ---- processes ------------------------------------------------------------------------------

    /// What befalls the process.
    fn disturb(&mut self) -> Checked {
        if self.dice.chance(self.plan.forks) {
            self.trace(|_| "fork".to_owned());
            if self.plan.is_first_version {
                self.trial.upgrade()?;
                self.counts.upgrades += 1;
            } else {
                self.trial.fork()?;
                self.counts.forks += 1;
            }
        }
        if self.dice.chance(self.plan.crashes) && self.trial.crash(&mut self.dice)? {
            self.trace(|_| "crash".to_owned());
            let clock = self.trial.router().clock();
            self.reading = (clock > 0.0).then_some(clock);
            self.counts.crashes += 1;
            self.counts.damages += crate::store::DAMAGES;
        }
        Ok(())
    }

    pub(crate) fn is_live_empty(&self) -> bool {
        self.trial.router().live().arms().is_empty()
    }

    /// A call that must be refused as a whole.
    pub(crate) fn refuse<C>(&mut self, call: &C) -> Checked
    where
        C: stageroute_core::Call + std::fmt::Debug,
        C::Answer: PartialEq + std::fmt::Debug,
    {
        let before = self.trial.state()?;
        let answer = self.trial.apply(call)?;
        self.trace(|_| format!("{call:?} -> {answer:?}"));
        self.counts.nonsense += 1;
        let kind = answer.as_ref().err().map(Kind::of);
        let is_refused = matches!(kind, Some(Kind::Input | Kind::NoLiveArm));
        ensure!(is_refused, "{call:?} answered {answer:?}");
        ensure!(self.trial.state()? == before, "{call:?} was refused, but has changed the state");
        Ok(())
    }
}

/// How long a caller is told to wait.
fn wait_of(error: &Error) -> Option<f64> {
    match *error {
        Error::AtTrafficLimit { retry_after } | Error::AtHardLimit { retry_after, .. } => {
            retry_after
        }
        Error::AllCooling { retry_after } => Some(retry_after),
        _ => None,
    }
}
