//! The data of LPs over live arms.

use super::arm::Arm;
use crate::arm_index::ArmIndex;
use crate::learner::Learner;
use crate::lp::Problem;

/// Memory for the data of an LP.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    reward: Vec<f64>,
    cost: Vec<f64>,
    cap: Vec<f64>,
}

impl Columns {
    /// Makes room for a live set, so that decisions allocate nothing.
    pub(super) fn reserve(&mut self, live: usize) {
        for column in [&mut self.reward, &mut self.cost, &mut self.cap] {
            column.clear();
            column.reserve(live);
        }
    }

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
            let bounds = arms[arm].answers.of_attempt(learner.bounds()[arm]);
            reward.push(bounds.reward_ucb);
            cost.push(bounds.cost_lcb);
            cap.push(arms[arm].share);
        }
        Problem { reward, cost, cap, budget }
    }
}
