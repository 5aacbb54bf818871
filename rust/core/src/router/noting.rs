//! How events are noted, and taken away.

use super::Router;
use super::events::{Event, Noted, Refusal};

/// Refusals of one kind are told once in so many seconds, with their number.
const REFUSALS_EVERY: f64 = 60.0;

impl Router {
    /// Begins to keep events, or ends it; those that there are stay.
    pub fn keep_events(&mut self, is_on: bool) {
        self.events.is_on = is_on;
    }

    /// Whether events are kept.
    #[must_use]
    pub fn keeps_events(&self) -> bool {
        self.events.is_on
    }

    /// Whether there are events to be taken away.
    #[must_use]
    #[inline]
    pub fn has_events(&self) -> bool {
        !self.events.noted.is_empty()
    }

    /// Takes the events away, the first one first.
    pub fn drain_events(&mut self) -> Vec<Noted> {
        std::mem::take(&mut self.events.noted)
    }

    #[cold]
    pub(super) fn note(&mut self, event: Event) {
        if self.events.is_on {
            self.events.noted.push(Noted { at: self.wall_clock(), event });
        }
    }

    /// Notes a refusal: the first one at once, further ones together.
    #[cold]
    pub(super) fn note_refusal(&mut self, why: Refusal) {
        if !self.events.is_on {
            return;
        }
        let now = self.clock;
        let refusals = &mut self.events.refusals[why as usize];
        refusals.untold += 1;
        if refusals.told.is_none_or(|told| now - told >= REFUSALS_EVERY) {
            let count = std::mem::take(&mut refusals.untold);
            refusals.told = Some(now);
            self.note(Event::Refused { why, count });
        }
    }
}
