//! Rules of numbers, and checks that name the argument that breaks one.

use crate::error::Error;

/// Checks one number against a rule.
///
/// # Errors
/// [`Error::InvalidNumber`] unless `ok`.
pub fn check(
    ok: bool,
    argument: &'static str,
    value: f64,
    rule: &'static str,
) -> Result<(), Error> {
    if ok { Ok(()) } else { Err(Error::InvalidNumber { argument, value, rule }) }
}

/// Checks each number of an array against a rule.
///
/// # Errors
/// [`Error::InvalidElement`] for the first that is not `ok`.
pub fn check_all(
    argument: &'static str,
    values: &[f64],
    rule: &'static str,
    ok: impl Fn(f64) -> bool,
) -> Result<(), Error> {
    match values.iter().position(|&v| !ok(v)) {
        None => Ok(()),
        Some(index) => Err(Error::InvalidElement { argument, index, value: values[index], rule }),
    }
}

/// Checks the length of an array.
///
/// # Errors
/// [`Error::WrongLength`] unless it is as expected.
pub fn check_lengths(
    argument: &'static str,
    actual: usize,
    expected: usize,
    rule: &'static str,
) -> Result<(), Error> {
    if actual == expected {
        return Ok(());
    }
    Err(Error::WrongLength { argument, actual, expected, rule })
}

/// No count of a sound state is above this: it leaves room to go on counting.
pub(crate) const MOST: u64 = 1 << 60;

/// The rule of a time.
const TIME_RULE: &str = "must be in seconds of Unix time, at most 1e11; milliseconds are not";
/// No time is later, in seconds of Unix time: some 3,000 years from now, and 50 years after 1970 in
/// milliseconds.
pub(crate) const LATEST: f64 = 1e11;

/// Checks a time. One before 1970 is taken for time that ran backwards.
pub(crate) fn check_time(now: f64) -> Result<(), Error> {
    check(now <= LATEST, "now", now, TIME_RULE)
}

/// Whether `value` is a time or a length of time in a sound state.
pub(crate) fn is_time(value: f64) -> bool {
    (0.0..=LATEST).contains(&value)
}

/// Checks a part of a state that was deserialised.
pub(crate) fn sound(ok: bool, part: &str) -> Result<(), Error> {
    if ok { Ok(()) } else { Err(Error::BadSnapshot(format!("{part} do not add up"))) }
}

/// The rule of a reward.
pub const REWARD_RULE: &str = "a reward must be a number in [0, 1]";
/// The rule of a cost.
pub const COST_RULE: &str = "a cost must be finite and not negative, in USD";

/// The rule of a throughput cap.
pub const CAP_RULE: &str = "must be in (0, 1]";
/// The rule of a cost that was billed.
pub const BILL_RULE: &str =
    "a cost must be finite and not negative, and at most 1e9, in USD per query";
/// No query costs more, USD: sums and squares of costs stay far from overflow.
const LARGEST_BILL: f64 = 1e9;

/// Whether `value` is a valid reward.
#[must_use]
pub fn is_reward(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}

/// Whether `value` is a valid throughput cap.
#[must_use]
pub fn is_cap(value: f64) -> bool {
    value > 0.0 && value <= 1.0
}

/// Whether `value` can have been billed for a query.
#[must_use]
pub fn is_bill(value: f64) -> bool {
    (0.0..=LARGEST_BILL).contains(&value)
}

/// Whether `value` is a valid cost.
#[must_use]
pub fn is_cost(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}
