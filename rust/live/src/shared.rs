//! A router that threads share.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use stageroute_core::{ArmSettings, Call, ChangeBudget};
use stageroute_core::{
    ArmSpec, Batch, Decision, EndCooldown, ExtendStage, Fail, FailureReason, NoteQuota,
    Observation, Observe, ObserveMany, Publish, Release, RetireArm, ReviveArm, Router, SetArm,
    StartCost, Tokens,
};
use stageroute_journal::Signal;

use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::live::{Live, Wishes};

/// What a decision brought, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Feedback {
    /// Reward in \[0, 1\].
    pub reward: Option<f64>,
    /// What it was billed, USD.
    pub cost: Option<f64>,
    /// The tokens it used.
    pub tokens: Option<Tokens>,
}

/// A decision with the name of its model.
#[derive(Debug, Clone, PartialEq)]
pub struct Routed {
    /// The decision.
    pub decision: Decision,
    /// The model that serves the query.
    pub model: Arc<str>,
}

/// A router in service, with a clock, behind a lock that is held for tens of nanoseconds.
#[derive(Debug)]
pub struct SharedRouter<C> {
    live: Mutex<Live>,
    clock: C,
    due: Arc<Signal>,
    readings: Arc<AtomicU64>,
}

impl<C: Clock> SharedRouter<C> {
    /// A router without models.
    pub fn new(router: Router, clock: C) -> Self {
        let live = Live::new(router);
        let (due, readings) = (live.due(), live.readings());
        Self { live: Mutex::new(live), clock, due, readings }
    }

    fn moment(&self) -> Moment {
        let taken = self.readings.load(Ordering::Acquire);
        self.clock.moment().after(taken)
    }

    /// The router, for what needs more than one call under the lock: recovery, snapshots, reading.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn lock(&self) -> Result<MutexGuard<'_, Live>, Error> {
        self.live.lock().map_err(Error::poisoned)
    }

    /// Waits until a query finds the stage over; false after the timeout. Each end of a stage is told
    /// once, to one that waits.
    pub fn wait_until_due(&self, timeout: Duration) -> bool {
        self.due.wait(timeout)
    }

    /// Decides which live model serves a query. One that finds the stage over has it known and goes
    /// on over the old set.
    ///
    /// # Errors
    /// As [`Live::route`].
    pub fn route(&self, wishes: &Wishes<'_>) -> Result<Routed, Error> {
        let moment = self.moment();
        let mut live = self.lock()?;
        live.tell_if_due();
        let decision = live.route(moment, wishes)?;
        Ok(Routed { decision, model: Arc::clone(live.names().label(decision.arm)) })
    }

    /// Counts what a decision brought.
    ///
    /// # Errors
    /// As [`Live::apply`].
    pub fn observe(&self, id: u64, feedback: Feedback) -> Result<(), Error> {
        let moment = self.moment();
        let Feedback { reward, cost, tokens } = feedback;
        let mut live = self.lock()?;
        let now = live.time_of_feedback(moment)?;
        let observation = Observation { id, reward, cost, tokens };
        live.apply(&Observe { now, observation }, b"")
    }

    /// Counts a batch of observations.
    ///
    /// # Errors
    /// As [`Live::apply`].
    pub fn observe_many(
        &self,
        observations: &[Observation],
        all_or_none: bool,
    ) -> Result<Batch, Error> {
        let moment = self.moment();
        let mut live = self.lock()?;
        let now = live.time_of_feedback(moment)?;
        let observations = Cow::Borrowed(observations);
        live.apply(&ObserveMany { now, observations, all_or_none }, b"")
    }

    /// Counts a query that was not served.
    ///
    /// # Errors
    /// As [`Live::apply`].
    pub fn fail(
        &self,
        id: u64,
        reason: FailureReason,
        cost: Option<f64>,
        retry_after: Option<f64>,
    ) -> Result<(), Error> {
        let moment = self.moment();
        let mut live = self.lock()?;
        let now = live.time(moment)?;
        live.apply(&Fail { now, id, reason, cost, retry_after }, b"")
    }

    /// Notes that the answer to a query is complete.
    ///
    /// # Errors
    /// As [`Live::apply`].
    pub fn release(&self, id: u64) -> Result<(), Error> {
        let moment = self.moment();
        let mut live = self.lock()?;
        let now = live.time_of_feedback(moment)?;
        live.apply(&Release { now, id }, b"")
    }

    /// Adds a candidate. The note of a call is the owner's: it comes back when the call is repeated
    /// from a journal.
    ///
    /// # Errors
    /// As [`Live::add_model`].
    pub fn add_model(&self, name: &str, spec: &ArmSpec, note: &[u8]) -> Result<(), Error> {
        let mut live = self.lock()?;
        live.add_model(name, name.into(), spec, note)?;
        live.tell_if_due();
        Ok(())
    }

    /// Changes a model's settings.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and those of [`Live::apply`].
    pub fn set_model(&self, name: &str, settings: ArmSettings, note: &[u8]) -> Result<(), Error> {
        let mut live = self.lock()?;
        let arm = live.names().find(name)?;
        live.apply(&SetArm { arm, settings }, note)
    }

    /// Ends a model's cool-down.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and those of [`Live::apply`].
    pub fn end_cooldown(&self, name: &str) -> Result<(), Error> {
        let moment = self.moment();
        let mut live = self.lock()?;
        let (now, arm) = (live.time(moment)?, live.names().find(name)?);
        live.apply(&EndCooldown { now, arm }, b"")
    }

    /// Notes how many queries a model's provider will still take within some seconds.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and those of [`Live::apply`].
    pub fn note_quota(&self, name: &str, left: u32, reset: f64) -> Result<(), Error> {
        let moment = self.moment();
        let mut live = self.lock()?;
        let (now, arm) = (live.time(moment)?, live.names().find(name)?);
        live.apply(&NoteQuota { now, arm, left, reset }, b"")
    }

    /// Retires a model.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and those of [`Live::apply`].
    pub fn retire_model(&self, name: &str) -> Result<(), Error> {
        let mut live = self.lock()?;
        let arm = live.names().find(name)?;
        live.apply(&RetireArm(arm), b"")?;
        live.tell_if_due();
        Ok(())
    }

    /// Brings a retired model back with what was learnt of it.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and those of [`Live::apply`].
    pub fn revive_model(&self, name: &str) -> Result<(), Error> {
        let mut live = self.lock()?;
        let arm = live.names().find(name)?;
        live.apply(&ReviveArm(arm), b"")?;
        live.tell_if_due();
        Ok(())
    }

    /// Changes the average budget, USD per query, from the next query on; over- and underspend so far is
    /// carried over or forgotten.
    ///
    /// # Errors
    /// As [`Live::apply`].
    pub fn set_budget(&self, budget: f64, carry: bool, note: &[u8]) -> Result<(), Error> {
        self.apply(&ChangeBudget { budget, carry }, note)
    }

    /// Ends the stage and publishes the live set of the next one.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and those of [`Live::apply`].
    pub fn publish(&self, models: &[&str], start: StartCost, note: &[u8]) -> Result<(), Error> {
        let mut live = self.lock()?;
        let deployed = Cow::Owned(live.arms(models)?);
        live.apply(&Publish { deployed, start }, note)
    }

    /// Prolongs the stage, where no new live set could be found.
    ///
    /// # Errors
    /// As [`Live::apply`].
    pub fn extend_stage(&self, note: &[u8]) -> Result<(), Error> {
        self.apply(&ExtendStage, note)
    }

    fn apply<K: Call>(&self, call: &K, note: &[u8]) -> Result<K::Answer, Error> {
        self.lock()?.apply(call, note)
    }
}
