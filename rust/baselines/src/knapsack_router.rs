//! Bandits with knapsacks: the live arm of the best value at today's prices of money and shares.

use serde::Deserialize;
use stageroute_core::checks::{CAP_RULE, check_all, check_lengths, is_cap};
use stageroute_core::{
    ArmIndex, Bounds, Confidence, CostFeedback, Decision, Drift, Error, Learner, LiveArms, Prior,
};

use crate::baseline::{Baseline, FromConfig, Start};
use crate::drawer::Drawer;
use crate::duals::{DualMethod, Duals};
use crate::features::Features;
use crate::policy::{Outcome, Policy};
use crate::purse::Purse;
use crate::shares::Shares;

/// Settings of a [`KnapsackRouter`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct KnapsackConfig {
    /// How prices are found.
    pub method: DualMethod,
    /// Their step, above 0.
    pub step: f64,
    /// b, USD per query.
    pub budget: f64,
    /// T: the money for all of them is b T.
    pub horizon: u64,
    /// How many queries a stage is expected to have.
    pub stage_queries: f64,
    /// How estimates become bounds.
    pub confidence: Confidence,
    /// Largest share of each arm, in (0, 1].
    pub throughput_cap: Vec<f64>,
    /// What is known of each beforehand.
    pub priors: Vec<Prior>,
}

/// A bandit with knapsacks: money for the whole horizon, and each arm's share of a stage.
///
/// The published algorithms stop when a knapsack is empty. Here an arm whose share of the stage is
/// used up is passed over until the next one; and the money is empty when what is left would just pay
/// for the cheapest mixture: then the cheapest arm that may serves, from query to query.
#[derive(Debug, Clone)]
pub struct KnapsackRouter {
    /// b, USD per query.
    budget: f64,
    learner: Learner,
    duals: Duals,
    shares: Shares,
    purse: Purse,
    live: LiveArms,
    /// Sum of the money's price over the queries of the stage, and their number.
    price_sum: f64,
    priced: u64,
    drawer: Drawer,
}

impl KnapsackRouter {
    /// A policy of which nothing is live.
    ///
    /// # Errors
    /// [`Error::InvalidElement`] for a cap outside (0, 1], [`Error::WrongLength`] unless there is
    /// one prior for each; as [`Confidence::validate`]; [`Error::InvalidNumber`] for a setting or
    /// a prior.
    pub fn new(config: &KnapsackConfig) -> Result<Self, Error> {
        let (caps, priors) = (&config.throughput_cap, &config.priors);
        check_all("throughput_cap", caps, CAP_RULE, is_cap)?;
        check_lengths("priors", priors.len(), caps.len(), "one for each cap")?;
        let mut learner = Learner::new(config.confidence, Drift::default())?;
        for prior in priors {
            learner.add_arm(prior, None)?;
        }
        Ok(Self {
            duals: Duals::new(config.method, config.step, caps.len())?,
            purse: Purse::for_horizon(config.budget, config.horizon, caps.len())?,
            shares: Shares::new(caps, config.stage_queries),
            budget: config.budget,
            learner,
            live: LiveArms::default(),
            price_sum: 0.0,
            priced: 0,
            drawer: Drawer::new(0),
        })
    }

    /// Begins a new stage for what is known of the arms; returns the value of each at the mean
    /// price of money in the last stage, and its cost bound. Prices wander around the optimal ones;
    /// it is their mean that converges.
    pub fn begin_stage(&mut self) -> (Vec<f64>, Vec<f64>) {
        self.learner.begin_stage();
        let mean = self.price_sum / self.priced as f64;
        let price = if self.priced > 0 { mean } else { self.duals.money_price() };
        let value = |bounds: &Bounds| {
            self.duals.value(bounds.reward_ucb, price * bounds.cost_lcb / self.budget)
        };
        let bounds = self.learner.bounds();
        (bounds.iter().map(value).collect(), bounds.iter().map(|b| b.cost_lcb).collect())
    }

    /// Publishes the live set of the next stage.
    ///
    /// # Errors
    /// As [`LiveArms::new`].
    pub fn publish(&mut self, deployed: &[ArmIndex]) -> Result<(), Error> {
        self.live = LiveArms::new(self.live.stage() + 1, deployed, self.learner.len())?;
        self.shares.reset();
        (self.price_sum, self.priced) = (0.0, 0);
        let cost = |arm| self.learner.expected_cost(arm);
        self.purse.keep_back(self.shares.cheapest_mixture(&self.live, cost));
        Ok(())
    }

    /// What a query of an arm is worth at the prices of now.
    fn value(&self, arm: ArmIndex) -> f64 {
        let Bounds { reward_ucb, cost_lcb } = self.learner.bounds()[arm];
        let cost = cost_lcb / self.budget;
        self.duals.value(reward_ucb, self.duals.query_price(arm, cost, self.shares.cap(arm)))
    }

    /// The best arm that may serve, ties towards the cheaper one, then the first; the cheapest one
    /// when the money is used up.
    fn choose(&self) -> Option<ArmIndex> {
        let (bounds, is_broke) = (self.learner.bounds(), self.purse.is_empty());
        let mut best: Option<(ArmIndex, f64)> = None;
        for &arm in self.live.arms().iter().filter(|&&arm| self.shares.has_left(arm)) {
            let v = if is_broke { -self.learner.expected_cost(arm) } else { self.value(arm) };
            let is_better = best.is_none_or(|(other, most)| {
                v > most || (v == most && bounds[arm].cost_lcb < bounds[other].cost_lcb)
            });
            if is_better {
                best = Some((arm, v));
            }
        }
        best.map(|(arm, _)| arm).or_else(|| self.shares.least_used(&self.live))
    }
}

impl Policy for KnapsackRouter {
    fn route(&mut self, _: usize) -> Result<Decision, Error> {
        let arm = self.choose().ok_or(Error::NoLiveArm)?;
        self.price_sum += self.duals.money_price();
        self.priced += 1;
        let price = self.duals.exchange_rate(self.value(arm)) / self.budget;
        for &live in self.live.arms() {
            let used = if live == arm { 1.0 / self.shares.cap(arm) } else { 0.0 };
            self.duals.consume_share(live, used);
        }
        self.shares.serve(arm);
        self.purse.open(arm, self.learner.expected_cost(arm));
        Ok(self.drawer.decide(arm, 1.0, price, &self.live))
    }

    fn observe(&mut self, _: usize, decision: &Decision, outcome: Outcome) -> Result<(), Error> {
        let Outcome { reward, cost } = outcome;
        self.learner.observe(decision.arm, Some(reward), Some(CostFeedback::Usd(cost)))?;
        self.duals.consume_money(cost / self.budget);
        self.purse.settle(decision.arm, cost);
        Ok(())
    }
}

impl Baseline for KnapsackRouter {
    fn begin_stage(&mut self) -> (Vec<f64>, Vec<f64>) {
        self.begin_stage()
    }

    fn publish(&mut self, deployed: &[ArmIndex], _: Start<'_>) -> Result<(), Error> {
        self.publish(deployed)
    }
}

impl FromConfig for KnapsackRouter {
    type Config = KnapsackConfig;

    fn from_config(config: KnapsackConfig, _: Option<Features>) -> Result<Self, Error> {
        Self::new(&config)
    }
}
