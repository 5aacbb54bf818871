//! Whose days, weeks and months a limit goes by.

use serde::{Deserialize, Serialize};

use crate::checks::{LATEST, check};
use crate::error::Error;
use crate::period::Period;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// A time zone, and how long after midnight a day begins. Hours are those of UTC in any case.
///
/// The zone is given as its offsets, so that the same commands make the same router whatever a later
/// time zone database says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calendar {
    /// From when, Unix seconds, ascending, local time is so many seconds ahead of UTC. The first
    /// offset holds before, too; UTC without any.
    pub offsets: Vec<(f64, f64)>,
    /// Seconds after midnight at which a day, the Monday of a week and the first of a month begin.
    pub starts: f64,
}

impl Calendar {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`].
    pub fn validate(&self) -> Result<(), Error> {
        let rule = "must be in [0, 86400), in seconds";
        check((0.0..SECONDS_PER_DAY).contains(&self.starts), "starts", self.starts, rule)?;
        let mut before = f64::NEG_INFINITY;
        for &(since, offset) in &self.offsets {
            let rule = "must be ascending times";
            check(since > before && since.abs() <= LATEST, "offsets", since, rule)?;
            let rule = "must be less than a day, in seconds";
            check(offset.abs() < SECONDS_PER_DAY, "offsets", offset, rule)?;
            before = since;
        }
        Ok(())
    }

    /// Start and end of the window that holds `wall`, in seconds of Unix time.
    pub(crate) fn window(&self, period: Period, wall: f64) -> (f64, f64) {
        let is_utc = self.offsets.is_empty() && self.starts == 0.0;
        if is_utc || matches!(period, Period::Hour | Period::Total) {
            return period.window(wall);
        }
        let mut local = period.window(wall + self.offset(wall) - self.starts);
        // Where local time goes back, it does not say alone on which side of a boundary one is.
        if wall < self.instant(local.0) {
            local = period.window(local.0 - 1.0);
        } else if wall >= self.instant(local.1) {
            local = period.window(local.1);
        }
        (self.instant(local.0), self.instant(local.1))
    }

    fn offset(&self, wall: f64) -> f64 {
        let place = self.offsets.partition_point(|&(since, _)| since <= wall);
        self.offsets.get(place.saturating_sub(1)).map_or(0.0, |&(_, offset)| offset)
    }

    /// The first instant at which local time shows this, or more.
    fn instant(&self, local: f64) -> f64 {
        let local = local + self.starts;
        let mut best = local - self.offsets.first().map_or(0.0, |&(_, offset)| offset);
        for &(since, offset) in &self.offsets {
            if best < since {
                return best;
            }
            best = (local - offset).max(since);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Berlin in 2026: summer time from 29 March 01:00 UTC to 25 October 01:00 UTC.
    fn berlin(hour: f64) -> Calendar {
        let offsets = vec![(0.0, 3_600.0), (1_774_746_000.0, 7_200.0), (1_792_890_000.0, 3_600.0)];
        Calendar { offsets, starts: hour * 3_600.0 }
    }

    #[test]
    fn days_weeks_and_months_are_local() {
        let noon = 1_774_699_200.0; // 28 March 12:00 UTC, a Saturday
        let midnight = noon - 13.0 * 3_600.0;
        let day = berlin(0.0).window(Period::Day, noon);
        assert_eq!(day, (midnight, midnight + SECONDS_PER_DAY));
        // The day on which clocks go forward has 23 hours, that on which they go back 25.
        let (start, end) = berlin(0.0).window(Period::Day, noon + SECONDS_PER_DAY);
        assert_eq!((start, end - start), (day.1, 23.0 * 3_600.0));
        let (start, end) = berlin(0.0).window(Period::Day, 1_792_890_000.0);
        assert_eq!(end - start, 25.0 * 3_600.0);
        let (start, end) = berlin(6.0).window(Period::Week, noon);
        assert_eq!(start, midnight - 5.0 * SECONDS_PER_DAY + 6.0 * 3_600.0, "Monday at six");
        assert_eq!(end - start, 7.0 * SECONDS_PER_DAY - 3_600.0);
        let (start, end) = berlin(0.0).window(Period::Month, noon);
        assert_eq!(end - start, 31.0 * SECONDS_PER_DAY - 3_600.0);
        assert_eq!(berlin(7.0).window(Period::Hour, noon), Period::Hour.window(noon));
    }

    #[test]
    fn windows_follow_each_other_also_where_clocks_change() {
        for starts in 0..24 {
            let calendar = berlin(f64::from(starts));
            for period in [Period::Day, Period::Week, Period::Month] {
                for change in [1_774_746_000.0, 1_792_890_000.0] {
                    for quarter in -800..800 {
                        let wall = change + 900.0 * f64::from(quarter);
                        let (start, end) = calendar.window(period, wall);
                        assert!(start <= wall && wall < end, "{starts} {period:?} {wall}");
                        assert_eq!(calendar.window(period, start), (start, end));
                        assert_eq!(calendar.window(period, end).0, end);
                        let before = calendar.window(period, start - 1.0);
                        assert_eq!(before.1, start);
                    }
                }
            }
        }
    }
}
