//! The LP of the live set.

use super::Router;
use crate::lp::RoutingLp;

impl Router {
    /// Makes room for LPs over the live set and its parts.
    pub(super) fn reserve_lps(&mut self) {
        let live = self.live.arms().len();
        self.columns.reserve(live);
        self.restricted.resize(live);
    }

    /// Loads the LP with the live arms as they stand.
    pub(super) fn load_lp(&mut self) {
        let Self { columns, live, learner, arms, lp, config, .. } = self;
        let arms_live = live.arms().iter().copied();
        let problem = columns.fill(arms_live, learner, arms, config.budget);
        // Bounds and shares are valid by construction: only an empty live set has no LP.
        let is_loaded = lp.as_mut().is_some_and(|lp| lp.load(problem).is_ok());
        if !is_loaded {
            *lp = RoutingLp::new(problem).ok();
        }
        debug_assert_eq!(lp.is_none(), live.arms().is_empty(), "only an empty set has no LP");
    }
}
