//! Windows of time after which a limit starts anew: those of the clock and the calendar.

use serde::{Deserialize, Serialize};

const SECONDS_PER_HOUR: f64 = 3_600.0;
const SECONDS_PER_DAY: f64 = 86_400.0;
const SECONDS_PER_WEEK: f64 = 604_800.0;
/// 1970 began on a Thursday.
const FIRST_MONDAY: f64 = 345_600.0;

/// A length of time after which a limit starts anew. Hours, days and months are those of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// A calendar month.
    Month,
    /// For ever.
    Total,
    /// From Monday to Sunday.
    Week,
}

impl Period {
    /// All periods, by the name each has in configuration.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("hour", Self::Hour),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("total", Self::Total),
    ];

    /// The name of this period in configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// Start and end of the window that holds `now`, in seconds of Unix time.
    pub(crate) fn window(self, now: f64) -> (f64, f64) {
        let of_length = |seconds: f64| {
            let start = last_multiple(now, seconds);
            (start, start + seconds)
        };
        let week_of = |now: f64| {
            let start = FIRST_MONDAY + last_multiple(now - FIRST_MONDAY, SECONDS_PER_WEEK);
            (start, start + SECONDS_PER_WEEK)
        };
        match self {
            Self::Hour => of_length(SECONDS_PER_HOUR),
            Self::Day => of_length(SECONDS_PER_DAY),
            Self::Week => week_of(now),
            Self::Month => month_of(now),
            Self::Total => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }
}

/// The last multiple of `step` up to `now`. The remainder is exact: a quotient could be rounded up,
/// past `now`.
fn last_multiple(now: f64, step: f64) -> f64 {
    now - now.rem_euclid(step)
}

/// The calendar month that holds `now`. Days since 1970 become year, month and day by shifting the
/// year to start in March, so that leap days come last (Hinnant, *chrono-compatible low-level date
/// algorithms*).
fn month_of(now: f64) -> (f64, f64) {
    const DAYS_PER_ERA: f64 = 146_097.0;
    const EPOCH_FROM_MARCH_OF_YEAR_0: f64 = 719_468.0;
    let day = last_multiple(now, SECONDS_PER_DAY) / SECONDS_PER_DAY;
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
    fn windows_hold_their_time_up_to_its_last_bit() {
        for period in [Period::Hour, Period::Day, Period::Week, Period::Month] {
            for hour in (0..2_000_000).step_by(7) {
                let full = f64::from(hour) * SECONDS_PER_HOUR;
                for now in [full, full.next_down().max(0.0), full.next_up()] {
                    let (start, end) = period.window(now);
                    assert!(start <= now && now < end, "{period:?} {now:?}: {start:?} {end:?}");
                    assert_eq!(period.window(start), (start, end));
                    assert_eq!(period.window(end).0, end);
                }
            }
        }
    }
}
