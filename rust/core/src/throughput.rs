//! Limits on an arm's traffic in requests, tokens and queries under way.
//!
//! Buckets make the limits per minute hard. A bucket holds `burst_seconds` worth of the limit L and
//! is filled at `(L − capacity) / 60` per second, so that no 60 seconds, wherever they start, see
//! more than L. The arrival rate turns the same limits into shares for the LP, which then plans
//! with them instead of running into them.

use serde::{Deserialize, Serialize};

use crate::error::{Error, check};

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
    /// Queries under way at the same time, at least 1.
    pub concurrent: Option<u64>,
    /// How much traffic may come at once: so many seconds' worth of a limit per minute, in (0, 60).
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
    /// A full bucket. `least` is what one query takes at least: a smaller bucket would never admit
    /// one.
    fn new(per_minute: f64, burst_seconds: f64, least: f64, now: f64) -> Self {
        let capacity = (per_minute * burst_seconds / 60.0).max(least).min(per_minute);
        let per_second = (per_minute - capacity) / 60.0;
        Self { capacity, per_second, level: capacity, filled_at: now }
    }

    #[inline]
    fn fill(&mut self, now: f64) {
        let elapsed = (now - self.filled_at).max(0.0);
        self.level = (self.level + elapsed * self.per_second).min(self.capacity);
        self.filled_at = now;
    }

    /// Seconds until `amount` is there; infinite if it never will be.
    fn wait(&self, amount: f64) -> f64 {
        let missing = amount - self.level;
        if missing <= 0.0 {
            0.0
        } else if amount > self.capacity || self.per_second <= 0.0 {
            f64::INFINITY
        } else {
            missing / self.per_second
        }
    }
}

/// The traffic of one arm against its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    limits: TrafficLimits,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    under_way: u64,
    /// Running mean of the time from decision to answer, seconds.
    latency: Option<f64>,
}

impl Traffic {
    pub(crate) fn new(limits: TrafficLimits, now: f64) -> Result<Self, Error> {
        limits.validate()?;
        let burst = limits.burst_seconds;
        Ok(Self {
            limits,
            requests: limits.requests_per_minute.map(|limit| Bucket::new(limit, burst, 1.0, now)),
            tokens: limits.tokens_per_minute.map(|limit| Bucket::new(limit, burst, 1.0, now)),
            under_way: 0,
            latency: None,
        })
    }

    /// Replaces the limits; what is in the buckets stays, up to their new size.
    pub(crate) fn set_limits(&mut self, limits: TrafficLimits, now: f64) -> Result<(), Error> {
        let mut next = Self::new(limits, now)?;
        for (next, old) in [(&mut next.requests, self.requests), (&mut next.tokens, self.tokens)] {
            if let (Some(next), Some(mut old)) = (next, old) {
                old.fill(now);
                next.level = next.level.min(old.level);
            }
        }
        *self = Self { under_way: self.under_way, latency: self.latency, ..next };
        Ok(())
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

    /// The most tokens that one query can take: what the bucket holds when it is full.
    #[inline]
    pub(crate) fn largest_query(&self) -> f64 {
        self.tokens.map_or(f64::INFINITY, |bucket| bucket.capacity)
    }

    /// Seconds until one more query of so many tokens may be sent, as far as the buckets know:
    /// infinite if it never may; `None` if that depends on answers to queries under way.
    pub(crate) fn wait(&self, tokens: f64) -> Option<f64> {
        if self.limits.concurrent.is_some_and(|limit| self.under_way >= limit) {
            return None;
        }
        let requests = self.requests.map_or(0.0, |bucket| bucket.wait(1.0));
        let tokens = self.tokens.map_or(0.0, |bucket| bucket.wait(tokens));
        Some(requests.max(tokens))
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

    /// Puts the tokens that a query really used in the place of what was taken for it. More than
    /// was taken leaves a debt.
    #[inline]
    pub(crate) fn settle(&mut self, taken: f64, used: f64) {
        if let Some(bucket) = &mut self.tokens {
            bucket.level = (bucket.level + taken - used).min(bucket.capacity);
        }
    }

    /// A query is no longer under way.
    #[inline]
    pub(crate) fn release(&mut self, latency: Option<f64>) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(latency) = latency {
            let mean = self.latency.unwrap_or(latency);
            self.latency = Some(mean + LATENCY_WEIGHT * (latency - mean));
        }
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
            self.weight *= (-elapsed / RATE_SECONDS).exp();
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
        let weight = self.weight * (-(now - self.last).max(0.0) / RATE_SECONDS).exp();
        weight / (RATE_SECONDS * (1.0 - (-seen / RATE_SECONDS).exp()))
    }
}
