//! Places of queries that nothing was heard of: they come back some day.

use super::Router;
use crate::decision::{Query, Reasons};

use super::admission::Excluded;

impl Router {
    /// Looks for the arms that may serve a query; once more if that frees places of lost queries.
    #[inline]
    pub(super) fn look_for_arms(&mut self, query: &Query<'_>, now: f64) -> Excluded {
        let excluded = self.find_admissible(query, now);
        let is_due = excluded.reasons.contains(Reasons::TRAFFIC_LIMIT) && now >= self.slots_due;
        if is_due && self.free_lost_slots(now) {
            return self.find_admissible(query, now);
        }
        excluded
    }

    /// Gives back the places of queries that are lost; whether there were any.
    #[cold]
    fn free_lost_slots(&mut self, now: f64) -> bool {
        let Some(lost_after) = self.config.lost_after else { return false };
        let Self { decisions, arms, .. } = self;
        let (mut has_freed, mut next) = (false, now + lost_after);
        decisions.for_each_under_way(|open| {
            let due = open.at + lost_after;
            if due <= now {
                open.is_released = true;
                arms[open.arm].traffic.forget();
                has_freed = true;
            } else {
                next = next.min(due);
            }
        });
        self.slots_due = next;
        has_freed
    }
}
