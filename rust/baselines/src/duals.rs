//! Prices of the resources of a bandit with knapsacks: money, and each arm's share of the traffic.

use serde::Deserialize;
use stageroute_core::checks::check;
use stageroute_core::{ArmIndex, Error};

/// How prices follow consumption, and how arms are valued at them. Consumption is in units of what
/// there is: a query that costs c uses c / b of the money of one query, an arm that serves it
/// 1 / α of its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DualMethod {
    /// Multiplicative weights and reward per price (`PrimalDualBwK`; Badanidiyuru, Kleinberg &
    /// Slivkins 2013, algorithm 2). Weights are in units of the weight of time, which is a resource
    /// as well.
    MultiplicativeWeights,
    /// Projected gradient steps and reward less price (Agrawal & Devanur 2014, section 4, with the
    /// online learner of their remark; consumption as billed, as in Agrawal & Devanur 2016).
    GradientDescent,
}

/// Prices of all resources.
#[derive(Debug, Clone)]
pub(crate) struct Duals {
    method: DualMethod,
    step: f64,
    /// Of money: the logarithm of its weight, or its price.
    money: f64,
    /// Of each arm's share.
    share: Vec<f64>,
}

/// No gradient price is higher: optimal prices are below it where the cheapest mixture costs at most
/// 0.9 b.
const HIGHEST_PRICE: f64 = 10.0;

impl Duals {
    pub(crate) fn new(method: DualMethod, step: f64, arms: usize) -> Result<Self, Error> {
        check(step.is_finite() && step > 0.0, "step", step, "must be finite and above 0")?;
        // A weight of 1, or no price yet.
        Ok(Self { method, step, money: 0.0, share: vec![0.0; arms] })
    }

    fn moved(&self, dual: f64, consumption: f64) -> f64 {
        let next = dual + self.step * (consumption - 1.0);
        match self.method {
            DualMethod::MultiplicativeWeights => next,
            DualMethod::GradientDescent => next.clamp(0.0, HIGHEST_PRICE),
        }
    }

    /// A query used so much money, in multiples of b.
    pub(crate) fn consume_money(&mut self, consumption: f64) {
        self.money = self.moved(self.money, consumption);
    }

    /// A query used so much of a live arm's share, in multiples of it.
    pub(crate) fn consume_share(&mut self, arm: ArmIndex, consumption: f64) {
        self.share[arm] = self.moved(self.share[arm], consumption);
    }

    fn price(&self, dual: f64) -> f64 {
        match self.method {
            DualMethod::MultiplicativeWeights => dual.exp(),
            DualMethod::GradientDescent => dual,
        }
    }

    /// The price of b USD.
    pub(crate) fn money_price(&self) -> f64 {
        self.price(self.money)
    }

    /// The price of a query for an arm of cap α whose cost is `cost` times b.
    pub(crate) fn query_price(&self, arm: ArmIndex, cost: f64, cap: f64) -> f64 {
        self.money_price() * cost + self.price(self.share[arm]) / cap
    }

    /// What a query is worth that brings so much reward at that price.
    pub(crate) fn value(&self, reward: f64, price: f64) -> f64 {
        match self.method {
            DualMethod::MultiplicativeWeights => reward / (1.0 + price),
            DualMethod::GradientDescent => reward - price,
        }
    }

    /// Reward per b USD at which a query of that value trades reward for money.
    pub(crate) fn exchange_rate(&self, value: f64) -> f64 {
        match self.method {
            DualMethod::MultiplicativeWeights => value * self.money_price(),
            DualMethod::GradientDescent => self.money_price(),
        }
    }
}
