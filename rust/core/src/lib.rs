//! `stageroute-core`: online deployment and routing of LLMs under budget and throughput limits.
//!
//! Pure Rust, no Python, no I/O, no clock. An *arm* is a candidate model, known here by its index
//! alone; money is in USD, rewards are in \[0, 1\]. Data flows one way:
//!
//! ```text
//! observe -> ArmStats -> Bounds -> RoutingLp -> route -> Choice
//!                           \--> (deployment, outside this crate) -> StagePlan --/
//! ```
//!
//! ```
//! use stageroute_core::{
//!     ArmStats, Confidence, ConfidenceFamily, Observation, Pacing, Router, RouterConfig,
//! };
//!
//! let published = Confidence::new(ConfidenceFamily::Bernstein, 0.15, 0.01);
//! let confidence = Confidence { growth: 1.0, min_visits: 20, ..published };
//! let mut router = Router::new(&RouterConfig {
//!     budget: 0.001,
//!     confidence,
//!     pacing: Some(Pacing { horizon: 500.0 }),
//!     open_decisions: 1024,
//!     stage_queries: None,
//!     seed: 7,
//! })?;
//! let small = router.add_arm(1.0, ArmStats::default())?;
//! let large = router.add_arm(0.5, ArmStats::default())?;
//! router.publish(&[small, large])?;
//! let decision = router.route()?;
//! router.observe(Observation { id: decision.id, reward: Some(1.0), cost: Some(0.0004) })?;
//! assert_eq!(router.ledger().billed, 0.0004);
//! # Ok::<(), stageroute_core::Error>(())
//! ```
//!
//! The method is `StageRoute` (Li & Li, *Near-Optimal Online Deployment and Routing for Streaming
//! LLMs*, ICLR 2026, arXiv 2506.17254).

#![forbid(unsafe_code)]

mod baselines;
mod confidence;
mod decisions;
mod drift;
mod error;
mod learner;
pub mod lp;
mod memory;
mod pacing;
mod plan;
mod prior;
mod replay;
mod router;
mod sampling;
mod stats;
mod usage;

pub use baselines::{Greedy, Mixture};
pub use confidence::{Bounds, Confidence, ConfidenceFamily};
pub use drift::{ChangeTest, Drift, Forgetting};
pub use error::Error;
pub use learner::Learner;
pub use pacing::{Ledger, Pacing};
pub use plan::StagePlan;
pub use prior::Prior;
pub use replay::{Outcome, OutcomeMatrix, Policy, Trace, replay};
pub use router::{Counters, Decision, Observation, Router, RouterConfig};
pub use sampling::Sampler;
pub use stats::{ArmStats, Moments};
pub use usage::{CostFeedback, Prices, Tokens, UsageMoments};
