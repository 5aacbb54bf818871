//! Conversions that more than one class needs.

use std::borrow::Cow;

use numpy::{AllowTypeChange, PyArrayLike1, PyReadonlyArray1};
use pyo3::prelude::*;
use stageroute_core::{ArmIndex, Confidence, ConfidenceFamily};

use crate::errors::invalid;

/// A one-dimensional float array, borrowed where it is one already.
pub(crate) type Floats<'py> = PyArrayLike1<'py, f64, AllowTypeChange>;

/// The elements of an array argument: borrowed where they are contiguous, else copied.
pub(crate) fn elements<'a, T: numpy::Element + Copy>(
    array: &'a PyReadonlyArray1<'_, T>,
) -> Cow<'a, [T]> {
    match array.as_slice() {
        Ok(slice) => Cow::Borrowed(slice),
        Err(_) => Cow::Owned(array.as_array().to_vec()),
    }
}

/// Settings of the confidence bounds, as keyword arguments name them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct ConfidenceSettings {
    family: String,
    gamma: f64,
    growth: f64,
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
            growth: settings.growth,
            initial_reward_ucb: settings.initial_reward_ucb,
            initial_cost_lcb: settings.initial_cost_lcb,
            min_visits: settings.min_visits,
            cost_floor: settings.cost_floor,
            cost_ceiling: settings.cost_ceiling,
        })
    }
}

/// Arms by their numbers.
pub(crate) fn arms(numbers: Vec<u32>) -> Vec<ArmIndex> {
    numbers.into_iter().map(ArmIndex).collect()
}
