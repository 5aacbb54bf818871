//! The paper's greedy baseline.

use serde::Deserialize;
use stageroute_core::checks::{CAP_RULE, check_all, is_cap};
use stageroute_core::{
    ArmIndex, Confidence, CostFeedback, Decision, Drift, Error, Learner, LiveArms, Prior,
};

use crate::baseline::{Baseline, FromConfig, Start};
use crate::drawer::Drawer;
use crate::features::Features;
use crate::policy::{Outcome, Policy};

/// The paper's greedy baseline: arms are ranked by utility `μ^U / c^L`, and queries go to the
/// ranking's head, each arm up to its cap. It never looks at the budget.
#[derive(Debug, Clone)]
pub struct Greedy {
    learner: Learner,
    caps: Vec<f64>,
    live: LiveArms,
    /// The live arms, by falling utility.
    ranking: Vec<ArmIndex>,
    probabilities: Vec<f64>,
    drawer: Drawer,
}

impl Greedy {
    /// A policy over arms with the given caps; nothing is live.
    ///
    /// # Errors
    /// As [`Confidence::validate`]; [`Error::InvalidElement`] for a cap outside (0, 1].
    pub fn new(confidence: Confidence, caps: &[f64], seed: u64) -> Result<Self, Error> {
        check_all("throughput_cap", caps, CAP_RULE, is_cap)?;
        let mut learner = Learner::new(confidence, Drift::default())?;
        for _ in caps {
            learner.add_arm(&Prior::default(), None)?;
        }
        Ok(Self {
            learner,
            caps: caps.to_vec(),
            live: LiveArms::default(),
            ranking: Vec::new(),
            probabilities: vec![0.0; caps.len()],
            drawer: Drawer::new(seed),
        })
    }

    /// Recomputes the bounds for the next stage; see [`Learner::begin_stage`].
    pub fn refresh_bounds(&mut self) {
        self.learner.begin_stage();
    }

    /// Publishes the live set of the next stage.
    ///
    /// # Errors
    /// As [`LiveArms::new`].
    pub fn publish(&mut self, deployed: &[ArmIndex]) -> Result<(), Error> {
        self.live = LiveArms::new(self.live.stage() + 1, deployed, self.caps.len())?;
        self.ranking.clear();
        self.ranking.extend_from_slice(self.live.arms());
        self.rank();
        Ok(())
    }

    /// Statistics and bounds of every arm.
    #[must_use]
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// Ranks the live arms (ties towards the higher reward, then the first) and fills their caps.
    fn rank(&mut self) {
        let bounds = self.learner.bounds();
        // A cost bound of 0 makes the utility infinite, or NaN with a reward bound of 0: both rank
        // as `total_cmp` puts them, always in the same way.
        let utility = |arm: ArmIndex| bounds[arm].reward_ucb / bounds[arm].cost_lcb;
        self.ranking.sort_unstable_by(|&a, &b| {
            utility(b)
                .total_cmp(&utility(a))
                .then(bounds[b].reward_ucb.total_cmp(&bounds[a].reward_ucb))
                .then(a.cmp(&b))
        });
        let cap_sum: f64 = self.ranking.iter().map(|&arm| self.caps[arm]).sum();
        let scale = 1.0 / cap_sum.min(1.0);
        let mut mass = 1.0_f64;
        self.probabilities.fill(0.0);
        for &arm in &self.ranking {
            let share = mass.min(self.caps[arm] * scale);
            self.probabilities[arm] = share;
            mass -= share;
        }
    }
}

impl Policy for Greedy {
    fn route(&mut self, _: usize) -> Result<Decision, Error> {
        self.drawer.draw(&self.ranking, &self.probabilities, &self.live)
    }

    fn observe(&mut self, _: usize, decision: &Decision, outcome: Outcome) -> Result<(), Error> {
        let cost = CostFeedback::Usd(outcome.cost);
        self.learner.observe(decision.arm, Some(outcome.reward), Some(cost))?;
        self.rank();
        Ok(())
    }
}

impl Baseline for Greedy {
    fn begin_stage(&mut self) -> (Vec<f64>, Vec<f64>) {
        self.refresh_bounds();
        self.learner.bounds().iter().map(|b| (b.reward_ucb, b.cost_lcb)).unzip()
    }

    fn publish(&mut self, deployed: &[ArmIndex], _: Start<'_>) -> Result<(), Error> {
        self.publish(deployed)
    }
}

/// Settings of a [`Greedy`].
#[derive(Debug, Clone, Deserialize)]
pub struct GreedyConfig {
    /// How estimates become bounds.
    pub confidence: Confidence,
    /// Largest share of each arm, in (0, 1].
    pub throughput_cap: Vec<f64>,
    /// Fixes every random draw.
    pub seed: u64,
}

impl FromConfig for Greedy {
    type Config = GreedyConfig;

    fn from_config(config: GreedyConfig, _: Option<Features>) -> Result<Self, Error> {
        Self::new(config.confidence, &config.throughput_cap, config.seed)
    }
}
