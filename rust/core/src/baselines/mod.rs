//! Policies to compare with. They deploy outside, like the router, and route here.

mod context_prices;
mod context_router;
mod duals;
mod features;
mod greedy;
mod index;
mod index_router;
mod knapsack_router;
mod linucb;
mod mixture;
mod purse;
mod ridge;
mod shares;

pub use context_router::{ContextConfig, ContextRouter, Sharing};
pub use duals::DualMethod;
pub use greedy::Greedy;
pub use index::Index;
pub use index_router::{IndexRouter, StatusCounts};
pub use knapsack_router::{KnapsackConfig, KnapsackRouter};
pub use linucb::{LinUcb, LinUcbConfig};
pub use mixture::Mixture;

use crate::error::Error;
use crate::plan::StagePlan;
use crate::router::{Decision, Reasons};
use crate::sampling::Sampler;

/// Draws and numbers the decisions of a baseline, which needs no table of them.
#[derive(Debug, Clone)]
struct Drawer {
    sampler: Sampler,
    next: u64,
}

impl Drawer {
    fn new(seed: u64) -> Self {
        Self { sampler: Sampler::new(seed), next: 0 }
    }

    /// Draws one of the arms, with the probabilities of all candidates.
    fn draw(&mut self, arms: &[usize], p: &[f64], plan: &StagePlan) -> Result<Decision, Error> {
        let arm = self.sampler.draw(arms, p).ok_or(Error::NoLiveArm)?;
        Ok(self.decide(arm, p[arm], 0.0, plan))
    }

    /// The decision for an arm that has been chosen.
    fn decide(&mut self, arm: usize, probability: f64, price: f64, plan: &StagePlan) -> Decision {
        let id = self.next;
        self.next += 1;
        let (stage, reasons) = (plan.stage(), Reasons::default());
        Decision { id, arm, probability, stage, budget_price: price, reasons }
    }
}
