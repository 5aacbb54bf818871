//! The native replay of one stage, for every kind of policy.

use std::sync::{Mutex, MutexGuard};

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1};
use pyo3::prelude::*;
use stageroute_baselines::{self as baselines, Baseline, OutcomeMatrix, Policy, Trace};
use stageroute_live::Live;

use crate::convert::elements;
use crate::errors::{invalid, poisoned, to_py};
use crate::gate::without_interpreter;
use crate::kernel::Kernel;
use crate::router::Router;

/// What can be replayed.
#[derive(FromPyObject)]
pub(crate) enum Replayed<'py> {
    Router(Bound<'py, Router>),
    Kernel(Bound<'py, Kernel>),
}

/// Feedback that comes a number of queries after its decision; kept from one stage to the next.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct LateFeedback {
    inner: Mutex<baselines::LateFeedback>,
}

#[pymethods]
impl LateFeedback {
    #[new]
    fn new(delay: usize) -> Self {
        Self { inner: Mutex::new(baselines::LateFeedback::new(delay)) }
    }
}

/// Replay the queries in `rows` (indices into the outcome matrices) through a policy kernel,
/// without the interpreter; each outcome is observed at once, or late. Decisions go to the three
/// output arrays.
#[pyfunction]
#[pyo3(signature = (kernel, reward, cost, rows, arm, probability, budget_price, late=None))]
// One argument for each array; PyO3 passes them by value.
#[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
pub(crate) fn replay(
    py: Python<'_>,
    kernel: Replayed<'_>,
    reward: PyReadonlyArray2<'_, f64>,
    cost: PyReadonlyArray2<'_, f64>,
    rows: PyReadonlyArray1<'_, u32>,
    mut arm: PyReadwriteArray1<'_, u32>,
    mut probability: PyReadwriteArray1<'_, f64>,
    mut budget_price: PyReadwriteArray1<'_, f64>,
    late: Option<Bound<'_, LateFeedback>>,
) -> PyResult<()> {
    let arms = reward.as_array().ncols();
    let rows = elements(&rows);
    let flat = |name: &str| invalid(format!("{name} must be C-contiguous"));
    let outcomes = OutcomeMatrix::new(
        reward.as_slice().map_err(|_| flat("reward"))?,
        cost.as_slice().map_err(|_| flat("cost"))?,
        arms,
    )
    .map_err(to_py)?;
    let mut trace = Trace {
        arm: arm.as_slice_mut().map_err(|_| flat("arm"))?,
        probability: probability.as_slice_mut().map_err(|_| flat("probability"))?,
        budget_price: budget_price.as_slice_mut().map_err(|_| flat("budget_price"))?,
    };
    let late = late.as_ref().map(Bound::get);
    match kernel {
        Replayed::Router(kernel) => {
            let shared = &kernel.get().shared;
            let lock = || shared.lock_detached();
            run(py, lock, Live::unjournaled, &outcomes, &rows, &mut trace, late)
        }
        Replayed::Kernel(kernel) => {
            let inner = &kernel.get().inner;
            let lock = || inner.lock().map_err(|_| poisoned());
            run(py, lock, baseline, &outcomes, &rows, &mut trace, late)
        }
    }
}

// A function, not a closure: its lifetimes are then those of `run`.
#[allow(clippy::unnecessary_wraps)]
fn baseline(kernel: &mut Box<dyn Baseline>) -> Option<&mut (dyn Baseline + 'static)> {
    Some(&mut **kernel)
}

/// Runs the replay on a locked policy, without the interpreter.
fn run<'a, T: Send + 'a, P: Policy + ?Sized>(
    py: Python<'_>,
    lock: impl FnOnce() -> PyResult<MutexGuard<'a, T>> + Send,
    policy: impl FnOnce(&mut T) -> Option<&mut P> + Send,
    outcomes: &OutcomeMatrix<'_>,
    rows: &[u32],
    trace: &mut Trace<'_>,
    late: Option<&LateFeedback>,
) -> PyResult<()> {
    without_interpreter(py, |interrupts| {
        let mut kernel = lock()?;
        let policy = policy(&mut kernel).ok_or_else(|| {
            invalid("a router with a journal cannot be replayed natively: route and observe")
        })?;
        let mut late = match late {
            Some(late) => Some(late.inner.lock().map_err(|_| poisoned())?),
            None => None,
        };
        let mut should_stop = || interrupts.is_raised();
        let late = late.as_deref_mut();
        baselines::replay(policy, outcomes, rows, trace, late, &mut should_stop).map_err(to_py)
    })
}
