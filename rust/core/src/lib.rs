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
//! The method is `StageRoute` (Li & Li, *Near-Optimal Online Deployment and Routing for Streaming
//! LLMs*, ICLR 2026, arXiv 2506.17254).

#![forbid(unsafe_code)]

mod baselines;
mod confidence;
mod decisions;
mod error;
mod learner;
pub mod lp;
mod pacing;
mod plan;
mod replay;
mod router;
mod sampling;
mod stats;

pub use baselines::{Greedy, Mixture};
pub use confidence::{Bounds, Confidence, ConfidenceFamily};
pub use error::Error;
pub use learner::Learner;
pub use pacing::{Ledger, Pacing};
pub use plan::StagePlan;
pub use replay::{Outcome, OutcomeMatrix, Policy, Trace, replay};
pub use router::{Counters, Decision, Observation, Router, RouterConfig};
pub use sampling::Sampler;
pub use stats::{ArmStats, Moments};
