//! Limits on an arm's traffic in requests, tokens and queries under way.
//!
//! Buckets make the limits per minute hard. A bucket holds `burst_seconds` worth of the limit L and
//! is filled at `(L − capacity) / 60` per second, so that no 60 seconds, wherever they start, see
//! more than L. (Requests come whole: they may be filled to just short of L + 1.) The arrival rate turns the same limits into shares for the LP, which then plans
//! with them instead of running into them.

use serde::{Deserialize, Serialize};

use crate::error::{Error, MOST, check, is_time, sound};

/// Time constant of the estimated arrival rate, seconds.
const RATE_SECONDS: f64 = 60.0;

/// No share for the LP is smaller: caps must be above 0.
const SMALLEST_SHARE: f64 = 1e-6;

/// Weight of a new latency in its running mean.
const LATENCY_WEIGHT: f64 = 0.05;

/// What an arm can take. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrafficLimits {
    /// Requests in any 60 seconds, at least 1.
    pub requests_per_minute: Option<f64>,
    /// Tokens, input and output together, in any 60 seconds, at least 1.
    pub tokens_per_minute: Option<f64>,
    /// Queries under way at the same time, at least 1. A query of which nothing more is heard counts
    /// until its decision is evicted, so that `max_age` should be set too.
    pub concurrent: Option<u64>,
    /// How much traffic may come at once: so many seconds' worth of a limit per minute, in (0, 60).
    /// It is set aside for that: what can flow steadily is the limit less the burst.
    pub burst_seconds: f64,
}

impl Default for TrafficLimits {
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            tokens_per_minute: None,
            concurrent: None,
            burst_seconds: 3.0,
        }
    }
}

impl TrafficLimits {
    /// Whether there is no limit.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.requests_per_minute.is_none()
            && self.tokens_per_minute.is_none()
            && self.concurrent.is_none()
    }

    /// What a bucket for a limit per minute holds at most.
    fn burst_of(&self, per_minute: f64) -> f64 {
        per_minute * self.burst_seconds / 60.0
    }

    /// The most tokens that one query can take; infinite without a limit.
    pub(crate) fn largest_query(&self) -> f64 {
        self.tokens_per_minute.map_or(f64::INFINITY, |limit| self.burst_of(limit))
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the field.
    pub fn validate(&self) -> Result<(), Error> {
        let rule = "must be finite and at least 1";
        let per_minute = [
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
        ];
        for (argument, limit) in per_minute {
            if let Some(limit) = limit {
                check(limit.is_finite() && limit >= 1.0, argument, limit, rule)?;
            }
        }
        if self.concurrent == Some(0) {
            check(false, "concurrent", 0.0, "must be at least 1")?;
        }
        let burst = self.burst_seconds;
        check(burst > 0.0 && burst < 60.0, "burst_seconds", burst, "must be in (0, 60) seconds")
    }
}

/// A bucket of tokens, filled lazily.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Bucket {
    capacity: f64,
    per_second: f64,
    level: f64,
    filled_at: f64,
}

impl Bucket {
    /// A full bucket for requests, which holds one at least: a smaller one would never admit any.
    fn of_requests(limits: &TrafficLimits, per_minute: f64, now: f64) -> Self {
        let whole = per_minute.floor();
        let capacity = limits.burst_of(per_minute).max(1.0).min(whole);
        // Less than one request, and more than rounding of the level can make up for.
        let margin = (1e-9 * whole).clamp(1e-6, 0.5);
        let per_second = (whole + 1.0 - margin - capacity) / 60.0;
        Self { capacity, per_second, level: capacity, filled_at: now }
    }

    /// A full bucket for tokens.
    fn of_tokens(limits: &TrafficLimits, per_minute: f64, now: f64) -> Self {
        let capacity = limits.burst_of(per_minute);
        let per_second = (per_minute - capacity) / 60.0;
        Self { capacity, per_second, level: capacity, filled_at: now }
    }

    /// Goes on from another bucket: what was taken from that stays taken. So no 60 seconds around the
    /// change see more than the higher of the two limits.
    fn succeed(&mut self, mut old: Self, now: f64) {
        old.fill(now);
        self.level = old.level - (old.capacity - self.capacity).max(0.0);
    }

    #[inline]
    fn fill(&mut self, now: f64) {
        let elapsed = (now - self.filled_at).max(0.0);
        self.level = (self.level + elapsed * self.per_second).min(self.capacity);
        self.filled_at = now;
    }

    /// Seconds from `now`, for which the bucket is filled, until `amount` is there; infinite if it
    /// never will be.
    fn wait(&self, amount: f64, now: f64) -> f64 {
        let missing = amount - self.level;
        if missing <= 0.0 {
            return 0.0;
        }
        if amount > self.capacity {
            return f64::INFINITY;
        }
        let wait = missing / self.per_second;
        // Not too short for rounding: of the level, and of the time at which the wait ends.
        let rounding = f64::EPSILON * (now + wait) + 1e-12 * self.capacity / self.per_second;
        wait + rounding
    }

    fn is_sound(&self, fresh: &Self) -> bool {
        (self.capacity, self.per_second) == (fresh.capacity, fresh.per_second)
            && self.level.is_finite()
            && self.level <= self.capacity
            && is_time(self.filled_at)
    }
}

/// The traffic of one arm against its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    limits: TrafficLimits,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    /// Queries sent up to then took nothing from the token bucket that there is now …
    tokens_since: f64,
    /// … and may have been sent without a clock.
    timed_since: f64,
    under_way: u64,
    /// Running mean of the time from decision to answer, seconds.
    latency: Option<f64>,
}

impl Traffic {
    pub(crate) fn new(limits: TrafficLimits, now: f64) -> Result<Self, Error> {
        limits.validate()?;
        let requests = limits.requests_per_minute;
        let tokens = limits.tokens_per_minute;
        Ok(Self {
            limits,
            requests: requests.map(|limit| Bucket::of_requests(&limits, limit, now)),
            tokens: tokens.map(|limit| Bucket::of_tokens(&limits, limit, now)),
            tokens_since: f64::NEG_INFINITY,
            timed_since: f64::NEG_INFINITY,
            under_way: 0,
            latency: None,
        })
    }

    /// Replaces the limits; what was taken under the old ones stays taken.
    pub(crate) fn set_limits(&mut self, limits: TrafficLimits, now: f64) -> Result<(), Error> {
        let mut next = Self::new(limits, now)?;
        for (next, old) in [(&mut next.requests, self.requests), (&mut next.tokens, self.tokens)] {
            if let (Some(next), Some(old)) = (next, old) {
                next.succeed(old, now);
            }
        }
        let (under_way, latency) = (self.under_way, self.latency);
        let tokens_since = if self.tokens.is_some() { self.tokens_since } else { now };
        let timed_since = if self.limits.concurrent.is_some() { self.timed_since } else { now };
        *self = Self { tokens_since, timed_since, under_way, latency, ..next };
        Ok(())
    }

    /// Checks traffic that was deserialised against the limits it is for.
    pub(crate) fn check_soundness(&self, limits: TrafficLimits) -> Result<(), Error> {
        let fresh = Self::new(limits, 0.0)?;
        let is_same = |own: &Option<Bucket>, fresh: &Option<Bucket>| match (own, fresh) {
            (Some(own), Some(fresh)) => own.is_sound(fresh),
            (own, fresh) => own.is_none() && fresh.is_none(),
        };
        let is_start = |time: f64| time == f64::NEG_INFINITY || is_time(time);
        let is_sound = self.limits == limits
            && is_same(&self.requests, &fresh.requests)
            && is_same(&self.tokens, &fresh.tokens)
            && [self.tokens_since, self.timed_since].into_iter().all(is_start)
            && self.under_way <= MOST
            && self.latency.is_none_or(is_time);
        sound(is_sound, "the limits of an arm")
    }

    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        self.limits.is_off()
    }

    /// Whether one more query of so many tokens may be sent now.
    #[inline]
    pub(crate) fn admits(&mut self, tokens: f64, now: f64) -> bool {
        self.is_off() || self.admits_limited(tokens, now)
    }

    fn admits_limited(&mut self, tokens: f64, now: f64) -> bool {
        if self.limits.concurrent.is_some_and(|limit| self.under_way >= limit) {
            return false;
        }
        if let Some(bucket) = &mut self.requests {
            bucket.fill(now);
            if bucket.level < 1.0 {
                return false;
            }
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.fill(now);
            if bucket.level < tokens {
                return false;
            }
        }
        true
    }

    /// Whether the number of a query's tokens matters.
    #[inline]
    pub(crate) fn limits_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// The most tokens that one query can take.
    #[inline]
    pub(crate) fn largest_query(&self) -> f64 {
        self.tokens.map_or(f64::INFINITY, |bucket| bucket.capacity)
    }

    /// Seconds until one more query of so many tokens may be sent: infinite if it never may, or if
    /// that depends on answers to queries under way.
    pub(crate) fn wait(&mut self, tokens: f64, now: f64) -> f64 {
        if self.limits.concurrent.is_some_and(|limit| self.under_way >= limit) {
            return f64::INFINITY;
        }
        let mut longest: f64 = 0.0;
        for (bucket, amount) in [(&mut self.requests, 1.0), (&mut self.tokens, tokens)] {
            if let Some(bucket) = bucket {
                bucket.fill(now);
                longest = longest.max(bucket.wait(amount, now));
            }
        }
        longest
    }

    /// Takes what a query admitted by [`Traffic::admits`] needs.
    #[inline]
    pub(crate) fn take(&mut self, tokens: f64) {
        self.under_way += 1;
        if let Some(bucket) = &mut self.requests {
            bucket.level -= 1.0;
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.level -= tokens;
        }
    }

    /// Puts the tokens that a query sent at `sent` really used in the place of what was taken for it.
    /// More than was taken leaves a debt.
    #[inline]
    pub(crate) fn settle(&mut self, sent: f64, taken: f64, used: f64) {
        if let Some(bucket) = self.tokens.as_mut().filter(|_| sent > self.tokens_since) {
            bucket.level = (bucket.level + taken - used).min(bucket.capacity);
        }
    }

    /// The query sent at `sent` is no longer under way.
    #[inline]
    pub(crate) fn release(&mut self, sent: f64, now: f64) {
        self.forget();
        if self.limits.concurrent.is_some() && sent > self.timed_since && now > sent {
            let latency = now - sent;
            let mean = self.latency.unwrap_or(latency);
            self.latency = Some(mean + LATENCY_WEIGHT * (latency - mean));
        }
    }

    /// A query of which nothing was heard is no longer taken to be under way.
    #[inline]
    pub(crate) fn forget(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    #[inline]
    pub(crate) fn under_way(&self) -> u64 {
        self.under_way
    }

    /// The largest share of the traffic that the limits leave, at most `cap`, at an arrival rate in
    /// queries per second. `tokens` is what a query is expected to take.
    pub(crate) fn share(&self, cap: f64, rate: f64, tokens: f64) -> f64 {
        if rate <= 0.0 {
            return cap;
        }
        let mut per_second = f64::INFINITY;
        if let Some(bucket) = &self.requests {
            per_second = per_second.min(bucket.per_second);
        }
        if let Some(bucket) = self.tokens.as_ref().filter(|_| tokens > 0.0) {
            per_second = per_second.min(bucket.per_second / tokens);
        }
        if let (Some(limit), Some(latency)) = (self.limits.concurrent, self.latency) {
            // Little's law: queries under way = rate x latency.
            per_second = per_second.min(limit as f64 / latency.max(f64::MIN_POSITIVE));
        }
        cap.min((per_second / rate).max(SMALLEST_SHARE))
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

/// `exp(-x)` for `x ≥ 0`, to 1e-5: built of multiplications alone, which every platform rounds alike.
fn decay(x: f64) -> f64 {
    const SQUARINGS: u32 = 16;
    let mut power = 1.0 / (1.0 + x / f64::from(1 << SQUARINGS));
    for _ in 0..SQUARINGS {
        power *= power;
    }
    power
}
