//! `stageroute-baselines`: policies to compare the router with, and the loop that replays any of them.
//!
//! A [`Policy`] routes queries and learns from what they bring; [`replay`] drives it over a matrix of
//! outcomes. The baselines deploy outside, like the router, and route here.

#![forbid(unsafe_code)]

mod context_prices;
mod context_router;
mod drawer;
mod duals;
mod features;
mod greedy;
mod index;
mod index_router;
mod knapsack_router;
mod linucb;
mod mixture;
mod policy;
mod purse;
mod replay;
mod ridge;
mod shares;
mod status_counts;

pub use context_router::{ContextConfig, ContextRouter, Sharing};
pub use duals::DualMethod;
pub use greedy::Greedy;
pub use index::Index;
pub use index_router::IndexRouter;
pub use knapsack_router::{KnapsackConfig, KnapsackRouter};
pub use linucb::{LinUcb, LinUcbConfig};
pub use mixture::Mixture;
pub use policy::{Outcome, Policy};
pub use replay::{LateFeedback, OutcomeMatrix, Trace, replay};
pub use status_counts::StatusCounts;
