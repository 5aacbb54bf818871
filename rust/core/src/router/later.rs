//! What the state has gained since its first version.
//!
//! The bytes of a state begin as the first version wrote them; what came later follows, in the order
//! in which it came. So every later version reads the state of an earlier one: where the bytes end
//! too early, the rest has the values with which a router decides as it did then.

use serde::{Deserialize, Serialize};

use super::arm::Membership;
use super::config::MOST_OTHER_FAILURES;
use super::effects::OtherFailure;
use super::scope::Scope;
use super::terms::Terms;
use super::{Arm, Router};
use crate::answers::Answers;
use crate::arm_index::ArmIndex;
use crate::calendar::Calendar;
use crate::checks::{LATEST, MOST, is_bill, is_cost, sound};
use crate::decisions::{Bill, OpenDecision};
use crate::error::Error;
use crate::health::Tolerance;
use crate::limiter::Limiter;
use crate::lp::RoutingLp;
use crate::tariff::Tariff;
use crate::window::History;

/// What the second version added.
#[derive(Debug, Serialize, Deserialize)]
struct Second {
    clock_offset: f64,
    clock_steps: u64,
    panicked: u64,
    trouble_due: f64,
    canary: Option<f64>,
    lost_after: Option<f64>,
    slots_due: f64,
    calendars: Vec<Calendar>,
    tolerance: Tolerance,
    other_failures: Vec<OtherFailure>,
    other_counts: [u64; MOST_OTHER_FAILURES],
    guard: Vec<History>,
    arms: Vec<ArmSecond>,
    takes_bills: bool,
    granted: f64,
    corrected: u64,
    /// One for each open decision that has a cost, in their order.
    bills: Vec<StoredBill>,
    scopes: (Vec<Scope>, Vec<Vec<History>>),
    /// The LP over a part of the live set, with its basis: solved from nothing its last bit may differ.
    restricted: Option<RoutingLp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ArmSecond {
    health: (Option<f64>, f64),
    answers: Answers,
    limiter: Option<Box<Limiter>>,
    markup: Option<f64>,
    tariffs: Vec<Option<Tariff>>,
    terms: Option<Box<Terms>>,
    scopes: Vec<Membership>,
    counts_tokens: bool,
    known_before: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
enum StoredBill {
    Unknown,
    Estimate,
    Known(ArmIndex, f64),
}

impl Router {
    /// Appends what the first version did not have.
    pub(super) fn append_later(&self, bytes: Vec<u8>) -> postcard::Result<Vec<u8>> {
        let arm = |arm: &Arm| ArmSecond {
            health: arm.health.later(),
            answers: arm.answers,
            limiter: arm.limiter.clone(),
            markup: arm.markup,
            tariffs: arm.tariffs.clone(),
            terms: arm.terms.clone(),
            scopes: arm.scopes.clone(),
            counts_tokens: arm.counts_tokens,
            known_before: arm.known_before,
        };
        let second = Second {
            clock_offset: self.clock_offset,
            clock_steps: self.counters.clock_steps,
            panicked: self.counters.panicked,
            trouble_due: self.gates.trouble_due,
            canary: self.config.canary,
            lost_after: self.config.lost_after,
            slots_due: self.slots_due,
            calendars: self.config.calendars.clone(),
            tolerance: self.config.health.tolerance,
            other_failures: self.config.other_failures.clone(),
            other_counts: self.counters.other_failures,
            guard: self.guard.histories(),
            arms: self.arms.iter().map(arm).collect(),
            takes_bills: self.takes_bills,
            scopes: (self.scopes.clone(), self.scope_histories()),
            granted: self.ledger.granted,
            corrected: self.counters.corrected,
            bills: self.decisions.billed().map(StoredBill::of).collect(),
            restricted: self.restricted.lp.clone(),
        };
        postcard::to_extend(&(self.counters.restricted_infeasible, second), bytes)
    }

    /// Completes a router with what follows the first version's bytes, as far as it is there.
    pub(super) fn complete(&mut self, mut rest: &[u8]) -> Result<(), Error> {
        let bad = |error: postcard::Error| Error::BadSnapshot(error.to_string());
        let mut second: Option<Second> = None;
        if !rest.is_empty() {
            (self.counters.restricted_infeasible, rest) =
                postcard::take_from_bytes(rest).map_err(bad)?;
        }
        if !rest.is_empty() {
            let found = postcard::take_from_bytes(rest).map_err(bad)?;
            (second, rest) = (Some(found.0), found.1);
        }
        if !rest.is_empty() {
            return Err(Error::BadSnapshot(format!("{} bytes are left over", rest.len())));
        }
        let Some(second) = second else {
            for arm in &mut self.arms {
                arm.health.set_later(None);
                arm.counts_tokens = arm.traffic.limits_tokens();
            }
            self.set_histories(&[]);
            return Ok(());
        };
        second.install(self)
    }

    fn set_histories(&mut self, known: &[History]) {
        let Self { guard, decisions, .. } = self;
        guard.set_histories(known, |start| decisions.first_since(start));
    }
}

impl Second {
    fn install(self, router: &mut Router) -> Result<(), Error> {
        let Self { clock_offset, clock_steps, panicked, trouble_due, .. } = self;
        let counts = self.other_counts.iter().chain([&clock_steps, &panicked, &self.corrected]);
        let is_sound = self.granted.is_finite()
            && self.arms.iter().all(|arm| arm.markup.is_none_or(is_cost))
            && clock_offset.abs() <= LATEST
            && !trouble_due.is_nan()
            && counts.copied().all(|count| count <= MOST)
            && self.arms.len() == router.arms.len();
        sound(is_sound, "the additions of the second version")?;
        (router.clock_offset, router.gates.trouble_due) = (clock_offset, trouble_due);
        (router.counters.clock_steps, router.counters.panicked) = (clock_steps, panicked);
        router.counters.other_failures = self.other_counts;
        router.config.health.tolerance = self.tolerance;
        router.config.other_failures = self.other_failures;
        router.config.canary = self.canary;
        (router.config.lost_after, router.slots_due) = (self.lost_after, self.slots_due);
        router.guard.set_calendars(&self.calendars);
        router.config.calendars = self.calendars;
        router.set_histories(&self.guard);
        if let Some(lp) = &self.restricted {
            lp.check_soundness(lp.problem().reward.len())?;
        }
        router.restricted.lp = self.restricted;
        for (arm, later) in router.arms.iter_mut().zip(self.arms) {
            arm.health.set_later(Some(later.health));
            (arm.answers, arm.limiter, arm.markup) = (later.answers, later.limiter, later.markup);
            (arm.tariffs, arm.terms) = (later.tariffs, later.terms);
            (arm.scopes, arm.counts_tokens) = (later.scopes, later.counts_tokens);
            arm.known_before = later.known_before;
        }
        router.takes_bills = self.takes_bills;
        router.restore_scopes(self.scopes.0, &self.scopes.1)?;
        router.ledger.granted = self.granted;
        router.counters.corrected = self.corrected;
        install_bills(self.bills, router)
    }
}

fn install_bills(bills: Vec<StoredBill>, router: &mut Router) -> Result<(), Error> {
    let arms = router.arms.len();
    let mut bills = bills.into_iter();
    let mut is_sound = true;
    router.decisions.for_each_billed(|open| match bills.next() {
        Some(StoredBill::Known(arm, usd)) => {
            is_sound &= arm.index() < arms && is_bill(usd);
            (open.arm, open.expected_cost, open.bill) = (arm, usd, Bill::Known);
        }
        Some(StoredBill::Estimate) => {
            is_sound &= is_bill(open.expected_cost);
            open.bill = Bill::Estimate;
        }
        Some(StoredBill::Unknown) => {}
        None => is_sound = false,
    });
    sound(is_sound && bills.next().is_none(), "the bills of the second version")
}

impl StoredBill {
    fn of(open: &OpenDecision) -> Self {
        match open.bill {
            Bill::Known => Self::Known(open.arm, open.expected_cost),
            Bill::Estimate => Self::Estimate,
            Bill::Unknown | Bill::Due => Self::Unknown,
        }
    }
}

/// The settings as the first version of the state holds them.
pub(super) mod config_of_first_version {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::super::config::RouterConfig;
    use super::super::effects::Failures;
    use crate::confidence::Confidence;
    use crate::drift::Drift;
    use crate::hard_limit::HardLimit;
    use crate::health::{HealthConfig, Tolerance};
    use crate::pacing::Pacing;

    #[derive(Serialize, Deserialize)]
    struct First {
        budget: f64,
        confidence: Confidence,
        drift: Drift,
        pacing: Option<Pacing>,
        open_decisions: usize,
        max_age: Option<f64>,
        stage_queries: Option<u64>,
        redeploys_lost_slots: bool,
        hard_limits: Vec<HardLimit>,
        failures: Failures,
        health: (u32, f64, f64, u32),
        seed: u64,
    }

    pub(in super::super) fn serialize<S: Serializer>(
        config: &RouterConfig,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let HealthConfig { failures, cooldown, max_cooldown, failed_after, tolerance: _ } =
            config.health;
        First {
            budget: config.budget,
            confidence: config.confidence,
            drift: config.drift,
            pacing: config.pacing,
            open_decisions: config.open_decisions,
            max_age: config.max_age,
            stage_queries: config.stage_queries,
            redeploys_lost_slots: config.redeploys_lost_slots,
            hard_limits: config.hard_limits.clone(),
            failures: config.failures,
            health: (failures, cooldown, max_cooldown, failed_after),
            seed: config.seed,
        }
        .serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<RouterConfig, D::Error> {
        let first = First::deserialize(deserializer)?;
        let (failures, cooldown, max_cooldown, failed_after) = first.health;
        let tolerance = Tolerance::NONE;
        Ok(RouterConfig {
            budget: first.budget,
            confidence: first.confidence,
            drift: first.drift,
            pacing: first.pacing,
            open_decisions: first.open_decisions,
            max_age: first.max_age,
            stage_queries: first.stage_queries,
            redeploys_lost_slots: first.redeploys_lost_slots,
            canary: None,
            lost_after: None,
            hard_limits: first.hard_limits,
            calendars: Vec::new(),
            scopes: Vec::new(),
            failures: first.failures,
            other_failures: Vec::new(),
            health: HealthConfig { failures, cooldown, max_cooldown, failed_after, tolerance },
            log_capacity: 0,
            seed: first.seed,
        })
    }
}
