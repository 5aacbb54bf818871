//! Settings that change while the router is in service.

use super::{Router, RouterConfig};
use crate::checks::check;
use crate::decisions::OpenDecisions;
use crate::error::Error;
use crate::guard::Guard;

impl Router {
    /// Replaces the settings from the next query on. What was learnt, spent and counted stays: a hard
    /// limit goes on from what the one of the same period before it has committed, and a stage ends
    /// after its new number of queries from now. Budget and seed are those from before:
    /// [`Router::set_budget`] changes the one, and nothing the other.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the setting that breaks its rule, or an arm's `max_cost` that
    /// hard limits need; nothing has changed then.
    pub fn configure(&mut self, config: RouterConfig) -> Result<(), Error> {
        let log_capacity = self.config.log_capacity;
        let (budget, seed) = (self.config.budget, self.config.seed);
        let config = RouterConfig { budget, log_capacity, seed, ..config };
        config.validate()?;
        let known = self.config.other_failures.iter().map(|other| &other.name);
        let kept = config.other_failures.iter().map(|other| &other.name).take(known.len());
        let rule = "reasons that failures were counted for must stay, in their order";
        check(known.eq(kept), "failures", config.other_failures.len() as f64, rule)?;
        let mut guard = Guard::new(&config.hard_limits, &config.calendars)?;
        for arm in self.arms.iter().filter(|arm| !arm.is_retired) {
            arm.settings.validate(!guard.is_off(), arm.terms.as_deref())?;
        }
        let scopes = self.scopes_of(&config.scopes)?;
        self.learner.configure(config.confidence, config.drift)?;
        guard.succeed(&self.guard, self.wall_clock());
        self.guard = guard;
        self.set_scopes(scopes);
        if config.stage_queries != self.config.stage_queries {
            let queries = self.ledger.queries;
            self.stage_end = config.stage_queries.map(|n| queries.saturating_add(n));
            self.require_stage();
        }
        if (config.open_decisions, config.max_age)
            != (self.config.open_decisions, self.config.max_age)
        {
            self.resize_open_decisions(config.open_decisions, config.max_age);
        }
        if config.health.tolerance.half_lives() != self.config.health.tolerance.half_lives() {
            self.age_answers();
        }
        if config.lost_after != self.config.lost_after {
            self.slots_due = 0.0;
        }
        let has_canary_changed = config.canary != self.config.canary;
        self.config = config;
        if has_canary_changed {
            self.reset_shares();
        }
        self.takes_bills = true;
        self.look_for_unproven();
        self.shares_due = f64::NEG_INFINITY;
        if self.lp.is_some() {
            self.load_lp();
        }
        self.update_gates();
        Ok(())
    }

    /// Failures have lost weight as they were to until now.
    fn age_answers(&mut self) {
        let half_lives = self.config.health.tolerance.half_lives();
        for arm in &mut self.arms {
            arm.answers.advance(self.clock, half_lives);
        }
    }

    /// Moves the open decisions to a ring of another size; those that it has no room for are evicted.
    fn resize_open_decisions(&mut self, capacity: usize, max_age: Option<f64>) {
        let resized = OpenDecisions::new(capacity, max_age);
        for evicted in self.decisions.move_to(resized) {
            self.write_off(&evicted);
        }
    }
}
