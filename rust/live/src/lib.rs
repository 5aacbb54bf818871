//! `stageroute-live`: a router in service, complete without Python.
//!
//! [`Live`] is a core router with what the core does not know: the names of its models, the journal
//! that its calls are written to, and whether the end of the stage has been made known.
//! [`SharedRouter`] is that behind a lock and with a clock, for the threads of a gateway. Which
//! models are live is decided outside, by a thread that [waits](SharedRouter::wait_until_due) for
//! the end of a stage; routing goes on over the old set until a new one is published.
//!
//! ```
//! use std::time::Duration;
//!
//! use stageroute_core::{
//!     ArmSpec, Confidence, ConfidenceFamily, Router, RouterConfig, StartCost,
//! };
//! use stageroute_live::{Feedback, SharedRouter, System, Wishes};
//!
//! let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.15, 0.01);
//! let config = RouterConfig::new(0.001, confidence, 7);
//! let config = RouterConfig { stage_queries: Some(1), ..config };
//! let router = SharedRouter::new(Router::new(config)?, System);
//! router.add_model("small", &ArmSpec::default(), b"")?;
//! router.publish(&["small"], StartCost::NONE, b"")?;
//!
//! let routed = router.route(&Wishes::default())?;
//! assert_eq!(&*routed.model, "small");
//! let feedback = Feedback { reward: Some(1.0), cost: Some(4e-4), tokens: None };
//! router.observe(routed.decision.id, feedback)?;
//!
//! router.route(&Wishes::default())?; // finds the stage over
//! assert!(router.wait_until_due(Duration::ZERO));
//! # Ok::<(), stageroute_live::Error>(())
//! ```

#![forbid(unsafe_code)]

mod clock;
mod error;
mod live;
mod names;
mod shared;

pub use clock::{Clock, Manual, Moment, Reading, System, Timeline};
pub use error::Error;
pub use live::{Live, Wishes};
pub use names::Names;
pub use shared::{Feedback, Routed, SharedRouter};
