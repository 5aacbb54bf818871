//! The deployment problem as functions on arrays.

use std::time::Instant;

use numpy::{PyArray1, PyReadonlyArray1, ToPyArray};
use pyo3::prelude::*;
use stageroute_core::deployment::{self as core, Goal, LiveSets, SetProblem};
use stageroute_core::lp::Problem;

use crate::convert::{Floats, elements};
use crate::errors::{invalid, to_py};
use crate::gate::{Interrupts, without_interpreter};

/// Status, live set, weights of all arms, objective, spend, budget price, nodes of the search.
type Answer = (&'static str, Vec<usize>, Py<PyArray1<f64>>, f64, f64, f64, u64);

/// Solve the deployment problem without constraints: see `stageroute.solve_deployment`.
///
/// Returns status, live set, weights, objective, spend, budget price, and the nodes of the search, 0
/// where the LP without the limit on live arms kept it by itself.
#[pyfunction]
// PyO3 passes extracted arguments by value.
#[allow(clippy::needless_pass_by_value, clippy::too_many_arguments)]
pub(crate) fn solve_plain_deployment(
    py: Python<'_>,
    reward: Floats<'_>,
    cost: Floats<'_>,
    throughput_cap: Floats<'_>,
    budget: f64,
    max_deployed: usize,
    current_price: f64,
    time_limit: Option<f64>,
) -> PyResult<Answer> {
    let (reward, cost, cap) = (elements(&reward), elements(&cost), elements(&throughput_cap));
    let (reward, cost, cap) = (&*reward, &*cost, &*cap);
    let problem = Problem { reward, cost, cap, budget };
    let found = without_interpreter(py, |interrupts| {
        let mut should_stop = stop_at(time_limit, interrupts);
        core::solve_deployment(problem, max_deployed, current_price, &mut should_stop)
            .map_err(to_py)
    })?;
    let weights = found.weights.to_pyarray(py).unbind();
    let (status, price) = (found.status.as_str(), found.budget_price);
    Ok((status, found.deployed, weights, found.objective, found.spend, price, found.nodes))
}

/// Which sets may be live, as keyword arguments name it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Sets<'py> {
    max_deployed: usize,
    most: PyReadonlyArray1<'py, f64>,
    uses: PyReadonlyArray1<'py, f64>,
    pinned: PyReadonlyArray1<'py, bool>,
    forbidden: PyReadonlyArray1<'py, bool>,
    provider: Vec<usize>,
    min_providers: usize,
}

/// Find the allowed set that is best at "reward", "thrift" or "caps"; None if there is none.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, clippy::too_many_arguments)]
pub(crate) fn best_live_set(
    py: Python<'_>,
    reward: Floats<'_>,
    cost: Floats<'_>,
    throughput_cap: Floats<'_>,
    budget: f64,
    start: Floats<'_>,
    sets: Sets<'_>,
    goal: &str,
    time_limit: Option<f64>,
) -> PyResult<Option<Vec<usize>>> {
    let goal = match goal {
        "reward" => Goal::Reward,
        "thrift" => Goal::Thrift,
        "caps" => Goal::Caps,
        _ => return Err(invalid(format!("goal = {goal:?}: must be reward, thrift or caps"))),
    };
    let (reward, cost, cap) = (elements(&reward), elements(&cost), elements(&throughput_cap));
    let (start, most, uses) = (elements(&start), elements(&sets.most), elements(&sets.uses));
    let (pinned, forbidden) = (elements(&sets.pinned), elements(&sets.forbidden));
    let problem = SetProblem {
        mixture: Problem { reward: &reward, cost: &cost, cap: &cap, budget },
        start: &start,
        sets: LiveSets {
            max_deployed: sets.max_deployed,
            most: &most,
            uses: &uses,
            pinned: &pinned,
            forbidden: &forbidden,
            provider: &sets.provider,
            min_providers: sets.min_providers,
        },
        goal,
    };
    without_interpreter(py, |interrupts| {
        let found = core::best_set(&problem, &mut stop_at(time_limit, interrupts));
        Ok(found.map_err(to_py)?.set)
    })
}

/// Says whether a number of seconds has passed, or a signal handler raised something.
fn stop_at(seconds: Option<f64>, interrupts: &mut Interrupts) -> impl FnMut() -> bool {
    let start = Instant::now();
    move || {
        let is_late = seconds.is_some_and(|limit| start.elapsed().as_secs_f64() >= limit);
        is_late || interrupts.is_raised()
    }
}
