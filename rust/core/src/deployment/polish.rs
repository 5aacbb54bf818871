//! From a set that was chosen to the one that is live: what it does not need goes, single arms are
//! exchanged as the exact LP likes better, and free slots are filled.

use super::judge::{Judge, Verdict};
use super::problem::{DeploymentProblem, Goal};
use super::sets::is_set;
use crate::error::Error;
use crate::lp::{Problem, Status};
use crate::tolerances::{SUPPORT_TOLERANCE, VALUE_TIE};

/// Finishes the sets of one problem.
#[derive(Debug)]
pub(super) struct Polish<'a> {
    pub(super) problem: &'a DeploymentProblem<'a>,
    /// See [`super::solve_deployment`].
    pub(super) current_price: f64,
    pub(super) judge: Judge<'a>,
}

impl<'a> Polish<'a> {
    pub(super) fn new(problem: &'a DeploymentProblem<'a>, current_price: f64) -> Self {
        Self { problem, current_price, judge: Judge::new(problem) }
    }

    /// Improves a set and fills its free slots, until filling opens no way to improve it further.
    pub(super) fn polish(&mut self, goal: Goal, chosen: Vec<usize>) -> Result<Vec<usize>, Error> {
        self.judge.judge(Goal::Best, &chosen)?;
        // Arms that are live for nothing stand in the way of better ones.
        let needed = self.needed(&chosen);
        let first = if self.problem.sets.allows(&needed) { needed } else { chosen };
        let mut improved = self.improve(goal, &first)?.unwrap_or(first);
        let mut value = f64::NEG_INFINITY;
        loop {
            let set = self.finish(improved)?;
            let before = std::mem::replace(&mut value, self.judge.judge(goal, &set)?.value);
            match self.improve(goal, &set)? {
                Some(better) if value > before => improved = better,
                _ => return Ok(set),
            }
        }
    }

    /// Whether a set reaches what no allowed set can exceed.
    pub(super) fn attains(&mut self, set: &[usize], bound: Verdict) -> Result<bool, Error> {
        let reached = self.judge.judge(Goal::Best, set)?;
        let most = bound.spend + VALUE_TIE * self.judge.unit();
        Ok(match (reached.status, bound.status) {
            (Status::Optimal, Status::Optimal) => reached.value >= bound.value - VALUE_TIE,
            (Status::BudgetInfeasible, Status::BudgetInfeasible) => reached.spend <= most,
            (reached, bound) => reached <= bound,
        })
    }

    /// Completes an allowed set, or fills it where it cannot be completed.
    pub(super) fn finish(&mut self, set: Vec<usize>) -> Result<Vec<usize>, Error> {
        if let Some(completed) = self.complete(&set)? {
            return Ok(completed);
        }
        let verdict = self.judge.judge(Goal::Best, &set)?;
        self.fill(set, verdict)
    }

    /// Keeps what is needed of a set and fills the free slots; None where what is needed is too much,
    /// or filling misses what is demanded.
    pub(super) fn complete(&mut self, set: &[usize]) -> Result<Option<Vec<usize>>, Error> {
        let mut verdict = self.judge.judge(Goal::Best, set)?;
        let needed = self.needed(set);
        if needed != set {
            verdict = self.judge.judge(Goal::Best, &needed)?;
        }
        let completed = self.fill(needed, verdict)?;
        Ok(Some(completed).filter(|completed| self.problem.sets.allows(completed)))
    }

    /// The arms with weight of the set judged last, and the pinned ones; ascending.
    fn needed(&self, set: &[usize]) -> Vec<usize> {
        let weights = set.iter().zip(self.judge.probabilities());
        let used = weights.filter(|(_, p)| **p > SUPPORT_TOLERANCE).map(|(&arm, _)| arm);
        let pinned = self.problem.sets.pinned.iter().enumerate();
        let pinned = pinned.filter(|(_, is_pinned)| **is_pinned).map(|(arm, _)| arm);
        let mut needed: Vec<usize> = used.chain(pinned).collect();
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// Adds arms to the set judged last by reduced value `μ − λ c`, highest first, ties to the cheaper
    /// arm; only as the constraints allow, and start costs only from what the mixture leaves of the
    /// budget. Providers that are still demanded come first.
    fn fill(&mut self, mut set: Vec<usize>, verdict: Verdict) -> Result<Vec<usize>, Error> {
        let DeploymentProblem { mixture, sets, .. } = *self.problem;
        if set.len() >= sets.max_deployed {
            return Ok(set);
        }
        let price = self.judge.budget_price(verdict).max(self.current_price);
        let has_start_costs = self.problem.has_start_costs();
        let order = self.order_of_stand_ins(&set, price, has_start_costs);
        let mut left = verdict.left_of(mixture.budget);
        loop {
            let is_eligible = |arm: usize| {
                self.problem.start_of(arm) <= left
                    && sets.has_room(&set, arm)
                    && (!sets.lacks_providers(&set) || sets.brings_provider(&set, arm))
                    && !set.contains(&arm)
            };
            let Some(arm) = order.iter().copied().find(|&arm| is_eligible(arm)) else {
                return Ok(set);
            };
            set.push(arm);
            if has_start_costs {
                left = self.judge.judge(Goal::Best, &set)?.left_of(mixture.budget);
            }
        }
    }

    /// The arms that could fill the free slots of a set, in the order in which they do; `price` is that
    /// of the budget.
    fn order_of_stand_ins(&self, set: &[usize], price: f64, has_start_costs: bool) -> Vec<usize> {
        let DeploymentProblem { mixture: Problem { reward, cost, .. }, sets, .. } = self.problem;
        let value = |arm: usize| {
            if price.is_finite() { reward[arm] - price * cost[arm] } else { -cost[arm] }
        };
        let whole_cost = |arm: usize| cost[arm] + self.problem.start_of(arm);
        let by_value = |&a: &usize, &b: &usize| {
            let cheaper = || whole_cost(a).total_cmp(&whole_cost(b));
            value(b).total_cmp(&value(a)).then_with(cheaper).then(a.cmp(&b))
        };
        let is_other = |arm: &usize| !is_set(sets.forbidden, *arm) && !set.contains(arm);
        let mut order: Vec<usize> = (0..cost.len()).filter(is_other).collect();
        let free = sets.max_deployed - set.len();
        let is_any_eligible = !has_start_costs && sets.limits_size_only();
        if is_any_eligible && free < order.len() {
            // Sorting the rest would be the most expensive part of a large problem.
            order.select_nth_unstable_by(free - 1, by_value);
            order.truncate(free);
        }
        order.sort_unstable_by(by_value);
        order
    }

    /// Exchanges, adds or drops one arm at a time while the exact LP finds a better set; None if it
    /// finds none.
    fn improve(&mut self, goal: Goal, set: &[usize]) -> Result<Option<Vec<usize>>, Error> {
        let mut best = None;
        while let Some(better) = self.better_neighbour(goal, best.as_deref().unwrap_or(set))? {
            best = Some(better);
        }
        Ok(best)
    }

    /// A better set that differs by one arm less, one more, or both.
    ///
    /// By weak duality an exchange gains at most what the entering arm is worth at the prices of the
    /// present set, less what the leaving one is: hardly any needs to be tried.
    fn better_neighbour(&mut self, goal: Goal, set: &[usize]) -> Result<Option<Vec<usize>>, Error> {
        let present = self.judge.judge(goal, set)?;
        if present.status != Status::Optimal {
            return Ok(None);
        }
        let (sets, prices) = (self.problem.sets, self.judge.prices(goal));
        let with_worth = |arm: usize| (self.judge.worth(goal, arm, prices), Some(arm));
        let nobody = (0.0, None);
        let leaving: Vec<_> = set.iter().map(|&arm| with_worth(arm)).chain([nobody]).collect();
        let others = (0..self.problem.mixture.cost.len()).filter(|arm| !set.contains(arm));
        let entering: Vec<_> = others.map(with_worth).chain([nobody]).collect();
        for (lost, leaver) in leaving {
            for &(_, newcomer) in entering.iter().filter(|(gained, _)| *gained > lost + VALUE_TIE) {
                let staying = set.iter().copied().filter(|&arm| Some(arm) != leaver);
                let mut candidate: Vec<usize> = staying.chain(newcomer).collect();
                candidate.sort_unstable();
                if !sets.allows(&candidate) {
                    continue;
                }
                let verdict = self.judge.judge(goal, &candidate)?;
                if verdict.status == Status::Optimal && verdict.value > present.value + VALUE_TIE {
                    return Ok(Some(candidate));
                }
            }
        }
        Ok(None)
    }
}
