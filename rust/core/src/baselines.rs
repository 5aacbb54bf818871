//! Policies to compare with. They deploy outside, like the router, and route here.

use crate::confidence::Confidence;
use crate::drift::Drift;
use crate::error::{CAP_RULE, Error, check_all, is_cap};
use crate::learner::Learner;
use crate::plan::StagePlan;
use crate::prior::Prior;
use crate::replay::{Outcome, Policy};
use crate::router::{Decision, Reasons};
use crate::sampling::Sampler;
use crate::usage::CostFeedback;

/// Draws and numbers the decisions of a baseline, which takes feedback at once and needs no table
/// of them.
#[derive(Debug, Clone)]
struct Drawer {
    sampler: Sampler,
    next: u64,
}

impl Drawer {
    fn new(seed: u64) -> Self {
        Self { sampler: Sampler::new(seed), next: 0 }
    }

    fn draw(&mut self, arms: &[usize], p: &[f64], plan: &StagePlan) -> Result<Decision, Error> {
        let arm = self.sampler.draw(arms, p).ok_or(Error::NoLiveArm)?;
        let id = self.next;
        self.next += 1;
        let (probability, stage, reasons) = (p[arm], plan.stage(), Reasons::default());
        Ok(Decision { id, arm, probability, stage, budget_price: 0.0, reasons })
    }
}

/// A fixed routing distribution for each stage, without learning: uniform routing, and the stage
/// oracle, whose distribution is the optimum under the true means.
#[derive(Debug, Clone)]
pub struct Mixture {
    arms: usize,
    plan: StagePlan,
    probabilities: Vec<f64>,
    drawer: Drawer,
}

impl Mixture {
    /// A policy over `arms` candidates; nothing is live.
    #[must_use]
    pub fn new(arms: usize, seed: u64) -> Self {
        Self {
            arms,
            plan: StagePlan::default(),
            probabilities: vec![0.0; arms],
            drawer: Drawer::new(seed),
        }
    }

    /// Publishes the next stage: the live arms, and a probability for each of all candidates.
    ///
    /// # Errors
    /// [`Error::WrongLength`], or [`Error::InvalidElement`] for a negative or non-finite
    /// probability; as [`StagePlan::new`] for the arms. Mass outside the live set is an
    /// [`Error::InvalidElement`] too.
    pub fn publish(&mut self, deployed: &[usize], probabilities: &[f64]) -> Result<(), Error> {
        let argument = "probabilities";
        if probabilities.len() != self.arms {
            let (actual, expected) = (probabilities.len(), self.arms);
            let rule = "one for each candidate";
            return Err(Error::WrongLength { argument, actual, expected, rule });
        }
        check_all(argument, probabilities, "must be in [0, 1]", |p| (0.0..=1.0).contains(&p))?;
        let plan = StagePlan::new(self.plan.stage() + 1, deployed, self.arms)?;
        let stray =
            (0..self.arms).find(|&arm| probabilities[arm] > 0.0 && plan.slot(arm).is_none());
        if let Some(index) = stray {
            let (value, rule) = (probabilities[index], "must be 0 for an arm that is not live");
            return Err(Error::InvalidElement { argument, index, value, rule });
        }
        self.plan = plan;
        self.probabilities.copy_from_slice(probabilities);
        Ok(())
    }
}

impl Policy for Mixture {
    fn route(&mut self, _: usize) -> Result<Decision, Error> {
        self.drawer.draw(self.plan.arms(), &self.probabilities, &self.plan)
    }

    fn observe(&mut self, _: usize, _: &Decision, _: Outcome) -> Result<(), Error> {
        Ok(())
    }
}

/// The paper's greedy baseline: arms are ranked by utility `μ^U / c^L`, and queries go to the
/// ranking's head, each arm up to its cap. It never looks at the budget.
#[derive(Debug, Clone)]
pub struct Greedy {
    learner: Learner,
    caps: Vec<f64>,
    plan: StagePlan,
    /// The live arms, by falling utility.
    ranking: Vec<usize>,
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
            plan: StagePlan::default(),
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
    /// As [`StagePlan::new`].
    pub fn publish(&mut self, deployed: &[usize]) -> Result<(), Error> {
        self.plan = StagePlan::new(self.plan.stage() + 1, deployed, self.caps.len())?;
        self.ranking.clear();
        self.ranking.extend_from_slice(self.plan.arms());
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
        let utility = |arm: usize| bounds[arm].reward_ucb / bounds[arm].cost_lcb;
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
        self.drawer.draw(&self.ranking, &self.probabilities, &self.plan)
    }

    fn observe(&mut self, _: usize, decision: &Decision, outcome: Outcome) -> Result<(), Error> {
        let cost = CostFeedback::Usd(outcome.cost);
        self.learner.observe(decision.arm, Some(outcome.reward), Some(cost))?;
        self.rank();
        Ok(())
    }
}
