//! Stages, between which the live set is fixed.

use super::Router;
use super::config::check_budget;
use crate::arm_index::ArmIndex;
use crate::checks::is_cost;
use crate::confidence::Bounds;
use crate::error::Error;
use crate::live_arms::LiveArms;
use crate::money::Nanodollars;
use crate::pacing::StartCost;

impl Router {
    /// Ends the stage: forgets what is to be forgotten, recomputes all bounds, and publishes the
    /// live set of the next stage, whole. What starting arms costs counts for hard limits at once
    /// and for the average budget spread over the stage.
    ///
    /// # Errors
    /// [`Error::UnknownArm`], [`Error::DuplicateArm`], [`Error::RetiredArm`],
    /// [`Error::NoLiveArm`], [`Error::StartAboveLimit`] or [`Error::InvalidNumber`]; nothing has changed then.
    pub fn publish(&mut self, deployed: &[ArmIndex], start: StartCost) -> Result<&LiveArms, Error> {
        start.validate()?;
        for &arm in deployed {
            self.check_candidate("deployed", arm)?;
        }
        if deployed.is_empty() {
            return Err(Error::NoLiveArm);
        }
        self.check_start(start.usd)?;
        let in_scopes = self.start_in_scopes(deployed)?;
        let live = LiveArms::new(self.live.stage() + 1, deployed, self.arms.len())?;
        self.learner.begin_stage();
        self.install(live);
        self.extend_stage();
        self.guard.pay_undated(Nanodollars::from_usd(start.usd));
        self.pay_in_scopes(&in_scopes);
        self.start_costs.owe(start);
        debug_assert!(self.lp.is_some(), "live arms without an LP");
        Ok(&self.live)
    }

    /// What hard limits leave for starting arms, USD; infinite without limits.
    #[must_use]
    pub fn start_room(&self) -> f64 {
        let tightest = self.guard.tightest(self.wall_clock());
        tightest.filter(|_| self.takes_bills).map_or(f64::INFINITY, |(_, left)| left.to_usd())
    }

    fn check_start(&self, usd: f64) -> Result<(), Error> {
        match self.guard.tightest(self.wall_clock()) {
            Some((limit, left)) if self.takes_bills && Nanodollars::from_usd(usd) > left => {
                let (period, left) = (limit.period.as_str(), left.to_usd());
                Err(Error::StartAboveLimit { usd, limit: limit.usd, period, left })
            }
            _ => Ok(()),
        }
    }

    /// The bounds of every arm as they will be when the next set is published, of an attempt: what its
    /// deployment is to be decided from. Changes nothing.
    pub fn next_bounds(&self, out: &mut Vec<Bounds>) {
        self.learner.next_bounds(out);
        for (bounds, arm) in out.iter_mut().zip(&self.arms) {
            *bounds = arm.answers.of_attempt(*bounds);
        }
    }

    /// Whether a new set should be published: the current stage has had all its queries, a slot was
    /// lost that is to be filled again, or nothing is live though something could be. Routing goes on
    /// over the old set until then.
    #[must_use]
    #[inline]
    pub fn is_stage_due(&self) -> bool {
        self.stage_end.is_some_and(|end| self.ledger.queries >= end)
            || (self.has_lost_slot && self.config.redeploys_lost_slots)
    }

    /// Prolongs the current stage by another stage's queries: for a boundary at which no new set
    /// could be found. Where nothing is live, the next query is to try again.
    pub fn extend_stage(&mut self) {
        let queries = self.ledger.queries;
        self.stage_end = self.config.stage_queries.map(|n| queries.saturating_add(n));
        self.has_lost_slot = false;
        if self.is_idle() {
            self.stage_end = Some(0);
        }
        debug_assert!(self.is_idle() || !self.is_stage_due(), "a stage that is due from its start");
    }

    /// Replaces the budget from the next query on. What was over- or underspent so far was so at the
    /// budget of its time; it is carried over, or forgotten. At a budget of 0 only arms serve that cost
    /// nothing.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`].
    pub fn change_budget(&mut self, budget: f64, carry: bool) -> Result<(), Error> {
        check_budget(budget)?;
        let queries = self.ledger.queries as f64;
        let granted = if carry {
            self.ledger.granted + (self.config.budget - budget) * queries
        } else {
            self.ledger.committed() - budget * queries
        };
        // Budgets may be so large that nothing is ever above them.
        self.ledger.granted = granted.clamp(-f64::MAX, f64::MAX);
        self.set_budget(budget)
    }

    /// Replaces the budget, of all queries from the first: so did the first version.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`].
    pub fn set_budget(&mut self, budget: f64) -> Result<(), Error> {
        check_budget(budget)?;
        self.config.budget = budget;
        self.update_gates();
        debug_assert!(is_cost(self.paced_budget()), "{}", self.paced_budget());
        Ok(())
    }

    /// Replaces the live arms and their LP together.
    pub(super) fn install(&mut self, live: LiveArms) {
        self.live = live;
        self.lp = None;
        self.reserve_lps();
        self.reset_shares();
        self.load_lp();
        self.update_gates();
        self.shares_due = f64::NEG_INFINITY;
        // What is known against an arm that was not live was not looked at.
        self.gates.trouble_due = f64::NEG_INFINITY;
        let slots = self.lp.as_ref().map_or(0, |lp| lp.probabilities().len());
        debug_assert_eq!(slots, self.live.arms().len(), "the LP is that of the live arms");
    }
}
