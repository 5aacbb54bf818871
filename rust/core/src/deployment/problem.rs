//! The deployment problem, and what its sets can be judged by.

use super::sets::LiveSets;
use crate::checks::{COST_RULE, check_all, check_lengths, is_cost};
use crate::error::Error;
use crate::lp::{Problem, Status};

/// What is maximised over the allowed sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The reward of the best mixture within the budget.
    Best,
    /// What the cheapest mixture leaves, whatever the budget.
    Cheapest,
    /// The sum of the caps, even if it is below 1.
    Largest,
}

impl Goal {
    /// All goals, each for where no set can be found for those before it.
    pub const ALL: [Self; 3] = [Self::Best, Self::Cheapest, Self::Largest];

    /// The name of this goal in the public interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Cheapest => "cheapest",
            Self::Largest => "largest",
        }
    }

    /// The status of a problem that is answered by this goal.
    pub(super) fn status(self) -> Status {
        match self {
            Self::Best => Status::Optimal,
            Self::Cheapest => Status::BudgetInfeasible,
            Self::Largest => Status::CapInfeasible,
        }
    }
}

/// Which allowed set of arms is to be live?
#[derive(Debug, Clone, Copy)]
pub struct DeploymentProblem<'a> {
    /// Estimates, caps and budget of all candidates.
    pub mixture: Problem<'a>,
    /// What making each arm live costs, USD per query; finite and not negative. Empty if nothing does.
    pub start: &'a [f64],
    /// The sets that may be live.
    pub sets: LiveSets<'a>,
}

impl<'a> DeploymentProblem<'a> {
    /// The problem as published: nothing limits the live set but its size, and no start costs anything.
    #[must_use]
    pub fn plain(mixture: Problem<'a>, max_deployed: usize) -> Self {
        Self { mixture, start: &[], sets: LiveSets::of_size(max_deployed) }
    }

    /// Checks all but the mixture, which the LP over all arms checks.
    pub(super) fn validate(&self) -> Result<(), Error> {
        let arms = self.mixture.reward.len();
        if !self.start.is_empty() {
            check_lengths("start", self.start.len(), arms, "one for each arm")?;
            check_all("start", self.start, COST_RULE, is_cost)?;
        }
        self.sets.validate(arms)
    }

    /// The unit of money in which differences in spend are judged: the largest cost.
    pub(super) fn unit(&self) -> f64 {
        let costs = self.mixture.cost.iter().chain(self.start);
        costs.copied().fold(f64::MIN_POSITIVE, f64::max)
    }

    /// Whether nothing limits the live set but its size.
    pub(super) fn is_plain(&self) -> bool {
        let mut flags = self.sets.pinned.iter().chain(self.sets.forbidden);
        self.sets.limits_size_only() && !flags.any(|&flag| flag) && !self.has_start_costs()
    }

    /// What making an arm live costs, USD per query.
    pub(super) fn start_of(&self, arm: usize) -> f64 {
        self.start.get(arm).copied().unwrap_or(0.0)
    }

    /// Whether a set, which names no arm twice, may be live.
    pub(super) fn allows(&self, set: &[usize]) -> bool {
        set.iter().all(|&arm| arm < self.mixture.reward.len()) && self.sets.allows(set)
    }

    /// Whether starting any arm costs anything.
    pub(super) fn has_start_costs(&self) -> bool {
        self.start.iter().any(|&start| start > 0.0)
    }

    /// Whether `arm` can take the place of `other` in any set, which is allowed and no worse then.
    pub(super) fn is_no_worse(&self, arm: usize, other: usize) -> bool {
        let Problem { reward, cost, cap, .. } = self.mixture;
        let sets = &self.sets;
        reward[arm] >= reward[other]
            && cost[arm] <= cost[other]
            && cap[arm] >= cap[other]
            && self.start_of(arm) <= self.start_of(other)
            && sets.limits().all(|(uses, _)| uses[arm] <= uses[other])
            && (sets.min_providers <= 1 || sets.provider[arm] == sets.provider[other])
    }
}
