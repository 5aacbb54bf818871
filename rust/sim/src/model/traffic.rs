//! What an arm was sent, query by query.

use std::collections::VecDeque;

use stageroute_core::TrafficLimits;

const MINUTE: f64 = 60.0;

/// What was sent in the last minute under one limit.
#[derive(Debug, Clone, Default)]
struct Flow {
    /// When, which decision, and how much.
    sent: VecDeque<(f64, u64, f64)>,
    sum: f64,
}

impl Flow {
    fn forget(&mut self, now: f64) {
        while self.sent.front().is_some_and(|&(at, ..)| at <= now - MINUTE) {
            let (.., amount) = self.sent.pop_front().unwrap_or_default();
            self.sum -= amount;
        }
        if self.sent.is_empty() {
            self.sum = 0.0;
        }
    }

    fn correct(&mut self, id: u64, amount: f64) {
        if let Ok(place) = self.sent.binary_search_by_key(&id, |&(_, id, _)| id) {
            self.sum += amount - self.sent[place].2;
            self.sent[place].2 = amount;
        }
    }

    fn recount(&self) -> f64 {
        self.sent.iter().map(|&(.., amount)| amount).sum()
    }
}

/// Whether limits let a query through, as far as it can be told without knowing how a router spreads
/// traffic within its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Must,
    May,
    MustNot,
}

/// The traffic of one arm.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic {
    limits: TrafficLimits,
    requests: Flow,
    tokens: Flow,
    pub(crate) under_way: u64,
    /// When its provider last refused a query for too much traffic.
    pub(crate) refused: Option<f64>,
}

/// What is known of a provider's limits is forgotten after so long.
const FORGOTTEN_AFTER: f64 = 3_700.0;

impl Traffic {
    pub(crate) fn set_limits(&mut self, limits: TrafficLimits) {
        // What was sent without a limit is not counted.
        if self.limits.requests_per_minute.is_none() {
            self.requests = Flow::default();
        }
        if self.limits.tokens_per_minute.is_none() {
            self.tokens = Flow::default();
        }
        self.limits = limits;
    }

    /// The most tokens that a query can take.
    pub(crate) fn largest_query(&self) -> f64 {
        let TrafficLimits { tokens_per_minute, burst_seconds, .. } = self.limits;
        tokens_per_minute.map_or(f64::INFINITY, |limit| limit * (burst_seconds / MINUTE))
    }

    pub(crate) fn limits_tokens(&self) -> bool {
        self.limits.tokens_per_minute.is_some()
    }

    pub(crate) fn verdict(&mut self, tokens: f64, now: f64) -> Verdict {
        self.requests.forget(now);
        self.tokens.forget(now);
        let exceeds = |flow: &Flow, amount: f64, limit: Option<f64>| {
            limit.is_some_and(|limit| flow.sum + amount > limit * (1.0 + 1e-9))
        };
        let TrafficLimits { requests_per_minute, tokens_per_minute, concurrent, .. } = self.limits;
        let is_full = concurrent.is_some_and(|most| self.under_way >= most);
        if is_full
            || exceeds(&self.requests, 1.0, requests_per_minute)
            || exceeds(&self.tokens, tokens, tokens_per_minute)
        {
            return Verdict::MustNot;
        }
        let is_learnt = self.refused.is_some_and(|at| now - at < FORGOTTEN_AFTER);
        if is_learnt || requests_per_minute.is_some() || tokens_per_minute.is_some() {
            return Verdict::May;
        }
        Verdict::Must
    }

    pub(crate) fn send(&mut self, id: u64, tokens: f64, now: f64) {
        self.under_way += 1;
        if self.limits.requests_per_minute.is_some() {
            self.requests.sent.push_back((now, id, 1.0));
            self.requests.sum += 1.0;
        }
        if self.limits.tokens_per_minute.is_some() {
            self.tokens.sent.push_back((now, id, tokens));
            self.tokens.sum += tokens;
        }
    }

    /// What a query really used.
    pub(crate) fn use_tokens(&mut self, id: u64, used: f64) {
        self.tokens.correct(id, used);
    }

    /// The sums of the minute, added up anew, are what they were kept as.
    pub(crate) fn is_as_recounted(&self) -> bool {
        let is_same =
            |flow: &Flow| (flow.recount() - flow.sum).abs() <= 1e-6 * (1.0 + flow.sum.abs());
        is_same(&self.requests) && is_same(&self.tokens)
    }
}
