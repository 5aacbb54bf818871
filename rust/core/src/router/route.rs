//! From a query to a decision.

use super::Router;
use super::arm::{Arm, Need};
use crate::checks::is_cap;
use crate::decision::{Decision, Query, Reasons};
use crate::decisions::OpenDecision;
use crate::error::Error;
use crate::log::LoggedArm;
use crate::lp::RoutingLp;
use crate::sampling::Sampler;
use crate::status::DecisionStatus;
use crate::tolerances::{SHARE_TOLERANCE, TIE_TOLERANCE};

/// Seconds between two derivations of shares from the arrival rate.
pub(super) const SHARES_EVERY: f64 = 1.0;
/// A draw from an LP.
struct Draw {
    slot: usize,
    status: DecisionStatus,
    probability: f64,
    budget_price: f64,
}

impl Draw {
    /// Draws one of the arms of an LP that was solved: its place there stands for the slot.
    #[inline]
    fn from(lp: &RoutingLp, sampler: &mut Sampler, budget: f64) -> Result<Self, Error> {
        let slot = sampler.draw(lp.support(), lp.probabilities()).ok_or(Error::NoLiveArm)?;
        let (probability, budget_price) = (lp.probabilities()[slot], lp.budget_price());
        debug_assert!(probability > 0.0 && probability <= 1.0 + TIE_TOLERANCE, "{probability}");
        Ok(Self { slot, status: DecisionStatus::of(lp, budget), probability, budget_price })
    }
}

impl Router {
    /// Decides which live arm serves the next query.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] or [`Error::UnknownArm`] for a bad query; [`Error::NoLiveArm`]
    /// before the first stage or when all its arms have retired; [`Error::AtTrafficLimit`],
    /// [`Error::AllCooling`], [`Error::AtHardLimit`] or [`Error::AllExcluded`] when no live arm may
    /// serve it, which is counted; [`Error::PivotLimit`], a defect. No decision is made then.
    #[inline]
    pub fn route(&mut self, query: &Query<'_>) -> Result<Decision, Error> {
        if self.gates.any || !query.is_plain() {
            return self.route_gated(query);
        }
        let now = self.begin_route(query)?;
        let draw = self.draw_from_all()?;
        Ok(self.open(&draw, now, Need::default(), Reasons::default()))
    }

    /// Takes the time of a query, and what is due by then.
    #[inline]
    fn begin_route(&mut self, query: &Query<'_>) -> Result<f64, Error> {
        let now = self.advance_clock(query.now)?;
        if self.config.max_age.is_some() {
            self.write_off_aged(now);
        }
        Ok(now)
    }

    /// The way when arms have to be looked at one by one. Out of line, so that the plain way stays
    /// short.
    #[inline(never)]
    fn route_gated(&mut self, query: &Query<'_>) -> Result<Decision, Error> {
        query.validate(self.arms.len())?;
        let now = self.begin_route(query)?;
        if self.lp.is_none() {
            self.require_stage();
            return Err(Error::NoLiveArm);
        }
        self.guard.advance(now, self.clock_offset, self.ledger.queries);
        if !self.scopes.is_empty() {
            self.begin_in_scopes(now);
        }
        if self.gates.trouble && now >= self.gates.trouble_due {
            self.gates.trouble_due = now + SHARES_EVERY;
            self.refresh_trouble(now);
        }
        if self.gates.traffic {
            self.rate.note_arrival(now);
            self.derive_shares(now);
        }
        let excluded = self.look_for_arms(query, now);
        let admissible = self.restricted.slots.len();
        if admissible == 0 {
            return Err(self.refuse(query, excluded, now));
        }
        let is_whole = admissible == self.live.arms().len();
        let draw = if is_whole { self.draw_from_all()? } else { self.draw_from_admissible()? };
        let arm = self.live.arms()[draw.slot];
        let mut reasons = excluded.reasons;
        if !self.arms[arm].health.is_closed() {
            reasons.insert(Reasons::PROBE);
        }
        debug_assert!(self.restricted.slots.contains(&draw.slot), "arm {arm} may not serve this");
        self.counters.panicked += u64::from(excluded.is_panic);
        let need = self.restricted.needs[draw.slot];
        self.guard.reserve(need.reservation);
        if !self.scopes.is_empty() {
            self.reserve_in_scopes(arm, need);
        }
        Ok(self.open(&draw, now, need, reasons))
    }

    /// Draws from the LP over the whole live set.
    #[inline]
    fn draw_from_all(&mut self) -> Result<Draw, Error> {
        let budget = self.paced_budget();
        let Some(lp) = &mut self.lp else { return Err(Error::NoLiveArm) };
        lp.set_budget(budget);
        lp.solve()?;
        let draw = Draw::from(lp, &mut self.sampler, self.config.budget)?;
        match draw.status {
            DecisionStatus::Optimal => self.counters.optimal += 1,
            DecisionStatus::Throttled => self.counters.throttled += 1,
            DecisionStatus::BudgetInfeasible => self.counters.budget_infeasible += 1,
            DecisionStatus::CapInfeasible => self.counters.cap_infeasible += 1,
        }
        Ok(draw)
    }

    /// Solves once more, over the admissible slots alone, and draws from that. The LP over the whole
    /// live set keeps its basis.
    fn draw_from_admissible(&mut self) -> Result<Draw, Error> {
        let budget = self.paced_budget();
        let Self { restricted, live, learner, arms, columns, .. } = self;
        let lp = restricted.load(live.arms(), learner, arms, columns, budget)?;
        lp.solve()?;
        let draw = Draw::from(lp, &mut self.sampler, self.config.budget)?;
        self.counters.restricted += 1;
        let is_infeasible =
            matches!(draw.status, DecisionStatus::BudgetInfeasible | DecisionStatus::CapInfeasible);
        self.counters.restricted_infeasible += u64::from(is_infeasible);
        Ok(Draw { slot: self.restricted.slots[draw.slot], ..draw })
    }

    /// Turns limits into shares for the LP, now and then.
    fn derive_shares(&mut self, now: f64) {
        if now < self.shares_due {
            return;
        }
        self.shares_due = now + SHARES_EVERY;
        let mut has_changed = false;
        for slot in 0..self.live.arms().len() {
            let arm = self.live.arms()[slot];
            let share = self.planned_share(arm);
            // Small movements are not worth a cold solve.
            if (share - self.arms[arm].share).abs() > SHARE_TOLERANCE * share {
                debug_assert!(is_cap(share), "arm {arm} gets a share of {share}");
                self.arms[arm].share = share;
                has_changed = true;
            }
        }
        if has_changed {
            self.load_lp();
        }
    }

    /// Opens the decision for a draw.
    #[inline]
    fn open(&mut self, draw: &Draw, now: f64, need: Need, reasons: Reasons) -> Decision {
        let arm = self.live.arms()[draw.slot];
        let expected_cost = self.learner.expected_cost(arm);
        let Arm { settings, prices, .. } = &self.arms[arm];
        let num_prices = |_| u32::try_from(prices.len()).unwrap_or(u32::MAX);
        let (id, evicted) = self.decisions.open(OpenDecision {
            arm,
            prices: settings.prices.map_or(0, num_prices),
            expected_cost,
            reservation: need.reservation,
            tokens: need.tokens,
            at: now,
            ..OpenDecision::default()
        });
        if let Some(evicted) = evicted {
            self.write_off(&evicted);
        }
        self.ledger.queries += 1;
        self.ledger.in_flight += expected_cost;
        if self.start_costs.owed > 0.0 {
            self.ledger.billed = self.billed.add(self.start_costs.pay());
        }
        let state = &mut self.arms[arm];
        state.traffic.take(need.tokens);
        state.health.note_sent(now);
        if self.gates.trouble
            && let Some(limiter) = &mut state.limiter
        {
            limiter.note_sent(now);
        }
        debug_assert_eq!(self.ledger.queries, id + 1, "decisions are numbered as they are counted");
        debug_assert_eq!(self.counters.decided(), self.ledger.queries, "{:?}", self.counters);
        let Draw { probability, budget_price, .. } = *draw;
        let stage = self.live.stage();
        let decision = Decision { id, arm, probability, stage, budget_price, reasons };
        if self.log.is_on() {
            self.log_decision(decision, draw, now);
        }
        decision
    }

    #[inline(never)]
    fn log_decision(&mut self, decision: Decision, draw: &Draw, now: f64) {
        let is_whole = decision.reasons.are_none_but(Reasons::PROBE);
        let Self { log, live, learner, lp, restricted, clock_offset, .. } = self;
        let Some(lp) = (if is_whole { lp.as_ref() } else { restricted.lp.as_ref() }) else {
            return;
        };
        let paced_budget = lp.problem().budget;
        let p = lp.probabilities();
        let probability = |slot: usize| {
            if is_whole {
                return p[slot];
            }
            restricted.slots.binary_search(&slot).map_or(0.0, |place| p[place])
        };
        let arms = live.arms().iter().enumerate().map(|(slot, &arm)| LoggedArm {
            arm,
            probability: probability(slot),
            bounds: learner.bounds()[arm],
        });
        log.push(&decision, draw.status, now + *clock_offset, paced_budget, arms);
    }
}
