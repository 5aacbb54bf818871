//! A copy of a router for a snapshot: made while the router is locked, encoded when it no longer is.

use super::Router;
use super::columns::Columns;
use super::events::Events;
use super::restricted::Restricted;
use crate::decisions::OpenDecision;
use crate::error::Error;
use crate::log::DecisionLog;

/// Memory for the open decisions of a copy, which are most of it.
#[derive(Debug, Default)]
pub struct Room(Vec<OpenDecision>);

impl Room {
    /// Room for `capacity` decisions. Every byte is written, so that the copy meets no new page.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(vec![OpenDecision::default(); capacity.next_power_of_two()])
    }
}

/// A router as it stood, to be encoded.
#[derive(Debug)]
pub struct RouterCopy(Router);

impl RouterCopy {
    /// As [`Router::to_bytes`].
    ///
    /// # Errors
    /// [`Error::BadSnapshot`] if memory runs out.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        self.0.to_bytes()
    }
}

impl Router {
    /// Copies what a snapshot holds; quickly, if the room was made for as many decisions as are open.
    #[must_use]
    pub fn copy(&self, room: Room) -> RouterCopy {
        RouterCopy(Self {
            config: self.config.clone(),
            learner: self.learner.clone(),
            arms: self.arms.clone(),
            live: self.live.clone(),
            lp: self.lp.clone(),
            stage_end: self.stage_end,
            has_lost_slot: self.has_lost_slot,
            gates: self.gates,
            shares_due: self.shares_due,
            decisions: self.decisions.copy(room.0),
            ledger: self.ledger,
            billed: self.billed,
            guard: self.guard.clone(),
            start_costs: self.start_costs,
            rate: self.rate,
            counters: self.counters,
            takes_bills: self.takes_bills,
            slots_due: self.slots_due,
            scopes: self.scopes.clone(),
            sampler: self.sampler.clone(),
            clock: self.clock,
            clock_offset: self.clock_offset,
            columns: Columns::default(),
            restricted: Restricted { lp: self.restricted.lp.clone(), ..Restricted::default() },
            log: DecisionLog::default(),
            events: Events::default(),
        })
    }
}
