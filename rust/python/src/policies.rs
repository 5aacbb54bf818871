//! The baselines' kernels.

use std::sync::{Mutex, MutexGuard};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use stageroute_core::{self as core, Bounds, Error, Outcome, Policy};

use crate::convert::{ConfidenceSettings, Floats, slice};
use crate::errors::{poisoned, to_py};

/// One step of a policy: (arm, probability, budget price).
pub(crate) type Step = (usize, f64, f64);

/// Routes one query and learns its outcome, given as rows of rewards and costs over the arms.
pub(crate) fn step(
    policy: &mut dyn Policy,
    reward: &[f64],
    cost: &[f64],
) -> Result<Step, Error> {
    let decision = policy.route()?;
    let outcome = Outcome { reward: reward[decision.arm], cost: cost[decision.arm] };
    policy.observe(&decision, outcome)?;
    Ok((decision.arm, decision.probability, decision.budget_price))
}

/// A fixed distribution for each stage.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct Mixture {
    pub(crate) inner: Mutex<core::Mixture>,
}

#[pymethods]
impl Mixture {
    #[new]
    fn new(arms: usize, seed: u64) -> Self {
        Self { inner: Mutex::new(core::Mixture::new(arms, seed)) }
    }

    /// Publish the live arms of the next stage and a probability for each candidate.
    #[allow(clippy::needless_pass_by_value)]
    fn publish(
        &self,
        py: Python<'_>,
        deployed: Vec<usize>,
        probabilities: Floats<'_>,
    ) -> PyResult<()> {
        let probabilities = slice("probabilities", &probabilities)?;
        lock(&self.inner, py)?
            .publish(&deployed, probabilities)
            .map_err(|error| to_py(&error))
    }
}

/// Arms by falling utility, each up to its cap.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct Greedy {
    pub(crate) inner: Mutex<core::Greedy>,
}

#[pymethods]
impl Greedy {
    #[new]
    #[allow(clippy::needless_pass_by_value)]
    fn new(
        confidence: ConfidenceSettings,
        throughput_cap: Floats<'_>,
        seed: u64,
    ) -> PyResult<Self> {
        let caps = slice("throughput_cap", &throughput_cap)?;
        let greedy = core::Greedy::new(confidence.try_into()?, caps, seed);
        Ok(Self { inner: Mutex::new(greedy.map_err(|error| to_py(&error))?) })
    }

    /// Publish the live arms of the next stage.
    #[allow(clippy::needless_pass_by_value)]
    fn publish(&self, py: Python<'_>, deployed: Vec<usize>) -> PyResult<()> {
        lock(&self.inner, py)?.publish(&deployed).map_err(|error| to_py(&error))
    }

    /// (`reward_ucb`, `cost_lcb`) of every arm.
    fn bounds(&self, py: Python<'_>) -> PyResult<(Vec<f64>, Vec<f64>)> {
        let greedy = lock(&self.inner, py)?;
        let bounds = greedy.learner().bounds();
        let column = |get: fn(&Bounds) -> f64| bounds.iter().map(get).collect();
        Ok((column(|b| b.reward_ucb), column(|b| b.cost_lcb)))
    }
}

fn lock<'a, T>(mutex: &'a Mutex<T>, py: Python<'_>) -> PyResult<MutexGuard<'a, T>> {
    mutex.lock_py_attached(py).map_err(|_| poisoned())
}
