//! Fixed routing distributions.

use serde::Deserialize;
use stageroute_core::checks::{check_all, check_lengths};
use stageroute_core::{ArmIndex, Decision, Error, LiveArms};

use crate::baseline::{Baseline, FromConfig, Start};
use crate::drawer::Drawer;
use crate::features::Features;
use crate::policy::{Outcome, Policy};

/// A fixed routing distribution for each stage, without learning: uniform routing, and the stage
/// oracle, whose distribution is the optimum under the true means.
#[derive(Debug, Clone)]
pub struct Mixture {
    arms: usize,
    live: LiveArms,
    probabilities: Vec<f64>,
    drawer: Drawer,
}

impl Mixture {
    /// A policy over `arms` candidates; nothing is live.
    #[must_use]
    pub fn new(arms: usize, seed: u64) -> Self {
        Self {
            arms,
            live: LiveArms::default(),
            probabilities: vec![0.0; arms],
            drawer: Drawer::new(seed),
        }
    }

    /// Publishes the next stage: the live arms, and a probability for each of all candidates.
    ///
    /// # Errors
    /// [`Error::WrongLength`], or [`Error::InvalidElement`] for a negative or non-finite
    /// probability; as [`LiveArms::new`] for the arms. Mass outside the live set is an
    /// [`Error::InvalidElement`] too.
    pub fn publish(&mut self, deployed: &[ArmIndex], probabilities: &[f64]) -> Result<(), Error> {
        let argument = "probabilities";
        check_lengths(argument, probabilities.len(), self.arms, "one for each candidate")?;
        check_all(argument, probabilities, "must be in [0, 1]", |p| (0.0..=1.0).contains(&p))?;
        let live = LiveArms::new(self.live.stage() + 1, deployed, self.arms)?;
        let stray = ArmIndex::first(self.arms)
            .find(|&arm| probabilities[arm] > 0.0 && live.slot(arm).is_none());
        if let Some(arm) = stray {
            let (index, value) = (arm.index(), probabilities[arm]);
            let rule = "must be 0 for an arm that is not live";
            return Err(Error::InvalidElement { argument, index, value, rule });
        }
        self.live = live;
        self.probabilities.copy_from_slice(probabilities);
        Ok(())
    }

    /// The distribution of the stage, one number for each candidate.
    #[must_use]
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }
}

impl Policy for Mixture {
    fn route(&mut self, _: usize) -> Result<Decision, Error> {
        self.drawer.draw(self.live.arms(), &self.probabilities, &self.live)
    }

    fn observe(&mut self, _: usize, _: &Decision, _: Outcome) -> Result<(), Error> {
        Ok(())
    }
}

impl Baseline for Mixture {
    fn publish(&mut self, deployed: &[ArmIndex], start: Start<'_>) -> Result<(), Error> {
        self.publish(deployed, start.probabilities)
    }

    fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }
}

/// Settings of a [`Mixture`].
#[derive(Debug, Clone, Deserialize)]
pub struct MixtureConfig {
    /// How many candidates there are.
    pub arms: usize,
    /// Fixes every random draw.
    pub seed: u64,
}

impl FromConfig for Mixture {
    type Config = MixtureConfig;

    fn from_config(config: MixtureConfig, _: Option<Features>) -> Result<Self, Error> {
        Ok(Self::new(config.arms, config.seed))
    }
}
