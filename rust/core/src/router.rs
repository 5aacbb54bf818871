//! The router: one LP per query over the live set, one update per observation.

use crate::confidence::Confidence;
use crate::decisions::{OpenDecision, OpenDecisions};
use crate::drift::Drift;
use crate::error::{CAP_RULE, Error, check, is_cap};
use crate::learner::Learner;
use crate::lp::{Problem, RoutingLp, SolveCounts, Status};
use crate::pacing::{CompensatedSum, Ledger, Pacing};
use crate::plan::StagePlan;
use crate::replay::{Outcome, Policy};
use crate::sampling::Sampler;
use crate::stats::{ArmStats, check_observation};
use crate::usage::CostFeedback;

/// Settings of a [`Router`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouterConfig {
    /// b: average USD per query.
    pub budget: f64,
    /// How estimates become bounds.
    pub confidence: Confidence,
    /// Control of the spend; without it the LP always gets the budget itself, as published.
    pub pacing: Option<Pacing>,
    /// How many recent decisions can take feedback; rounded up to a power of two.
    pub open_decisions: usize,
    /// Queries in a stage, at least 1; without it stages end when a plan is published.
    pub stage_queries: Option<u64>,
    /// Fixes every random draw.
    pub seed: u64,
}

/// One routing decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// Names the decision in feedback; consecutive from 0.
    pub id: u64,
    /// The arm that serves the query.
    pub arm: usize,
    /// The probability with which it was drawn, in (0, 1].
    pub probability: f64,
    /// The stage in which it was made.
    pub stage: u64,
    /// λ of the LP behind it, reward per USD; infinite when its budget could not be met.
    pub budget_price: f64,
}

/// Feedback for one decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The decision.
    pub id: u64,
    /// Reward in \[0, 1\], if known.
    pub reward: Option<f64>,
    /// Cost in USD, if known.
    pub cost: Option<f64>,
}

/// What the router has done so far. The four statuses sum to the decisions made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Decisions from an optimal LP.
    pub optimal: u64,
    /// Decisions for which the paced budget could not be met although the budget itself could:
    /// the cheapest mixture serves until earlier overspend is made good.
    pub throttled: u64,
    /// Decisions for which no mixture meets the budget, even on optimistic costs.
    pub budget_infeasible: u64,
    /// Decisions for which the live caps sum to less than 1.
    pub cap_infeasible: u64,
    /// Rewards counted.
    pub rewards: u64,
    /// Costs counted.
    pub costs: u64,
}

/// `StageRoute`'s routing half. Deployment (which arms are live) is decided outside and published
/// as a plan; everything between two plans happens here.
#[derive(Debug, Clone)]
pub struct Router {
    budget: f64,
    pacing: Option<Pacing>,
    learner: Learner,
    caps: Vec<f64>,
    retired: Vec<bool>,
    plan: StagePlan,
    lp: Option<RoutingLp>,
    stage_queries: Option<u64>,
    /// The number of queries at which the current stage ends.
    stage_end: Option<u64>,
    decisions: OpenDecisions,
    ledger: Ledger,
    billed: CompensatedSum,
    counters: Counters,
    sampler: Sampler,
}

impl Router {
    /// A router without arms; nothing is live.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the setting that breaks its rule.
    pub fn new(config: &RouterConfig) -> Result<Self, Error> {
        let budget = config.budget;
        let rule = "must be finite and above 0, in USD per query";
        check(budget.is_finite() && budget > 0.0, "budget", budget, rule)?;
        if let Some(pacing) = config.pacing {
            pacing.validate()?;
        }
        let rule = "must be in [1, 2^28]: each takes 24 bytes";
        let open = config.open_decisions;
        check((1..=1 << 28).contains(&open), "open_decisions", open as f64, rule)?;
        if let Some(0) = config.stage_queries {
            check(false, "stage_queries", 0.0, "must be at least 1")?;
        }
        Ok(Self {
            budget,
            pacing: config.pacing,
            learner: Learner::new(config.confidence, Drift::default())?,
            caps: Vec::new(),
            retired: Vec::new(),
            plan: StagePlan::default(),
            lp: None,
            stage_queries: config.stage_queries,
            stage_end: None,
            decisions: OpenDecisions::new(config.open_decisions),
            ledger: Ledger::default(),
            billed: CompensatedSum::default(),
            counters: Counters::default(),
            sampler: Sampler::new(config.seed),
        })
    }

    /// Adds a candidate and returns its index. It is live from the first plan that names it.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] for a cap outside (0, 1].
    pub fn add_arm(&mut self, throughput_cap: f64, prior: ArmStats) -> Result<usize, Error> {
        check(is_cap(throughput_cap), "throughput_cap", throughput_cap, CAP_RULE)?;
        self.caps.push(throughput_cap);
        self.retired.push(false);
        Ok(self.learner.add_learnt_arm(prior))
    }

    /// Retires an arm for good: it leaves the live set at once, its slot stays empty until the next
    /// plan, and feedback for its earlier decisions still counts.
    ///
    /// # Errors
    /// [`Error::UnknownArm`] or [`Error::RetiredArm`].
    pub fn retire_arm(&mut self, arm: usize) -> Result<(), Error> {
        self.check_candidate("arm", arm)?;
        if self.plan.slot(arm).is_some() {
            let left: Vec<usize> =
                self.plan.arms().iter().copied().filter(|&live| live != arm).collect();
            let plan = StagePlan::new(self.plan.stage(), &left, self.caps.len())?;
            self.install(plan)?;
        }
        self.retired[arm] = true;
        Ok(())
    }

    /// Publishes the live set of the next stage, whole.
    ///
    /// # Errors
    /// [`Error::UnknownArm`], [`Error::DuplicateArm`], [`Error::RetiredArm`] or
    /// [`Error::NoLiveArm`]; the old plan stays then.
    pub fn publish(&mut self, deployed: &[usize]) -> Result<&StagePlan, Error> {
        for &arm in deployed {
            self.check_candidate("deployed", arm)?;
        }
        if deployed.is_empty() {
            return Err(Error::NoLiveArm);
        }
        let plan = StagePlan::new(self.plan.stage() + 1, deployed, self.caps.len())?;
        self.install(plan)?;
        self.extend_stage();
        Ok(&self.plan)
    }

    /// Recomputes the bounds for the next stage; see [`Learner::begin_stage`]. To be done before
    /// its deployment is decided. The live LP keeps its estimates until the plan is published.
    pub fn refresh_bounds(&mut self) {
        self.learner.begin_stage();
    }

    /// Whether the current stage has had all its queries, so that a new plan should be published
    /// before the next one. Routing goes on over the old plan until then.
    #[must_use]
    #[inline]
    pub fn is_stage_due(&self) -> bool {
        self.stage_end.is_some_and(|end| self.ledger.queries >= end)
    }

    /// Prolongs the current stage by another stage's queries: for a boundary at which no new plan
    /// could be found.
    pub fn extend_stage(&mut self) {
        self.stage_end = self.stage_queries.map(|n| self.ledger.queries.saturating_add(n));
    }

    fn check_candidate(&self, argument: &'static str, arm: usize) -> Result<(), Error> {
        match self.retired.get(arm) {
            None => Err(Error::UnknownArm { argument, arm, arms: self.caps.len() }),
            Some(true) => Err(Error::RetiredArm { argument, arm }),
            Some(false) => Ok(()),
        }
    }

    /// Replaces plan and LP together.
    fn install(&mut self, plan: StagePlan) -> Result<(), Error> {
        let live = plan.arms();
        let bounds = self.learner.bounds();
        let reward: Vec<f64> = live.iter().map(|&arm| bounds[arm].reward_ucb).collect();
        let cost: Vec<f64> = live.iter().map(|&arm| bounds[arm].cost_lcb).collect();
        let cap: Vec<f64> = live.iter().map(|&arm| self.caps[arm]).collect();
        self.lp = if live.is_empty() {
            None
        } else {
            let budget = self.budget;
            let problem = Problem { reward: &reward, cost: &cost, cap: &cap, budget };
            Some(RoutingLp::new(problem)?)
        };
        self.plan = plan;
        Ok(())
    }

    /// Decides which live arm serves the next query.
    ///
    /// # Errors
    /// [`Error::NoLiveArm`] before the first plan or when all its arms have retired;
    /// [`Error::PivotLimit`], a defect. No decision is counted then.
    #[inline]
    pub fn route(&mut self) -> Result<Decision, Error> {
        let budget = self.paced_budget();
        let Some(lp) = &mut self.lp else { return Err(Error::NoLiveArm) };
        lp.set_budget(budget);
        let status = lp.solve()?;
        let slot = self.sampler.draw(lp.support(), lp.probabilities()).ok_or(Error::NoLiveArm)?;
        let (probability, budget_price) = (lp.probabilities()[slot], lp.budget_price());
        match status {
            Status::Optimal => self.counters.optimal += 1,
            Status::CapInfeasible => self.counters.cap_infeasible += 1,
            Status::BudgetInfeasible if lp.spend() <= self.budget => self.counters.throttled += 1,
            Status::BudgetInfeasible => self.counters.budget_infeasible += 1,
        }
        let arm = self.plan.arms()[slot];
        let expected_cost = self.learner.expected_cost(arm);
        self.ledger.queries += 1;
        self.ledger.in_flight += expected_cost;
        let id = self.decisions.open(arm, expected_cost);
        Ok(Decision { id, arm, probability, stage: self.plan.stage(), budget_price })
    }

    /// Counts the reward, the cost, or both, of an earlier decision. Each counts once.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`], [`Error::UnknownDecision`], [`Error::ExpiredDecision`] or
    /// [`Error::AlreadyObserved`]; nothing is counted then.
    #[inline]
    pub fn observe(&mut self, observation: Observation) -> Result<(), Error> {
        let open = self.admit(observation)?;
        self.learn(open, observation)
    }

    /// Counts a batch of observations, all or none.
    ///
    /// # Errors
    /// The index of the first bad observation, and its error as in [`Router::observe`].
    pub fn observe_many(&mut self, observations: &[Observation]) -> Result<(), (usize, Error)> {
        for (index, &observation) in observations.iter().enumerate() {
            if let Err(error) = self.admit(observation) {
                for &Observation { id, reward, cost } in &observations[..index] {
                    self.decisions.unmark(id, reward.is_some(), cost.is_some());
                }
                return Err((index, error));
            }
        }
        for (index, &observation) in observations.iter().enumerate() {
            self.decisions
                .find(observation.id, false, false)
                .and_then(|open| self.learn(open, observation))
                .map_err(|error| (index, error))?;
        }
        Ok(())
    }

    /// Checks an observation and notes that its decision has had it.
    #[inline]
    fn admit(&mut self, observation: Observation) -> Result<OpenDecision, Error> {
        let Observation { id, reward, cost } = observation;
        check_observation(reward, cost)?;
        let open = self.decisions.find(id, reward.is_some(), cost.is_some())?;
        self.decisions.mark(id, reward.is_some(), cost.is_some());
        Ok(open)
    }

    /// Updates statistics, money and the LP with an observation that was admitted.
    #[inline]
    fn learn(&mut self, open: OpenDecision, observation: Observation) -> Result<(), Error> {
        let Observation { reward, cost, .. } = observation;
        let bounds = self.learner.observe(open.arm, reward, cost.map(CostFeedback::Usd))?;
        if let Some(cost) = cost {
            self.ledger.billed = self.billed.add(cost);
            self.ledger.in_flight -= open.expected_cost;
            self.counters.costs += 1;
        }
        self.counters.rewards += u64::from(reward.is_some());
        if let (Some(slot), Some(lp)) = (self.plan.slot(open.arm), &mut self.lp) {
            lp.set_arm(slot, bounds.reward_ucb, bounds.cost_lcb);
        }
        Ok(())
    }

    /// The budget that the next LP gets, USD per query.
    #[must_use]
    #[inline]
    pub fn paced_budget(&self) -> f64 {
        match self.pacing {
            Some(pacing) => pacing.paced_budget(self.budget, &self.ledger),
            None => self.budget,
        }
    }

    /// Statistics and bounds of every arm.
    #[must_use]
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// Throughput cap of every arm.
    #[must_use]
    pub fn caps(&self) -> &[f64] {
        &self.caps
    }

    /// Whether each arm has retired.
    #[must_use]
    pub fn retired(&self) -> &[bool] {
        &self.retired
    }

    /// The live set.
    #[must_use]
    pub fn plan(&self) -> &StagePlan {
        &self.plan
    }

    /// The routing LP of the live set, if there is one.
    #[must_use]
    pub fn lp(&self) -> Option<&RoutingLp> {
        self.lp.as_ref()
    }

    /// How the LPs of this stage were solved.
    #[must_use]
    pub fn solve_counts(&self) -> SolveCounts {
        self.lp.as_ref().map(RoutingLp::counts).unwrap_or_default()
    }

    /// Money so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

impl Policy for Router {
    #[inline]
    fn route(&mut self) -> Result<Decision, Error> {
        Self::route(self)
    }

    #[inline]
    fn observe(&mut self, decision: &Decision, outcome: Outcome) -> Result<(), Error> {
        let Outcome { reward, cost } = outcome;
        Self::observe(self, Observation { id: decision.id, reward: Some(reward), cost: Some(cost) })
    }
}
