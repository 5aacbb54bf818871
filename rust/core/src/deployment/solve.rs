//! In which order problems are put to a solver of sets, and what is reported.
//!
//! (1) Without constraints and cardinality the problem is the routing LP over all candidates, which often
//! keeps the limit on live arms by itself. (2) Where not, the solver chooses the set. (3) If that answer's
//! arms with weight, with pinned arms and stand-ins, satisfy the constraints and lose nothing to start
//! costs, it is optimal for the constrained problem too; otherwise the solver solves that. (4) What it
//! chooses is polished, and what is reported is the exact LP on the final set.

use super::polish::Polish;
use super::problem::{DeploymentProblem, Goal};
use crate::checks::{check, is_cost};
use crate::error::Error;
use crate::lp::{FEASIBILITY_TOLERANCE, Problem, RoutingLp, Status};
use crate::tolerances::{BUDGET_BOUNDARY, SUPPORT_TOLERANCE};

/// What chooses live sets.
pub trait SetSolver {
    /// What goes wrong in it; errors of the core pass through.
    type Error: From<Error>;
    /// How messages and answers name it.
    const NAME: &'static str;
    /// Whether it tells any two sets apart that differ by more than
    /// [`super::OPTIMALITY_TOLERANCE`]; if not, its sets are improved.
    const IS_EXACT: bool;

    /// Chooses the allowed set of a sound problem that is best at a goal; None if there is none, or, but for
    /// [`Goal::Largest`], if no mixture of any is possible. `relaxed` is the solved LP over all arms,
    /// given where there are no constraints.
    ///
    /// # Errors
    /// If it has no proven answer.
    fn best_set(
        &mut self,
        problem: &DeploymentProblem<'_>,
        goal: Goal,
        relaxed: Option<&RoutingLp>,
    ) -> Result<Option<Vec<usize>>, Self::Error>;
}

/// Optimum of a deployment problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// Where no set meets the budget, the set is the one with the lowest spend; where the caps of no set
    /// suffice, the one with the largest.
    pub status: Status,
    /// The live set, ascending.
    pub deployed: Vec<usize>,
    /// The optimal mixture, one entry for each arm.
    pub weights: Vec<f64>,
    /// Σ μ d.
    pub objective: f64,
    /// Σ c d and the set's start costs, USD per query.
    pub spend: f64,
    /// Dual price of the budget within the live set; infinite where it cannot be met.
    pub budget_price: f64,
    /// `lp` where the LP without the limit on live arms sufficed; the solver's name where it was asked for
    /// the problem without constraints, and followed by `_constrained` for that with them.
    pub solved_by: String,
}

/// Chooses a live set and its best mixture; None if no set is allowed. Slots that it does not need go to
/// the arms of highest reduced value `μ − λ c`, ties to the cheaper arm, where λ is the higher of the
/// optimum's price and `current_price`.
///
/// # Errors
/// Those of [`Problem::validate`]; [`Error::WrongLength`], [`Error::InvalidElement`] or
/// [`Error::InvalidNumber`] for the other data; the solver's; [`Error::ContradictedSolver`] if it is wrong
/// by more than rounding.
pub fn solve_deployment<S: SetSolver>(
    problem: &DeploymentProblem<'_>,
    current_price: f64,
    solver: &mut S,
) -> Result<Option<Deployment>, S::Error> {
    let mut relaxed = RoutingLp::new(problem.mixture)?;
    problem.validate()?;
    let rule = "must be finite and not negative, in reward per USD";
    check(is_cost(current_price), "current_price", current_price, rule)?;
    let mut own = Polish::new(problem, current_price);
    let (set, solved_by) = if problem.is_plain() {
        let (set, solved_by) = plain_set(&mut own, &mut relaxed, solver)?;
        (own.finish(set)?, solved_by.to_owned())
    } else {
        let plain = DeploymentProblem::plain(problem.mixture, problem.sets.max_deployed);
        let mut free = Polish::new(&plain, current_price);
        let (set, solved_by) = plain_set(&mut free, &mut relaxed, solver)?;
        let bound = free.judge.judge(Goal::Best, &set)?;
        match own.complete(&set)? {
            Some(completed) if own.attains(&completed, bound)? => (completed, solved_by.to_owned()),
            _ => {
                let set = solved_set(&mut own, bound.status, None, solver)?;
                let Some(set) = set else { return Ok(None) };
                (own.finish(set)?, format!("{}_constrained", S::NAME))
            }
        }
    };
    Ok(Some(report(own, set, solved_by)?))
}

/// The arms that matter where only the number of live arms is limited, and what it took to find them;
/// `relaxed` is the LP over all arms.
fn plain_set<S: SetSolver>(
    polish: &mut Polish<'_>,
    relaxed: &mut RoutingLp,
    solver: &mut S,
) -> Result<(Vec<usize>, &'static str), S::Error> {
    let DeploymentProblem { mixture, sets, .. } = *polish.problem;
    if let Some(largest) = largest_if_short(&mixture, sets.max_deployed) {
        return Ok((largest, "lp"));
    }
    let status = relaxed.solve_cold()?;
    let has_weight = |arm: &usize| relaxed.probabilities()[*arm] > SUPPORT_TOLERANCE;
    let support: Vec<usize> = relaxed.support().iter().copied().filter(has_weight).collect();
    if support.len() <= sets.max_deployed {
        return Ok((support, "lp"));
    }
    let set = solved_set(polish, status, Some(relaxed), solver)?;
    Ok((set.ok_or_else(|| contradicted::<S>(Goal::Largest, "not there"))?, S::NAME))
}

/// The arms with the largest caps, ties towards the cheaper arm, where no caps suffice.
fn largest_if_short(problem: &Problem<'_>, max_deployed: usize) -> Option<Vec<usize>> {
    let Problem { cost, cap, .. } = problem;
    let mut order: Vec<usize> = (0..cap.len()).collect();
    if max_deployed < order.len() {
        order.select_nth_unstable_by(max_deployed - 1, |&a, &b| {
            cap[b].total_cmp(&cap[a]).then(cost[a].total_cmp(&cost[b])).then(a.cmp(&b))
        });
        order.truncate(max_deployed);
    }
    let most: f64 = order.iter().map(|&arm| cap[arm]).sum();
    (most < 1.0 - FEASIBILITY_TOLERANCE).then_some(order)
}

/// The best allowed set; the cheapest where none meets the budget; else the largest; None if none is
/// allowed. No set can have a better status than `bound`.
fn solved_set<S: SetSolver>(
    polish: &mut Polish<'_>,
    bound: Status,
    relaxed: Option<&RoutingLp>,
    solver: &mut S,
) -> Result<Option<Vec<usize>>, S::Error> {
    let problem = polish.problem;
    for goal in Goal::ALL.into_iter().filter(|goal| goal.status() >= bound) {
        let Some(set) = solver.best_set(problem, goal, relaxed)? else { continue };
        if !problem.allows(&set) {
            return Err(contradicted::<S>(goal, "not allowed").into());
        }
        let found = polish.judge.judge(Goal::Best, &set)?;
        let is_at_boundary = found.spend > problem.mixture.budget * (1.0 - BUDGET_BOUNDARY);
        let goal = match (goal, found.status) {
            (goal, status) if goal.status() == status => goal,
            (Goal::Cheapest, Status::Optimal) if is_at_boundary => Goal::Best,
            (goal, status) => return Err(contradicted::<S>(goal, status.as_str()).into()),
        };
        return Ok(Some(if S::IS_EXACT { set } else { polish.polish(goal, set)? }));
    }
    Ok(None)
}

fn contradicted<S: SetSolver>(goal: Goal, status: &'static str) -> Error {
    Error::ContradictedSolver { solver: S::NAME, goal: goal.as_str(), status }
}

fn report(
    mut polish: Polish<'_>,
    mut deployed: Vec<usize>,
    solved_by: String,
) -> Result<Deployment, Error> {
    deployed.sort_unstable();
    let judge = &mut polish.judge;
    let verdict = judge.judge(Goal::Best, &deployed)?;
    let mut weights = vec![0.0; polish.problem.mixture.cost.len()];
    for (&arm, &p) in deployed.iter().zip(judge.probabilities()) {
        weights[arm] = p;
    }
    Ok(Deployment {
        status: verdict.status,
        objective: verdict.value,
        spend: verdict.spend,
        budget_price: judge.budget_price(verdict),
        deployed,
        weights,
        solved_by,
    })
}
