//! The routing LP as one function.

use numpy::{PyArray1, ToPyArray};
use pyo3::prelude::*;
use stageroute_core::lp::{Problem, RoutingLp};

use crate::arguments::{floats, number};
use crate::convert::elements;
use crate::errors::to_py;

/// Optimum of one routing LP.
///
/// Attributes
/// ----------
/// status : str
///     ``"optimal"``; ``"budget_infeasible"`` when no mixture meets the budget (the answer is then
///     the cheapest mixture within the caps); ``"cap_infeasible"`` when the caps sum to less than 1
///     (the answer is then proportional to the caps).
/// probabilities : ndarray, shape (M,)
///     The routing distribution; sums to 1.
/// objective : float
///     Expected reward of the distribution.
/// spend : float
///     Expected cost of the distribution, USD per query.
/// budget_price : float
///     Dual price of the budget row, reward per USD; infinite when the budget cannot be met.
/// mass_price : float
///     Dual price of the row that makes the shares sum to 1, reward per unit of share (USD saved,
///     where the budget cannot be met).
/// cap_prices : ndarray, shape (M,)
///     Dual prices of the caps, reward per unit of share.
/// primal_residual, dual_residual, gap : float
///     Certificate computed from the data alone; all three are 0 up to rounding.
#[pyclass(frozen, get_all, module = "stageroute")]
pub(crate) struct RoutingSolution {
    status: &'static str,
    probabilities: Py<PyArray1<f64>>,
    objective: f64,
    spend: f64,
    budget_price: f64,
    mass_price: f64,
    cap_prices: Py<PyArray1<f64>>,
    primal_residual: f64,
    dual_residual: f64,
    gap: f64,
}

#[pymethods]
impl RoutingSolution {
    fn __repr__(&self) -> String {
        format!(
            "RoutingSolution(status='{}', objective={}, spend={}, budget_price={})",
            self.status, self.objective, self.spend, self.budget_price
        )
    }
}

/// Solve the routing LP of one query exactly.
///
/// Maximises ``reward @ p`` subject to ``cost @ p <= budget``, ``sum(p) == 1`` and
/// ``0 <= p <= throughput_cap`` (RouteOPT, Li & Li 2026) by a bounded-variable simplex for two
/// rows. Ties fall towards the cheaper arm.
///
/// Parameters
/// ----------
/// reward : array_like, shape (M,)
///     Reward estimates; finite.
/// cost : array_like, shape (M,)
///     Cost estimates, USD per query; finite and not negative.
/// throughput_cap : array_like, shape (M,)
///     Largest share of each arm, in (0, 1].
/// budget : float
///     Average USD per query; finite and not negative.
///
/// Returns
/// -------
/// RoutingSolution
///
/// Raises
/// ------
/// InvalidInputError
///     If an argument breaks its rule; the message names argument, index and value.
///
/// Examples
/// --------
/// >>> solve_routing_lp([0.9, 0.5], [3.0, 1.0], [1.0, 1.0], 2.0).probabilities
/// array([0.5, 0.5])
#[pyfunction]
pub(crate) fn solve_routing_lp(
    py: Python<'_>,
    reward: &Bound<'_, PyAny>,
    cost: &Bound<'_, PyAny>,
    throughput_cap: &Bound<'_, PyAny>,
    budget: &Bound<'_, PyAny>,
) -> PyResult<RoutingSolution> {
    let (reward, cost) = (floats("reward", reward)?, floats("cost", cost)?);
    let throughput_cap = floats("throughput_cap", throughput_cap)?;
    let budget = number("budget", budget)?;
    let (reward, cost, cap) = (elements(&reward), elements(&cost), elements(&throughput_cap));
    let problem = Problem { reward: &reward, cost: &cost, cap: &cap, budget };
    let mut lp = RoutingLp::new(problem).map_err(to_py)?;
    let status = lp.solve().map_err(to_py)?;
    let mut cap_prices = vec![0.0; problem.cap.len()];
    lp.cap_prices(&mut cap_prices);
    let certificate = lp.certificate();
    Ok(RoutingSolution {
        status: status.as_str(),
        probabilities: lp.probabilities().to_pyarray(py).unbind(),
        objective: lp.objective(),
        spend: lp.spend(),
        budget_price: lp.budget_price(),
        mass_price: lp.mass_price(),
        cap_prices: cap_prices.to_pyarray(py).unbind(),
        primal_residual: certificate.primal_residual,
        dual_residual: certificate.dual_residual,
        gap: certificate.gap,
    })
}
