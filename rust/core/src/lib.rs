//! `stageroute-core`: online deployment and routing of LLMs under budget and throughput limits.
//!
//! Pure Rust, no Python, no I/O, no clock. An *arm* is a candidate model, known here by its index
//! alone; money is in USD, rewards are in \[0, 1\]. Data flows one way:
//!
//! ```text
//! observe -> ArmStats -> Bounds -> RoutingLp -> route -> Decision
//!                           \--> deployment -> LiveArms --/
//! ```
//!
//! ```
//! use stageroute_core::{
//!     ArmSettings, ArmSpec, Confidence, ConfidenceFamily, Observation, Pacing, Query, Router,
//!     RouterConfig, StartCost,
//! };
//!
//! let published = Confidence::new(ConfidenceFamily::Bernstein, 0.15, 0.01);
//! let confidence = Confidence { growth: 1.0, min_visits: 20, ..published };
//! let pacing = Some(Pacing { horizon: 500.0, burst: 2.0 });
//! let mut router = Router::new(RouterConfig { pacing, ..RouterConfig::new(0.001, confidence, 7) })?;
//! let small = router.add_arm(&ArmSpec::default())?;
//! let settings = ArmSettings { throughput_cap: 0.5, ..ArmSettings::default() };
//! let large = router.add_arm(&ArmSpec { settings, ..ArmSpec::default() })?;
//! router.publish(&[small, large], StartCost::NONE)?;
//! let decision = router.route(&Query::default())?;
//! let (reward, cost) = (Some(1.0), Some(0.0004));
//! router.observe(0.0, &Observation { id: decision.id, reward, cost, tokens: None })?;
//! assert_eq!(router.ledger().billed, 0.0004);
//! # Ok::<(), stageroute_core::Error>(())
//! ```
//!
//! The method is `StageRoute` (Li & Li, *Near-Optimal Online Deployment and Routing for Streaming
//! LLMs*, ICLR 2026, arXiv 2506.17254).

#![forbid(unsafe_code)]

mod answers;
mod arm_index;
mod calendar;
pub mod checks;
mod command;
mod confidence;
mod decision;
mod decisions;
pub mod deployment;
mod drift;
mod error;
mod guard;
mod hard_limit;
mod health;
mod learner;
mod limiter;
mod live_arms;
mod log;
pub mod lp;
mod memory;
mod meters;
mod money;
mod pacing;
mod period;
mod prior;
mod router;
mod sampling;
mod stats;
mod status;
mod tariff;
mod throughput;
mod tolerances;
mod usage;
mod window;

pub use arm_index::ArmIndex;
pub use calendar::Calendar;
pub use command::{
    AddModel, Call, ChangeBudget, Command, Configure, Correct, EndCooldown, ExtendStage, Fail,
    NoteQuota, Observe, ObserveMany, ObserveUsage, Publish, Release, RetireArm, ReviveArm, SetArm,
    SetBudget, SetModel, StepClock,
};
pub use confidence::{Bounds, Confidence, ConfidenceFamily, kl_upper};
pub use decision::{Decision, Query, Reasons};
pub use drift::{ChangeTest, Drift, Forgetting};
pub use error::Error;
pub use guard::LimitState;
pub use hard_limit::{AtLimit, HardLimit};
pub use health::{Health, HealthConfig, Strike, Tolerance};
pub use learner::Learner;
pub use live_arms::LiveArms;
pub use log::{LogBatch, LoggedArm, LoggedDecision};
pub use pacing::{CompensatedSum, Ledger, Pacing, StartCost};
pub use period::Period;
pub use prior::Prior;
pub use router::{
    ArmSettings, ArmSpec, ArmState, Batch, Charge, Counters, Event, FailureEffect, FailureReason,
    Failures, MOST_OTHER_FAILURES, Noted, Observation, OtherFailure, Refusal, Room, Router,
    RouterConfig, RouterCopy, ScopeConfig, Terms,
};
pub use sampling::Sampler;
pub use stats::{ArmStats, Moments};
pub use status::DecisionStatus;
pub use tariff::{Rates, Tariff, Usage};
pub use throughput::TrafficLimits;
pub use usage::{CostFeedback, Prices, Tokens, UsageMoments};
