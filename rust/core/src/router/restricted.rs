//! Working memory of decisions over a part of the live set.

use super::arm::{Arm, Need};
use crate::arm_index::ArmIndex;
use crate::learner::Learner;
use crate::lp::{Problem, RoutingLp};

/// Working memory of decisions over a part of the live set.
#[derive(Debug, Clone, Default)]
pub(super) struct Restricted {
    pub(super) lp: Option<RoutingLp>,
    /// The slots that may serve the query.
    pub(super) slots: Vec<usize>,
    /// What it would take, for each slot of the live set.
    pub(super) needs: Vec<Need>,
    pub(super) columns: Columns,
}

/// Memory for the data of an LP.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    reward: Vec<f64>,
    cost: Vec<f64>,
    cap: Vec<f64>,
}

impl Columns {
    /// The LP over some arms as they stand.
    pub(super) fn fill(
        &mut self,
        chosen: impl Iterator<Item = ArmIndex>,
        learner: &Learner,
        arms: &[Arm],
        budget: f64,
    ) -> Problem<'_> {
        let Self { reward, cost, cap } = self;
        for column in [&mut *reward, &mut *cost, &mut *cap] {
            column.clear();
        }
        for arm in chosen {
            let bounds = learner.bounds()[arm];
            reward.push(bounds.reward_ucb);
            cost.push(bounds.cost_lcb);
            cap.push(arms[arm].share);
        }
        Problem { reward, cost, cap, budget }
    }
}

impl Restricted {
    /// Makes room for a live set, so that decisions allocate nothing.
    pub(super) fn resize(&mut self, live: usize) {
        self.needs.clear();
        self.needs.resize(live, Need::default());
        self.slots.reserve(live);
        let Columns { reward, cost, cap } = &mut self.columns;
        for column in [reward, cost, cap] {
            column.clear();
            column.reserve(live);
        }
        let ones = vec![1.0; live];
        let problem = Problem { reward: &ones, cost: &ones, cap: &ones, budget: 1.0 };
        self.lp = RoutingLp::new(problem).ok();
    }
}
