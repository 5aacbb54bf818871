//! Proof of optimality by arithmetic on the data alone, independent of how the answer was found.

use super::problem::{Problem, Status};

/// Multipliers of the two rows of the LP; the third kind, cap prices, follows from them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dual {
    /// λ, of the budget row: reward per USD. Ignored where the budget cannot be met.
    pub budget_price: f64,
    /// ν, of the row Σ p = 1: reward (USD saved, where the budget cannot be met) per unit of mass.
    pub mass_price: f64,
}

/// How far a claimed optimum is from being one. All three are 0 in exact arithmetic; by weak
/// duality the objective is within `gap` of the optimum when both residuals are 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Certificate {
    /// Largest violation of Σ p = 1, 0 ≤ p ≤ α, and (relative to the largest cost) of the budget.
    pub primal_residual: f64,
    /// Largest violation of λ ≥ 0 (in reward per largest cost) and of the cap prices' sign.
    pub dual_residual: f64,
    /// Dual objective less primal objective, in reward (USD where the budget cannot be met).
    pub gap: f64,
}

/// Certifies `probabilities` with the multipliers of the two rows. Cap prices are the positive
/// parts of the reduced values, which makes any λ ≥ 0 dual feasible.
///
/// For [`Status::BudgetInfeasible`] the claim is that this is the cheapest mixture and that it is
/// above the budget: certified as the LP of least cost, with a primal residual if it is not above.
/// [`Status::CapInfeasible`] has residual 0 exactly if the caps sum to less than 1.
#[must_use]
pub fn certify(
    problem: &Problem<'_>,
    status: Status,
    probabilities: &[f64],
    dual: Dual,
) -> Certificate {
    let dot = |v: &[f64]| v.iter().zip(probabilities).map(|(v, p)| v * p).sum::<f64>();
    let (mass, spend) = (probabilities.iter().sum::<f64>(), dot(problem.cost));
    let unit = problem.cost.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let over_budget = (spend - problem.budget) / unit;

    if status == Status::CapInfeasible {
        let cap_sum = problem.cap.iter().sum::<f64>();
        let primal_residual = (mass - 1.0).abs().max(cap_sum - 1.0);
        return Certificate { primal_residual, dual_residual: 0.0, gap: 0.0 };
    }
    let out_of_bounds =
        probabilities.iter().zip(problem.cap).map(|(p, cap)| (p - cap).max(-p)).fold(0.0, f64::max);
    let is_met = status == Status::Optimal;
    let budget_violation = if is_met { over_budget } else { -over_budget };
    let primal_residual = (mass - 1.0).abs().max(out_of_bounds).max(budget_violation);

    let (value, price) = if is_met { (1.0, dual.budget_price) } else { (0.0, 1.0) };
    let cap_rent: f64 = (0..problem.cap.len())
        .map(|m| {
            let score = value * problem.reward[m] - price * problem.cost[m];
            (score - dual.mass_price).max(0.0) * problem.cap[m]
        })
        .sum();
    let (primal_objective, budget_rent) =
        if is_met { (dot(problem.reward), price * problem.budget) } else { (-spend, 0.0) };
    Certificate {
        primal_residual,
        dual_residual: (-price * unit).max(0.0),
        gap: budget_rent + dual.mass_price + cap_rent - primal_objective,
    }
}
