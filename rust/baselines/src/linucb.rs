//! `LinUCB` with a budget pacer: linear rewards and costs of features that are known of each row.

use serde::Deserialize;
use stageroute_core::checks::{
    BILL_RULE, CAP_RULE, REWARD_RULE, check, check_all, check_lengths, is_bill, is_cap, is_reward,
};
use stageroute_core::{ArmIndex, Decision, Error, LiveArms, Moments, Prior};

use crate::baseline::{Baseline, FromConfig, Start};
use crate::drawer::Drawer;
use crate::features::Features;
use crate::policy::{Outcome, Policy};
use crate::purse::Purse;
use crate::ridge::Ridge;
use crate::shares::Shares;

/// Settings of a [`LinUcb`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LinUcbConfig {
    /// Width of the confidence interval in units of `sqrt(xᵀ A⁻¹ x)`, not negative: the α of Li et
    /// al.
    pub width: f64,
    /// Step of the budget's price, above 0.
    pub step: f64,
    /// b, USD per query.
    pub budget: f64,
    /// T: the money for all of them is b T.
    pub horizon: u64,
    /// Largest share of each arm, in (0, 1].
    pub throughput_cap: Vec<f64>,
    /// What is known of each beforehand; the mean cost alone is used.
    pub priors: Vec<Prior>,
}

/// Disjoint `LinUCB` (Li, Chu, Langford & Schapire 2010, algorithm 1) on reward less priced cost, the
/// price following what is billed (Agrawal & Devanur 2016). An arm over its share of the stage is
/// passed over; when what is left of the money just pays for the cheapest mixture, the cheapest arm
/// serves.
#[derive(Debug, Clone)]
pub struct LinUcb {
    width: f64,
    /// Step of the budget's price.
    step: f64,
    /// b, USD per query.
    budget: f64,
    features: Features,
    arms: Vec<Ridge>,
    /// Costs of each arm whatever the features, priors included.
    costs: Vec<Moments>,
    /// How often each row was asked about.
    seen: Vec<u64>,
    /// What b USD are worth in reward.
    price: f64,
    /// Sum of the price over the queries of the stage, and their number.
    price_sum: f64,
    priced: u64,
    shares: Shares,
    purse: Purse,
    live: LiveArms,
    drawer: Drawer,
    gain: Vec<f64>,
}

impl LinUcb {
    /// A policy for a table with these features, of which nothing is live.
    ///
    /// # Errors
    /// [`Error::InvalidElement`] for a cap outside (0, 1]; [`Error::WrongLength`] unless there is one
    /// prior for each cap; [`Error::InvalidNumber`] for a setting or a prior.
    pub fn new(config: &LinUcbConfig, features: Features) -> Result<Self, Error> {
        let &LinUcbConfig { width, step, budget, horizon, .. } = config;
        let (caps, priors, d) = (&config.throughput_cap, &config.priors, features.dimension());
        check(width.is_finite() && width >= 0.0, "width", width, "must be finite, not negative")?;
        check(step.is_finite() && step > 0.0, "step", step, "must be finite and above 0")?;
        check_all("throughput_cap", caps, CAP_RULE, is_cap)?;
        check_lengths("priors", priors.len(), caps.len(), "one for each cap")?;
        for (arm, prior) in ArmIndex::first(priors.len()).zip(priors) {
            prior.validate(arm, false)?;
        }
        Ok(Self {
            width,
            step,
            budget,
            arms: priors.iter().map(|prior| Ridge::new(d, prior.cost_moments().mean())).collect(),
            costs: priors.iter().map(Prior::cost_moments).collect(),
            seen: vec![0; features.rows()],
            features,
            price: 0.0,
            price_sum: 0.0,
            priced: 0,
            shares: Shares::new(caps, 0.0),
            purse: Purse::for_horizon(budget, horizon, caps.len())?,
            live: LiveArms::default(),
            drawer: Drawer::new(0),
            gain: vec![0.0; d],
        })
    }

    /// How often each row was asked about.
    #[must_use]
    pub fn seen(&self) -> &[u64] {
        &self.seen
    }

    /// What each arm is worth on some rows, row by row, at the mean price of the last stage.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] for a row out of range.
    pub fn values(&self, rows: &[usize]) -> Result<Vec<f64>, Error> {
        let mean = self.price_sum / self.priced as f64;
        let price = if self.priced > 0 { mean } else { self.price };
        let mut values = Vec::with_capacity(rows.len() * self.arms.len());
        for &row in rows {
            let x = self.features.row(row)?;
            values.extend(ArmIndex::first(self.arms.len()).map(|arm| self.value(arm, x, price).0));
        }
        Ok(values)
    }

    /// Publishes the live set of the next stage.
    ///
    /// # Errors
    /// As [`LiveArms::new`].
    pub fn publish(&mut self, deployed: &[ArmIndex]) -> Result<(), Error> {
        self.live = LiveArms::new(self.live.stage() + 1, deployed, self.arms.len())?;
        self.shares.reset();
        let cost = |arm: ArmIndex| self.costs[arm].mean();
        self.purse.keep_back(self.shares.cheapest_mixture(&self.live, cost));
        (self.price_sum, self.priced) = (0.0, 0);
        Ok(())
    }

    /// Optimistic reward less priced cost, and the cost expected, USD.
    fn value(&self, arm: ArmIndex, x: &[f64], price: f64) -> (f64, f64) {
        let expected = self.arms[arm].predict(x);
        let optimistic = (expected.reward + self.width * expected.width).min(1.0);
        (optimistic - price * expected.cost / self.budget, expected.cost)
    }
}

impl Policy for LinUcb {
    fn route(&mut self, row: usize) -> Result<Decision, Error> {
        let x = self.features.row(row)?;
        let mut best: Option<(ArmIndex, f64, f64)> = None;
        let is_broke = self.purse.is_empty();
        let mut fallback = None;
        if !self.live.arms().iter().any(|&arm| self.shares.has_left(arm)) {
            fallback = self.shares.least_used(&self.live);
        }
        for &arm in self.live.arms() {
            if !self.shares.has_left(arm) && fallback != Some(arm) {
                continue;
            }
            let (value, cost) = self.value(arm, x, self.price);
            let value = if is_broke { -cost } else { value };
            // Ties towards the cheaper arm, then the first.
            if best.is_none_or(|(_, most, least)| value > most || (value == most && cost < least)) {
                best = Some((arm, value, cost));
            }
        }
        let (arm, _, cost) = best.ok_or(Error::NoLiveArm)?;
        self.seen[row] += 1;
        self.price_sum += self.price;
        self.priced += 1;
        self.shares.serve(arm);
        self.purse.open(arm, cost);
        let price = self.price / self.budget;
        Ok(self.drawer.decide(arm, 1.0, price, &self.live))
    }

    fn observe(&mut self, row: usize, decision: &Decision, outcome: Outcome) -> Result<(), Error> {
        let Outcome { reward, cost } = outcome;
        check(is_reward(reward), "reward", reward, REWARD_RULE)?;
        check(is_bill(cost), "cost", cost, BILL_RULE)?;
        let (arm, arms) = (decision.arm, self.arms.len());
        let x = self.features.row(row)?;
        let ridge = self.arms.get_mut(arm.index()).ok_or(Error::UnknownArm {
            argument: "arm",
            arm,
            arms,
        })?;
        ridge.learn(x, reward, cost, &mut self.gain);
        let excess = cost / self.budget - 1.0;
        self.price = (self.price + self.step * excess).clamp(0.0, HIGHEST_PRICE);
        self.costs[arm].push(cost);
        self.purse.settle(arm, cost);
        Ok(())
    }
}

/// No price is higher: optimal prices are below it where the cheapest mixture costs at most 0.9 b.
const HIGHEST_PRICE: f64 = 10.0;

impl Baseline for LinUcb {
    fn publish(&mut self, deployed: &[ArmIndex], _: Start<'_>) -> Result<(), Error> {
        self.publish(deployed)
    }

    fn seen(&self) -> &[u64] {
        &self.seen
    }

    fn values(&self, rows: &[usize]) -> Result<Vec<f64>, Error> {
        self.values(rows)
    }
}

impl FromConfig for LinUcb {
    type Config = LinUcbConfig;

    fn from_config(config: LinUcbConfig, features: Option<Features>) -> Result<Self, Error> {
        Self::new(&config, Features::given(features)?)
    }
}
