//! `stageroute-baselines`: policies to compare the router with, and the loop that replays any of them.
//!
//! A [`Policy`] routes queries and learns from what they bring; [`replay`] drives it over a matrix of
//! outcomes. The baselines deploy outside, like the router, and route here.

#![forbid(unsafe_code)]

mod baseline;
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

pub use baseline::{Baseline, FromConfig, MakeError, Start};
pub use context_router::{ContextConfig, ContextRouter, Sharing};
pub use duals::DualMethod;
pub use features::Features;
pub use greedy::{Greedy, GreedyConfig};
pub use index::Index;
pub use index_router::{IndexConfig, IndexRouter};
pub use knapsack_router::{KnapsackConfig, KnapsackRouter};
pub use linucb::{LinUcb, LinUcbConfig};
pub use mixture::{Mixture, MixtureConfig};
pub use policy::{Outcome, Policy};
pub use replay::{LateFeedback, OutcomeMatrix, Trace, replay};
pub use status_counts::StatusCounts;

/// Declares the baselines by name.
macro_rules! baselines {
    ($($name:literal: $baseline:ty),* $(,)?) => {
        /// The names of all baselines.
        pub const NAMES: &[&str] = &[$($name),*];

        /// Makes the baseline of a name from its settings; nothing is live. `features` are those of
        /// the table's rows.
        ///
        /// # Errors
        /// [`MakeError`].
        pub fn make<'de, D: serde::Deserializer<'de>>(
            name: &str,
            config: D,
            features: Option<Features>,
        ) -> Result<Box<dyn Baseline>, MakeError<D::Error>> {
            match name {
                $($name => baseline::make::<$baseline, D>(config, features),)*
                _ => Err(MakeError::UnknownName),
            }
        }
    };
}

baselines! {
    "mixture": Mixture,
    "greedy": Greedy,
    "index": IndexRouter,
    "knapsack": KnapsackRouter,
    "linucb": LinUcb,
    "context": ContextRouter,
}
