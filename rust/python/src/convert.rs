//! Conversions that more than one class needs.

use numpy::{AllowTypeChange, PyArrayLike1};
use pyo3::prelude::*;
use stageroute_core::{Confidence, ConfidenceFamily};

use crate::errors::invalid;

/// A one-dimensional float array, borrowed where it is one already.
pub(crate) type Floats<'py> = PyArrayLike1<'py, f64, AllowTypeChange>;

/// A contiguous view of an array argument.
pub(crate) fn slice<'a, T: numpy::Element>(
    argument: &str,
    array: &'a numpy::PyReadonlyArray1<'_, T>,
) -> PyResult<&'a [T]> {
    array
        .as_slice()
        .map_err(|_| invalid(format!("{argument} is not contiguous: pass a C-ordered copy of it")))
}

/// Settings of the confidence bounds, as keyword arguments name them.
#[derive(FromPyObject)]
pub(crate) struct ConfidenceSettings {
    family: String,
    gamma: f64,
    initial_reward_ucb: f64,
    initial_cost_lcb: f64,
    min_visits: u64,
    cost_floor: f64,
    cost_ceiling: f64,
}

impl TryFrom<ConfidenceSettings> for Confidence {
    type Error = PyErr;

    fn try_from(settings: ConfidenceSettings) -> PyResult<Self> {
        let names = ConfidenceFamily::NAMES;
        let family = names.iter().find(|(name, _)| *name == settings.family).ok_or_else(|| {
            let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            invalid(format!("confidence = {:?}: must be one of {known:?}", settings.family))
        })?;
        Ok(Self {
            family: family.1,
            gamma: settings.gamma,
            initial_reward_ucb: settings.initial_reward_ucb,
            initial_cost_lcb: settings.initial_cost_lcb,
            min_visits: settings.min_visits,
            cost_floor: settings.cost_floor,
            cost_ceiling: settings.cost_ceiling,
        })
    }
}
