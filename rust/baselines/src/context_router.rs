//! `StageRoute` with context: deployment as ever, routing by the estimates of each query.

use serde::Deserialize;
use stageroute_core::checks::{CAP_RULE, check, check_all, check_lengths, is_cap};
use stageroute_core::lp::{Problem, RoutingLp};
use stageroute_core::{
    ArmIndex, Confidence, CostFeedback, Decision, DecisionStatus, Drift, Error, Learner, LiveArms,
    Pacing, Prior,
};

use crate::baseline::{Baseline, FromConfig, Start};
use crate::context_prices::SharedPrices;
use crate::drawer::Drawer;
use crate::features::Features;
use crate::policy::{Outcome, Policy};
use crate::purse::Purse;
use crate::ridge::Ridge;
use crate::status_counts::StatusCounts;

/// How the queries share the budget and the arms.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Each query keeps to the (paced) budget and to the caps by itself: the routing LP.
    Own,
    /// Money goes to the queries where it brings most: prices of money and of shares that are common
    /// to all queries, and follow consumption.
    Prices {
        /// Step of ln λ for b USD too much, above 0.
        money_step: f64,
        /// Step of the price of an arm's share for a query too much, above 0.
        share_step: f64,
        /// How many queries a stage is expected to have.
        stage_queries: f64,
    },
}

/// Settings of a [`ContextRouter`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ContextConfig {
    /// How the queries share the budget.
    pub sharing: Sharing,
    /// Width of the confidence interval in units of `sqrt(xᵀ A⁻¹ x)`, not negative.
    pub width: f64,
    /// b, USD per query.
    pub budget: f64,
    /// Feedback from the spend to the budget of the next query.
    pub pacing: Option<Pacing>,
    /// Forced visits are those of these bounds.
    pub confidence: Confidence,
    /// Largest share of each arm, in (0, 1].
    pub throughput_cap: Vec<f64>,
    /// What is known of each beforehand; the mean cost alone is used.
    pub priors: Vec<Prior>,
    /// Fixes every random draw.
    pub seed: u64,
}

/// What is kept for the way the budget is shared.
#[derive(Debug, Clone)]
enum Routing {
    Own { lp: Option<Box<RoutingLp>>, caps: Vec<f64> },
    Prices(SharedPrices),
}

/// `StageRoute` whose routing knows features of each query. Every arm has a ridge regression of
/// reward and cost on them; with an intercept among the features its estimates are shrunk to the
/// pooled ones.
#[derive(Debug, Clone)]
pub struct ContextRouter {
    width: f64,
    /// Forced visits are those of these bounds.
    confidence: Confidence,
    features: Features,
    /// Estimates whatever the query: for deployments and forced visits.
    learner: Learner,
    arms: Vec<Ridge>,
    routing: Routing,
    purse: Purse,
    live: LiveArms,
    counts: StatusCounts,
    price: f64,
    drawer: Drawer,
    /// Estimates of the live arms for the query at hand, by slot.
    reward: Vec<f64>,
    cost: Vec<f64>,
    gain: Vec<f64>,
}

impl ContextRouter {
    /// A policy for a table with these features, of which nothing is live.
    ///
    /// # Errors
    /// [`Error::InvalidElement`] for a cap outside (0, 1]; [`Error::WrongLength`] unless there is one
    /// prior for each cap; [`Error::InvalidNumber`] for a setting or a prior.
    pub fn new(config: &ContextConfig, features: Features) -> Result<Self, Error> {
        let &ContextConfig { sharing, width, budget, pacing, confidence, seed, .. } = config;
        let (caps, priors, d) = (&config.throughput_cap, &config.priors, features.dimension());
        check(width.is_finite() && width >= 0.0, "width", width, "must be finite, not negative")?;
        check_all("throughput_cap", caps, CAP_RULE, is_cap)?;
        check_lengths("priors", priors.len(), caps.len(), "one for each cap")?;
        let mut learner = Learner::new(confidence, Drift::default())?;
        for prior in priors {
            learner.add_arm(prior, None)?;
        }
        let routing = match sharing {
            Sharing::Own => Routing::Own { lp: None, caps: caps.clone() },
            Sharing::Prices { money_step, share_step, stage_queries } => {
                Routing::Prices(SharedPrices::new(money_step, share_step, caps, stage_queries)?)
            }
        };
        Ok(Self {
            width,
            confidence,
            features,
            learner,
            arms: priors.iter().map(|prior| Ridge::new(d, prior.cost_moments().mean())).collect(),
            routing,
            purse: Purse::new(budget, pacing, caps.len())?,
            live: LiveArms::default(),
            counts: StatusCounts::default(),
            price: 0.0,
            drawer: Drawer::new(seed),
            reward: Vec::new(),
            cost: Vec::new(),
            gain: vec![0.0; d],
        })
    }

    /// Begins a new stage for what is known of the arms; see [`Learner::begin_stage`].
    pub fn begin_stage(&mut self) {
        self.learner.begin_stage();
    }

    /// What is known of each arm whatever the query: what a deployment is decided from.
    #[must_use]
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// Publishes the live set of the next stage; before the first query, `price` (reward per USD) is
    /// where the price of money starts.
    ///
    /// # Errors
    /// As [`LiveArms::new`]; [`Error::NoArms`] if it is empty.
    pub fn publish(&mut self, deployed: &[ArmIndex], price: f64) -> Result<(), Error> {
        let live = LiveArms::new(self.live.stage() + 1, deployed, self.arms.len())?;
        let zeros = vec![0.0; live.arms().len()];
        let budget = self.purse.budget;
        match &mut self.routing {
            Routing::Own { lp, caps } => {
                let cap: Vec<f64> = live.arms().iter().map(|&arm| caps[arm]).collect();
                let problem = Problem { reward: &zeros, cost: &zeros, cap: &cap, budget };
                *lp = Some(Box::new(RoutingLp::new(problem)?));
            }
            Routing::Prices(prices) => {
                if self.purse.ledger().queries == 0 {
                    prices.start_at(price * budget);
                }
                prices.begin_stage();
            }
        }
        (self.reward, self.cost, self.live) = (zeros.clone(), zeros, live);
        Ok(())
    }

    /// How often the LP of a query ended in each status; nothing where prices are shared.
    #[must_use]
    pub fn counts(&self) -> StatusCounts {
        self.counts
    }

    /// λ of the last query, reward per USD; 0 before the first.
    #[must_use]
    pub fn budget_price(&self) -> f64 {
        self.price
    }

    /// Optimistic reward, and the cost expected, USD, for a query of these features.
    fn estimate(&self, arm: ArmIndex, x: &[f64]) -> (f64, f64) {
        let confidence = &self.confidence;
        if self.learner.stats()[arm].reward.count() < confidence.min_visits {
            let bounds = self.learner.bounds()[arm];
            return (bounds.reward_ucb, bounds.cost_lcb);
        }
        let expected = self.arms[arm].predict(x);
        let optimistic = expected.reward + self.width * expected.width;
        (optimistic.clamp(0.0, 1.0), expected.cost.max(confidence.cost_floor))
    }

    /// Chooses the slot for the query at hand, with its probability.
    fn choose(&mut self) -> Result<(usize, f64), Error> {
        match &mut self.routing {
            Routing::Own { lp, .. } => {
                let lp = lp.as_mut().ok_or(Error::NoLiveArm)?;
                for (slot, (&reward, &cost)) in self.reward.iter().zip(&self.cost).enumerate() {
                    lp.set_arm(slot, reward, cost);
                }
                lp.set_budget(self.purse.paced_budget());
                lp.solve()?;
                self.counts.count(DecisionStatus::of(lp, self.purse.budget));
                self.price = lp.budget_price();
                let p = lp.probabilities();
                let slot = self.drawer.sampler.draw(lp.support(), p).ok_or(Error::NoLiveArm)?;
                Ok((slot, p[slot]))
            }
            Routing::Prices(prices) => {
                let (cost, budget) = (&self.cost, self.purse.budget);
                let slot = prices.choose(&self.live, &self.reward, |slot| cost[slot] / budget);
                let slot = slot.ok_or(Error::NoLiveArm)?;
                self.price = prices.money() / budget;
                prices.serve(self.live.arms()[slot], &self.live);
                Ok((slot, 1.0))
            }
        }
    }
}

impl Policy for ContextRouter {
    fn route(&mut self, row: usize) -> Result<Decision, Error> {
        let x = self.features.row(row)?;
        for (slot, &arm) in self.live.arms().iter().enumerate() {
            (self.reward[slot], self.cost[slot]) = self.estimate(arm, x);
        }
        let (slot, probability) = self.choose()?;
        let arm = self.live.arms()[slot];
        self.purse.open(arm, self.cost[slot]);
        Ok(self.drawer.decide(arm, probability, self.price, &self.live))
    }

    fn observe(&mut self, row: usize, decision: &Decision, outcome: Outcome) -> Result<(), Error> {
        let Outcome { reward, cost } = outcome;
        let (arm, x) = (decision.arm, self.features.row(row)?);
        self.learner.observe(arm, Some(reward), Some(CostFeedback::Usd(cost)))?;
        self.arms[arm].learn(x, reward, cost, &mut self.gain);
        self.purse.settle(arm, cost);
        if let Routing::Prices(prices) = &mut self.routing {
            prices.bill(cost, &self.purse);
        }
        Ok(())
    }
}

impl Baseline for ContextRouter {
    fn begin_stage(&mut self) -> (Vec<f64>, Vec<f64>) {
        self.begin_stage();
        self.learner.bounds().iter().map(|b| (b.reward_ucb, b.cost_lcb)).unzip()
    }

    fn publish(&mut self, deployed: &[ArmIndex], start: Start<'_>) -> Result<(), Error> {
        self.publish(deployed, start.price)
    }

    fn budget_price(&self) -> f64 {
        self.price
    }

    fn counts(&self) -> Option<StatusCounts> {
        matches!(self.routing, Routing::Own { .. }).then_some(self.counts)
    }
}

impl FromConfig for ContextRouter {
    type Config = ContextConfig;

    fn from_config(config: ContextConfig, features: Option<Features>) -> Result<Self, Error> {
        Self::new(&config, Features::given(features)?)
    }
}
