//! The windows of the calendar in which a hard limit counts money.
//!
//! A wall clock may jump, either way, and nobody can tell at once which of its readings is right. So
//! the window that a clock leaves by a jump goes on beside the one that it jumps into, until it would
//! have ended by the old reading. After a jump forward both limits hold: a clock that was ahead for a
//! while frees no money. After a jump back what was spent since the clock was ahead counts in the
//! window that it comes back to. Windows that were left are remembered, with what is billed late.

use serde::{Deserialize, Serialize};

use crate::hard_limit::HardLimit;
use crate::money::Nanodollars;

/// So many windows that the clock has left are remembered.
const REMEMBERED: usize = 8;

/// A limit with what is committed in its present window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) limit: HardLimit,
    pub(crate) most: Nanodollars,
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) committed: Nanodollars,
    #[serde(skip)]
    pub(crate) history: History,
}

/// What else is to be known of a window, should the clock turn out to have been wrong.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    /// The first decision that belongs to the window.
    first: u64,
    /// What was committed when the clock last moved into it.
    entered: Nanodollars,
    /// Its last end by any earlier reading, in steady time.
    until: f64,
    /// The windows that were left last, latest at the end.
    left: Vec<Left>,
}

/// A window that the clock has left.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Left {
    start: f64,
    /// Committed before it was left: by decisions from `first` on, up to `after`.
    committed: Nanodollars,
    first: u64,
    after: u64,
    /// Committed since, up to decision `next`: at the end of numbers for as long as it goes on.
    since: Nanodollars,
    next: u64,
    /// The end by the reading at which it was left, in steady time: until then it goes on.
    until: f64,
    /// Whether its limit holds meanwhile. Where the clock went back, the window it came to has what
    /// was spent here.
    holds: bool,
}

impl Left {
    fn goes_on(&self) -> bool {
        self.next == u64::MAX
    }

    fn total(&self) -> Nanodollars {
        let mut total = self.committed;
        total.add(self.since);
        total
    }
}

impl History {
    /// Of a window whose first decision is known.
    pub(crate) fn of(first: u64) -> Self {
        Self { first, left: Vec::with_capacity(REMEMBERED), ..Self::default() }
    }

    /// Makes room for all that will be remembered, so that nothing is allocated later.
    pub(crate) fn reserve(&mut self) {
        self.left.truncate(REMEMBERED);
        self.left.reserve_exact(REMEMBERED);
    }
}

impl Window {
    pub(crate) fn new(limit: HardLimit) -> Self {
        Self {
            limit,
            most: Nanodollars::limit(limit.usd),
            start: f64::INFINITY,
            end: f64::NEG_INFINITY,
            committed: Nanodollars::default(),
            history: History::of(0),
        }
    }

    /// Moves to the window that holds `wall`, at steady time `now`, as time passes. `next` is the
    /// decision to come.
    // Out of line, or the compiler works the calendar out before it is asked to.
    #[cold]
    #[inline(never)]
    pub(crate) fn move_to(&mut self, wall: f64, now: f64, next: u64, undated: Nanodollars) {
        let (start, _) = self.limit.period.window(wall);
        let mut committed = undated;
        if let Some(known) = self.recall(start) {
            // The clock was ahead. What is due to other readings is not due to this one.
            committed.add(known.committed);
        }
        let left = self.leave(next, now);
        self.enter(wall, left, committed, next, f64::NEG_INFINITY);
    }

    /// Jumps to the window that holds `wall`, from a reading of `offset` more than steady time `now`.
    #[cold]
    #[inline(never)]
    pub(crate) fn jump_to(
        &mut self,
        wall: f64,
        (now, offset): (f64, f64),
        next: u64,
        undated: Nanodollars,
    ) {
        self.history.until = self.history.until.max(self.end - offset);
        if (self.start..self.end).contains(&wall) {
            return;
        }
        let is_back = wall < self.start;
        let (start, _) = self.limit.period.window(wall);
        let known = self.recall(start);
        let mut committed = known.map_or(Nanodollars::default(), |known| known.total());
        let mut first = known.map_or(next, |known| known.first);
        let goes_on = known.is_some_and(|known| known.goes_on());
        if !goes_on && is_back {
            // Spent while the clock was ahead, whatever it said: in neither window for nothing.
            let mut spent = self.committed;
            spent.subtract(self.history.entered);
            committed.add(spent.max(Nanodollars::default()));
            first = first.min(self.history.first);
        } else if !goes_on {
            committed.add(undated);
            first = next;
        }
        let left = Left { holds: !is_back, ..self.leave(next, now) };
        let until = known.map_or(f64::NEG_INFINITY, |known| known.until);
        self.enter(wall, left, committed, first, until);
    }

    fn recall(&mut self, start: f64) -> Option<Left> {
        let left = &mut self.history.left;
        left.iter().position(|known| known.start == start).map(|at| left.remove(at))
    }

    fn leave(&self, next: u64, now: f64) -> Left {
        let until = self.history.until;
        Left {
            start: self.start,
            committed: self.committed,
            first: self.history.first,
            after: next,
            since: Nanodollars::default(),
            next: if until > now { u64::MAX } else { next },
            until,
            holds: true,
        }
    }

    fn enter(&mut self, wall: f64, last: Left, committed: Nanodollars, first: u64, until: f64) {
        let left = &mut self.history.left;
        if last.start.is_finite() {
            if left.len() == REMEMBERED {
                left.remove(left.iter().position(|left| !left.goes_on()).unwrap_or(0));
            }
            left.push(last);
        }
        (self.history.first, self.history.until) = (first, until);
        (self.history.entered, self.committed) = (committed, committed);
        (self.start, self.end) = self.limit.period.window(wall);
    }

    /// Ends what has ended by every reading, at steady time `now`. Returns whether a window that was
    /// left goes on.
    pub(crate) fn end_left(&mut self, now: f64, next: u64) -> bool {
        let mut goes_on = false;
        for left in self.history.left.iter_mut().filter(|left| left.goes_on()) {
            left.next = if left.until <= now { next } else { left.next };
            goes_on |= left.goes_on();
        }
        goes_on
    }

    /// The first decision of which no window that was left knows.
    pub(crate) fn left_until(&self) -> u64 {
        self.history.left.iter().map(|left| left.next).max().unwrap_or(0)
    }

    /// What may still be reserved.
    #[inline]
    pub(crate) fn room(&self) -> Nanodollars {
        let mut room = self.most;
        room.subtract(self.committed);
        room.max(Nanodollars::default())
    }

    /// What windows that were left leave of it, too; and the steady time from which `amount` fits into
    /// those.
    pub(crate) fn room_of_left(&self, amount: Nanodollars) -> (Nanodollars, f64) {
        let mut least = (self.room(), f64::NEG_INFINITY);
        for left in self.history.left.iter().filter(|left| left.goes_on() && left.holds) {
            let mut room = self.most;
            room.subtract(left.total());
            least.0 = least.0.min(room.max(Nanodollars::default()));
            least.1 = if amount > room { least.1.max(left.until) } else { least.1 };
        }
        least
    }

    /// Counts an amount in the windows that were left and go on.
    pub(crate) fn reserve_in_left(&mut self, amount: Nanodollars) {
        for left in self.history.left.iter_mut().filter(|left| left.goes_on()) {
            left.since.add(amount);
        }
    }

    /// Puts a bill in the place of a reservation, where `id` belongs here.
    #[inline]
    pub(crate) fn bill(&mut self, id: u64, reservation: Nanodollars, bill: Nanodollars) {
        if id >= self.history.first {
            self.committed.subtract(reservation);
            self.committed.add(bill);
        }
    }

    /// The same in windows that were left.
    pub(crate) fn bill_in_left(&mut self, id: u64, reservation: Nanodollars, bill: Nanodollars) {
        for left in &mut self.history.left {
            let sum = if (left.first..left.after).contains(&id) {
                &mut left.committed
            } else if (left.after..left.next).contains(&id) {
                &mut left.since
            } else {
                continue;
            };
            sum.subtract(reservation);
            sum.add(bill);
        }
    }
}
