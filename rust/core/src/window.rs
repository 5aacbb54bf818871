//! The windows of the calendar in which a hard limit counts money.
//!
//! A wall clock may jump, either way, and nobody can tell at once which of its readings is right. So
//! the window that a clock leaves by a jump goes on beside the one that it jumps into, until it would
//! have ended by the old reading. After a jump forward both limits hold: a clock that was ahead for a
//! while frees no money. After a jump back what was spent since the clock was ahead counts in the
//! window that it comes back to. Windows that were left are remembered, with what is billed late.

use serde::{Deserialize, Serialize};

use crate::calendar::Calendar;
use crate::hard_limit::HardLimit;
use crate::money::Nanodollars;

/// So many windows that the clock has left last are remembered: ten days of hours.
const REMEMBERED: usize = 240;

/// A limit with what is committed in its present window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) limit: HardLimit,
    #[serde(skip)]
    pub(crate) calendar: Calendar,
    pub(crate) most: Nanodollars,
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) committed: Nanodollars,
    #[serde(skip)]
    pub(crate) history: History,
}

/// Decisions whose reservations a window holds: those from `first` on, but for a gap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Held {
    first: u64,
    gap: (u64, u64),
}

impl Held {
    fn from(first: u64) -> Self {
        Self { first, gap: (0, 0) }
    }

    #[inline]
    fn contains(self, id: u64) -> bool {
        id >= self.first && !(self.gap.0..self.gap.1).contains(&id)
    }

    /// The same up to `until`, and all from `again` on. Of two gaps the later is kept: decisions before
    /// the other one keep what they reserved.
    fn without(self, until: u64, again: u64) -> Self {
        let has_gap = self.gap.0 < self.gap.1;
        match (until < again, has_gap) {
            (false, _) => self,
            (true, false) => Self { gap: (until, again), ..self },
            (true, true) => Self { first: self.gap.1, gap: (until, again) },
        }
    }
}

/// What else is to be known of a window, should the clock turn out to have been wrong.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    held: Held,
    /// The decision that was to come when the clock last moved into the window, …
    entered: u64,
    /// … and what was committed then.
    found: Nanodollars,
    /// Its last end by any earlier reading, in steady time.
    until: f64,
    /// The windows that were left last, latest at the end.
    left: Vec<Left>,
}

/// A window that the clock has left.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Left {
    start: f64,
    /// Committed before it was left, by decisions up to `after`.
    committed: Nanodollars,
    held: Held,
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
        Self { held: Held::from(first), left: Vec::with_capacity(REMEMBERED), ..Self::default() }
    }

    /// Makes room for all that will be remembered, so that nothing is allocated later.
    pub(crate) fn reserve(&mut self) {
        self.left.truncate(REMEMBERED);
        self.left.reserve_exact(REMEMBERED);
    }
}

impl Window {
    pub(crate) fn new(limit: HardLimit, calendar: Calendar) -> Self {
        Self {
            limit,
            calendar,
            most: Nanodollars::limit(limit.usd),
            start: f64::INFINITY,
            end: f64::NEG_INFINITY,
            committed: Nanodollars::default(),
            // No decision's, until the clock moves into it.
            history: History::of(u64::MAX),
        }
    }

    /// Goes on from another limit's window. By another calendar it becomes that one's.
    pub(crate) fn succeed(&mut self, old: &Self, wall: f64) {
        let is_dated = old.start.is_finite() && self.calendar != old.calendar;
        (self.committed, self.history) = (old.committed, old.history.clone());
        (self.start, self.end) = (old.start, old.end);
        if is_dated {
            (self.start, self.end) = self.calendar.window(self.limit.period, wall);
        }
    }

    /// Moves to the window that holds `wall`, at steady time `now`, as time passes. `next` is the
    /// decision to come.
    // Out of line, or the compiler works the calendar out before it is asked to.
    #[cold]
    #[inline(never)]
    pub(crate) fn move_to(&mut self, wall: f64, now: f64, next: u64, undated: Nanodollars) {
        let (start, _) = self.calendar.window(self.limit.period, wall);
        let (mut committed, mut held) = (undated, Held::from(next));
        if let Some(known) = self.recall(start) {
            // The clock was ahead. What is due to other readings is not due to this one.
            committed.add(known.committed);
            held = known.held.without(known.after, next);
        }
        let left = self.leave(next, now);
        self.enter(wall, left, committed, held, next);
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
        let (start, _) = self.calendar.window(self.limit.period, wall);
        let known = self.recall(start);
        let mut committed = known.map_or(Nanodollars::default(), |known| known.total());
        let mut held = known.map_or(Held::from(next), |known| known.held);
        let goes_on = known.is_some_and(|known| known.goes_on());
        if !goes_on && is_back {
            // Spent while the clock was ahead, whatever it said: in neither window for nothing.
            let mut spent = self.committed;
            spent.subtract(self.history.found);
            committed.add(spent.max(Nanodollars::default()));
            let since = self.history.entered;
            held = known.map_or(Held::from(since), |known| known.held.without(known.next, since));
        } else if !goes_on {
            committed.add(undated);
            held = known.map_or(Held::from(next), |known| known.held.without(known.next, next));
        }
        let left = Left { holds: !is_back, ..self.leave(next, now) };
        self.enter(wall, left, committed, held, next);
        self.history.until = known.map_or(f64::NEG_INFINITY, |known| known.until);
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
            held: self.history.held,
            after: next,
            since: Nanodollars::default(),
            next: if until > now { u64::MAX } else { next },
            until,
            holds: true,
        }
    }

    fn enter(&mut self, wall: f64, last: Left, committed: Nanodollars, held: Held, next: u64) {
        let left = &mut self.history.left;
        if last.start.is_finite() {
            if left.len() == REMEMBERED {
                left.remove(0);
            }
            left.push(last);
        }
        let History { entered, found, until, .. } = &mut self.history;
        (*entered, *found, *until) = (next, committed, f64::NEG_INFINITY);
        (self.history.held, self.committed) = (held, committed);
        (self.start, self.end) = self.calendar.window(self.limit.period, wall);
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

    /// The same, less what windows that were left leave of it.
    pub(crate) fn room_with_left(&self) -> Nanodollars {
        let mut most = self.committed;
        for left in self.history.left.iter().filter(|left| left.goes_on() && left.holds) {
            most = most.max(left.total());
        }
        let mut room = self.most;
        room.subtract(most);
        room.max(Nanodollars::default())
    }

    /// When, at steady time `at` or later, the windows of then have room for an amount, by what is
    /// committed so far and as long as the wall clock shows `offset` seconds more; `at` itself, if they
    /// do then. Where several are in the way, one may be for longer.
    pub(crate) fn opens(&self, amount: Nanodollars, at: f64, offset: f64) -> f64 {
        let lacks_room = |mut committed: Nanodollars| {
            committed.add(amount);
            committed > self.most
        };
        if amount == Nanodollars::default() {
            return at;
        }
        if amount > self.most {
            return f64::INFINITY;
        }
        let History { left, until, .. } = &self.history;
        let (start, end) = self.calendar.window(self.limit.period, at + offset);
        let is_present = start == self.start;
        let known = left.iter().find(|left| left.start == start);
        let committed =
            if is_present { Some(self.committed) } else { known.map(|left| left.committed) };
        let mut opens = at;
        if committed.is_some_and(lacks_room) {
            opens = end - offset;
            if opens + offset < end {
                opens += 2.0 * f64::EPSILON * end;
            }
        }
        for left in left.iter().filter(|left| left.goes_on() && left.holds) {
            opens = if lacks_room(left.total()) { opens.max(left.until) } else { opens };
        }
        let goes_on = !is_present && *until > at && lacks_room(self.committed);
        if goes_on { opens.max(*until) } else { opens }
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
        if !self.history.held.contains(id) {
            return;
        }
        self.committed.subtract(reservation);
        self.committed.add(bill);
        if id < self.history.entered {
            self.history.found.subtract(reservation);
            self.history.found.add(bill);
        }
    }

    /// The same in windows that were left.
    pub(crate) fn bill_in_left(&mut self, id: u64, reservation: Nanodollars, bill: Nanodollars) {
        for left in &mut self.history.left {
            let sum = if id < left.after && left.held.contains(id) {
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
