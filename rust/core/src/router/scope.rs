//! What some arms share: limits and a budget of a model, a provider, or a pool.

use serde::{Deserialize, Serialize};

use super::arm::{Arm, Membership, Need};
use super::restricted::Restricted;
use crate::arm_index::ArmIndex;
use crate::calendar::Calendar;
use crate::checks::{check, is_cost};
use crate::decision::Reasons;
use crate::error::Error;
use crate::guard::Guard;
use crate::hard_limit::{AtLimit, HardLimit};
use crate::throughput::{Traffic, TrafficLimits, seconds_until};

/// So many queries' worth of a budget that was not spent can be spent later.
const MOST_SAVED: f64 = 500.0;

/// What the arms that belong to a scope may take together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScopeConfig {
    /// What arms name it by.
    pub key: u64,
    /// Money in windows of time. Where it is at an end, other arms serve.
    pub hard_limits: Vec<HardLimit>,
    /// Of each of them, where its days begin.
    pub calendars: Vec<Calendar>,
    /// Average cost per query of the router, USD.
    pub budget: Option<f64>,
    /// Requests and tokens per minute.
    pub limits: TrafficLimits,
}

impl ScopeConfig {
    pub(super) fn validate(&self) -> Result<(), Error> {
        self.limits.validate()?;
        check_at_limit(&self.hard_limits)?;
        Guard::new(&self.hard_limits, &self.calendars)?;
        let rule = "must be finite and not negative, in USD per query";
        check(self.budget.is_none_or(is_cost), "budget", self.budget.unwrap_or(0.0), rule)
    }
}

/// What a scope stands at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Scope {
    pub(super) config: ScopeConfig,
    pub(super) guard: Guard,
    pub(super) traffic: Traffic,
    /// What its budget allows and its arms have not spent, USD.
    pub(super) saved: f64,
}

impl Scope {
    pub(super) fn new(config: &ScopeConfig, now: f64) -> Result<Self, Error> {
        let mut traffic = Traffic::new(TrafficLimits::default(), now)?;
        traffic.set_limits(config.limits, now)?;
        let guard = Guard::new(&config.hard_limits, &config.calendars)?;
        Ok(Self { config: config.clone(), guard, traffic, saved: 0.0 })
    }

    /// The same under another configuration.
    pub(super) fn succeed(&self, config: &ScopeConfig, now: f64, wall: f64) -> Result<Self, Error> {
        let mut guard = Guard::new(&config.hard_limits, &config.calendars)?;
        guard.succeed(&self.guard, wall);
        let mut next = Self { config: config.clone(), guard, ..self.clone() };
        if config.limits != self.config.limits {
            next.traffic.set_limits(config.limits, now)?;
        }
        Ok(next)
    }

    pub(super) fn begin(&mut self, now: f64, offset: f64, next: u64) {
        self.guard.advance(now, offset, next);
        if let Some(budget) = self.config.budget {
            self.saved = (self.saved + budget).min(budget * MOST_SAVED);
        }
    }

    pub(super) fn obstacle(&mut self, need: Need, now: f64) -> Option<Reasons> {
        if !self.traffic.admits(need.tokens, now) {
            Some(Reasons::TRAFFIC_LIMIT)
        } else if !self.guard.room().holds(need.reservation) {
            Some(Reasons::HARD_LIMIT)
        } else if self.config.budget.is_some() && self.saved < 0.0 {
            Some(Reasons::EXCLUDED)
        } else {
            None
        }
    }
}

/// Takes the arms out that one of their scopes keeps out; returns why.
#[cold]
pub(super) fn keep_in_scopes(
    scopes: &mut [Scope],
    restricted: &mut Restricted,
    live: &[ArmIndex],
    arms: &[Arm],
    now: f64,
) -> Reasons {
    let mut reasons = Reasons::default();
    let Restricted { slots, unreliable, needs, .. } = restricted;
    for slots in [slots, unreliable] {
        slots.retain(|&slot| {
            let mut parts = arms[live[slot]].scopes.iter();
            let found = parts.find_map(|part| scopes[part.place].obstacle(needs[slot], now));
            reasons.insert(found.unwrap_or_default());
            found.is_none()
        });
    }
    reasons
}

/// Seconds until the scopes of an arm let a query through, `wait` or more, as far as time alone matters;
/// and a limit on money that stands in the way now.
#[cold]
pub(super) fn wait(
    scopes: &mut [Scope],
    parts: &[Membership],
    need: Need,
    (wait, now, offset): (f64, f64, f64),
) -> (f64, Option<HardLimit>) {
    let (mut longest, mut limit) = (wait, None);
    for part in parts {
        let Scope { guard, traffic, config, saved, .. } = &mut scopes[part.place];
        longest = longest.max(traffic.wait(need.tokens, now));
        if config.budget.is_some() && *saved < 0.0 {
            longest = f64::INFINITY;
        }
        limit = limit.or(guard.obstacle(need.reservation, false, now, offset));
        if longest.is_finite() {
            let at = now + longest;
            let opens = guard.opens(need.reservation, false, at, offset);
            longest = if opens > at { seconds_until(opens, now) } else { longest };
        }
    }
    (longest, limit)
}

/// Whether all limits of a scope let other arms serve.
fn check_at_limit(limits: &[HardLimit]) -> Result<(), Error> {
    let refuses = limits.iter().any(|limit| limit.at_limit == AtLimit::Refuse);
    let rule = "a limit of a scope leaves its models out: at_limit must be \"cheapest\"";
    check(!refuses, "at_limit", f64::NAN, rule)
}
