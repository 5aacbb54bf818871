//! A router as its documentation has it, slow and obvious: what was decided, fed back, spent and sent is
//! kept as it happened. It is told of every call and of what the router answered, and says whether that
//! can be right. Of the router it takes only what it cannot know: which arm was drawn, and what the
//! learner expects of it.

mod audit;
mod bills;
mod failures;
mod feedback;
mod health;
mod money;
mod route;
mod traffic;

use stageroute_core::{
    ArmIndex, ArmSettings, Counters, Drift, Error, Ledger, Prices, Router, RouterConfig, StartCost,
};

use crate::broken::{Checked, ensure};
use health::Health;
use money::Money;
use traffic::Traffic;

/// One decision.
// Each may be so or not whatever the others are: no state machine.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, Copy)]
struct Entry {
    arm: ArmIndex,
    prices: Option<Prices>,
    expected: f64,
    /// Nanodollars; unknown where no limit asked for it.
    reservation: Option<i64>,
    tokens: f64,
    at: f64,
    wall: f64,
    bill: Option<f64>,
    /// Whether the bill is what a failure was taken to cost.
    is_estimate: bool,
    has_reward: bool,
    has_failed: bool,
    is_released: bool,
}

/// One candidate.
#[derive(Debug, Clone)]
struct Arm {
    settings: ArmSettings,
    is_retired: bool,
    traffic: Traffic,
    health: Health,
    /// Rewards, bills that were learnt, and their sums, priors included.
    rewards: (u64, f64),
    costs: u64,
}

/// What an error is, as far as a caller acts upon it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bad argument: nothing at all has changed.
    Input,
    Unknown,
    Expired,
    Already,
    NoLiveArm,
    Traffic,
    Cooling,
    HardLimit,
    Excluded,
    Defect,
}

impl Kind {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::InvalidNumber { .. }
            | Error::InvalidElement { .. }
            | Error::WrongLength { .. }
            | Error::NoArms { .. }
            | Error::UnknownArm { .. }
            | Error::TooManyArms
            | Error::DuplicateArm { .. }
            | Error::RetiredArm { .. }
            | Error::WrongPricing { .. }
            | Error::InvalidFeedback(_) => Self::Input,
            Error::UnknownDecision { .. } => Self::Unknown,
            Error::ExpiredDecision { .. } => Self::Expired,
            Error::AlreadyObserved { .. } => Self::Already,
            Error::InBatch { error, .. } => Self::of(error),
            Error::NoLiveArm => Self::NoLiveArm,
            Error::AtTrafficLimit { .. } => Self::Traffic,
            Error::AllCooling { .. } => Self::Cooling,
            Error::AtHardLimit { .. } => Self::HardLimit,
            Error::AllExcluded { .. } | Error::TooLarge { .. } => Self::Excluded,
            _ => Self::Defect,
        }
    }
}

/// The model.
// The same here.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone)]
pub(crate) struct Model {
    config: RouterConfig,
    arms: Vec<Arm>,
    live: Vec<ArmIndex>,
    stage: u64,
    stage_end: Option<u64>,
    has_lost_slot: bool,
    entries: Vec<Entry>,
    /// The first decision that can still take feedback.
    oldest: usize,
    clock: f64,
    pub(crate) offset: f64,
    money: Money,
    ledger: Ledger,
    owed: StartCost,
    pub(crate) counters: Counters,
    /// Whether estimates give way to bills: the first version kept them.
    takes_bills: bool,
    /// Whether a bill was above what was reserved for it, or that cannot be told.
    has_excess: bool,
    /// Whether anything was ever forgotten of what was learnt, or may have been.
    has_drifted: bool,
}

impl Model {
    pub(crate) fn new(config: &RouterConfig, takes_bills: bool) -> Self {
        Self {
            money: Money::new(&config.hard_limits),
            config: config.clone(),
            arms: Vec::new(),
            live: Vec::new(),
            stage: 0,
            stage_end: None,
            has_lost_slot: false,
            entries: Vec::new(),
            oldest: 0,
            clock: 0.0,
            offset: 0.0,
            ledger: Ledger::default(),
            owed: StartCost::NONE,
            counters: Counters::default(),
            takes_bills,
            has_excess: false,
            has_drifted: config.drift != Drift::default(),
        }
    }

    /// Takes the time of a call: it never runs backwards.
    fn tell(&mut self, now: f64) -> Result<f64, Kind> {
        if now.is_nan() || now > 1e11 {
            return Err(Kind::Input);
        }
        self.clock = self.clock.max(now);
        Ok(self.clock)
    }

    /// A call that is refused as a whole takes no time.
    fn check_clock(&self, router: &Router) -> Checked {
        let found = router.clock();
        ensure!(found == self.clock, "it is {found} by the router, not {}", self.clock);
        Ok(())
    }

    fn wall(&self) -> f64 {
        self.clock + self.offset
    }

    /// The wall clock has jumped.
    pub(crate) fn step_clock(&mut self, offset: f64) {
        self.offset = offset;
        self.money.jump();
        self.counters.clock_steps += 1;
    }

    pub(crate) fn add_arm(
        &mut self,
        settings: ArmSettings,
        reward: Option<(f64, u64)>,
        costs: u64,
    ) {
        let (mean, weight) = reward.unwrap_or_default();
        let mut traffic = Traffic::default();
        traffic.set_limits(settings.limits);
        let rewards = (weight, mean * weight as f64);
        let health = Health::default();
        self.arms.push(Arm { settings, is_retired: false, traffic, health, rewards, costs });
        self.require_stage();
    }

    pub(crate) fn set_arm(&mut self, arm: ArmIndex, settings: ArmSettings) {
        let state = &mut self.arms[arm];
        state.traffic.set_limits(settings.limits);
        state.settings = settings;
    }

    pub(crate) fn revive_arm(&mut self, arm: ArmIndex) {
        self.arms[arm].is_retired = false;
        self.require_stage();
    }

    pub(crate) fn retire_arm(&mut self, arm: ArmIndex) {
        self.arms[arm].is_retired = true;
        self.has_lost_slot |= self.live.contains(&arm);
        self.live.retain(|&live| live != arm);
        self.require_stage();
    }

    /// Another budget, of all queries from the first.
    pub(crate) fn set_budget(&mut self, budget: f64) {
        self.config.budget = budget;
    }

    /// Another budget from now on: what was over- or underspent so far is carried over, or forgotten.
    pub(crate) fn change_budget(&mut self, budget: f64, carry: bool) {
        let old = self.ledger.granted + self.config.budget * self.ledger.queries as f64;
        let total = if carry { old } else { self.ledger.committed() };
        self.ledger.granted = total - budget * self.ledger.queries as f64;
        self.config.budget = budget;
    }

    /// Whether hard limits leave enough for starting a set; `None` where clocks that jumped make that
    /// hard to tell, and in the first version, which did not look.
    pub(crate) fn may_start(&self, usd: f64) -> Option<bool> {
        let fits = self.money.fits_at(money::nano(usd), self.wall());
        (self.takes_bills && !self.money.has_jumped).then_some(fits)
    }

    pub(crate) fn publish(&mut self, deployed: &[ArmIndex], start: StartCost) {
        self.live = deployed.to_vec();
        self.live.sort_unstable();
        self.stage += 1;
        self.extend_stage();
        self.money.pay(money::nano(start.usd));
        let usd = self.owed.usd + start.usd;
        self.owed = StartCost { usd, queries: usd / start.queries };
    }

    pub(crate) fn extend_stage(&mut self) {
        self.stage_end = self.config.stage_queries.map(|queries| self.ledger.queries + queries);
        self.has_lost_slot = false;
        self.require_stage();
    }

    /// A stage is due where nothing is live though something could be.
    fn require_stage(&mut self) {
        let config = &self.config.health;
        let is_candidate =
            |arm: &Arm| !arm.is_retired && !arm.health.has_failed(self.clock, config);
        if self.stage > 0 && self.live.is_empty() && self.arms.iter().any(is_candidate) {
            self.stage_end = Some(0);
        }
    }

    pub(crate) fn configure(&mut self, config: &RouterConfig) {
        let budget = self.config.budget;
        if config.stage_queries != self.config.stage_queries {
            self.stage_end = config.stage_queries.map(|queries| self.ledger.queries + queries);
            self.require_stage();
        }
        self.money.configure(&config.hard_limits, self.ledger.queries);
        let lives = |config: &RouterConfig| {
            (config.health.tolerance.window, config.health.tolerance.memory)
        };
        if lives(config) != lives(&self.config) {
            for arm in &mut self.arms {
                arm.health.age(self.clock, &self.config.health);
            }
        }
        self.has_drifted |= config.drift != Drift::default();
        self.config = RouterConfig { budget, ..config.clone() };
        self.keep_within_capacity();
    }

    /// A provider says what it will still take: whatever follows for traffic, nothing else does.
    pub(crate) fn note_quota(&mut self, now: f64, arm: ArmIndex) -> Result<(), Kind> {
        if !self.arms[arm].is_retired {
            let now = self.tell(now)?;
            self.arms[arm].traffic.refused = Some(now);
        }
        Ok(())
    }

    pub(crate) fn end_cooldown(&mut self, now: f64, arm: ArmIndex) -> Result<(), Kind> {
        let now = self.tell(now)?;
        self.arms[arm].health.end_cooldown(now);
        self.arms[arm].traffic.refused = None;
        self.require_stage();
        Ok(())
    }

    /// Whether no limit was learnt that passes, and no query under way is given up by its age.
    pub(crate) fn knows_when_arms_are_back(&self) -> bool {
        let has_learnt = self.arms.iter().any(|arm| arm.traffic.refused.is_some());
        !has_learnt && self.config.max_age.is_none()
    }

    /// Whether arms that are cooling down are never taken in again before their time.
    pub(crate) fn never_panics(&self) -> bool {
        self.config.health.tolerance.panic_threshold == 1.0
    }

    fn is_stage_due(&self) -> bool {
        self.stage_end.is_some_and(|end| self.ledger.queries >= end)
            || (self.has_lost_slot && self.config.redeploys_lost_slots)
    }

    /// Settles what there is no room for.
    fn keep_within_capacity(&mut self) {
        let capacity = self.config.open_decisions.next_power_of_two();
        while self.entries.len() - self.oldest > capacity {
            self.evict();
        }
    }

    fn evict_aged(&mut self) {
        while self.oldest < self.entries.len() && self.is_too_old(self.oldest) {
            self.evict();
        }
    }

    fn is_too_old(&self, id: usize) -> bool {
        self.config.max_age.is_some_and(|age| self.clock - self.entries[id].at > age)
    }

    fn evict(&mut self) {
        let Entry { arm, expected, bill, is_released, .. } = self.entries[self.oldest];
        if bill.is_none() {
            self.ledger.in_flight -= expected;
            self.ledger.written_off += expected;
            self.counters.evicted += 1;
        }
        if !is_released {
            self.arms[arm].traffic.under_way -= 1;
        }
        self.oldest += 1;
    }
}
