//! What every policy is to the replay loop.

use stageroute_core::{Decision, Error, Observation, Query, Router};

/// What one query brought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Reward in \[0, 1\].
    pub reward: f64,
    /// Cost in USD.
    pub cost: f64,
}

/// Anything that routes queries and learns from what they bring. Every policy runs in the same
/// loop, so that a comparison differs in the policy alone.
pub trait Policy {
    /// Decides which arm serves the next query, whose row in the table of outcomes is given:
    /// policies with context look up its features there, others do not use it.
    ///
    /// # Errors
    /// When no decision can be made; see the policy.
    fn route(&mut self, row: usize) -> Result<Decision, Error>;

    /// Learns what a decision on the query of that row brought.
    ///
    /// # Errors
    /// When the outcome is not valid for the decision.
    fn observe(&mut self, row: usize, decision: &Decision, outcome: Outcome) -> Result<(), Error>;
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
