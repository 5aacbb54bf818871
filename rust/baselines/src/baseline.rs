//! Baselines as they are made and driven from outside the replay loop.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use stageroute_core::{ArmIndex, Error};

use crate::features::Features;
use crate::policy::Policy;
use crate::status_counts::StatusCounts;

/// What a stage starts from, beside its live set; what a baseline has no use for is ignored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Start<'a> {
    /// A probability for each candidate.
    pub probabilities: &'a [f64],
    /// Price of the budget, reward per USD.
    pub price: f64,
}

/// A policy whose deployments are decided outside. What a baseline has no figures for is empty.
pub trait Baseline: Policy + Send {
    /// Begins a stage for what is known of the arms; returns two figures of each, what it is worth
    /// and what it costs, from which a deployment can be decided.
    fn begin_stage(&mut self) -> (Vec<f64>, Vec<f64>) {
        (Vec::new(), Vec::new())
    }

    /// Publishes the live set of the stage.
    ///
    /// # Errors
    /// As [`stageroute_core::LiveArms::new`], and those of the baseline.
    fn publish(&mut self, deployed: &[ArmIndex], start: Start<'_>) -> Result<(), Error>;

    /// λ of the last query, reward per USD; 0 before the first.
    fn budget_price(&self) -> f64 {
        0.0
    }

    /// How often the LP of a query ended in each status; nothing if none is solved.
    fn counts(&self) -> Option<StatusCounts> {
        None
    }

    /// The distribution of the stage, one number for each candidate.
    fn probabilities(&self) -> &[f64] {
        &[]
    }

    /// How often each row was asked about.
    fn seen(&self) -> &[u64] {
        &[]
    }

    /// What each arm is worth on some rows, row by row.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] for a row out of range.
    fn values(&self, rows: &[usize]) -> Result<Vec<f64>, Error> {
        let _ = rows;
        Ok(Vec::new())
    }
}

/// A baseline that can be made from its settings.
pub trait FromConfig: Baseline + Sized + 'static {
    /// Its settings, by name.
    type Config: DeserializeOwned;

    /// Makes it; nothing is live. `features` are those of the table's rows.
    ///
    /// # Errors
    /// Those of the baseline.
    fn from_config(config: Self::Config, features: Option<Features>) -> Result<Self, Error>;
}

/// Why there is no baseline.
#[derive(Debug)]
pub enum MakeError<E> {
    /// There is none of that name.
    UnknownName,
    /// The settings cannot be read.
    Unreadable(E),
    /// The settings break a rule.
    Refused(Error),
}

/// Reads the settings of a baseline and makes it.
pub(crate) fn make<'de, B: FromConfig, D: serde::Deserializer<'de>>(
    config: D,
    features: Option<Features>,
) -> Result<Box<dyn Baseline>, MakeError<D::Error>> {
    let config = B::Config::deserialize(config).map_err(MakeError::Unreadable)?;
    let baseline = B::from_config(config, features).map_err(MakeError::Refused)?;
    Ok(Box::new(baseline))
}
