//! Meters of traffic: what comes at once, what came in the last minute, what arrives per second.

use serde::{Deserialize, Serialize};

use crate::checks::{MOST, is_time, sound};
use crate::error::Error;
use crate::tolerances::LEVEL_ROUNDING;

/// Time constant of the estimated arrival rate, seconds.
const RATE_SECONDS: f64 = 60.0;

/// A bucket of tokens, filled lazily. It keeps traffic even.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bucket {
    capacity: f64,
    per_second: f64,
    level: f64,
    filled_at: f64,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(capacity: f64, per_minute: f64, now: f64) -> Self {
        Self { capacity, per_second: per_minute / 60.0, level: capacity, filled_at: now }
    }

    #[inline]
    pub(crate) fn capacity(&self) -> f64 {
        self.capacity
    }

    #[inline]
    fn fill(&mut self, now: f64) {
        let elapsed = now - self.filled_at;
        self.level = (self.level + elapsed * self.per_second).min(self.capacity);
        debug_assert!(elapsed >= 0.0, "time runs backwards by {} s", -elapsed);
        self.filled_at = now;
    }

    #[inline]
    pub(crate) fn holds(&mut self, amount: f64, now: f64) -> bool {
        self.fill(now);
        amount <= self.level
    }

    /// Takes an amount out, or puts a negative one back.
    #[inline]
    pub(crate) fn take(&mut self, amount: f64) {
        self.level = (self.level - amount).min(self.capacity);
        debug_assert!(self.level <= self.capacity, "{self:?} after {amount}");
    }

    /// Goes on from another bucket, as far as there is room.
    pub(crate) fn succeed(&mut self, mut old: Self, now: f64) {
        old.fill(now);
        self.level = self.level.min(old.level);
    }

    /// Seconds until `amount` is there; infinite if it never will be.
    pub(crate) fn wait(&mut self, amount: f64, now: f64) -> f64 {
        if self.holds(amount, now) {
            return 0.0;
        }
        if amount > self.capacity {
            return f64::INFINITY;
        }
        let wait = (amount - self.level) / self.per_second;
        // Not too short for rounding: of the level, and of the time at which the wait ends.
        let rounding =
            f64::EPSILON * (now + wait) + LEVEL_ROUNDING * self.capacity / self.per_second;
        wait + rounding
    }

    /// Whether it can have become of `fresh`.
    pub(crate) fn is_sound(&self, fresh: &Self, now: f64) -> bool {
        (self.capacity, self.per_second) == (fresh.capacity, fresh.per_second)
            && self.level.is_finite()
            && self.level <= self.capacity
            && (0.0..=now).contains(&self.filled_at)
    }
}

/// Full seconds that any 60 seconds touch.
const SLOTS: usize = 61;
/// How many of these slots are used for a steady 60 seconds' worth.
pub(crate) const SLOTS_PER_MINUTE: f64 = SLOTS as f64;

/// How much came in each of the last seconds, so that no 60 of them see more than a limit. What is
/// known later of an amount is put right in its own second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Minute {
    /// A ring: the second `s` has the slot `s % SLOTS`.
    slots: Box<[f64]>,
    latest: u64,
    sum: f64,
}

/// The second that holds a time, which is neither negative nor late.
#[inline]
fn second_of(time: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let second = time as u64;
    second
}

#[inline]
fn slot_of(second: u64) -> usize {
    // Below SLOTS.
    #[allow(clippy::cast_possible_truncation)]
    let slot = (second % SLOTS as u64) as usize;
    slot
}

impl Minute {
    pub(crate) fn new(now: f64) -> Self {
        Self { slots: vec![0.0; SLOTS].into(), latest: second_of(now), sum: 0.0 }
    }

    /// Forgets the seconds that have gone by.
    #[inline]
    fn advance(&mut self, now: f64) {
        let second = second_of(now);
        if second > self.latest {
            self.forget_until(second);
        }
    }

    fn forget_until(&mut self, second: u64) {
        let new = (second - self.latest).min(SLOTS as u64);
        for ago in 0..new {
            self.slots[slot_of(second - ago)] = 0.0;
        }
        self.latest = second;
        self.sum = self.slots.iter().sum();
    }

    /// Whether so much more stays within the limit.
    #[inline]
    pub(crate) fn has_room(&mut self, amount: f64, limit: f64, now: f64) -> bool {
        self.advance(now);
        self.sum + amount <= limit
    }

    /// How much came in the last minute, as far as it was looked at.
    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }

    /// Counts an amount that [`Minute::has_room`] for.
    #[inline]
    pub(crate) fn take(&mut self, amount: f64) {
        self.slots[slot_of(self.latest)] += amount;
        self.sum += amount;
    }

    /// Puts right what was counted at `at`, by a difference.
    pub(crate) fn correct(&mut self, at: f64, difference: f64, now: f64) {
        self.advance(now);
        let second = second_of(at);
        if self.latest - second < SLOTS as u64 {
            let slot = &mut self.slots[slot_of(second)];
            // Never below nothing by rounding.
            *slot = (*slot + difference).max(0.0);
            self.sum = self.slots.iter().sum();
        }
    }

    /// The time from which so much more stays within the limit; infinite if it never does.
    pub(crate) fn opens(&mut self, amount: f64, limit: f64, now: f64) -> f64 {
        if self.has_room(amount, limit, now) {
            return now;
        }
        let size = SLOTS as u64;
        let ago = |slot: usize| (self.latest + size - slot as u64) % size;
        // As many seconds later, what was counted so long ago or longer is forgotten.
        let sum_after = |seconds: u64| -> f64 {
            let is_kept = |slot: &usize| ago(*slot) + seconds < size;
            (0..SLOTS).filter(is_kept).map(|slot| self.slots[slot]).sum()
        };
        let wait = (1..=size).find(|&seconds| sum_after(seconds) + amount <= limit);
        wait.map_or(f64::INFINITY, |seconds| (self.latest + seconds) as f64)
    }

    pub(crate) fn is_sound(&self, now: f64) -> bool {
        let is_amount = |amount: &f64| amount.is_finite() && *amount >= 0.0;
        self.slots.len() == SLOTS
            && self.slots.iter().all(is_amount)
            && self.sum.is_finite()
            && self.latest <= second_of(now)
    }
}

/// Arrivals per second: an exponentially weighted count, corrected for the time before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArrivalRate {
    weight: f64,
    started: Option<f64>,
    last: f64,
}

impl ArrivalRate {
    #[inline]
    pub(crate) fn note_arrival(&mut self, now: f64) {
        if self.started.is_none() {
            (self.started, self.last) = (Some(now), now);
        }
        let elapsed = now - self.last;
        if elapsed > 0.0 {
            self.weight *= decay(elapsed / RATE_SECONDS);
            self.last = now;
        }
        self.weight += 1.0;
    }

    /// Queries per second; 0 before two seconds have been seen.
    pub(crate) fn per_second(&self, now: f64) -> f64 {
        let Some(started) = self.started else { return 0.0 };
        let seen = now - started;
        if seen < 2.0 {
            return 0.0;
        }
        let weight = self.weight * decay((now - self.last).max(0.0) / RATE_SECONDS);
        weight / (RATE_SECONDS * (1.0 - decay(seen / RATE_SECONDS)))
    }

    /// Checks a rate that was deserialised.
    pub(crate) fn check_soundness(&self) -> Result<(), Error> {
        let is_sound = (0.0..=MOST as f64).contains(&self.weight)
            && self.started.is_none_or(is_time)
            && is_time(self.last);
        sound(is_sound, "the arrivals")
    }
}

/// `exp(-x)` for `x ≥ 0`, to 1e-5: made of multiplications, which every platform rounds alike.
pub(crate) fn decay(x: f64) -> f64 {
    const SQUARINGS: u32 = 16;
    let mut power = 1.0 / (1.0 + x / f64::from(1 << SQUARINGS));
    for _ in 0..SQUARINGS {
        power *= power;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decay_is_exponential() {
        for step in 0..10_000 {
            let x = f64::from(step) * 1e-2;
            assert!((decay(x) - (-x).exp()).abs() < 1e-5, "{x}");
        }
        assert_eq!((decay(0.0), decay(1e12)), (1.0, 0.0));
    }

    #[test]
    fn the_arrival_rate_is_that_of_the_arrivals() {
        for (per_second, start) in [(0.5, 0.0), (3.0, 1.7e9), (200.0, 1.7e9)] {
            let mut rate = ArrivalRate::default();
            let mut now = start;
            while now < start + 600.0 {
                rate.note_arrival(now);
                now += 1.0 / per_second;
                let error = rate.per_second(now) / per_second - 1.0;
                let seen = now - start;
                assert!(seen < 30.0 || error.abs() < 0.1 + 1.0 / (seen * per_second), "{error}");
            }
            // Nothing for a minute.
            let ratio = rate.per_second(now + 60.0) / rate.per_second(now);
            assert!((ratio - (-1.0_f64).exp()).abs() < 0.01, "{ratio}");
        }
    }
}
