//! The router: one LP per query over the live set, one update per observation.
//!
//! Time enters as an argument, in seconds of Unix time, and never runs backwards; a router without
//! limits, ages or failures ignores it.

mod admission;
mod arm;
mod arms;
mod bills;
mod columns;
mod config;
mod configure;
mod consistency;
mod copy;
mod counters;
mod effects;
mod events;
mod failure;
mod feedback;
mod gates;
mod later;
mod live_lp;
mod newcomers;
mod noting;
mod observation;
mod restricted;
mod route;
mod scope;
mod scopes;
mod slots;
mod stages;
mod switches;
mod terms;

use serde::{Deserialize, Serialize};

use crate::arm_index::ArmIndex;
use crate::checks::{LATEST, check, check_time};
use crate::decisions::OpenDecisions;
use crate::error::Error;
use crate::guard::{Guard, LimitState};
use crate::health::HealthConfig;
use crate::learner::Learner;
use crate::live_arms::LiveArms;
use crate::log::{DecisionLog, LogBatch};
use crate::lp::{RoutingLp, SolveCounts};
use crate::meters::ArrivalRate;
use crate::pacing::{CompensatedSum, Ledger, StartCosts};
use crate::sampling::Sampler;

pub use arm::{ArmSettings, ArmSpec, ArmState};
pub use config::{MOST_OTHER_FAILURES, RouterConfig};
pub use copy::{Room, RouterCopy};
pub use counters::Counters;
pub use effects::{Charge, FailureEffect, FailureReason, Failures, OtherFailure};
pub use events::{Event, Noted, Refusal};
pub use observation::{Batch, Observation};
pub use scope::ScopeConfig;
pub use terms::Terms;

use arm::Arm;
use columns::Columns;
use config::check_log_capacity;
use events::Events;
use restricted::Restricted;
use scope::Scope;
use switches::Gates;

/// `StageRoute`'s routing half. Deployment (which arms are live) is decided outside and published
/// whole; everything between two boundaries happens here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Router {
    #[serde(with = "later::config_of_first_version")]
    config: RouterConfig,
    learner: Learner,
    arms: Vec<Arm>,
    live: LiveArms,
    lp: Option<RoutingLp>,
    /// The number of queries at which the current stage ends.
    stage_end: Option<u64>,
    /// Whether a live arm has retired or failed since the set was published.
    has_lost_slot: bool,
    #[serde(skip)]
    gates: Gates,
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
    /// Whether bills are taken for what they are. Not so in a state of an earlier version, whose
    /// decisions are to be repeated, until it is given settings of this one.
    #[serde(skip)]
    takes_bills: bool,
    /// What arms share.
    #[serde(skip)]
    scopes: Vec<Scope>,
    /// Before that no query under way can turn out to be lost.
    #[serde(skip)]
    slots_due: f64,
    /// The latest time seen.
    clock: f64,
    /// What the wall clock shows more than `clock`, seconds: it may jump, `clock` never does.
    #[serde(skip)]
    clock_offset: f64,
    #[serde(skip)]
    columns: Columns,
    #[serde(skip)]
    restricted: Restricted,
    #[serde(skip)]
    log: DecisionLog,
    #[serde(skip)]
    events: Events,
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
            live: LiveArms::default(),
            lp: None,
            stage_end: None,
            has_lost_slot: false,
            gates: Gates::default(),
            shares_due: f64::NEG_INFINITY,
            decisions: OpenDecisions::new(config.open_decisions, config.max_age),
            ledger: Ledger::default(),
            billed: CompensatedSum::default(),
            guard: Guard::new(&config.hard_limits, &config.calendars)?,
            start_costs: StartCosts::default(),
            rate: ArrivalRate::default(),
            counters: Counters::default(),
            sampler: Sampler::new(config.seed),
            takes_bills: true,
            slots_due: 0.0,
            scopes: Vec::new(),
            clock: 0.0,
            clock_offset: 0.0,
            columns: Columns::default(),
            restricted: Restricted::default(),
            log: DecisionLog::new(config.log_capacity),
            events: Events::default(),
            config,
        };
        router.scopes = router.scopes_of(&router.config.scopes)?;
        router.update_gates();
        Ok(router)
    }

    /// The whole state, as bytes that [`Router::from_bytes`] of the same version understands. The
    /// log is not part of it.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`] if memory runs out.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let first = postcard::to_allocvec(self);
        let bytes = first.and_then(|bytes| self.append_later(bytes));
        bytes.map_err(|error| Error::BadSnapshot(error.to_string()))
    }

    /// A router that goes on exactly where the one of [`Router::to_bytes`] stood.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`] if the bytes are not such a state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bad = |error: postcard::Error| Error::BadSnapshot(error.to_string());
        let (mut router, rest): (Self, _) = postcard::take_from_bytes(bytes).map_err(bad)?;
        router.complete(rest)?;
        router.check_consistency()?;
        router.log = DecisionLog::new(router.config.log_capacity);
        let restricted = router.restricted.lp.take();
        router.reserve_lps();
        router.restricted.lp = restricted.or(router.restricted.lp);
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
        debug_assert!(now > self.clock, "time runs backwards");
        self.clock = now;
        Ok(now)
    }

    /// Whether a decision depends on the time or notes it, so that callers should look at a clock.
    #[must_use]
    #[inline]
    pub fn needs_clock_to_route(&self) -> bool {
        self.needs_clock_to_observe() || self.gates.any || self.log.is_on()
    }

    /// The same for feedback.
    #[must_use]
    #[inline]
    pub fn needs_clock_to_observe(&self) -> bool {
        self.gates.traffic || self.gates.trouble || self.config.max_age.is_some()
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
    pub fn arm(&self, arm: ArmIndex) -> ArmState {
        let Arm { share, traffic, health, answers, is_retired, .. } = &self.arms[arm];
        ArmState {
            share: *share,
            under_way: traffic.under_way(),
            health: *health,
            answer_chance: answers.chance(),
            expected_tokens: self.arms[arm].expected_tokens(&self.learner, arm),
            is_retired: *is_retired,
        }
    }

    /// Health settings, to read an arm's [`crate::Health`] with.
    #[must_use]
    pub fn health_config(&self) -> &HealthConfig {
        &self.config.health
    }

    /// The latest time seen, seconds: time that passes steadily from the first time that was seen.
    #[must_use]
    pub fn clock(&self) -> f64 {
        self.clock
    }

    /// What the wall clock shows more than [`Router::clock`], seconds.
    #[must_use]
    #[inline]
    pub fn clock_offset(&self) -> f64 {
        self.clock_offset
    }

    /// The wall clock at [`Router::clock`], Unix seconds.
    #[must_use]
    pub fn wall_clock(&self) -> f64 {
        self.clock + self.clock_offset
    }

    /// Notes that the wall clock has jumped: it now shows `offset` seconds more than [`Router::clock`].
    /// Meters, cool-downs and ages go on as they were; the windows of hard limits follow the wall.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`].
    pub fn step_clock(&mut self, offset: f64) -> Result<(), Error> {
        check(offset.abs() <= LATEST, "offset", offset, "must be a length of time, in seconds")?;
        self.guard.jump(self.clock, (self.clock_offset, offset), self.ledger.queries);
        self.jump_in_scopes(offset);
        let seconds = offset - self.clock_offset;
        self.clock_offset = offset;
        self.counters.clock_steps += 1;
        self.note(Event::SteppedClock { seconds });
        Ok(())
    }

    /// Estimated arrivals per second; 0 where no arm has traffic limits.
    #[must_use]
    pub fn arrival_rate(&self) -> f64 {
        self.rate.per_second(self.clock)
    }

    /// The live set.
    #[must_use]
    pub fn live(&self) -> &LiveArms {
        &self.live
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
        self.guard.states(self.wall_clock())
    }

    /// Failures, by the name of their reason.
    pub fn failures_by_reason(&self) -> impl Iterator<Item = (&str, u64)> {
        let known = FailureReason::NAMES.iter().map(|&(name, _)| name);
        let others = self.config.other_failures.iter().map(|other| &*other.name);
        let counts = self.counters.failures.into_iter();
        known.zip(counts).chain(others.zip(self.counters.other_failures))
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &RouterConfig {
        &self.config
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Starts an empty log of at most `capacity` decisions, or none for 0: what is logged is no part of the
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
