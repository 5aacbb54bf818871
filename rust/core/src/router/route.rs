//! From a query to a decision.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Arm, Router};
use crate::decisions::OpenDecision;
use crate::error::{Error, check, is_cost};
use crate::guard::{AtLimit, HardLimit, Nanodollars};
use crate::learner::Learner;
use crate::lp::{Problem, RoutingLp, Status};
use crate::usage::Tokens;

/// Seconds between two derivations of shares from the arrival rate.
const SHARES_EVERY: f64 = 1.0;
/// Relative movement of a share that is worth a cold solve.
const SHARE_TOLERANCE: f64 = 0.02;

/// What is asked of one decision.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Query<'a> {
    /// When it is asked, Unix seconds.
    pub now: f64,
    /// The arms that may serve it; `None` for all.
    pub allowed: Option<Cow<'a, [u32]>>,
    /// The most it may cost, USD: an arm is left out if its worst case is dearer, or, where no worst
    /// case is known, what it is expected to cost.
    pub max_cost: Option<f64>,
    /// Its number of input tokens and the largest number of output tokens, where known.
    pub tokens: Option<(f64, f64)>,
}

impl Query<'_> {
    /// A query that any arm may serve.
    #[must_use]
    pub fn at(now: f64) -> Self {
        Self { now, ..Self::default() }
    }

    fn is_plain(&self) -> bool {
        self.allowed.is_none() && self.max_cost.is_none() && self.tokens.is_none()
    }

    fn validate(&self, arms: usize) -> Result<(), Error> {
        if let Some(max_cost) = self.max_cost {
            check(is_cost(max_cost), "max_cost", max_cost, crate::error::COST_RULE)?;
        }
        if let Some((input, output)) = self.tokens {
            let rule = "must be a number of tokens, finite and not negative";
            check(is_cost(input), "input_tokens", input, rule)?;
            check(is_cost(output), "max_output_tokens", output, rule)?;
        }
        let unknown = self
            .allowed
            .iter()
            .flat_map(|allowed| allowed.iter())
            .find(|&&arm| arm as usize >= arms);
        match unknown {
            Some(&arm) => Err(Error::UnknownArm { argument: "allowed", arm: arm as usize, arms }),
            None => Ok(()),
        }
    }
}

/// Why a decision was made over a part of the live set, as a set of flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reasons(u8);

impl Reasons {
    /// All reasons, by their bit and the name each has in the interface.
    pub const NAMES: [(Self, &'static str); 5] = [
        (Self::EXCLUDED, "excluded"),
        (Self::TRAFFIC_LIMIT, "traffic_limit"),
        (Self::COOLING, "cooling"),
        (Self::HARD_LIMIT, "hard_limit"),
        (Self::PROBE, "probe"),
    ];
    /// The query itself left an arm out.
    pub const EXCLUDED: Self = Self(1);
    /// An arm was at a limit of requests, tokens or queries under way.
    pub const TRAFFIC_LIMIT: Self = Self(2);
    /// An arm was cooling down.
    pub const COOLING: Self = Self(4);
    /// An arm could have broken a hard limit.
    pub const HARD_LIMIT: Self = Self(8);
    /// The arm chosen is half open: this query probes it.
    pub const PROBE: Self = Self(16);

    /// Whether all flags of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags with these bits; others are ignored.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 31)
    }

    /// The flags as bits.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }
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
    /// Why not every live arm was considered.
    pub reasons: Reasons,
}

/// What a query would take of one arm.
#[derive(Debug, Clone, Copy, Default)]
struct Need {
    /// Held by hard limits until the bill.
    reservation: Nanodollars,
    /// Taken from the token bucket.
    tokens: f64,
}

/// Working memory of decisions over a part of the live set.
#[derive(Debug, Clone, Default)]
pub(super) struct Restricted {
    lp: Option<RoutingLp>,
    /// The slots that may serve the query.
    slots: Vec<usize>,
    /// What it would take, for each slot of the live set.
    needs: Vec<Need>,
    pub(super) columns: Columns,
}

/// Memory for the data of an LP.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    reward: Vec<f64>,
    cost: Vec<f64>,
    cap: Vec<f64>,
}

impl Columns {
    /// The LP over some arms as they stand.
    pub(super) fn fill(
        &mut self,
        chosen: impl Iterator<Item = usize>,
        learner: &Learner,
        arms: &[Arm],
        budget: f64,
    ) -> Problem<'_> {
        let Self { reward, cost, cap } = self;
        for column in [&mut *reward, &mut *cost, &mut *cap] {
            column.clear();
        }
        for arm in chosen {
            let bounds = learner.bounds()[arm];
            reward.push(bounds.reward_ucb);
            cost.push(bounds.cost_lcb);
            cap.push(arms[arm].share);
        }
        Problem { reward, cost, cap, budget }
    }
}

impl Restricted {
    /// Makes room for a live set, so that decisions allocate nothing.
    pub(super) fn resize(&mut self, live: usize) {
        self.needs.clear();
        self.needs.resize(live, Need::default());
        self.slots.reserve(live);
        let Columns { reward, cost, cap } = &mut self.columns;
        for column in [reward, cost, cap] {
            column.clear();
            column.reserve(live);
        }
        let ones = vec![1.0; live];
        let problem = Problem { reward: &ones, cost: &ones, cap: &ones, budget: 1.0 };
        self.lp = RoutingLp::new(problem).ok();
    }
}

/// What kept arms from serving a query that none could serve.
#[derive(Debug, Default)]
struct Obstacles {
    reasons: Reasons,
    /// Seconds until a bucket has room.
    traffic_wait: Option<f64>,
    /// When the first cooling arm may be tried again.
    reopens: Option<f64>,
    hard_limit: Option<HardLimit>,
}

impl Obstacles {
    fn note_cooling(&mut self, reopens: f64) {
        self.reasons.insert(Reasons::COOLING);
        self.reopens = Some(self.reopens.map_or(reopens, |first| first.min(reopens)));
    }

    fn note_wait(&mut self, wait: Option<f64>) {
        self.reasons.insert(Reasons::TRAFFIC_LIMIT);
        if let Some(wait) = wait.filter(|wait| wait.is_finite()) {
            self.traffic_wait = Some(self.traffic_wait.map_or(wait, |least| least.min(wait)));
        }
    }
}

impl Arm {
    /// What a query would take of this arm.
    #[inline]
    fn need(&self, query: &Query<'_>, learner: &Learner, arm: usize) -> Need {
        let reservation = match (query.tokens, self.settings.prices) {
            (Some((input, output)), Some(prices)) => {
                Nanodollars::from_usd(prices.bill(&Tokens { input, cached: 0.0, output }))
            }
            _ => self.reservation,
        };
        let tokens = match (query.tokens, self.settings.max_tokens) {
            _ if !self.traffic.limits_tokens() => 0.0,
            (Some((input, output)), _) => input + output,
            (None, Some(tokens)) => tokens,
            (None, None) => {
                let expected = learner.expected_tokens(arm);
                let tokens = expected.map_or(0.0, |tokens| tokens.input + tokens.output);
                tokens.min(self.traffic.largest_query())
            }
        };
        Need { reservation, tokens }
    }

    /// Whether a query itself leaves this arm in.
    fn satisfies(&self, query: &Query<'_>, need: Need, learner: &Learner, arm: usize) -> bool {
        // Arms are counted in memory: far fewer than 2^32.
        #[allow(clippy::cast_possible_truncation)]
        let is_allowed =
            query.allowed.as_ref().is_none_or(|allowed| allowed.contains(&(arm as u32)));
        let knows_worst = self.settings.max_cost.is_some()
            || (query.tokens.is_some() && self.settings.prices.is_some());
        let is_cheap_enough = query.max_cost.is_none_or(|max_cost| {
            if knows_worst {
                need.reservation <= Nanodollars::from_usd(max_cost)
            } else {
                learner.expected_cost(arm) <= max_cost
            }
        });
        is_allowed && is_cheap_enough && need.tokens <= self.traffic.largest_query()
    }
}

/// A draw from an LP.
struct Draw {
    slot: usize,
    status: Status,
    probability: f64,
    budget_price: f64,
    /// Whether the budget itself could have been met.
    meets_budget: bool,
}

impl Router {
    /// Decides which live arm serves the next query.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] or [`Error::UnknownArm`] for a bad query; [`Error::NoLiveArm`]
    /// before the first plan or when all its arms have retired; [`Error::AtTrafficLimit`],
    /// [`Error::AllCooling`], [`Error::AtHardLimit`] or [`Error::AllExcluded`] when no live arm may
    /// serve it, which is counted; [`Error::PivotLimit`], a defect. No decision is made then.
    #[inline]
    pub fn route(&mut self, query: &Query<'_>) -> Result<Decision, Error> {
        let is_plain = query.is_plain();
        if !is_plain {
            query.validate(self.arms.len())?;
        }
        let now = self.advance_clock(query.now);
        while let Some(evicted) = self.decisions.evict(now) {
            self.write_off(&evicted);
        }
        if self.lp.is_none() {
            return Err(Error::NoLiveArm);
        }
        if is_plain && !self.is_gated {
            let draw = self.draw_from_all()?;
            return Ok(self.open(&draw, now, Need::default(), Reasons::default()));
        }
        self.route_gated(query, now)
    }

    /// The way when arms have to be looked at one by one.
    fn route_gated(&mut self, query: &Query<'_>, now: f64) -> Result<Decision, Error> {
        self.guard.advance(now);
        if self.has_traffic_limits {
            self.rate.note_arrival(now);
            self.derive_shares(now);
        }
        let obstacles = self.find_admissible(query, now)?;
        let admissible = self.restricted.slots.len();
        if admissible == 0 {
            return Err(self.refuse(&obstacles, now));
        }
        let is_whole = admissible == self.plan.arms().len();
        let draw = if is_whole { self.draw_from_all()? } else { self.draw_from_admissible()? };
        let arm = self.plan.arms()[draw.slot];
        let mut reasons = obstacles.reasons;
        if !self.arms[arm].health.is_closed() {
            reasons.insert(Reasons::PROBE);
        }
        let need = self.restricted.needs[draw.slot];
        self.guard.reserve(need.reservation);
        Ok(self.open(&draw, now, need, reasons))
    }

    /// Draws from the LP over the whole live set.
    #[inline]
    fn draw_from_all(&mut self) -> Result<Draw, Error> {
        let budget = self.paced_budget();
        let Some(lp) = &mut self.lp else { return Err(Error::NoLiveArm) };
        lp.set_budget(budget);
        let status = lp.solve()?;
        let slot = self.sampler.draw(lp.support(), lp.probabilities()).ok_or(Error::NoLiveArm)?;
        let (probability, budget_price) = (lp.probabilities()[slot], lp.budget_price());
        let meets_budget = status != Status::BudgetInfeasible || lp.spend() <= self.config.budget;
        match status {
            Status::Optimal => self.counters.optimal += 1,
            Status::CapInfeasible => self.counters.cap_infeasible += 1,
            Status::BudgetInfeasible if meets_budget => self.counters.throttled += 1,
            Status::BudgetInfeasible => self.counters.budget_infeasible += 1,
        }
        Ok(Draw { slot, status, probability, budget_price, meets_budget })
    }

    /// Solves once more, over the admissible slots alone, and draws from that. The LP over the whole
    /// live set keeps its basis.
    fn draw_from_admissible(&mut self) -> Result<Draw, Error> {
        let budget = self.paced_budget();
        let Restricted { lp, slots, columns, .. } = &mut self.restricted;
        let Some(lp) = lp else { return Err(Error::NoLiveArm) };
        let live = self.plan.arms();
        let admissible = slots.iter().map(|&slot| live[slot]);
        lp.load(columns.fill(admissible, &self.learner, &self.arms, budget))?;
        let status = lp.solve_cold()?;
        let place = self.sampler.draw(lp.support(), lp.probabilities()).ok_or(Error::NoLiveArm)?;
        self.counters.restricted += 1;
        Ok(Draw {
            slot: slots[place],
            status,
            probability: lp.probabilities()[place],
            budget_price: lp.budget_price(),
            meets_budget: status != Status::BudgetInfeasible || lp.spend() <= self.config.budget,
        })
    }

    /// Writes the slots that may serve a query, and what it would take of each, to the working
    /// memory.
    fn find_admissible(&mut self, query: &Query<'_>, now: f64) -> Result<Obstacles, Error> {
        let mut obstacles = Obstacles::default();
        let room = self.guard.room();
        let is_plain = query.is_plain();
        let Self { restricted, plan, arms, learner, config, .. } = self;
        restricted.slots.clear();
        for (slot, &arm) in plan.arms().iter().enumerate() {
            let state = &mut arms[arm];
            let need = state.need(query, learner, arm);
            restricted.needs[slot] = need;
            if !is_plain && !state.satisfies(query, need, learner, arm) {
                obstacles.reasons.insert(Reasons::EXCLUDED);
            } else if !state.health.admits(now, &config.health) {
                obstacles.note_cooling(state.health.reopens(&config.health));
            } else if !state.traffic.admits(need.tokens, now) {
                obstacles.note_wait(state.traffic.wait(need.tokens));
            } else if let Some((_, limit)) = room.filter(|(room, _)| need.reservation > *room) {
                obstacles.reasons.insert(Reasons::HARD_LIMIT);
                obstacles.hard_limit = Some(limit);
            } else {
                restricted.slots.push(slot);
            }
        }
        match obstacles.hard_limit {
            Some(limit) if limit.at_limit == AtLimit::Refuse => {
                let obstacles = Obstacles { hard_limit: Some(limit), ..Obstacles::default() };
                Err(self.refuse(&obstacles, now))
            }
            _ => Ok(obstacles),
        }
    }

    /// Counts a query that no arm may serve, and says what the nearest way out is.
    #[cold]
    fn refuse(&mut self, obstacles: &Obstacles, now: f64) -> Error {
        let reasons = obstacles.reasons;
        if reasons.contains(Reasons::TRAFFIC_LIMIT) {
            self.counters.refused_traffic += 1;
            return Error::AtTrafficLimit { retry_after: obstacles.traffic_wait };
        }
        if let Some(reopens) = obstacles.reopens {
            self.counters.refused_cooling += 1;
            return Error::AllCooling { retry_after: (reopens - now).max(0.0) };
        }
        if let Some(limit) = obstacles.hard_limit {
            self.counters.refused_hard_limit += 1;
            let ends = self.guard.reopens(limit) - now;
            let retry_after = ends.is_finite().then_some(ends);
            let period = limit.period.as_str();
            return Error::AtHardLimit { usd: limit.usd, period, retry_after };
        }
        self.counters.refused_excluded += 1;
        Error::AllExcluded { live: self.plan.arms().len() }
    }

    /// Turns limits into shares for the LP, now and then.
    fn derive_shares(&mut self, now: f64) {
        if now < self.shares_due {
            return;
        }
        self.shares_due = now + SHARES_EVERY;
        let mut has_changed = false;
        for slot in 0..self.plan.arms().len() {
            let arm = self.plan.arms()[slot];
            let share = self.planned_share(arm);
            // Small movements are not worth a cold solve.
            if (share - self.arms[arm].share).abs() > SHARE_TOLERANCE * share {
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
        let arm = self.plan.arms()[draw.slot];
        let expected_cost = self.learner.expected_cost(arm);
        self.ledger.queries += 1;
        self.ledger.in_flight += expected_cost;
        if self.start_costs.owed > 0.0 {
            self.ledger.billed = self.billed.add(self.start_costs.pay());
        }
        let state = &mut self.arms[arm];
        state.traffic.take(need.tokens);
        state.health.note_sent(now);
        // Arms and price changes are counted in memory: far fewer than 2^32.
        #[allow(clippy::cast_possible_truncation)]
        let id = self.decisions.open(OpenDecision {
            arm: arm as u32,
            prices: state.prices.len() as u32,
            expected_cost,
            reservation: need.reservation,
            tokens: need.tokens,
            at: now,
            ..OpenDecision::default()
        });
        let Draw { probability, budget_price, .. } = *draw;
        let stage = self.plan.stage();
        let decision = Decision { id, arm, probability, stage, budget_price, reasons };
        if self.log.is_on() {
            self.log_decision(&decision, draw, now);
        }
        decision
    }

    fn log_decision(&mut self, decision: &Decision, draw: &Draw, now: f64) {
        let (reasons, paced_budget) = (decision.reasons, self.paced_budget());
        let restrictions = Reasons(reasons.bits() & !Reasons::PROBE.bits());
        let is_whole = restrictions == Reasons::default();
        let Self { log, plan, learner, lp, restricted, .. } = self;
        let probability = |slot: usize| {
            if is_whole {
                return lp.as_ref().map_or(0.0, |lp| lp.probabilities()[slot]);
            }
            let place = restricted.slots.iter().position(|&other| other == slot);
            let lp = restricted.lp.as_ref();
            place.zip(lp).map_or(0.0, |(place, lp)| lp.probabilities()[place])
        };
        let arms = plan
            .arms()
            .iter()
            .enumerate()
            .map(|(slot, &arm)| (arm, probability(slot), learner.bounds()[arm]));
        log.push(decision, draw.status, draw.meets_budget, now, paced_budget, arms);
    }
}
