//! Statistics of all arms, with the bounds that follow from them kept up to date.

use crate::confidence::{Bounds, Confidence};
use crate::error::Error;
use crate::stats::ArmStats;

/// The statistics of every candidate and its current optimistic estimates.
#[derive(Debug, Clone)]
pub struct Learner {
    confidence: Confidence,
    stats: Vec<ArmStats>,
    bounds: Vec<Bounds>,
    /// Mean number of rewards seen per arm when bounds were last refreshed.
    fair_share: f64,
}

impl Learner {
    /// A learner without arms.
    ///
    /// # Errors
    /// As [`Confidence::validate`].
    pub fn new(confidence: Confidence) -> Result<Self, Error> {
        confidence.validate()?;
        Ok(Self { confidence, stats: Vec::new(), bounds: Vec::new(), fair_share: 0.0 })
    }

    /// Adds an arm and returns its index. What is known beforehand is given as statistics, worth
    /// as many observations as they count.
    pub fn add_arm(&mut self, prior: ArmStats) -> usize {
        self.stats.push(prior);
        self.bounds.push(self.confidence.bounds(&prior, self.fair_share));
        self.stats.len() - 1
    }

    /// Counts one observation of an arm and updates its bounds; either part may be absent.
    ///
    /// # Errors
    /// [`Error::UnknownArm`], or [`Error::InvalidNumber`] as [`ArmStats::observe`].
    #[inline]
    pub fn observe(
        &mut self,
        arm: usize,
        reward: Option<f64>,
        cost: Option<f64>,
    ) -> Result<Bounds, Error> {
        let arms = self.stats.len();
        let Some(stats) = self.stats.get_mut(arm) else {
            return Err(Error::UnknownArm { argument: "arm", arm, arms });
        };
        stats.observe(reward, cost)?;
        let bounds = &mut self.bounds[arm];
        if reward.is_some() {
            bounds.reward_ucb = self.confidence.reward_ucb(&stats.reward, self.fair_share);
        }
        if cost.is_some() {
            bounds.cost_lcb = self.confidence.cost_lcb(&stats.cost);
        }
        Ok(*bounds)
    }

    /// Takes the fair share anew and recomputes every bound; to be done at stage boundaries.
    pub fn refresh_bounds(&mut self) {
        let rewards: u64 = self.stats.iter().map(|stats| stats.reward.count()).sum();
        self.fair_share = rewards as f64 / self.stats.len().max(1) as f64;
        for (bounds, stats) in self.bounds.iter_mut().zip(&self.stats) {
            *bounds = self.confidence.bounds(stats, self.fair_share);
        }
    }

    /// How many arms there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stats.len()
    }

    /// Whether there is no arm.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stats.is_empty()
    }

    /// Statistics of every arm.
    #[must_use]
    pub fn stats(&self) -> &[ArmStats] {
        &self.stats
    }

    /// Optimistic estimates of every arm.
    #[must_use]
    pub fn bounds(&self) -> &[Bounds] {
        &self.bounds
    }

    /// Mean cost of an arm as far as it is known, else its lower bound: what a decision for it is
    /// expected to cost, USD.
    #[must_use]
    #[inline]
    pub fn expected_cost(&self, arm: usize) -> f64 {
        let cost = &self.stats[arm].cost;
        if cost.count() == 0 { self.bounds[arm].cost_lcb } else { cost.mean() }
    }
}
