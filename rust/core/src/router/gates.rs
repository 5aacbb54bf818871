//! What of the guards is on, so that the plain way need not look.

use super::Router;
use super::arm::Arm;

impl Router {
    /// Works out which live arms need to be looked at before each decision.
    pub(super) fn update_gates(&mut self) {
        let live = || self.live.arms().iter().map(|&arm| &self.arms[arm]);
        let limits =
            |arm: &Arm| !arm.traffic.is_off() || arm.limiter.is_some() || !arm.scopes.is_empty();
        self.gates.traffic = live().any(limits);
        // Where nothing is live, what has failed is waited for.
        let is_awaited = |arm: &Arm| !arm.is_retired && arm.is_troubled();
        self.gates.trouble = live().any(Arm::is_troubled)
            || (self.live.arms().is_empty() && self.arms.iter().any(is_awaited));
        self.gates.any = self.gates.traffic
            || self.gates.trouble
            || !self.guard.is_off()
            || !self.scopes.is_empty()
            || self.config.budget == 0.0;
        debug_assert!(self.gates.any || self.guard.is_off(), "hard limits would not be looked at");
    }
    /// Forgets, now and then, what time has made worth nothing of failures and refusals.
    #[cold]
    pub(super) fn refresh_trouble(&mut self, now: f64) {
        let half_lives = self.config.health.tolerance.half_lives();
        for slot in 0..self.live.arms().len() {
            let arm = self.live.arms()[slot];
            let state = &mut self.arms[arm];
            state.health.forget_pause(now);
            if state.limiter.as_ref().is_some_and(|limiter| limiter.is_over(now)) {
                state.limiter = None;
            }
            if !state.answers.is_clean() {
                state.answers.advance(now, half_lives);
                self.load_value(arm);
            }
        }
        self.look_for_unproven();
        self.update_gates();
    }

    /// Works out whether any arm has failed of late, or is a newcomer.
    pub(super) fn look_for_unproven(&mut self) {
        let is_unproven = |arm: &Arm| {
            !arm.answers.is_clean() || arm.limiter.is_some() || arm.known_before.is_some()
        };
        self.gates.unproven = self.arms.iter().any(is_unproven);
    }
}
