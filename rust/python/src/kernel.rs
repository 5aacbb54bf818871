//! The baselines' kernels, all behind one class.

use std::sync::{Mutex, MutexGuard};

use numpy::PyReadonlyArray2;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pythonize::Depythonizer;
use stageroute_baselines::{self as baselines, Baseline, Features, MakeError, Outcome, Start};
use stageroute_core::{ArmIndex, Decision, Reasons};

use crate::convert::{Floats, arms, elements};
use crate::errors::{invalid, poisoned, to_py};

/// A baseline, by the name that it has in the native crate. What it has no figures for is empty.
///
/// Parameters
/// ----------
/// name : str
/// config : dict
///     Its settings, by their names there.
/// features : ndarray, shape (rows, d), optional
///     Features of each row of the table, for baselines that use them.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct Kernel {
    pub(crate) inner: Mutex<Box<dyn Baseline>>,
}

impl Kernel {
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Box<dyn Baseline>>> {
        self.inner.lock_py_attached(py).map_err(|_| poisoned())
    }
}

// PyO3 passes extracted arguments by value.
#[allow(clippy::needless_pass_by_value)]
#[pymethods]
impl Kernel {
    #[new]
    #[pyo3(signature = (name, config, features=None))]
    fn new(
        name: &str,
        config: &Bound<'_, PyAny>,
        features: Option<PyReadonlyArray2<'_, f64>>,
    ) -> PyResult<Self> {
        let features = features.map(|features| {
            let d = features.as_array().ncols();
            let flat = features.as_slice().map_err(|_| invalid("features must be C-contiguous"))?;
            Features::new(flat, d).map_err(to_py)
        });
        let made =
            baselines::make(name, &mut Depythonizer::from_object(config), features.transpose()?);
        let baseline = made.map_err(|error| match error {
            MakeError::UnknownName => {
                let names = baselines::NAMES.join(", ");
                invalid(format!("name = {name:?}: must be one of {names}"))
            }
            MakeError::Unreadable(error) => invalid(format!("config of {name:?}: {error}")),
            MakeError::Refused(error) => to_py(error),
        })?;
        Ok(Self { inner: Mutex::new(baseline) })
    }

    /// Begin a stage; two figures of every arm from which a deployment can be decided.
    fn begin_stage(&self, py: Python<'_>) -> PyResult<(Vec<f64>, Vec<f64>)> {
        Ok(self.lock(py)?.begin_stage())
    }

    /// Publish the live arms of the stage, and what it starts from.
    #[pyo3(signature = (deployed, *, probabilities=None, price=0.0))]
    fn publish(
        &self,
        py: Python<'_>,
        deployed: Vec<u32>,
        probabilities: Option<Floats<'_>>,
        price: f64,
    ) -> PyResult<()> {
        let probabilities = probabilities.as_ref().map(|array| elements(array));
        let start = Start { probabilities: probabilities.as_deref().unwrap_or_default(), price };
        self.lock(py)?.publish(&arms(deployed), start).map_err(to_py)
    }

    /// The budget's price in the last decision, reward per USD.
    fn budget_price(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.lock(py)?.budget_price())
    }

    /// How often the LP ended in each status, in the order of the statuses; None if there is none.
    fn counts(&self, py: Python<'_>) -> PyResult<Option<(u64, u64, u64, u64)>> {
        let counts = self.lock(py)?.counts();
        Ok(counts.map(|c| (c.optimal, c.throttled, c.budget_infeasible, c.cap_infeasible)))
    }

    /// The distribution of the stage, one number for each candidate.
    fn probabilities(&self, py: Python<'_>) -> PyResult<Vec<f64>> {
        Ok(self.lock(py)?.probabilities().to_vec())
    }

    /// How often each row was asked about.
    fn seen(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        Ok(self.lock(py)?.seen().to_vec())
    }

    /// What each arm is worth on some rows, row by row.
    fn values(&self, py: Python<'_>, rows: Vec<usize>) -> PyResult<Vec<f64>> {
        self.lock(py)?.values(&rows).map_err(to_py)
    }

    /// Decide which arm serves the query of a row: (arm, probability, budget price).
    fn route(&self, py: Python<'_>, row: usize) -> PyResult<(u32, f64, f64)> {
        let Decision { arm, probability, budget_price, .. } =
            self.lock(py)?.route(row).map_err(to_py)?;
        Ok((arm.0, probability, budget_price))
    }

    /// Learn what the given arm brought on the query of a row.
    fn observe(
        &self,
        py: Python<'_>,
        row: usize,
        arm: u32,
        reward: f64,
        cost: f64,
    ) -> PyResult<()> {
        // Baselines learn from row and arm alone; the rest of the decision is not used.
        let (arm, reasons) = (ArmIndex(arm), Reasons::default());
        let decision =
            Decision { id: 0, arm, probability: 1.0, stage: 0, budget_price: 0.0, reasons };
        self.lock(py)?.observe(row, &decision, Outcome { reward, cost }).map_err(to_py)
    }
}
