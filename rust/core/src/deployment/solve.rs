//! In which order problems are put to a solver of sets, and what is reported.
//!
//! (1) Without constraints and cardinality the problem is the routing LP over all candidates, which often
//! keeps the limit on live arms by itself. (2) Where not, the solver chooses the set. (3) If that answer's
//! arms with weight, with pinned arms and stand-ins, satisfy the constraints and lose nothing to start
//! costs, it is optimal for the constrained problem too; otherwise the solver solves that. (4) What it
//! chooses is polished, and what is reported is the exact LP on the final set.

use super::judge::{SUPPORT_TOLERANCE, Verdict};
use super::polish::Polish;
use super::problem::{DeploymentProblem, Goal};
use crate::checks::{check, is_cost};
use crate::error::Error;
use crate::lp::{FEASIBILITY_TOLERANCE, Problem, RoutingLp, Status};

/// A set that spends this share less than the budget is one that a solver must find.
const BOUNDARY: f64 = 1e-6;

/// What chooses live sets.
pub trait SetSolver {
    /// What goes wrong in it; errors of the core pass through.
    type Error: From<Error>;
    /// How messages and answers name it.
    const NAME: &'static str;
    /// Whether it tells any two sets apart that differ by more than
    /// [`super::OPTIMALITY_TOLERANCE`]; if not, its sets are improved.
    const IS_EXACT: bool;

    /// Chooses the allowed set that is best at a goal; None if there is none, or, but for
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
/// Those of [`DeploymentProblem::validate`]; [`Error::InvalidNumber`] for `current_price`; the solver's;
/// [`Error::ContradictedSolver`] if it is wrong by more than rounding.
pub fn solve_deployment<S: SetSolver>(
    problem: &DeploymentProblem<'_>,
    current_price: f64,
    solver: &mut S,
) -> Result<Option<Deployment>, S::Error> {
    let mut relaxed = RoutingLp::new(problem.mixture)?;
    problem.validate_sets()?;
    let rule = "must be finite and not negative, in reward per USD";
    check(is_cost(current_price), "current_price", current_price, rule)?;
    let mut own = Polish::new(problem, current_price);
    let (deployed, solved_by) = if problem.is_plain() {
        let Some((set, solved_by)) = plain_set(&mut own, &mut relaxed, solver)? else {
            return Ok(None);
        };
        (own.finish(set)?, solved_by.to_owned())
    } else {
        let Some(found) = constrained_set(&mut own, &mut relaxed, solver)? else { return Ok(None) };
        found
    };
    Ok(Some(report(own, deployed, solved_by)?))
}

/// What is best without the constraints if it can be completed at no loss, else what is with them; and
/// what it took.
fn constrained_set<S: SetSolver>(
    own: &mut Polish<'_>,
    relaxed: &mut RoutingLp,
    solver: &mut S,
) -> Result<Option<(Vec<usize>, String)>, S::Error> {
    let DeploymentProblem { mixture, sets, .. } = *own.problem;
    let plain = DeploymentProblem::plain(mixture, sets.max_deployed);
    let mut free = Polish::new(&plain, own.current_price);
    let Some((set, solved_by)) = plain_set(&mut free, relaxed, solver)? else { return Ok(None) };
    let bound = free.judge.judge(Goal::Best, &set)?;
    if let Some(completed) = own.complete(&set)?
        && own.attains(&completed, bound)?
    {
        return Ok(Some((completed, solved_by.to_owned())));
    }
    let Some(set) = solved_set(own, bound.status, None, solver)? else { return Ok(None) };
    Ok(Some((own.finish(set)?, format!("{}_constrained", S::NAME))))
}

/// The arms that matter where only the number of live arms is limited, and what it took to find them;
/// `relaxed` is the LP over all arms.
fn plain_set<S: SetSolver>(
    polish: &mut Polish<'_>,
    relaxed: &mut RoutingLp,
    solver: &mut S,
) -> Result<Option<(Vec<usize>, &'static str)>, S::Error> {
    let DeploymentProblem { mixture, sets, .. } = *polish.problem;
    if let Some(largest) = largest_if_short(&mixture, sets.max_deployed) {
        return Ok(Some((largest, "lp")));
    }
    let status = relaxed.solve_cold()?;
    let has_weight = |arm: &usize| relaxed.probabilities()[*arm] > SUPPORT_TOLERANCE;
    let support: Vec<usize> = relaxed.support().iter().copied().filter(has_weight).collect();
    if support.len() <= sets.max_deployed {
        return Ok(Some((support, "lp")));
    }
    let set = solved_set(polish, status, Some(relaxed), solver)?;
    Ok(set.map(|set| (set, S::NAME)))
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
        if let Some(set) = solver.best_set(problem, goal, relaxed)? {
            let contradicted = |status| {
                let goal = goal.as_str();
                Error::ContradictedSolver { solver: S::NAME, goal, status }
            };
            if !problem.allows(&set) {
                return Err(contradicted("not allowed").into());
            }
            let found = polish.judge.judge(Goal::Best, &set)?;
            let goal = goal_of(found, goal, problem.mixture.budget)
                .ok_or_else(|| contradicted(found.status.as_str()))?;
            return Ok(Some(if S::IS_EXACT { set } else { polish.polish(goal, set)? }));
        }
    }
    Ok(None)
}

/// The goal by which a set is to be improved; None if the solver should have found it for another.
fn goal_of(found: Verdict, goal: Goal, budget: f64) -> Option<Goal> {
    let is_at_boundary = found.spend > budget * (1.0 - BOUNDARY);
    match found.status {
        status if status == goal.status() => Some(goal),
        Status::Optimal if goal == Goal::Cheapest && is_at_boundary => Some(Goal::Best),
        _ => None,
    }
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
