//! How much traffic a newcomer gets: little at first, and more with every reward that is known of it.
//!
//! A bound on a mean says what an arm may be worth, so one of which nothing is known looks best. Where
//! rewards come thousands of queries late, it would serve them all until the first is there. The share
//! of an arm that came while others were serving therefore starts at `canary`, and rises to its cap in
//! a straight line with its first rewards. What was believed of it beforehand is no evidence.

use super::Router;
use crate::arm_index::ArmIndex;
use crate::checks::is_cap;

/// An arm of which so many rewards are known is no newcomer any more.
const ENOUGH_REWARDS: f64 = 50.0;

impl Router {
    /// The largest share that an arm may have for what is known of it, in (0, 1].
    pub(super) fn proven_share(&self, arm: ArmIndex) -> f64 {
        let (Some(canary), Some(before)) = (self.config.canary, self.arms[arm].known_before) else {
            return 1.0;
        };
        let rewards = self.learner.stats()[arm].reward.count().saturating_sub(before);
        let proven = (rewards as f64 / ENOUGH_REWARDS).min(1.0);
        canary + (1.0 - canary) * proven
    }

    /// Gives all newcomers their share anew.
    pub(super) fn reset_shares(&mut self) {
        for arm in ArmIndex::first(self.arms.len()) {
            if self.arms[arm].known_before.is_some() {
                self.arms[arm].share = self.planned_share(arm);
            }
        }
    }

    /// Gives a live newcomer the share that it has proved itself worthy of.
    #[cold]
    #[inline(never)]
    pub(super) fn widen_share(&mut self, arm: ArmIndex) {
        if self.arms[arm].known_before.is_none() {
            return;
        }
        let share = self.planned_share(arm);
        debug_assert!(is_cap(share), "arm {arm} gets a share of {share}");
        if self.proven_share(arm) >= 1.0 {
            self.arms[arm].known_before = None;
            self.look_for_unproven();
        }
        if share != self.arms[arm].share {
            self.arms[arm].share = share;
            self.load_lp();
        }
    }
}
