//! What of the guards is on, so that the plain way need not look.

use super::Router;

impl Router {
    /// Works out which live arms need to be looked at before each decision.
    pub(super) fn update_gates(&mut self) {
        let live = || self.live.arms().iter().map(|&arm| &self.arms[arm]);
        self.has_traffic_limits = live().any(|arm| !arm.traffic.is_off());
        let has_open_breaker = live().any(|arm| !arm.health.is_closed());
        self.is_gated = self.has_traffic_limits || has_open_breaker || !self.guard.is_off();
        debug_assert!(self.is_gated || self.guard.is_off(), "hard limits would not be looked at");
    }
}
