//! Hard limits on money: at most so much in a window of time, whatever is drawn.
//!
//! What a query will cost is not known when it is routed, so a decision *reserves* the most that it
//! can cost. A decision is admitted only if what its window has already committed (bills, and
//! reservations not yet billed) and its own reservation stay within the limit. The bill then
//! replaces the reservation. A decision belongs to the window in which it was made, also when it is
//! billed later. Sums are whole nanodollars, each rounded up, so that they are exact.

use serde::{Deserialize, Serialize};

use crate::calendar::Calendar;
use crate::checks::sound;
use crate::error::Error;
use crate::hard_limit::{AtLimit, HardLimit};
use crate::money::Nanodollars;
use crate::window::{History, Window};

/// What a limit stands at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitState {
    /// The limit.
    pub limit: HardLimit,
    /// Bills and open reservations of the decisions made in the present window, USD.
    pub committed: f64,
    /// When the window ends, Unix seconds; infinite for [`crate::Period::Total`].
    pub ends: f64,
}

/// What may still be reserved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Above this, some limit is in the way …
    any: Nanodollars,
    /// … and above this one that refuses.
    refusing: Nanodollars,
}

impl Room {
    const UNLIMITED: Self = Self { any: Nanodollars::MOST, refusing: Nanodollars::MOST };

    #[inline]
    pub(crate) fn holds(self, reservation: Nanodollars) -> bool {
        reservation <= self.any
    }

    #[inline]
    pub(crate) fn refuses(self, reservation: Nanodollars) -> bool {
        reservation > self.refusing
    }
}

/// All hard limits of a router.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Guard {
    windows: Vec<Window>,
    /// Paid since the time was last known: it counts in the window of then and in that of the next
    /// query, whichever it belongs to.
    undated: Nanodollars,
    /// Whether some window that the clock has left by a jump goes on.
    #[serde(skip)]
    is_doubled: bool,
    /// The first decision of which no window that was left knows.
    #[serde(skip)]
    left_until: u64,
}

impl Guard {
    /// Each limit goes by the calendar at its place, or by UTC.
    pub(crate) fn new(limits: &[HardLimit], calendars: &[Calendar]) -> Result<Self, Error> {
        let mut windows = Vec::with_capacity(limits.len());
        for (place, &limit) in limits.iter().enumerate() {
            limit.validate()?;
            let calendar = calendars.get(place).cloned().unwrap_or_default();
            calendar.validate()?;
            windows.push(Window::new(limit, calendar));
        }
        Ok(Self { windows, ..Self::default() })
    }

    /// Checks a guard that was deserialised against the limits it is for.
    pub(crate) fn check_soundness(
        &self,
        limits: &[HardLimit],
        calendars: &[Calendar],
    ) -> Result<(), Error> {
        let fresh = Self::new(limits, calendars)?;
        let is_sound = |(window, fresh): (&Window, &Window)| {
            let &Window { limit, most, start, end, committed, .. } = window;
            let is_dated = (start, end) == fresh.calendar.window(limit.period, start.max(0.0));
            let is_fresh = (start, end) == (fresh.start, fresh.end);
            let is_same = (limit, most) == (fresh.limit, fresh.most);
            is_same && (is_dated || is_fresh) && !committed.is_negative()
        };
        let is_sound = self.windows.len() == fresh.windows.len()
            && self.windows.iter().zip(&fresh.windows).all(is_sound)
            && !self.undated.is_negative();
        sound(is_sound, "the hard limits")
    }

    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        self.windows.is_empty()
    }

    /// Follows the wall clock, which jumps from `before` seconds more than steady time `now` to `after`;
    /// `next` is the decision to come.
    pub(crate) fn jump(&mut self, now: f64, (before, after): (f64, f64), next: u64) {
        let wall = now + after;
        for window in &mut self.windows {
            if window.start.is_finite() {
                window.jump_to(wall, (now, before), next, self.undated);
            }
        }
        self.look_at_left(now, next);
    }

    /// Moves every window to the one that holds steady time `now`, when the wall clock shows `offset`
    /// seconds more; `next` is the decision to come.
    #[inline]
    pub(crate) fn advance(&mut self, now: f64, offset: f64, next: u64) {
        let wall = now + offset;
        let mut has_moved = self.is_doubled;
        for window in &mut self.windows {
            if !(window.start..window.end).contains(&wall) {
                window.move_to(wall, now, next, self.undated);
                has_moved = true;
            }
        }
        if has_moved {
            self.look_at_left(now, next);
        }
        self.undated = Nanodollars::default();
        debug_assert!(self.windows.iter().all(|window| wall < window.end), "a window has ended");
    }

    #[cold]
    fn look_at_left(&mut self, now: f64, next: u64) {
        self.is_doubled = false;
        for window in &mut self.windows {
            self.is_doubled |= window.end_left(now, next);
        }
        self.left_until = self.windows.iter().map(Window::left_until).max().unwrap_or(0);
    }

    /// Goes on from what was committed under other limits; a limit of a new period starts at nothing.
    /// The wall clock shows `wall`.
    pub(crate) fn succeed(&mut self, old: &Self, wall: f64) {
        for window in &mut self.windows {
            let mut same = old.windows.iter().filter(|old| old.limit.period == window.limit.period);
            let twin = same.clone().find(|old| old.calendar == window.calendar);
            if let Some(old) = twin.or_else(|| same.next()) {
                window.succeed(old, wall);
            }
        }
        (self.undated, self.is_doubled, self.left_until) =
            (old.undated, old.is_doubled, old.left_until);
    }

    /// What the windows' bytes do not hold, one for each.
    pub(crate) fn histories(&self) -> Vec<History> {
        self.windows.iter().map(|window| window.history.clone()).collect()
    }

    /// Puts back what [`Guard::histories`] gave. Where nothing is known, a decision belongs to the
    /// window that holds its time: `first_since` says which the first of those is.
    pub(crate) fn set_histories(&mut self, known: &[History], first_since: impl Fn(f64) -> u64) {
        for (place, window) in self.windows.iter_mut().enumerate() {
            let guess = || History::of(first_since(window.start));
            window.history = known.get(place).cloned().unwrap_or_else(guess);
            window.history.reserve();
        }
        self.look_at_left(f64::NEG_INFINITY, u64::MAX);
    }

    /// Puts the calendars back that the windows' bytes do not hold.
    pub(crate) fn set_calendars(&mut self, calendars: &[Calendar]) {
        for (window, calendar) in self.windows.iter_mut().zip(calendars) {
            window.calendar.clone_from(calendar);
        }
    }

    /// What may still be reserved. Nothing at all fits in any case: it commits nothing.
    #[inline]
    pub(crate) fn room(&self) -> Room {
        let mut room = Room::UNLIMITED;
        for window in &self.windows {
            let left = if self.is_doubled { window.room_with_left() } else { window.room() };
            room.any = room.any.min(left);
            if window.limit.at_limit == AtLimit::Refuse {
                room.refusing = room.refusing.min(left);
            }
        }
        room
    }

    /// The limit that has least left for what is paid at once, at `wall`, and how much that is.
    pub(crate) fn tightest(&self, wall: f64) -> Option<(HardLimit, Nanodollars)> {
        let left = |window: &Window| {
            let mut left = window.most;
            left.subtract(if wall >= window.end { self.undated } else { window.committed });
            if self.is_doubled {
                left = left.min(window.room_with_left());
            }
            (window.limit, left.max(Nanodollars::default()))
        };
        self.windows.iter().map(left).min_by_key(|&(_, left)| left)
    }

    /// The limit, among those that refuse or among all, that keeps a reservation out for longest, if one
    /// does at steady time `now`, when the wall clock shows `offset` seconds more.
    pub(crate) fn obstacle(
        &self,
        reservation: Nanodollars,
        is_refused: bool,
        now: f64,
        offset: f64,
    ) -> Option<HardLimit> {
        let opens = |window: &Window| (window.limit, window.opens(reservation, now, offset));
        let all = self.counted(is_refused).map(opens).filter(|&(_, opens)| opens > now);
        all.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(limit, _)| limit)
    }

    /// From when on, at steady time `at` or later, all of these limits have room for a reservation, by
    /// what is committed so far; never is infinite.
    pub(crate) fn opens(
        &self,
        reservation: Nanodollars,
        is_refused: bool,
        at: f64,
        offset: f64,
    ) -> f64 {
        let mut at = at;
        loop {
            let before = at;
            for window in self.counted(is_refused) {
                at = window.opens(reservation, at, offset);
            }
            if at == before || at == f64::INFINITY {
                return at;
            }
        }
    }

    fn counted(&self, is_refused: bool) -> impl Iterator<Item = &Window> {
        let refuses = |window: &&Window| window.limit.at_limit == AtLimit::Refuse;
        self.windows.iter().filter(move |window| !is_refused || refuses(window))
    }

    #[inline]
    pub(crate) fn reserve(&mut self, reservation: Nanodollars) {
        debug_assert!(!reservation.is_negative(), "{reservation:?}");
        for window in &mut self.windows {
            window.committed.add(reservation);
        }
        if self.is_doubled {
            self.windows.iter_mut().for_each(|window| window.reserve_in_left(reservation));
        }
    }

    /// Commits what was paid at a time that is not known.
    pub(crate) fn pay_undated(&mut self, amount: Nanodollars) {
        self.reserve(amount);
        self.undated.add(amount);
        debug_assert!(self.undated >= amount, "what was paid is not negative: {self:?}");
    }

    /// Puts the bill of a decision in the place of its reservation.
    #[inline]
    pub(crate) fn bill(&mut self, id: u64, reservation: Nanodollars, bill: Nanodollars) {
        debug_assert!(
            !reservation.is_negative() && !bill.is_negative(),
            "{reservation:?} {bill:?}"
        );
        for window in &mut self.windows {
            window.bill(id, reservation, bill);
        }
        if id < self.left_until {
            self.bill_in_left(id, reservation, bill);
        }
    }

    #[cold]
    fn bill_in_left(&mut self, id: u64, reservation: Nanodollars, bill: Nanodollars) {
        self.windows.iter_mut().for_each(|window| window.bill_in_left(id, reservation, bill));
    }

    /// What each limit stands at, at `wall`.
    pub(crate) fn states(&self, wall: f64) -> impl Iterator<Item = LimitState> {
        self.windows.iter().map(move |window| {
            let has_ended = wall >= window.end;
            let (_, ends) = window.calendar.window(window.limit.period, wall);
            let committed = if has_ended { self.undated } else { window.committed };
            LimitState { limit: window.limit, committed: committed.to_usd(), ends }
        })
    }
}
