//! Index policies under a budget: the routing LP over any index.

use serde::Deserialize;
use stageroute_core::checks::{
    BILL_RULE, CAP_RULE, REWARD_RULE, check, check_all, check_lengths, is_bill, is_cap, is_reward,
};
use stageroute_core::lp::{Problem, RoutingLp};
use stageroute_core::{
    ArmIndex, Decision, DecisionStatus, Error, LiveArms, Moments, Pacing, Prior,
};

use crate::baseline::{Baseline, FromConfig, Start};
use crate::drawer::Drawer;
use crate::features::Features;
use crate::index::{Index, Rewards};
use crate::policy::{Outcome, Policy};
use crate::purse::Purse;
use crate::status_counts::StatusCounts;

/// Settings of an [`IndexRouter`].
#[derive(Debug, Clone, Deserialize)]
pub struct IndexConfig {
    /// How arms are valued.
    pub index: Index,
    /// Largest share of each arm, in (0, 1].
    pub throughput_cap: Vec<f64>,
    /// What is known of each beforehand; the cost alone is used.
    pub priors: Vec<Prior>,
    /// b, USD per query.
    pub budget: f64,
    /// Feedback from the spend to the budget of the next LP.
    pub pacing: Option<Pacing>,
    /// Fixes every random draw.
    pub seed: u64,
}

/// A bandit index for the reward, the empirical mean for the cost; the routing LP and the pacing of
/// [`stageroute_core::Router`] for the rest. So it differs from `StageRoute` in the index alone.
#[derive(Debug, Clone)]
pub struct IndexRouter {
    index: Index,
    caps: Vec<f64>,
    rewards: Vec<Rewards>,
    /// What is known of the costs, priors included, USD.
    costs: Vec<Moments>,
    /// For each arm, how many queries were decided while it was live.
    ages: Vec<u64>,
    purse: Purse,
    live: LiveArms,
    lp: Option<RoutingLp>,
    counts: StatusCounts,
    drawer: Drawer,
}

impl IndexRouter {
    /// A policy of which nothing is live.
    ///
    /// # Errors
    /// [`Error::InvalidElement`] for a cap outside (0, 1], [`Error::WrongLength`] unless there is
    /// one prior for each; [`Error::InvalidNumber`] for a prior, the index, the budget or the
    /// pacing.
    pub fn new(config: IndexConfig) -> Result<Self, Error> {
        let IndexConfig { index, throughput_cap: caps, priors, budget, pacing, seed } = config;
        index.validate()?;
        check_all("throughput_cap", &caps, CAP_RULE, is_cap)?;
        check_lengths("priors", priors.len(), caps.len(), "one for each cap")?;
        for (arm, prior) in ArmIndex::first(priors.len()).zip(&priors) {
            prior.validate(arm, false)?;
        }
        Ok(Self {
            index,
            rewards: vec![Rewards::default(); caps.len()],
            costs: priors.iter().map(Prior::cost_moments).collect(),
            ages: vec![0; caps.len()],
            purse: Purse::new(budget, pacing, caps.len())?,
            caps,
            live: LiveArms::default(),
            lp: None,
            counts: StatusCounts::default(),
            drawer: Drawer::new(seed),
        })
    }

    /// The index and the mean cost of every arm as they stand: what a deployment is decided from.
    /// Thompson sampling draws.
    pub fn estimates(&mut self) -> (Vec<f64>, Vec<f64>) {
        let (index, t, sampler) = (self.index, self.next_query(), &mut self.drawer.sampler);
        let reward = self.rewards.iter().map(|rewards| index.value(rewards, t, sampler)).collect();
        (reward, self.costs.iter().map(Moments::mean).collect())
    }

    /// Publishes the live set of the next stage.
    ///
    /// # Errors
    /// As [`LiveArms::new`]; [`Error::NoArms`] if it is empty.
    pub fn publish(&mut self, deployed: &[ArmIndex]) -> Result<(), Error> {
        let live = LiveArms::new(self.live.stage() + 1, deployed, self.caps.len())?;
        let caps: Vec<f64> = live.arms().iter().map(|&arm| self.caps[arm]).collect();
        let zeros = vec![0.0; caps.len()];
        let budget = self.purse.budget;
        self.lp =
            Some(RoutingLp::new(Problem { reward: &zeros, cost: &zeros, cap: &caps, budget })?);
        self.live = live;
        Ok(())
    }

    /// How often the LP ended in each status.
    #[must_use]
    pub fn counts(&self) -> StatusCounts {
        self.counts
    }

    /// λ of the last LP, reward per USD; 0 before the first.
    #[must_use]
    pub fn budget_price(&self) -> f64 {
        self.lp.as_ref().map_or(0.0, RoutingLp::budget_price)
    }

    /// The number of the next query, from 1.
    fn next_query(&self) -> u64 {
        self.purse.ledger().queries + 1
    }

    /// Draws an arm from the LP, or at random where the index asks for it; with its probability.
    fn draw(&mut self) -> Result<(usize, f64), Error> {
        let (index, live, ages) = (self.index, self.live.arms(), &mut self.ages);
        let lp = self.lp.as_ref().ok_or(Error::NoLiveArm)?;
        let mut at_random = 0.0;
        for &arm in live {
            ages[arm] += 1;
            at_random += index.exploration(ages[arm], live.len());
        }
        let chance = |slot: usize| index.exploration(ages[live[slot]], live.len());
        let mut chosen = None;
        if at_random > 0.0 {
            let mut left = self.drawer.sampler.unit();
            chosen = (0..live.len()).find(|&slot| {
                left -= chance(slot);
                left < 0.0
            });
        }
        let slot = chosen.or_else(|| self.drawer.sampler.draw(lp.support(), lp.probabilities()));
        let slot = slot.ok_or(Error::NoLiveArm)?;
        Ok((slot, (1.0 - at_random).max(0.0) * lp.probabilities()[slot] + chance(slot)))
    }
}

impl Policy for IndexRouter {
    fn route(&mut self, _: usize) -> Result<Decision, Error> {
        let t = self.next_query();
        let lp = self.lp.as_mut().ok_or(Error::NoLiveArm)?;
        for (slot, &arm) in self.live.arms().iter().enumerate() {
            let index = self.index.value(&self.rewards[arm], t, &mut self.drawer.sampler);
            lp.set_arm(slot, index, self.costs[arm].mean());
        }
        lp.set_budget(self.purse.paced_budget());
        lp.solve()?;
        let price = lp.budget_price();
        self.counts.count(DecisionStatus::of(lp, self.purse.budget));
        let (slot, probability) = self.draw()?;
        let arm = self.live.arms()[slot];
        self.purse.open(arm, self.costs[arm].mean());
        Ok(self.drawer.decide(arm, probability, price, &self.live))
    }

    fn observe(&mut self, _: usize, decision: &Decision, outcome: Outcome) -> Result<(), Error> {
        let Outcome { reward, cost } = outcome;
        check(is_reward(reward), "reward", reward, REWARD_RULE)?;
        check(is_bill(cost), "cost", cost, BILL_RULE)?;
        let (arm, arms) = (decision.arm, self.caps.len());
        let rewards = self.rewards.get_mut(arm.index()).ok_or(Error::UnknownArm {
            argument: "arm",
            arm,
            arms,
        })?;
        self.index.learn(rewards, reward, &mut self.drawer.sampler);
        self.costs[arm].push(cost);
        self.purse.settle(arm, cost);
        Ok(())
    }
}

impl Baseline for IndexRouter {
    fn begin_stage(&mut self) -> (Vec<f64>, Vec<f64>) {
        self.estimates()
    }

    fn publish(&mut self, deployed: &[ArmIndex], _: Start<'_>) -> Result<(), Error> {
        self.publish(deployed)
    }

    fn budget_price(&self) -> f64 {
        self.budget_price()
    }

    fn counts(&self) -> Option<StatusCounts> {
        Some(self.counts)
    }
}

impl FromConfig for IndexRouter {
    type Config = IndexConfig;

    fn from_config(config: IndexConfig, _: Option<Features>) -> Result<Self, Error> {
        Self::new(config)
    }
}
