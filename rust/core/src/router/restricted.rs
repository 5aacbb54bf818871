//! Decisions over a part of the live set: their LP and working memory.

use super::arm::{Arm, Need};
use super::columns::Columns;
use crate::arm_index::ArmIndex;
use crate::error::Error;
use crate::learner::Learner;
use crate::lp::{Problem, RoutingLp};

/// Working memory of decisions over a part of the live set.
#[derive(Debug, Clone, Default)]
pub(super) struct Restricted {
    pub(super) lp: Option<RoutingLp>,
    /// The slots that may serve the query.
    pub(super) slots: Vec<usize>,
    /// Those that are cooling down, answer at times, and could serve it otherwise.
    pub(super) unreliable: Vec<usize>,
    /// What it would take, for each slot of the live set.
    pub(super) needs: Vec<Need>,
}

impl Restricted {
    /// Makes room for a live set, so that decisions allocate nothing.
    pub(super) fn resize(&mut self, live: usize) {
        self.needs.clear();
        self.needs.resize(live, Need::default());
        self.slots.reserve(live);
        self.unreliable.reserve(live);
        let ones = vec![1.0; live];
        let problem = Problem { reward: &ones, cost: &ones, cap: &ones, budget: 1.0 };
        self.lp = RoutingLp::new(problem).ok();
    }

    /// The LP over the slots that may serve the query, with their arms as they stand. It keeps its
    /// basis while there are as many, with the same shares, as for the last such query.
    pub(super) fn load(
        &mut self,
        live: &[ArmIndex],
        learner: &Learner,
        arms: &[Arm],
        columns: &mut Columns,
        budget: f64,
    ) -> Result<&mut RoutingLp, Error> {
        let Self { lp, slots, .. } = self;
        let lp = lp.as_mut().ok_or(Error::NoLiveArm)?;
        let admissible = || slots.iter().map(|&slot| live[slot]);
        let has_shares = |lp: &RoutingLp| {
            admissible().map(|arm| arms[arm].share).eq(lp.problem().cap.iter().copied())
        };
        if !has_shares(lp) {
            lp.load(columns.fill(admissible(), learner, arms, budget))?;
            return Ok(lp);
        }
        for (place, arm) in admissible().enumerate() {
            let bounds = arms[arm].answers.of_attempt(learner.bounds()[arm]);
            let Problem { reward, cost, .. } = lp.problem();
            if (reward[place], cost[place]) != (bounds.reward_ucb, bounds.cost_lcb) {
                lp.set_arm(place, bounds.reward_ucb, bounds.cost_lcb);
            }
        }
        lp.set_budget(budget);
        Ok(lp)
    }
}
