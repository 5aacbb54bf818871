//! Limits on an arm's traffic in requests, tokens and queries under way.
//!
//! A limit per minute is hard: what was sent in the last 60 seconds and the next query together are
//! never above it, wherever the 60 seconds start. A bucket besides keeps the traffic even: no more
//! than `burst_seconds` worth of the limit comes at once. What a query will use is counted when it
//! is sent, as the most that it can be, and put right when it is known. The arrival rate turns the
//! same limits into shares for the LP, which then plans with them instead of running into them.

use serde::{Deserialize, Serialize};

use crate::checks::{MOST, check, is_time, sound};
use crate::error::Error;
use crate::meters::{Bucket, Minute, SLOTS_PER_MINUTE};

/// No share for the LP is smaller: caps must be above 0.
const SMALLEST_SHARE: f64 = 1e-6;

/// A bucket that holds a single request is full as soon as it can be used, so that what flows in
/// until the next one arrives is lost.
const LEAST_BURST: f64 = 2.0;

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
    /// How much traffic may come at once: this many seconds' worth of a limit per minute, in (0, 60);
    /// two requests in any case. A query of more tokens waits until nothing else came for so long.
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

    fn burst_of(&self, per_minute: f64) -> f64 {
        per_minute * (self.burst_seconds / 60.0)
    }

    /// The most tokens that come at once; infinite without a limit.
    pub(crate) fn largest_burst(&self) -> f64 {
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

/// What is under a limit per minute: requests, or tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flow {
    limit: f64,
    bucket: Bucket,
    minute: Minute,
    /// What was sent up to then was not counted here.
    since: f64,
}

impl Flow {
    fn new(limit: f64, burst: f64, now: f64) -> Self {
        let (bucket, minute) = (Bucket::new(burst, limit, now), Minute::new(now));
        Self { limit, bucket, minute, since: f64::NEG_INFINITY }
    }

    /// Goes on from what was counted under another limit, if there was one.
    fn succeed(&mut self, old: Option<Self>, now: f64) {
        match old {
            Some(Self { bucket, minute, since, .. }) => {
                self.bucket.succeed(bucket, now);
                (self.minute, self.since) = (minute, since);
            }
            None => self.since = now,
        }
        debug_assert!(self.since <= now, "what is sent from now on is counted");
    }

    #[inline]
    fn admits(&mut self, amount: f64, now: f64) -> bool {
        // More than may come at once comes when the bucket is full, and leaves a debt.
        self.bucket.holds(amount.min(self.bucket.capacity()), now)
            && self.minute.has_room(amount, self.limit, now)
    }

    fn wait(&mut self, amount: f64, now: f64) -> f64 {
        let opens = self.minute.opens(amount, self.limit, now);
        let at_once = amount.min(self.bucket.capacity());
        self.bucket.wait(at_once, now).max(seconds_until(opens, now))
    }

    #[inline]
    fn take(&mut self, amount: f64) {
        self.bucket.take(amount);
        self.minute.take(amount);
    }

    #[inline]
    fn correct(&mut self, sent: f64, taken: f64, used: f64, now: f64) {
        // At the very time at which the limit came, what took something came after it.
        if sent > self.since || (sent == self.since && taken > 0.0) {
            let difference = used - taken;
            self.bucket.take(difference);
            self.minute.correct(sent, difference, now);
        }
    }

    /// What can flow steadily.
    fn per_second(&self) -> f64 {
        self.limit / SLOTS_PER_MINUTE
    }

    fn is_sound(&self, fresh: &Self, now: f64) -> bool {
        self.limit == fresh.limit
            && self.bucket.is_sound(&fresh.bucket, now)
            && self.minute.is_sound(now)
            && is_start(self.since)
    }
}

fn is_start(time: f64) -> bool {
    time == f64::NEG_INFINITY || is_time(time)
}

/// The traffic of one arm against its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    limits: TrafficLimits,
    requests: Option<Flow>,
    tokens: Option<Flow>,
    under_way: u64,
    /// Running mean of the time from decision to answer, seconds.
    latency: Option<f64>,
    /// Queries sent up to then may have been sent without a clock.
    timed_since: f64,
}

impl Traffic {
    /// Requests sent in the last minute, and since when they are counted, where they are limited.
    pub(crate) fn requests_sent(&self) -> Option<(&Minute, f64)> {
        self.requests.as_ref().map(|requests| (&requests.minute, requests.since))
    }

    pub(crate) fn new(limits: TrafficLimits, now: f64) -> Result<Self, Error> {
        limits.validate()?;
        let requests = |limit| Flow::new(limit, limits.burst_of(limit).max(LEAST_BURST), now);
        let tokens = |limit| Flow::new(limit, limits.burst_of(limit), now);
        Ok(Self {
            limits,
            requests: limits.requests_per_minute.map(requests),
            tokens: limits.tokens_per_minute.map(tokens),
            under_way: 0,
            latency: None,
            timed_since: f64::NEG_INFINITY,
        })
    }

    /// Replaces the limits. The last minute counts for the new ones too.
    pub(crate) fn set_limits(&mut self, limits: TrafficLimits, now: f64) -> Result<(), Error> {
        let mut next = Self::new(limits, now)?;
        let old = [self.requests.take(), self.tokens.take()];
        for (next, old) in [&mut next.requests, &mut next.tokens].into_iter().zip(old) {
            if let Some(next) = next {
                next.succeed(old, now);
            }
        }
        let was_timed = self.limits.concurrent.is_some();
        next.timed_since = if was_timed { self.timed_since } else { now };
        debug_assert!(next.timed_since <= now, "limits are timed from now on, or from before");
        (next.under_way, next.latency) = (self.under_way, self.latency);
        *self = next;
        Ok(())
    }

    /// Checks traffic that was deserialised against the limits it is for.
    pub(crate) fn check_soundness(&self, limits: TrafficLimits, now: f64) -> Result<(), Error> {
        let fresh = Self::new(limits, now)?;
        let is_same = |own: &Option<Flow>, fresh: &Option<Flow>| match (own, fresh) {
            (Some(own), Some(fresh)) => own.is_sound(fresh, now),
            (own, fresh) => own.is_none() && fresh.is_none(),
        };
        let is_sound = self.limits == limits
            && is_same(&self.requests, &fresh.requests)
            && is_same(&self.tokens, &fresh.tokens)
            && self.under_way <= MOST
            && self.latency.is_none_or(is_time)
            && is_start(self.timed_since);
        sound(is_sound, "the limits of an arm")
    }

    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        self.limits.is_off()
    }

    /// Whether one more query that takes `tokens` may be sent now.
    #[inline]
    pub(crate) fn admits(&mut self, tokens: f64, now: f64) -> bool {
        self.is_off() || self.admits_limited(tokens, now)
    }

    // Always: of the hot path, and called from elsewhere too.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn admits_limited(&mut self, tokens: f64, now: f64) -> bool {
        !self.is_full()
            && self.requests.as_mut().is_none_or(|flow| flow.admits(1.0, now))
            && self.tokens.as_mut().is_none_or(|flow| flow.admits(tokens, now))
    }

    /// Whether as many queries are under way as may be.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.limits.concurrent.is_some_and(|limit| self.under_way >= limit)
    }

    /// Whether the number of a query's tokens matters.
    #[inline]
    pub(crate) fn limits_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// The most tokens that come at once.
    #[inline]
    pub(crate) fn largest_burst(&self) -> f64 {
        self.tokens.as_ref().map_or(f64::INFINITY, |flow| flow.bucket.capacity())
    }

    /// The most tokens that one query can take.
    #[inline]
    pub(crate) fn largest_query(&self) -> f64 {
        self.tokens.as_ref().map_or(f64::INFINITY, |flow| flow.limit)
    }

    /// Seconds until one more query that takes `tokens` may be sent, as far as that does not depend on
    /// answers to queries under way: infinite if it never may.
    pub(crate) fn wait(&mut self, tokens: f64, now: f64) -> f64 {
        let requests = self.requests.as_mut().map_or(0.0, |flow| flow.wait(1.0, now));
        let tokens = self.tokens.as_mut().map_or(0.0, |flow| flow.wait(tokens, now));
        requests.max(tokens)
    }

    /// Takes what a query admitted by [`Traffic::admits`] needs.
    #[inline]
    pub(crate) fn take(&mut self, tokens: f64) {
        debug_assert!(tokens >= 0.0, "a query takes {tokens} tokens");
        self.under_way += 1;
        if let Some(flow) = &mut self.requests {
            flow.take(1.0);
        }
        if let Some(flow) = &mut self.tokens {
            flow.take(tokens);
        }
    }

    /// Puts the tokens that a query sent at `sent` really used in the place of what was taken for it.
    /// More than was taken leaves a debt.
    #[inline]
    pub(crate) fn settle(&mut self, sent: f64, taken: f64, used: f64, now: f64) {
        debug_assert!(taken >= 0.0 && used >= 0.0 && sent <= now, "{taken} {used} {sent} {now}");
        if let Some(flow) = &mut self.tokens {
            flow.correct(sent, taken, used, now);
        }
    }

    /// The query sent at `sent` is no longer under way.
    #[inline]
    pub(crate) fn release(&mut self, sent: f64, now: f64) {
        debug_assert!(sent <= now, "answered at {now}, but sent at {sent}");
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
        debug_assert!(self.under_way <= MOST, "{}", self.under_way);
    }

    #[inline]
    pub(crate) fn under_way(&self) -> u64 {
        self.under_way
    }

    /// The largest share of the traffic that the limits leave, at most `cap`, at an arrival rate in
    /// queries per second. `tokens` is what a query is expected to take, `let_through` what the provider
    /// is known to let through in a minute.
    pub(crate) fn share(&self, cap: f64, rate: f64, tokens: f64, let_through: f64) -> f64 {
        if rate <= 0.0 {
            return cap;
        }
        let mut per_second = let_through / 60.0;
        if let Some(flow) = &self.requests {
            per_second = per_second.min(flow.per_second());
        }
        if let Some(flow) = self.tokens.as_ref().filter(|_| tokens > 0.0) {
            per_second = per_second.min(flow.per_second() / tokens);
        }
        if let (Some(limit), Some(latency)) = (self.limits.concurrent, self.latency) {
            // Little's law: queries under way = rate x latency.
            per_second = per_second.min(limit as f64 / latency.max(f64::MIN_POSITIVE));
        }
        cap.min((per_second / rate).max(SMALLEST_SHARE))
    }
}

/// So many seconds after `now` it is `time` for sure, whatever rounding does to the sum.
pub(crate) fn seconds_until(time: f64, now: f64) -> f64 {
    let wait = time - now;
    if now + wait < time { wait.next_up() } else { wait.max(0.0) }
}
