//! The deployment problem as published: nothing limits the live set but its size.

use super::program::{Goal, SetProblem};
use super::search::search;
use super::sets::LiveSets;
use crate::checks::{check, is_cost};
use crate::error::Error;
use crate::lp::{FEASIBILITY_TOLERANCE, Problem, RoutingLp, Status};

/// Weights below this come from rounding at a degenerate vertex; their arms need not be live.
const SUPPORT_TOLERANCE: f64 = 1e-12;

/// Optimum of a deployment problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// Where no set meets the budget, the set is the one with the cheapest mixture; where the caps of
    /// no set suffice, the one with the largest.
    pub status: Status,
    /// The live set, ascending.
    pub deployed: Vec<usize>,
    /// The optimal mixture, one entry for each arm.
    pub weights: Vec<f64>,
    /// Σ μ d.
    pub objective: f64,
    /// Σ c d, USD per query.
    pub spend: f64,
    /// Dual price of the budget within the live set; infinite where it cannot be met.
    pub budget_price: f64,
    /// Nodes that the search looked at; 0 where the LP without the limit on live arms kept it by itself.
    pub nodes: u64,
}

/// Chooses at most `max_deployed` arms and their best mixture. Slots that it does not need go to the
/// arms of highest reduced value `μ − λ c`, ties to the cheaper arm, where λ is the higher of the
/// optimum's price and `current_price`.
///
/// # Errors
/// Those of [`Problem::validate`]; [`Error::InvalidNumber`] for the other arguments;
/// [`Error::SearchStopped`] as [`super::best_set`].
pub fn solve_deployment(
    problem: Problem<'_>,
    max_deployed: usize,
    current_price: f64,
    should_stop: &mut dyn FnMut() -> bool,
) -> Result<Deployment, Error> {
    let slots = max_deployed as f64;
    check(max_deployed >= 1, "max_deployed", slots, "must be at least 1")?;
    let rule = "must be finite and not negative, in reward per USD";
    check(is_cost(current_price), "current_price", current_price, rule)?;
    let mut lp = RoutingLp::new(problem)?;
    lp.solve_cold()?;
    let (set, nodes) = needed_arms(&lp, max_deployed, should_stop)?;
    let filled = fill(&problem, &set, max_deployed.min(problem.cap.len()), current_price)?;
    report(&problem, filled, nodes)
}

/// The arms that matter, and the nodes that it took to find them.
fn needed_arms(
    relaxed: &RoutingLp,
    max_deployed: usize,
    should_stop: &mut dyn FnMut() -> bool,
) -> Result<(Vec<usize>, u64), Error> {
    let problem = relaxed.problem();
    if let Some(largest) = largest_if_short(&problem, max_deployed) {
        return Ok((largest, 0));
    }
    let has_weight = |arm: &usize| relaxed.probabilities()[*arm] > SUPPORT_TOLERANCE;
    let support: Vec<usize> = relaxed.support().iter().copied().filter(has_weight).collect();
    if support.len() <= max_deployed {
        return Ok((support, 0));
    }
    let arms = problem.reward.len();
    let none = vec![false; arms];
    let sets = LiveSets {
        max_deployed,
        most: &[],
        uses: &[],
        pinned: &none,
        forbidden: &none,
        provider: &vec![0; arms],
        min_providers: 1,
    };
    let start = vec![0.0; arms];
    let mut nodes = 0;
    for goal in [Goal::Reward, Goal::Thrift] {
        if goal == Goal::Reward && relaxed.status() != Status::Optimal {
            continue;
        }
        let set_problem = SetProblem { mixture: problem, start: &start, sets, goal };
        let solved = (goal == Goal::Reward).then_some(relaxed);
        let found = search(&set_problem, solved, should_stop)?;
        nodes += found.nodes;
        if let Some(set) = found.set {
            return Ok((set, nodes));
        }
    }
    Err(Error::NoMixture { max_deployed })
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

/// Keeps the arms with weight and adds others by reduced value, up to `size` arms.
fn fill(
    problem: &Problem<'_>,
    set: &[usize],
    size: usize,
    current_price: f64,
) -> Result<Vec<usize>, Error> {
    let lp = solve_on(problem, set)?;
    let weights = set.iter().zip(lp.probabilities());
    let mut filled: Vec<usize> =
        weights.filter(|(_, p)| **p > SUPPORT_TOLERANCE).map(|(&arm, _)| arm).collect();
    let free = size.saturating_sub(filled.len());
    if free == 0 {
        return Ok(filled);
    }
    let price = lp.budget_price().max(current_price);
    let Problem { reward, cost, .. } = problem;
    let value = |arm: usize| {
        if price.is_finite() { reward[arm] - price * cost[arm] } else { -cost[arm] }
    };
    let by_value = |&a: &usize, &b: &usize| {
        value(b).total_cmp(&value(a)).then(cost[a].total_cmp(&cost[b])).then(a.cmp(&b))
    };
    let mut others: Vec<usize> = (0..cost.len()).filter(|arm| !filled.contains(arm)).collect();
    if free < others.len() {
        others.select_nth_unstable_by(free - 1, by_value);
        others.truncate(free);
    }
    filled.extend(others);
    Ok(filled)
}

fn report(
    problem: &Problem<'_>,
    mut deployed: Vec<usize>,
    nodes: u64,
) -> Result<Deployment, Error> {
    deployed.sort_unstable();
    let lp = solve_on(problem, &deployed)?;
    let mut weights = vec![0.0; problem.cost.len()];
    for (&arm, &p) in deployed.iter().zip(lp.probabilities()) {
        weights[arm] = p;
    }
    Ok(Deployment {
        status: lp.status(),
        objective: lp.objective(),
        spend: lp.spend(),
        budget_price: lp.budget_price(),
        deployed,
        weights,
        nodes,
    })
}

/// The exact LP on a set.
fn solve_on(problem: &Problem<'_>, set: &[usize]) -> Result<RoutingLp, Error> {
    let of_set = |values: &[f64]| set.iter().map(|&arm| values[arm]).collect::<Vec<_>>();
    let (reward, cost, cap) = (of_set(problem.reward), of_set(problem.cost), of_set(problem.cap));
    let budget = problem.budget;
    let mut lp = RoutingLp::new(Problem { reward: &reward, cost: &cost, cap: &cap, budget })?;
    lp.solve_cold()?;
    Ok(lp)
}
