//! What routing returns and what feedback names.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use stageroute_core::{Batch, Reasons};

/// One routing decision.
///
/// Attributes
/// ----------
/// id : int
///     Names the decision in ``observe``; consecutive from 0.
/// model : str
///     The model that should serve the query.
/// probability : float
///     The probability with which it was drawn, in (0, 1].
/// stage : int
///     The stage in which it was made, from 1.
/// budget_price : float
///     Dual price of the budget in the LP behind it, reward per USD; infinite when the (paced)
///     budget could not be met.
/// reasons : tuple of str
///     Why not every live model was considered: ``"excluded"`` (by the query itself),
///     ``"traffic_limit"``, ``"cooling"``, ``"hard_limit"``; ``"probe"`` when the model chosen is
///     being tried again after a cool-down.
#[pyclass(frozen, module = "stageroute", freelist = 64)]
pub(crate) struct Decision {
    #[pyo3(get)]
    pub(crate) id: u64,
    #[pyo3(get)]
    pub(crate) model: Py<PyString>,
    #[pyo3(get)]
    pub(crate) probability: f64,
    #[pyo3(get)]
    pub(crate) stage: u64,
    #[pyo3(get)]
    pub(crate) budget_price: f64,
    pub(crate) reasons: Reasons,
    pub(crate) origin: Origin,
}

/// Which router made a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Counts the routers of this process.
    pub(crate) serial: u64,
    /// Of the router's draws; one that goes on where another stood has the same.
    pub(crate) seed: u64,
}

#[pymethods]
impl Decision {
    #[getter]
    fn reasons<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, reason_names(self.reasons))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let model = self.model.bind(py).to_str()?;
        let Self { id, probability, stage, .. } = self;
        Ok(format!(
            "Decision(id={id}, model={model:?}, probability={probability:.6}, stage={stage})"
        ))
    }
}

/// The names of the flags that are set.
pub(crate) fn reason_names(reasons: Reasons) -> Vec<&'static str> {
    Reasons::NAMES
        .iter()
        .filter(|(flag, _)| reasons.contains(*flag))
        .map(|&(_, name)| name)
        .collect()
}

/// What became of a batch of observations.
///
/// Attributes
/// ----------
/// counted : int
///     Observations counted.
/// repeated, unknown, expired : int
///     Observations refused: they had come before, their decision was never made, or it was
///     evicted.
#[pyclass(frozen, get_all, eq, module = "stageroute")]
#[derive(PartialEq)]
pub(crate) struct FeedbackBatch {
    counted: u64,
    repeated: u64,
    unknown: u64,
    expired: u64,
}

impl From<Batch> for FeedbackBatch {
    fn from(Batch { counted, repeated, unknown, expired }: Batch) -> Self {
        Self { counted, repeated, unknown, expired }
    }
}

#[pymethods]
impl FeedbackBatch {
    fn __repr__(&self) -> String {
        let Self { counted, repeated, unknown, expired } = self;
        format!(
            "FeedbackBatch(counted={counted}, repeated={repeated}, unknown={unknown}, \
             expired={expired})"
        )
    }
}
