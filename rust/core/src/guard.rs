//! Hard limits on money: at most so much in a window of time, whatever is drawn.
//!
//! What a query will cost is not known when it is routed, so a decision *reserves* the most that it
//! can cost. A decision is admitted only if what its window has already committed (bills, and
//! reservations not yet billed) and its own reservation stay within the limit. The bill then
//! replaces the reservation. A decision belongs to the window in which it was made, also when it is
//! billed later. Sums are whole nanodollars, each rounded up, so that they are exact.

use serde::{Deserialize, Serialize};

use crate::error::{Error, check};

const SECONDS_PER_HOUR: f64 = 3_600.0;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// A length of time after which a limit starts anew. Hours, days and months are those of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// A calendar month.
    Month,
    /// For ever.
    Total,
}

impl Period {
    /// All periods, by the name each has in configuration.
    pub const NAMES: [(&'static str, Self); 4] =
        [("hour", Self::Hour), ("day", Self::Day), ("month", Self::Month), ("total", Self::Total)];

    /// The name of this period in configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// Start and end of the window that holds `now`, in seconds of Unix time.
    fn window(self, now: f64) -> (f64, f64) {
        let of_length = |seconds: f64| {
            let start = (now / seconds).floor() * seconds;
            (start, start + seconds)
        };
        match self {
            Self::Hour => of_length(SECONDS_PER_HOUR),
            Self::Day => of_length(SECONDS_PER_DAY),
            Self::Month => month_of(now),
            Self::Total => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }
}

/// The calendar month that holds `now`. Days since 1970 become year, month and day by shifting the
/// year to start in March, so that leap days come last (Hinnant, *chrono-compatible low-level date
/// algorithms*).
fn month_of(now: f64) -> (f64, f64) {
    const DAYS_PER_ERA: f64 = 146_097.0;
    const EPOCH_FROM_MARCH_OF_YEAR_0: f64 = 719_468.0;
    let day = (now / SECONDS_PER_DAY).floor();
    let shifted = day + EPOCH_FROM_MARCH_OF_YEAR_0;
    let of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let leap_days = |days: f64| {
        (days / 1_460.0).floor() - (days / 36_524.0).floor() + (days / 146_096.0).floor()
    };
    let year = ((of_era - leap_days(of_era)) / 365.0).floor();
    let of_year = of_era - (365.0 * year + (year / 4.0).floor() - (year / 100.0).floor());
    // Months from March have 31, 30, 31, 30, 31 days, over and over: 153 in five months.
    let month = ((5.0 * of_year + 2.0) / 153.0).floor();
    let first_of = |month: f64| ((153.0 * month + 2.0) / 5.0).floor();
    let start = day - (of_year - first_of(month));
    let is_leap_year = {
        let next = year + 1.0;
        next % 4.0 == 0.0 && (next % 100.0 != 0.0 || next % 400.0 == 0.0)
    };
    let days = match month {
        11.0 if is_leap_year => 29.0,
        11.0 => 28.0,
        _ => first_of(month + 1.0) - first_of(month),
    };
    (start * SECONDS_PER_DAY, (start + days) * SECONDS_PER_DAY)
}

/// What happens when a live arm's reservation no longer fits into a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AtLimit {
    /// Routing goes on over the arms that still fit; the cheapest is the last to go.
    Cheapest,
    /// Every query is refused until the window ends, or bills make room.
    Refuse,
}

/// A hard limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HardLimit {
    /// The most that decisions made in one window may cost together, USD; finite and above 0.
    pub usd: f64,
    /// The window.
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

/// An amount of money in whole nanodollars, rounded up; rounding of the amount itself does not make
/// it one more. Amounts are at most 1e9 USD: 1e18 of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Nanodollars(i64);

impl Nanodollars {
    pub(crate) fn from_usd(usd: f64) -> Self {
        let nano = usd * 1e9;
        let nearest = nano.round();
        let whole = if (nano - nearest).abs() <= 1e-6 { nearest } else { nano.ceil() };
        #[allow(clippy::cast_possible_truncation)]
        let whole = whole as i64;
        Self(whole)
    }

    fn to_usd(self) -> f64 {
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Window {
    limit: HardLimit,
    most: Nanodollars,
    start: f64,
    end: f64,
    committed: Nanodollars,
}

impl Window {
    /// Starts anew. Out of line, or the compiler works the calendar out before it is asked to.
    #[cold]
    #[inline(never)]
    fn renew(&mut self, now: f64) {
        (self.start, self.end) = self.limit.period.window(now);
        self.committed = Nanodollars::default();
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

/// All hard limits of a router.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Guard {
    windows: Vec<Window>,
}

impl Guard {
    pub(crate) fn new(limits: &[HardLimit]) -> Result<Self, Error> {
        let mut windows = Vec::with_capacity(limits.len());
        for &limit in limits {
            limit.validate()?;
            windows.push(Window {
                limit,
                most: Nanodollars::from_usd(limit.usd),
                start: f64::INFINITY,
                end: f64::NEG_INFINITY,
                committed: Nanodollars::default(),
            });
        }
        Ok(Self { windows })
    }

    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        self.windows.is_empty()
    }

    /// Starts every window anew that has ended by `now`.
    #[inline]
    pub(crate) fn advance(&mut self, now: f64) {
        for window in &mut self.windows {
            if now >= window.end {
                window.renew(now);
            }
        }
    }

    /// What may still be reserved, and the limit that says so; `None` without limits.
    #[inline]
    pub(crate) fn room(&self) -> Option<(Nanodollars, HardLimit)> {
        let room = |window: &Window| {
            let mut room = window.most;
            room.subtract(window.committed);
            (room, window.limit)
        };
        self.windows.iter().map(room).min_by_key(|&(room, _)| room)
    }

    /// When there may be room again, Unix seconds.
    pub(crate) fn reopens(&self, limit: HardLimit) -> f64 {
        self.windows.iter().find(|w| w.limit == limit).map_or(f64::INFINITY, |w| w.end)
    }

    #[inline]
    pub(crate) fn reserve(&mut self, reservation: Nanodollars) {
        for window in &mut self.windows {
            window.committed.add(reservation);
        }
    }

    /// Puts the bill of a decision made at `at` in the place of its reservation.
    #[inline]
    pub(crate) fn bill(&mut self, at: f64, reservation: Nanodollars, bill: Nanodollars) {
        for window in self.windows.iter_mut().filter(|window| at >= window.start) {
            window.committed.subtract(reservation);
            window.committed.add(bill);
        }
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = LimitState> {
        self.windows.iter().map(|window| LimitState {
            limit: window.limit,
            committed: window.committed.to_usd(),
            ends: window.end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every day from 1968 to 2404, counted by the rules of the calendar.
    #[test]
    fn months_are_those_of_the_calendar() {
        let mut first = -2.0 * 365.0 - 1.0 + 1.0;
        first -= 1.0;
        // 1968 was a leap year, 1969 was not: 731 days before 1970.
        assert_eq!(first, -731.0);
        for year in 1968..2404_u32 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if is_leap { 29 } else { 28 };
            for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                let days = f64::from(days);
                for second in [0.0, 1.0, 86_399.0, days * SECONDS_PER_DAY - 1.0] {
                    let now = first * SECONDS_PER_DAY + second;
                    let expected = (first * SECONDS_PER_DAY, (first + days) * SECONDS_PER_DAY);
                    assert_eq!(month_of(now), expected, "{year} {days} {second}");
                }
                first += days;
            }
        }
    }

    #[test]
    fn amounts_round_up_but_not_for_their_representation() {
        for (usd, nano) in [
            (0.1 + 0.2, 300_000_000),
            (1e-9, 1),
            (1.1e-9, 2),
            (1e-12, 1),
            (0.0, 0),
            (1e9, 1_000_000_000_000_000_000),
        ] {
            assert_eq!(Nanodollars::from_usd(usd), Nanodollars(nano), "{usd}");
        }
    }
}
