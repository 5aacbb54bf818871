//! Checks of a router that comes from bytes: whatever they were, no later call may panic.

use super::{Arm, Counters, Router};
use crate::error::{Error, MOST, is_cap, is_cost, is_time, sound};
use crate::guard::Nanodollars;
use crate::plan::StagePlan;

impl Router {
    /// Checks that all parts are in their ranges and fit together, and completes what bytes do not
    /// hold.
    pub(super) fn check_consistency(&mut self) -> Result<(), Error> {
        self.config.validate()?;
        sound(is_time(self.clock), "the times")?;
        sound(self.shares_due <= self.clock + super::route::SHARES_EVERY, "the times")?;
        self.rate.check_soundness()?;
        self.guard.check_soundness(&self.config.hard_limits)?;
        self.check_arms()?;
        self.check_money()?;
        self.check_plan()?;
        let arms = &self.arms;
        self.decisions.restore(
            self.config.open_decisions,
            self.config.max_age,
            self.ledger.queries,
            self.clock,
            |arm| arms.get(arm as usize).map(|arm| arm.prices.len()),
        )?;
        self.update_gates();
        Ok(())
    }

    fn check_arms(&self) -> Result<(), Error> {
        self.learner.validate()?;
        sound(self.learner.len() == self.arms.len(), "the arms")?;
        for (index, arm) in self.arms.iter().enumerate() {
            arm.check_consistency(!self.guard.is_off())?;
            sound(self.learner.prices(index) == arm.settings.prices, "the prices of an arm")?;
            let stats = &self.learner.stats()[index];
            let is_sound = [stats.reward, stats.cost].iter().all(|moments| {
                let numbers = [moments.weight(), moments.mean(), moments.variance()];
                moments.count() <= MOST && numbers.iter().all(|x| x.is_finite())
            });
            let is_expected = self.learner.expected_cost(index).is_finite();
            sound(is_sound && is_expected, "the statistics of an arm")?;
        }
        // Those of the next stage take in what is kept beside the statistics.
        let mut bounds = Vec::new();
        self.next_bounds(&mut bounds);
        bounds.extend_from_slice(self.learner.bounds());
        let are_sound = bounds.iter().all(|b| b.reward_ucb.is_finite() && is_cost(b.cost_lcb));
        sound(are_sound, "the statistics of an arm")
    }

    fn check_money(&self) -> Result<(), Error> {
        let ledger = self.ledger;
        let sums = [ledger.billed, ledger.in_flight, ledger.written_off];
        let is_sound = sums.iter().all(|sum| sum.is_finite()) && self.start_costs.is_sound();
        sound(is_sound && self.billed.is_sound(), "the sums of money")?;
        let is_sound = ledger.queries <= MOST && self.counters.largest() <= MOST;
        sound(is_sound, "the counters")
    }

    fn check_plan(&self) -> Result<(), Error> {
        let live = self.plan.arms();
        let plan = StagePlan::new(self.plan.stage(), live, self.arms.len())?;
        let is_sound = plan == self.plan
            && plan.stage() <= MOST
            && live.iter().all(|&arm| !self.arms[arm].is_retired)
            && self.lp.as_ref().map_or(0, |lp| lp.problem().reward.len()) == live.len();
        sound(is_sound, "the live arms")?;
        self.lp.as_ref().map_or(Ok(()), |lp| lp.check_soundness(live.len()))
    }
}

impl Arm {
    fn check_consistency(&self, has_hard_limits: bool) -> Result<(), Error> {
        let Self { settings, reservation, share, prices, traffic, health, is_retired: _ } = self;
        settings.validate(has_hard_limits)?;
        for prices in prices {
            prices.validate()?;
        }
        let is_sound = (settings.prices.is_none() || settings.prices == prices.last().copied())
            && *reservation == Nanodollars::from_usd(settings.max_cost.unwrap_or(0.0))
            && is_cap(*share);
        sound(is_sound, "the settings of an arm")?;
        traffic.check_soundness(settings.limits)?;
        health.check_soundness()
    }
}

impl Counters {
    fn largest(&self) -> u64 {
        // Named one by one, so that none is forgotten.
        let Self {
            optimal,
            throttled,
            budget_infeasible,
            cap_infeasible,
            restricted,
            refused_traffic,
            refused_cooling,
            refused_hard_limit,
            refused_excluded,
            rewards,
            costs,
            costs_without_tokens,
            above_reservation,
            repeated,
            unknown,
            expired,
            evicted,
            failures,
            cooldowns,
        } = *self;
        let counts = [
            optimal,
            throttled,
            budget_infeasible,
            cap_infeasible,
            restricted,
            refused_traffic,
            refused_cooling,
            refused_hard_limit,
            refused_excluded,
            rewards,
            costs,
            costs_without_tokens,
            above_reservation,
            repeated,
            unknown,
            expired,
            evicted,
            cooldowns,
        ];
        counts.into_iter().chain(failures).fold(0, u64::max)
    }
}
