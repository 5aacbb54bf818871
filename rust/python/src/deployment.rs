//! The deployment problem as functions on arrays, with a solver of sets in Python where one is given.

use std::time::Instant;

use numpy::{PyArray1, PyReadonlyArray1, ToPyArray};
use pyo3::prelude::*;
use stageroute_core::Error;
use stageroute_core::deployment::{
    BranchAndBound, Deployment, DeploymentProblem, Goal, LiveSets, SetSolver,
    solve_deployment as solve,
};
use stageroute_core::lp::{Problem, RoutingLp};

use crate::convert::{Floats, elements};
use crate::errors::to_py;
use crate::gate::{Interrupts, without_interpreter};

/// Status, live set, weights of all arms, objective, spend, budget price, what solved it.
type Answer = (&'static str, Vec<usize>, Py<PyArray1<f64>>, f64, f64, f64, String);

/// What limits the live set beside its size, and what starting an arm costs, by argument name.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Constraints<'py> {
    start: PyReadonlyArray1<'py, f64>,
    most: PyReadonlyArray1<'py, f64>,
    uses: PyReadonlyArray1<'py, f64>,
    pinned: PyReadonlyArray1<'py, bool>,
    forbidden: PyReadonlyArray1<'py, bool>,
    provider: Vec<usize>,
    min_providers: usize,
}

/// Solve the deployment problem: see `stageroute.solve_deployment`.
///
/// `solver` is asked for the "best", "cheapest" or "largest" set, under the constraints or not, and
/// returns its arms, or None; without one the core's own search is used, for at most `time_limit`
/// seconds. Returns None if no set is allowed.
#[pyfunction]
// PyO3 passes extracted arguments by value.
#[allow(clippy::needless_pass_by_value, clippy::too_many_arguments)]
pub(crate) fn solve_deployment(
    py: Python<'_>,
    reward: Floats<'_>,
    cost: Floats<'_>,
    throughput_cap: Floats<'_>,
    budget: f64,
    max_deployed: usize,
    constraints: Option<Constraints<'_>>,
    current_price: f64,
    solver: Option<Py<PyAny>>,
    time_limit: Option<f64>,
) -> PyResult<Option<Answer>> {
    let (reward, cost, cap) = (elements(&reward), elements(&cost), elements(&throughput_cap));
    let mixture = Problem { reward: &reward, cost: &cost, cap: &cap, budget };
    let problem = match &constraints {
        None => DeploymentProblem::plain(mixture, max_deployed),
        // These come from this package, which makes them contiguous.
        Some(asked) => DeploymentProblem {
            mixture,
            start: asked.start.as_slice()?,
            sets: LiveSets {
                max_deployed,
                most: asked.most.as_slice()?,
                uses: asked.uses.as_slice()?,
                pinned: asked.pinned.as_slice()?,
                forbidden: asked.forbidden.as_slice()?,
                provider: &asked.provider,
                min_providers: asked.min_providers,
            },
        },
    };
    let found = without_interpreter(py, |interrupts| {
        if let Some(solver) = solver {
            let mut highs = PythonSolver { solver };
            return solve(&problem, current_price, &mut highs).map_err(|fault| fault.0);
        }
        let mut should_stop = stop_at(time_limit, interrupts);
        solve(&problem, current_price, &mut BranchAndBound::new(&mut should_stop)).map_err(to_py)
    })?;
    Ok(found.map(|found| answer(py, found)))
}

fn answer(py: Python<'_>, found: Deployment) -> Answer {
    let weights = found.weights.to_pyarray(py).unbind();
    let (status, price) = (found.status.as_str(), found.budget_price);
    (status, found.deployed, weights, found.objective, found.spend, price, found.solved_by)
}

/// Says whether a number of seconds has passed, or a signal handler raised something.
fn stop_at(seconds: Option<f64>, interrupts: &mut Interrupts) -> impl FnMut() -> bool {
    let start = Instant::now();
    move || {
        let is_late = seconds.is_some_and(|limit| start.elapsed().as_secs_f64() >= limit);
        is_late || interrupts.is_raised()
    }
}

// ---- a solver of sets in Python -----------------------------------------------------------------

/// HiGHS, behind a Python callable that knows the problem.
struct PythonSolver {
    solver: Py<PyAny>,
}

/// What goes wrong in it.
struct Fault(PyErr);

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self(to_py(error))
    }
}

impl SetSolver for PythonSolver {
    type Error = Fault;
    const NAME: &'static str = "highs";
    const IS_EXACT: bool = false;

    fn best_set(
        &mut self,
        _: &DeploymentProblem<'_>,
        goal: Goal,
        relaxed: Option<&RoutingLp>,
    ) -> Result<Option<Vec<usize>>, Fault> {
        let asked = (goal.as_str(), relaxed.is_none());
        Python::attach(|py| self.solver.call1(py, asked)?.extract(py)).map_err(Fault)
    }
}
