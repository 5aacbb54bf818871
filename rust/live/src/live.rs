//! A router with the names of its models, its journal, and the stage that is due.

use std::borrow::Cow;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use stageroute_core::{
    ArmIndex, Call, Command, Decision, LogBatch, Noted, Query, Room, Router, RouterCopy, StepClock,
};
use stageroute_journal::{Position, Signal, Tail};

use crate::clock::{Moment, Reading, Timeline};
use crate::error::Error;
use crate::names::Names;

/// What is asked of one decision, by names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes<'a> {
    /// The models that may serve it; `None` for all.
    pub allowed: Option<&'a [&'a str]>,
    /// The most it may cost, USD.
    pub max_cost: Option<f64>,
    /// Its number of input tokens and the largest number of output tokens.
    pub tokens: Option<(f64, f64)>,
}

/// A router in service.
///
/// Every call that changes it is a [`Call`] and goes through [`Live::apply`]: it is appended to the
/// journal, if there is one, and then done. So the journal has the calls in the order in which they
/// took effect, and has them all.
#[derive(Debug)]
pub struct Live<L = Arc<str>> {
    router: Router,
    names: Names<L>,
    journal: Option<Arc<Mutex<Tail>>>,
    /// The record that is being written.
    record: Vec<u8>,
    due: Arc<Signal>,
    is_due_told: bool,
    timeline: Timeline,
}

impl<L> Live<L> {
    /// A router without a journal. Arms that it has already are to be [named](Live::name_arms).
    #[must_use]
    pub fn new(router: Router) -> Self {
        let timeline = Timeline::from(router.clock());
        Self {
            timeline,
            router,
            names: Names::default(),
            journal: None,
            record: Vec::new(),
            due: Arc::default(),
            is_due_told: false,
        }
    }

    /// The router, to be looked at.
    #[must_use]
    #[inline]
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The router, to be changed by calls that no journal has to know of; `None` with a journal.
    pub fn unjournaled(&mut self) -> Option<&mut Router> {
        self.journal.is_none().then_some(&mut self.router)
    }

    /// The names of its models.
    #[must_use]
    #[inline]
    pub fn names(&self) -> &Names<L> {
        &self.names
    }

    /// Journals a call with the owner's note on it, and does it.
    ///
    /// # Errors
    /// Those of the call, [`Error::Journal`] or [`Error::Poisoned`]. A call that the journal has no
    /// room for is not done.
    #[inline]
    pub fn apply<C: Call>(&mut self, call: &C, note: &[u8]) -> Result<C::Answer, Error> {
        if C::ENDS_STAGE {
            // Whether it succeeds or not: where the stage is still due, that is told again.
            self.is_due_told = false;
        }
        if let Some(journal) = &self.journal {
            self.record.clear();
            call.as_command().encode(&mut self.record);
            self.record.extend_from_slice(note);
            journal.lock().map_err(Error::poisoned)?.append(&self.record)?;
        }
        Ok(call.apply(&mut self.router)?)
    }

    /// Decides which live model serves a query.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and those of [`Live::apply`].
    #[inline]
    pub fn route(&mut self, moment: Moment, wishes: &Wishes<'_>) -> Result<Decision, Error> {
        let Wishes { allowed, max_cost, tokens } = *wishes;
        let allowed = match allowed {
            None => None,
            Some(names) => Some(Cow::Owned(self.arms(names)?)),
        };
        let now = self.time_where(self.router.needs_clock_to_route(), moment)?;
        self.apply(&Query { now, allowed, max_cost, tokens }, b"")
    }

    /// The time of feedback: it is told only where it matters, and is 0 elsewhere.
    ///
    /// # Errors
    /// As [`Live::time`].
    #[inline]
    pub fn time_of_feedback(&mut self, moment: Moment) -> Result<f64, Error> {
        self.time_where(self.router.needs_clock_to_observe(), moment)
    }

    /// A time that was told is taken; the system's clocks are read only where it matters.
    #[inline]
    fn time_where(&mut self, matters: bool, moment: Moment) -> Result<f64, Error> {
        if matters || moment != Moment::Now { self.time(moment) } else { Ok(0.0) }
    }

    /// How many readings of a clock of the owner's own were taken; to be looked at before one is read
    /// without the router's lock.
    #[must_use]
    pub fn readings(&self) -> Arc<AtomicU64> {
        self.timeline.counter()
    }

    /// The time, which passes steadily. A jump of the wall clock goes to the journal first.
    ///
    /// # Errors
    /// Those of [`Live::apply`]; the jump is noticed again at the next reading.
    pub fn time(&mut self, moment: Moment) -> Result<f64, Error> {
        let offset = self.router.clock_offset();
        let Reading { now, jump } = self.timeline.read(moment, offset);
        if let Some(offset) = jump {
            self.step_clock(offset)?;
        }
        Ok(now)
    }

    #[cold]
    fn step_clock(&mut self, offset: f64) -> Result<(), Error> {
        self.apply(&StepClock(offset), b"")
    }

    /// Adds a candidate; `label` is its name once more. A model that has retired leaves its name to it.
    ///
    /// # Errors
    /// [`Error::TakenName`], and those of [`Live::apply`].
    pub fn add_model(
        &mut self,
        name: &str,
        label: L,
        model: &impl Call<Answer = ArmIndex>,
        note: &[u8],
    ) -> Result<(), Error> {
        self.check_free(name)?;
        self.apply(model, note)?;
        self.names.add(name, label)
    }

    fn check_free(&self, name: &str) -> Result<(), Error> {
        match self.names.get(name) {
            Some(arm) if !self.router.arm(arm).is_retired => {
                Err(Error::TakenName { name: name.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// The arms of some names.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn arms(&self, names: &[&str]) -> Result<Vec<ArmIndex>, Error> {
        names.iter().map(|name| self.names.find(name)).collect()
    }

    /// Whether the stage is over and that was not told before; a thread that waits for it wakes up.
    #[inline]
    pub fn tell_if_due(&mut self) -> bool {
        let is_news = self.router.is_stage_due() && !self.is_due_told;
        if is_news {
            self.is_due_told = true;
            self.due.raise();
        }
        is_news
    }

    /// Has the end of the stage told once more: what was to follow from it has failed.
    pub fn tell_again(&mut self) {
        self.is_due_told = false;
    }

    /// Raised once whenever a stage is found over; to be waited for without any lock.
    #[must_use]
    pub fn due(&self) -> Arc<Signal> {
        Arc::clone(&self.due)
    }

    /// Appends every call from now on to a journal's tail before it is done.
    pub fn attach_journal(&mut self, tail: Arc<Mutex<Tail>>) {
        self.journal = Some(tail);
    }

    /// Does what a record of a journal says, once more, and returns its note; `None` if the router
    /// refused the call, as it did the first time. A model that it adds is to be
    /// [named](Live::name_arms).
    ///
    /// # Errors
    /// [`Error::Refused`] if it is no record.
    pub fn repeat<'r>(&mut self, record: &'r [u8]) -> Result<Option<&'r [u8]>, Error> {
        let (command, note) = Command::decode(record)?;
        let is_done = command.apply(&mut self.router).is_ok();
        self.timeline.restart(self.router.clock());
        Ok(is_done.then_some(note))
    }

    /// Names the arms that came with a restored state or a repeated record, in their order.
    ///
    /// # Errors
    /// [`Error::TakenName`]; [`Error::WrongNames`] unless every arm has a name then.
    pub fn name_arms<N: AsRef<str>>(
        &mut self,
        names: impl IntoIterator<Item = (N, L)>,
    ) -> Result<(), Error> {
        for (name, label) in names {
            if self.names.len() < self.router.len() {
                self.check_free(name.as_ref())?;
            }
            self.names.add(name.as_ref(), label)?;
        }
        let (names, arms) = (self.names.len(), self.router.len());
        if names == arms { Ok(()) } else { Err(Error::WrongNames { names, arms }) }
    }

    /// Where the journal stands, if there is one, and the whole state of the router there. Names are
    /// no part of it.
    ///
    /// # Errors
    /// [`Error::Poisoned`], or [`Error::Refused`] if memory runs out.
    pub fn snapshot(&self) -> Result<(Option<Position>, Vec<u8>), Error> {
        let (head, copy) = self.copy(Room::default())?;
        Ok((head, copy.to_bytes()?))
    }

    /// As [`Live::snapshot`], to be encoded when the router is no longer locked. Quick, if the room was
    /// made for `config().open_decisions`.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn copy(&self, room: Room) -> Result<(Option<Position>, RouterCopy), Error> {
        let head = match &self.journal {
            None => None,
            Some(journal) => Some(journal.lock().map_err(Error::poisoned)?.head()),
        };
        Ok((head, self.router.copy(room)))
    }

    /// Begins to keep events, or ends it; see [`Router::keep_events`].
    pub fn keep_events(&mut self, is_on: bool) {
        self.router.keep_events(is_on);
    }

    /// Takes the events away, the first one first.
    pub fn drain_events(&mut self) -> Vec<Noted> {
        self.router.drain_events()
    }

    /// Exchanges the log's decisions so far for an empty batch. What is logged is no part of the
    /// state.
    pub fn drain_log(&mut self, batch: &mut LogBatch) {
        self.router.drain_log(batch);
    }
}
