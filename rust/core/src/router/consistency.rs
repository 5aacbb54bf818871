//! Checks of a router that comes from bytes: whatever they were, no later call may panic.

use super::Router;
use super::arm::Arm;
use crate::arm_index::ArmIndex;
use crate::checks::{MOST, is_cap, is_cost, is_time, sound};
use crate::error::Error;
use crate::learner::Learner;
use crate::live_arms::LiveArms;
use crate::money::Nanodollars;
use crate::stats::ArmStats;
use crate::tolerances::MEAN_ROUNDING;
use crate::usage::{CostFeedback, Tokens};

/// No mean is larger: of costs in USD, of tokens, each at most 1e9.
const LARGEST_MEAN: f64 = 2e9;

/// Whether a number can be a mean of numbers from 0 to `largest`, up to rounding.
fn is_mean(mean: f64, largest: f64) -> bool {
    (-MEAN_ROUNDING..=largest).contains(&mean)
}

impl Router {
    /// Checks that all parts are in their ranges and fit together, and completes what bytes do not
    /// hold.
    pub(super) fn check_consistency(&mut self) -> Result<(), Error> {
        self.config.validate()?;
        sound(is_time(self.clock), "the times")?;
        sound(self.shares_due <= self.clock + super::route::SHARES_EVERY, "the times")?;
        self.rate.check_soundness()?;
        self.guard.check_soundness(&self.config.hard_limits, &self.config.calendars)?;
        self.check_arms()?;
        self.check_money()?;
        self.check_live_arms()?;
        let arms = &self.arms;
        self.decisions.restore(
            self.config.open_decisions,
            self.config.max_age,
            self.ledger.queries,
            self.clock,
            |arm| arms.get(arm.index()).map(|arm| arm.prices.len()),
        )?;
        self.look_for_unproven();
        self.update_gates();
        Ok(())
    }

    fn check_arms(&self) -> Result<(), Error> {
        self.learner.validate()?;
        sound(self.learner.len() == self.arms.len(), "the arms")?;
        for (index, arm) in ArmIndex::first(self.arms.len()).zip(&self.arms) {
            arm.check_consistency(!self.guard.is_off(), self.clock)?;
            sound(self.learner.prices(index) == arm.settings.prices, "the prices of an arm")?;
        }
        check_statistics(&self.learner)?;
        // What is kept to be forgotten stage by stage is seen as one stage after the other goes.
        let mut later = self.learner.clone();
        for _ in 0..self.config.drift.forgetting.slots() {
            let before = weights(&later);
            sound(later.is_next_sound(), "the statistics of an arm")?;
            later.begin_stage();
            check_statistics(&later)?;
            // Up to rounding: a window adds up what came in it, stage by stage.
            let most = |before: f64| before * (1.0 + MEAN_ROUNDING);
            let falls = weights(&later).iter().zip(&before).all(|(after, b)| *after <= most(*b));
            sound(falls, "the statistics of an arm")?;
        }
        Ok(())
    }

    fn check_money(&self) -> Result<(), Error> {
        let ledger = self.ledger;
        let sums = [ledger.billed, ledger.in_flight, ledger.written_off];
        let is_sound = sums.iter().all(|sum| sum.is_finite()) && self.start_costs.is_sound();
        sound(is_sound && self.billed.is_sound(), "the sums of money")?;
        let is_sound = self.counters.largest() <= MOST && self.counters.decided() == ledger.queries;
        sound(is_sound, "the counters")
    }

    fn check_live_arms(&mut self) -> Result<(), Error> {
        let live = LiveArms::new(self.live.stage(), self.live.arms(), self.arms.len())?;
        let size = live.arms().len();
        let is_sound = live == self.live
            && live.stage() <= MOST
            && live.arms().iter().all(|&arm| !self.arms[arm].is_retired)
            && self.lp.as_ref().map_or(0, |lp| lp.problem().reward.len()) == size;
        sound(is_sound, "the live arms")?;
        self.live = live;
        self.lp.as_ref().map_or(Ok(()), |lp| lp.check_soundness(size))
    }
}

fn weights(learner: &Learner) -> Vec<f64> {
    let of_arm = |stats: &ArmStats| [stats.reward.weight(), stats.cost.weight()];
    learner.stats().iter().flat_map(of_arm).collect()
}

/// Checks what is known of all arms, now and after another observation of each.
fn check_statistics(learner: &Learner) -> Result<(), Error> {
    let mut learner = learner.clone();
    for arm in ArmIndex::first(learner.len()) {
        let ArmStats { reward, cost } = learner.stats()[arm];
        let usage = learner.usage(arm).copied().unwrap_or_default();
        let Tokens { input, cached, output } = usage.mean();
        let are_means = is_mean(reward.mean(), 1.0 + MEAN_ROUNDING)
            && [cost.mean(), input, cached, output].iter().all(|&x| is_mean(x, LARGEST_MEAN))
            && is_mean(learner.expected_cost(arm), f64::MAX);
        let are_spreads = [reward.variance(), cost.variance()].into_iter().all(is_cost);
        let weights = [reward.weight(), cost.weight(), usage.weight()];
        let are_weights = weights.iter().all(|weight| (0.0..=MOST as f64).contains(weight));
        let counts = [reward.count(), cost.count(), usage.count()];
        let are_counts = counts.iter().all(|&count| count <= MOST);
        let is_sound = are_means && are_spreads && are_weights && are_counts;
        sound(is_sound && learner.bounds()[arm].is_sound(), "the statistics of an arm")?;
        let feedback = match learner.prices(arm) {
            Some(_) => CostFeedback::Tokens(Tokens::default()),
            None => CostFeedback::Usd(0.0),
        };
        let bounds = learner.observe(arm, Some(0.5), Some(feedback))?;
        sound(bounds.is_sound(), "the statistics of an arm")?;
    }
    Ok(())
}

impl Arm {
    fn check_consistency(&self, has_hard_limits: bool, now: f64) -> Result<(), Error> {
        let Self {
            settings,
            reservation,
            share,
            prices,
            traffic,
            health,
            answers,
            limiter,
            known_before,
            ..
        } = self;
        settings.validate(has_hard_limits, self.terms.as_deref())?;
        for prices in prices {
            prices.validate()?;
        }
        self.terms.as_ref().map_or(Ok(()), |terms| terms.validate())?;
        for tariff in self.tariffs.iter().flatten() {
            tariff.validate()?;
        }
        let is_sound = self.tariffs.len() <= prices.len()
            && (settings.prices.is_none() || settings.prices == prices.last().copied())
            && *reservation == Nanodollars::from_usd(settings.max_cost.unwrap_or(0.0))
            && is_cap(*share)
            && known_before.is_none_or(|rewards| rewards <= MOST);
        sound(is_sound, "the settings of an arm")?;
        traffic.check_soundness(settings.limits, now)?;
        health.check_soundness()?;
        answers.check_soundness(now)?;
        limiter.as_ref().map_or(Ok(()), |limiter| limiter.check_soundness(now))
    }
}
