//! Arms that come, change and go, and the stages between which the live set is fixed.

use super::Router;
use super::arm::{Arm, ArmSettings, ArmSpec};
use super::config::check_budget;
use crate::arm_index::ArmIndex;
use crate::confidence::Bounds;
use crate::error::Error;
use crate::guard::Nanodollars;
use crate::health::Health;
use crate::lp::RoutingLp;
use crate::pacing::StartCost;
use crate::plan::StagePlan;
use crate::throughput::Traffic;

impl Router {
    /// Adds a candidate and returns its index. It is live from the first plan that names it.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the setting that breaks its rule.
    pub fn add_arm(&mut self, spec: &ArmSpec) -> Result<ArmIndex, Error> {
        let settings = spec.settings;
        settings.validate(!self.guard.is_off())?;
        let traffic = Traffic::new(settings.limits, self.clock)?;
        let arm = self.learner.add_arm(&spec.prior, settings.prices)?;
        self.arms.push(Arm {
            settings,
            reservation: Nanodollars::from_usd(settings.max_cost.unwrap_or(0.0)),
            share: settings.throughput_cap,
            prices: settings.prices.into_iter().collect(),
            traffic,
            health: Health::default(),
            is_retired: false,
        });
        Ok(arm)
    }

    /// Changes an arm's settings from the next query on. Decisions already made are billed at the
    /// prices under which they were made.
    ///
    /// # Errors
    /// As [`Router::add_arm`], and [`Error::UnknownArm`] or [`Error::RetiredArm`].
    pub fn set_arm(&mut self, arm: ArmIndex, settings: ArmSettings) -> Result<(), Error> {
        self.check_candidate("arm", arm)?;
        settings.validate(!self.guard.is_off())?;
        if settings.prices != self.arms[arm].settings.prices {
            self.learner.set_prices(arm, settings.prices)?;
            self.arms[arm].prices.extend(settings.prices);
        }
        let state = &mut self.arms[arm];
        if settings.limits != state.settings.limits {
            state.traffic.set_limits(settings.limits, self.clock)?;
        }
        state.settings = settings;
        state.reservation = Nanodollars::from_usd(settings.max_cost.unwrap_or(0.0));
        state.share = settings.throughput_cap;
        self.shares_due = f64::NEG_INFINITY;
        if self.plan.slot(arm).is_some() {
            self.load_lp();
            self.update_gates();
        }
        Ok(())
    }

    /// Retires an arm for good: it leaves the live set at once, and feedback for its earlier
    /// decisions still counts.
    ///
    /// # Errors
    /// [`Error::UnknownArm`] or [`Error::RetiredArm`].
    pub fn retire_arm(&mut self, arm: ArmIndex) -> Result<(), Error> {
        self.check_candidate("arm", arm)?;
        self.arms[arm].is_retired = true;
        if self.plan.slot(arm).is_some() {
            let left: Vec<ArmIndex> =
                self.plan.arms().iter().copied().filter(|&live| live != arm).collect();
            self.install(StagePlan::new(self.plan.stage(), &left, self.arms.len())?);
            self.has_lost_slot = true;
        }
        Ok(())
    }

    /// Replaces the budget.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`].
    pub fn set_budget(&mut self, budget: f64) -> Result<(), Error> {
        check_budget(budget)?;
        self.config.budget = budget;
        Ok(())
    }

    /// Ends the stage: forgets what is to be forgotten, recomputes all bounds, and publishes the
    /// live set of the next stage, whole. What starting arms costs counts for hard limits at once
    /// and for the average budget spread over the stage.
    ///
    /// # Errors
    /// [`Error::UnknownArm`], [`Error::DuplicateArm`], [`Error::RetiredArm`],
    /// [`Error::NoLiveArm`] or [`Error::InvalidNumber`]; nothing has changed then.
    pub fn publish(
        &mut self,
        deployed: &[ArmIndex],
        start: StartCost,
    ) -> Result<&StagePlan, Error> {
        start.validate()?;
        for &arm in deployed {
            self.check_candidate("deployed", arm)?;
        }
        if deployed.is_empty() {
            return Err(Error::NoLiveArm);
        }
        let plan = StagePlan::new(self.plan.stage() + 1, deployed, self.arms.len())?;
        self.learner.begin_stage();
        self.install(plan);
        self.extend_stage();
        self.guard.pay_undated(Nanodollars::from_usd(start.usd));
        self.start_costs.owe(start);
        Ok(&self.plan)
    }

    /// The bounds of every arm as they will be when the next plan is published: what its
    /// deployment is to be decided from. Changes nothing.
    pub fn next_bounds(&self, out: &mut Vec<Bounds>) {
        self.learner.next_bounds(out);
    }

    /// The arms that a plan may name and should: neither retired nor failed.
    pub fn candidates(&self) -> impl Iterator<Item = ArmIndex> {
        let (now, config) = (self.clock, &self.config.health);
        let is_up = move |arm: &Arm| !arm.is_retired && !arm.health.has_failed(now, config);
        let arms = ArmIndex::first(self.arms.len()).zip(&self.arms);
        arms.filter(move |(_, arm)| is_up(arm)).map(|(index, _)| index)
    }

    /// The cap that an arm should be planned with: what its limits leave of its throughput cap at
    /// the present arrival rate.
    ///
    /// # Panics
    /// If there is no such arm.
    #[must_use]
    pub fn planned_share(&self, arm: ArmIndex) -> f64 {
        let Arm { settings, traffic, .. } = &self.arms[arm];
        let expected = self.learner.expected_tokens(arm).map(|t| t.input + t.output);
        let tokens = expected.or(settings.max_tokens).unwrap_or(0.0);
        traffic.share(settings.throughput_cap, self.rate.per_second(self.clock), tokens)
    }

    /// Whether a new plan should be published: the current stage has had all its queries, or a slot
    /// was lost that is to be filled again. Routing goes on over the old plan until then.
    #[must_use]
    #[inline]
    pub fn is_stage_due(&self) -> bool {
        self.stage_end.is_some_and(|end| self.ledger.queries >= end)
            || (self.has_lost_slot && self.config.redeploys_lost_slots)
    }

    /// Prolongs the current stage by another stage's queries: for a boundary at which no new plan
    /// could be found.
    pub fn extend_stage(&mut self) {
        let queries = self.ledger.queries;
        self.stage_end = self.config.stage_queries.map(|n| queries.saturating_add(n));
        self.has_lost_slot = false;
    }

    fn check_candidate(&self, argument: &'static str, arm: ArmIndex) -> Result<(), Error> {
        match self.arms.get(arm.index()) {
            None => Err(Error::UnknownArm { argument, arm, arms: self.arms.len() }),
            Some(Arm { is_retired: true, .. }) => Err(Error::RetiredArm { argument, arm }),
            Some(_) => Ok(()),
        }
    }

    /// Replaces plan and LP together.
    fn install(&mut self, plan: StagePlan) {
        self.plan = plan;
        self.lp = None;
        self.restricted.resize(self.plan.arms().len());
        self.load_lp();
        self.update_gates();
        self.shares_due = f64::NEG_INFINITY;
    }

    /// Loads the LP with the live arms as they stand.
    pub(super) fn load_lp(&mut self) {
        let Self { restricted, plan, learner, arms, lp, config, .. } = self;
        let live = plan.arms().iter().copied();
        let problem = restricted.columns.fill(live, learner, arms, config.budget);
        // Bounds and shares are valid by construction: only an empty live set has no LP.
        let is_loaded = lp.as_mut().is_some_and(|lp| lp.load(problem).is_ok());
        if !is_loaded {
            *lp = RoutingLp::new(problem).ok();
        }
    }

    /// Works out which live arms need to be looked at before each decision.
    pub(super) fn update_gates(&mut self) {
        let live = || self.plan.arms().iter().map(|&arm| &self.arms[arm]);
        self.has_traffic_limits = live().any(|arm| !arm.traffic.is_off());
        let has_open_breaker = live().any(|arm| !arm.health.is_closed());
        self.is_gated = self.has_traffic_limits || has_open_breaker || !self.guard.is_off();
    }
}
