//! Hard limits on money: at most so much in a window of time, whatever is drawn.
//!
//! What a query will cost is not known when it is routed, so a decision *reserves* the most that it
//! can cost. A decision is admitted only if what its window has already committed (bills, and
//! reservations not yet billed) and its own reservation stay within the limit. The bill then
//! replaces the reservation. A decision belongs to the window in which it was made, also when it is
//! billed later. Windows are those of the wall clock, which may jump, either way. Sums are whole nanodollars, each rounded up, so that they are exact.

use serde::{Deserialize, Serialize};

use crate::checks::{check, sound};
use crate::error::Error;
use crate::period::Period;
use crate::tolerances::MONEY_ROUNDING;

/// What happens when the reservation of a live arm, which could serve the query otherwise, no longer
/// fits into a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtLimit {
    /// Routing goes on over the arms that still fit; the cheapest is the last to go.
    Cheapest,
    /// The query is refused, whatever else would fit: money never changes the mixture.
    Refuse,
}

impl AtLimit {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Cheapest, Self::Refuse];
}

/// A hard limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HardLimit {
    /// The most that decisions made in one window may cost together, USD; finite and above 0.
    pub usd: f64,
    /// The window.
    #[serde(rename = "per")]
    pub period: Period,
    /// What happens when it is reached.
    pub at_limit: AtLimit,
}

impl HardLimit {
    /// Checks the amount.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`].
    pub fn validate(&self) -> Result<(), Error> {
        let rule = "a hard limit must be above 0 and at most 1e9, in USD";
        check(self.usd > 0.0 && self.usd <= 1e9, "usd", self.usd, rule)
    }
}

/// An amount of money in whole nanodollars. Amounts are at most 1e9 USD: 1e18 of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Nanodollars(i64);

impl Nanodollars {
    /// What is spent or set aside, rounded up.
    pub(crate) fn from_usd(usd: f64) -> Self {
        Self::whole(usd, f64::ceil)
    }

    /// What may be spent, rounded down.
    fn limit(usd: f64) -> Self {
        Self::whole(usd, f64::floor)
    }

    fn whole(usd: f64, round: impl Fn(f64) -> f64) -> Self {
        let nano = usd * 1e9;
        let nearest = nano.round();
        let is_whole = (nano - nearest).abs() <= MONEY_ROUNDING * nano;
        let whole = if is_whole { nearest } else { round(nano) };
        // Beyond the range, as from an absurd number of tokens, this is the end of the range.
        #[allow(clippy::cast_possible_truncation)]
        let whole = whole as i64;
        Self(whole)
    }

    pub(crate) fn is_negative(self) -> bool {
        self.0 < 0
    }

    pub(crate) fn to_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }

    fn add(&mut self, amount: Self) {
        self.0 = self.0.saturating_add(amount.0);
    }

    fn subtract(&mut self, amount: Self) {
        self.0 = self.0.saturating_sub(amount.0);
    }
}

/// A limit with what is committed in its present window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Window {
    limit: HardLimit,
    most: Nanodollars,
    start: f64,
    end: f64,
    committed: Nanodollars,
    #[serde(skip)]
    history: History,
}

/// So many windows that the clock has left are remembered, should it come back to them.
const REMEMBERED: usize = 8;

/// What else is to be known of a window, should the clock turn out to have been wrong.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    /// The first decision that belongs to the window.
    first: u64,
    /// What was committed when the clock last moved into it.
    entered: Nanodollars,
    /// The windows that were left last, latest at the end.
    left: Vec<Left>,
}

/// A window that the clock has left.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Left {
    start: f64,
    committed: Nanodollars,
    first: u64,
}

impl Window {
    /// Moves to the window that holds `wall`. `next` is the decision to come. What was spent in a
    /// window that the clock leaves backwards counts in the one that it comes back to as well: it was
    /// spent whatever the clock said, and is in neither of them for nothing.
    // Out of line, or the compiler works the calendar out before it is asked to.
    #[cold]
    #[inline(never)]
    fn move_to(&mut self, wall: f64, next: u64, undated: Nanodollars) {
        let (start, end) = self.limit.period.window(wall);
        let History { first, entered, left } = &mut self.history;
        let known = left.iter().position(|known| known.start == start).map(|at| left.remove(at));
        let mut committed = known.map_or(Nanodollars::default(), |known| known.committed);
        let is_back = wall < self.start && self.start.is_finite();
        if is_back {
            let mut spent = self.committed;
            spent.subtract(*entered);
            committed.add(spent.max(Nanodollars::default()));
        } else {
            committed.add(undated);
        }
        if self.start.is_finite() {
            if left.len() == REMEMBERED {
                left.remove(0);
            }
            left.push(Left { start: self.start, committed: self.committed, first: *first });
        }
        *first = if is_back { known.map_or(*first, |known| known.first) } else { next };
        *entered = committed;
        (self.start, self.end, self.committed) = (start, end, committed);
    }
}

/// What a limit stands at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitState {
    /// The limit.
    pub limit: HardLimit,
    /// Bills and open reservations of the decisions made in the present window, USD.
    pub committed: f64,
    /// When the window ends, Unix seconds; infinite for [`Period::Total`].
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
    const UNLIMITED: Self = Self { any: Nanodollars(i64::MAX), refusing: Nanodollars(i64::MAX) };

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
}

impl Guard {
    pub(crate) fn new(limits: &[HardLimit]) -> Result<Self, Error> {
        let mut windows = Vec::with_capacity(limits.len());
        for &limit in limits {
            limit.validate()?;
            windows.push(Window {
                limit,
                most: Nanodollars::limit(limit.usd),
                start: f64::INFINITY,
                end: f64::NEG_INFINITY,
                committed: Nanodollars::default(),
                history: History { left: Vec::with_capacity(REMEMBERED), ..History::default() },
            });
        }
        Ok(Self { windows, undated: Nanodollars::default() })
    }

    /// Checks a guard that was deserialised against the limits it is for.
    pub(crate) fn check_soundness(&self, limits: &[HardLimit]) -> Result<(), Error> {
        let fresh = Self::new(limits)?;
        let is_sound = |(window, fresh): (&Window, &Window)| {
            let &Window { limit, most, start, end, committed, .. } = window;
            let is_dated = (start, end) == limit.period.window(start.max(0.0));
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

    /// Moves every window to the one that holds `wall`; `next` is the decision to come.
    #[inline]
    pub(crate) fn advance(&mut self, wall: f64, next: u64) {
        for window in &mut self.windows {
            if !(window.start..window.end).contains(&wall) {
                window.move_to(wall, next, self.undated);
            }
        }
        self.undated = Nanodollars::default();
        debug_assert!(self.windows.iter().all(|window| wall < window.end), "a window has ended");
    }

    /// Goes on from what was committed under other limits; a limit of a new period starts at nothing.
    pub(crate) fn succeed(&mut self, old: &Self) {
        for window in &mut self.windows {
            let same = |old: &&Window| old.limit.period == window.limit.period;
            if let Some(old) = old.windows.iter().find(same) {
                *window = Window { limit: window.limit, most: window.most, ..old.clone() };
            }
        }
        self.undated = old.undated;
    }

    /// What the windows' bytes do not hold, one for each.
    pub(crate) fn histories(&self) -> Vec<History> {
        self.windows.iter().map(|window| window.history.clone()).collect()
    }

    /// Puts back what [`Guard::histories`] gave. Where nothing is known, a decision belongs to the
    /// window that holds its time: `first_since` says which the first of those is.
    pub(crate) fn set_histories(&mut self, known: &[History], first_since: impl Fn(f64) -> u64) {
        for (place, window) in self.windows.iter_mut().enumerate() {
            let guess = || History { first: first_since(window.start), ..History::default() };
            window.history = known.get(place).cloned().unwrap_or_else(guess);
            window.history.left.truncate(REMEMBERED);
            window.history.left.reserve_exact(REMEMBERED);
        }
    }

    /// What may still be reserved. Nothing at all fits in any case: it commits nothing.
    #[inline]
    pub(crate) fn room(&self) -> Room {
        let mut room = Room::UNLIMITED;
        for window in &self.windows {
            let mut left = window.most;
            left.subtract(window.committed);
            let left = left.max(Nanodollars::default());
            room.any = room.any.min(left);
            if window.limit.at_limit == AtLimit::Refuse {
                room.refusing = room.refusing.min(left);
            }
        }
        room
    }

    /// The limit, among those that refuse or among all, that keeps a reservation out for longest, and
    /// until when, Unix seconds: for ever, where the window does not end or would never hold it.
    pub(crate) fn obstacle(
        &self,
        reservation: Nanodollars,
        is_refused: bool,
    ) -> Option<(HardLimit, f64)> {
        let stands_in_the_way = |window: &&Window| {
            let mut sum = window.committed;
            sum.add(reservation);
            let counts = !is_refused || window.limit.at_limit == AtLimit::Refuse;
            counts && reservation > Nanodollars::default() && sum > window.most
        };
        let end = |window: &Window| {
            let end = if reservation > window.most { f64::INFINITY } else { window.end };
            (window.limit, end)
        };
        let obstacles = self.windows.iter().filter(stands_in_the_way).map(end);
        obstacles.max_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    #[inline]
    pub(crate) fn reserve(&mut self, reservation: Nanodollars) {
        debug_assert!(!reservation.is_negative(), "{reservation:?}");
        for window in &mut self.windows {
            window.committed.add(reservation);
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
        for window in self.windows.iter_mut().filter(|window| id >= window.history.first) {
            window.committed.subtract(reservation);
            window.committed.add(bill);
        }
    }

    /// What each limit stands at, at `wall`.
    pub(crate) fn states(&self, wall: f64) -> impl Iterator<Item = LimitState> {
        self.windows.iter().map(move |window| {
            let has_ended = wall >= window.end;
            let (_, ends) = window.limit.period.window(wall);
            let committed = if has_ended { self.undated } else { window.committed };
            LimitState { limit: window.limit, committed: committed.to_usd(), ends }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_round_up_but_not_for_their_representation() {
        for (usd, nano) in [
            (0.1 + 0.2, 300_000_000),
            (1e-9, 1),
            (1.1e-9, 2),
            (1e-12, 1),
            (0.0, 0),
            (1e9, 1_000_000_000_000_000_000),
            (f64::MAX, i64::MAX),
        ] {
            assert_eq!(Nanodollars::from_usd(usd), Nanodollars(nano), "{usd}");
        }
        for nano in (1..10_000).map(|n: i64| n * n * 7_919_113) {
            // Whole, though no float is: as a literal, as a sum, as a price times tokens.
            let usd = nano as f64 / 1e9;
            for usd in [usd, usd / 3.0 + usd / 1.5, usd / 7.0 * 1e6 * 7.0 / 1e6] {
                assert_eq!(Nanodollars::from_usd(usd), Nanodollars(nano), "{usd}");
                assert_eq!(Nanodollars::limit(usd), Nanodollars(nano), "{usd}");
            }
        }
        assert_eq!(Nanodollars::limit(1.9e-9), Nanodollars(1));
    }
}
