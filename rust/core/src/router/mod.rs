//! The router: one LP per query over the live set, one update per observation.
//!
//! This file holds what a router is and says of itself; `admission.rs` says which arms may serve a
//! query, `route.rs` decides, `feedback.rs` learns and bills, `failure.rs` takes failures,
//! `fleet.rs` changes arms and stages, `consistency.rs` checks a router that comes from bytes. Time
//! enters as an argument, in seconds of Unix time, and never runs backwards; a router without
//! limits, ages or failures ignores it.

mod admission;
mod consistency;
mod counters;
mod failure;
mod feedback;
mod fleet;
mod query;
mod route;

use serde::{Deserialize, Serialize};

use crate::confidence::Confidence;
use crate::decisions::OpenDecisions;
use crate::drift::Drift;
use crate::error::{Error, check, check_time};
use crate::guard::{Guard, HardLimit, LimitState, Nanodollars};
use crate::health::{Health, HealthConfig};
use crate::learner::Learner;
use crate::log::{DecisionLog, LogBatch};
use crate::lp::{RoutingLp, SolveCounts};
use crate::meters::ArrivalRate;
use crate::pacing::{CompensatedSum, Ledger, Pacing, StartCosts};
use crate::plan::StagePlan;
use crate::replay::{Outcome, Policy};
use crate::sampling::Sampler;
use crate::throughput::Traffic;

pub use counters::{Batch, Counters};
pub use failure::{Charge, FailureEffect, FailureReason};
pub use feedback::Observation;
pub use fleet::{ArmSettings, ArmSpec};
pub use query::{Decision, Query, Reasons};

use route::Restricted;

/// Settings of a [`Router`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouterConfig {
    /// b: average USD per query.
    pub budget: f64,
    /// How estimates become bounds.
    pub confidence: Confidence,
    /// What is forgotten, and what counts as a change.
    pub drift: Drift,
    /// Control of the spend; without it the LP always gets the budget itself, as published.
    pub pacing: Option<Pacing>,
    /// How many recent decisions can take feedback; rounded up to a power of two.
    pub open_decisions: usize,
    /// For how long a decision can take feedback, seconds; for ever without it.
    pub max_age: Option<f64>,
    /// Queries in a stage, at least 1; without it stages end when a plan is published.
    pub stage_queries: Option<u64>,
    /// Whether a live arm that retires or fails makes the stage due at once, so that its slot is
    /// filled again.
    pub redeploys_lost_slots: bool,
    /// Hard limits on money.
    pub hard_limits: Vec<HardLimit>,
    /// What each [`FailureReason`] does, in the order of [`FailureReason::NAMES`].
    pub failures: [FailureEffect; FailureReason::NAMES.len()],
    /// When arms cool down.
    pub health: HealthConfig,
    /// How many decisions the log holds until it is drained; 0 for no log. No part of a snapshot.
    #[serde(skip)]
    pub log_capacity: usize,
    /// Fixes every random draw.
    pub seed: u64,
}

impl RouterConfig {
    /// The plainest settings: no pacing, no limits, no log, stages by hand.
    #[must_use]
    pub fn new(budget: f64, confidence: Confidence, seed: u64) -> Self {
        Self {
            budget,
            confidence,
            drift: Drift::default(),
            pacing: None,
            open_decisions: 1 << 16,
            max_age: None,
            stage_queries: None,
            redeploys_lost_slots: false,
            hard_limits: Vec::new(),
            failures: FailureReason::DEFAULT_EFFECTS,
            health: HealthConfig::default(),
            log_capacity: 0,
            seed,
        }
    }

    fn validate(&self) -> Result<(), Error> {
        check_budget(self.budget)?;
        if let Some(pacing) = self.pacing {
            pacing.validate()?;
        }
        let rule = "must be in [1, 2^28]: each takes 56 bytes";
        let open = self.open_decisions;
        check((1..=1 << 28).contains(&open), "open_decisions", open as f64, rule)?;
        let rule = "must be finite and above 0, in seconds";
        let age = self.max_age.unwrap_or(1.0);
        check(age.is_finite() && age > 0.0, "max_age", age, rule)?;
        if let Some(0) = self.stage_queries {
            check(false, "stage_queries", 0.0, "must be at least 1")?;
        }
        check_log_capacity(self.log_capacity)?;
        for effect in &self.failures {
            effect.validate()?;
        }
        self.health.validate()
    }
}

fn check_log_capacity(capacity: usize) -> Result<(), Error> {
    check(capacity <= 1 << 24, "log_capacity", capacity as f64, "must be at most 2^24")
}

fn check_budget(budget: f64) -> Result<(), Error> {
    let rule = "must be finite and above 0, in USD per query";
    check(budget.is_finite() && budget > 0.0, "budget", budget, rule)
}

/// One candidate, as far as the learner does not know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Arm {
    settings: ArmSettings,
    /// What a query reserves if nothing more is known of it than `max_cost`.
    reservation: Nanodollars,
    /// The cap that the LP gets: the throughput cap, or what other limits leave of it.
    share: f64,
    /// All prices it has had; a decision is billed at those under which it was made.
    prices: Vec<crate::usage::Prices>,
    traffic: Traffic,
    health: Health,
    is_retired: bool,
}

/// What a router says of one arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmState {
    /// The cap that the LP gets.
    pub share: f64,
    /// Queries under way.
    pub under_way: u64,
    /// Its breaker.
    pub health: Health,
    /// Whether it has retired.
    pub is_retired: bool,
}

/// `StageRoute`'s routing half. Deployment (which arms are live) is decided outside and published
/// as a plan; everything between two plans happens here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Router {
    config: RouterConfig,
    learner: Learner,
    arms: Vec<Arm>,
    plan: StagePlan,
    lp: Option<RoutingLp>,
    /// The number of queries at which the current stage ends.
    stage_end: Option<u64>,
    /// Whether a live arm has retired or failed since the plan was published.
    has_lost_slot: bool,
    /// Whether any live arm needs to be looked at before each decision.
    #[serde(skip)]
    is_gated: bool,
    /// Whether any live arm has traffic limits.
    #[serde(skip)]
    has_traffic_limits: bool,
    /// When shares are next derived from the arrival rate.
    shares_due: f64,
    decisions: OpenDecisions,
    ledger: Ledger,
    billed: CompensatedSum,
    guard: Guard,
    start_costs: StartCosts,
    rate: ArrivalRate,
    counters: Counters,
    sampler: Sampler,
    /// The latest time seen.
    clock: f64,
    #[serde(skip)]
    restricted: Restricted,
    #[serde(skip)]
    log: DecisionLog,
}

impl Router {
    /// A router without arms; nothing is live.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the setting that breaks its rule.
    pub fn new(config: RouterConfig) -> Result<Self, Error> {
        config.validate()?;
        let mut router = Self {
            learner: Learner::new(config.confidence, config.drift)?,
            arms: Vec::new(),
            plan: StagePlan::default(),
            lp: None,
            stage_end: None,
            has_lost_slot: false,
            is_gated: false,
            has_traffic_limits: false,
            shares_due: f64::NEG_INFINITY,
            decisions: OpenDecisions::new(config.open_decisions, config.max_age),
            ledger: Ledger::default(),
            billed: CompensatedSum::default(),
            guard: Guard::new(&config.hard_limits)?,
            start_costs: StartCosts::default(),
            rate: ArrivalRate::default(),
            counters: Counters::default(),
            sampler: Sampler::new(config.seed),
            clock: 0.0,
            restricted: Restricted::default(),
            log: DecisionLog::new(config.log_capacity),
            config,
        };
        router.update_gates();
        Ok(router)
    }

    /// The whole state, as bytes that [`Router::from_bytes`] of the same version understands. The
    /// log is not part of it.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`] if memory runs out.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        postcard::to_allocvec(self).map_err(|error| Error::BadSnapshot(error.to_string()))
    }

    /// A router that goes on exactly where the one of [`Router::to_bytes`] stood.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`] if the bytes are not such a state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (mut router, rest): (Self, _) = postcard::take_from_bytes(bytes)
            .map_err(|error| Error::BadSnapshot(error.to_string()))?;
        if !rest.is_empty() {
            return Err(Error::BadSnapshot(format!("{} bytes are left over", rest.len())));
        }
        router.check_consistency()?;
        router.log = DecisionLog::new(router.config.log_capacity);
        router.restricted.resize(router.plan.arms().len());
        Ok(router)
    }

    /// Takes the time of a call, which never runs backwards.
    #[inline]
    fn advance_clock(&mut self, now: f64) -> Result<f64, Error> {
        if now <= self.clock {
            return Ok(self.clock);
        }
        // Later, or not a number.
        check_time(now)?;
        self.clock = now;
        Ok(now)
    }

    /// Whether a decision depends on the time or notes it, so that callers should look at a clock.
    #[must_use]
    #[inline]
    pub fn needs_clock_to_route(&self) -> bool {
        self.needs_clock_to_observe() || self.is_gated || self.log.is_on()
    }

    /// The same for feedback.
    #[must_use]
    #[inline]
    pub fn needs_clock_to_observe(&self) -> bool {
        self.has_traffic_limits || self.config.max_age.is_some()
    }

    /// The budget that the next LP gets, USD per query.
    #[must_use]
    #[inline]
    pub fn paced_budget(&self) -> f64 {
        match self.config.pacing {
            Some(pacing) => pacing.paced_budget(self.config.budget, &self.ledger),
            None => self.config.budget,
        }
    }

    /// b, USD per query.
    #[must_use]
    pub fn budget(&self) -> f64 {
        self.config.budget
    }

    /// Statistics and bounds of every arm.
    #[must_use]
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// How many arms there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.arms.len()
    }

    /// Whether there is no arm.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arms.is_empty()
    }

    /// What a router says of an arm beside its statistics.
    ///
    /// # Panics
    /// If there is no such arm.
    #[must_use]
    pub fn arm(&self, arm: usize) -> ArmState {
        let Arm { share, traffic, health, is_retired, .. } = &self.arms[arm];
        let (health, is_retired) = (*health, *is_retired);
        ArmState { share: *share, under_way: traffic.under_way(), health, is_retired }
    }

    /// Health settings, to read an arm's [`Health`] with.
    #[must_use]
    pub fn health_config(&self) -> &HealthConfig {
        &self.config.health
    }

    /// The latest time seen, Unix seconds.
    #[must_use]
    pub fn clock(&self) -> f64 {
        self.clock
    }

    /// Estimated arrivals per second; 0 where no arm has traffic limits.
    #[must_use]
    pub fn arrival_rate(&self) -> f64 {
        self.rate.per_second(self.clock)
    }

    /// The live set.
    #[must_use]
    pub fn plan(&self) -> &StagePlan {
        &self.plan
    }

    /// The routing LP of the live set, if there is one.
    #[must_use]
    pub fn lp(&self) -> Option<&RoutingLp> {
        self.lp.as_ref()
    }

    /// How the LPs of this stage were solved.
    #[must_use]
    pub fn solve_counts(&self) -> SolveCounts {
        self.lp.as_ref().map(RoutingLp::counts).unwrap_or_default()
    }

    /// Money so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// What each hard limit stands at.
    pub fn limits(&self) -> impl Iterator<Item = LimitState> {
        self.guard.states(self.clock)
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Starts an empty log of so many decisions, or none for 0: what is logged is no part of the
    /// state, so that a restored router is told anew.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] above 2^24.
    pub fn set_log_capacity(&mut self, capacity: usize) -> Result<(), Error> {
        check_log_capacity(capacity)?;
        self.config.log_capacity = capacity;
        self.log = DecisionLog::new(capacity);
        Ok(())
    }

    /// Exchanges the log's decisions so far for an empty batch, whose memory is used again.
    pub fn drain_log(&mut self, batch: &mut LogBatch) {
        self.log.drain(batch);
    }
}

impl Policy for Router {
    #[inline]
    fn route(&mut self, _: usize) -> Result<Decision, Error> {
        Self::route(self, &Query::default())
    }

    #[inline]
    fn observe(&mut self, _: usize, decision: &Decision, outcome: Outcome) -> Result<(), Error> {
        let Outcome { reward, cost } = outcome;
        let (id, reward, cost) = (decision.id, Some(reward), Some(cost));
        Self::observe(self, 0.0, &Observation { id, reward, cost, tokens: None })
    }
}
