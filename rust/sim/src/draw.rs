//! Settings, as operators choose them. Amounts of money are whole nanodollars and prices whole
//! thousandths, so that a model of them needs no rounding.

use stageroute_core::{
    ArmSettings, ArmSpec, AtLimit, ChangeTest, Charge, Confidence, ConfidenceFamily, Drift,
    FailureEffect, Failures, Forgetting, HardLimit, HealthConfig, OtherFailure, Pacing, Period,
    Prices, Prior, RouterConfig, Strike, Tokens, Tolerance, TrafficLimits,
};

use crate::dice::Dice;
use crate::plan::Plan;

/// A whole number of nanodollars up to so many USD.
pub(crate) fn usd(dice: &mut Dice, most: f64) -> f64 {
    (most * dice.unit() * 1e9).floor() / 1e9
}

/// What a query of the usual kind costs, USD.
const USUAL: f64 = 2e-3;

pub(crate) fn hard_limits(dice: &mut Dice, plan: &Plan) -> Vec<HardLimit> {
    if !plan.has_hard_limits {
        return Vec::new();
    }
    let periods = [Period::Hour, Period::Day, Period::Week, Period::Month, Period::Total];
    let chosen: Vec<Period> = periods.into_iter().filter(|_| dice.chance(0.4)).collect();
    let chosen = if chosen.is_empty() { vec![dice.pick(&periods)] } else { chosen };
    let limit = |period| {
        let at_limit = if dice.chance(0.7) { AtLimit::Cheapest } else { AtLimit::Refuse };
        let most = dice.magnitude(10.0 * USUAL, 10);
        HardLimit { usd: (most * 1e9).floor() / 1e9, period, at_limit }
    };
    chosen.into_iter().map(limit).collect()
}

fn failures(dice: &mut Dice) -> Failures {
    let mut effect = |reward: Option<f64>| FailureEffect {
        reward,
        charge: dice.pick(&Charge::ALL),
        strike: dice.pick(&Strike::ALL),
    };
    let drawn = Failures {
        timeout: effect(None),
        rate_limit: effect(None),
        refusal: effect(Some(0.0)),
        error: effect(None),
    };
    if dice.chance(0.5) { Failures::default() } else { drawn }
}

fn health(dice: &mut Dice, plan: &Plan) -> HealthConfig {
    let cooldown = dice.magnitude(1.0, 5);
    let tolerance = Tolerance {
        failure_rate: dice.maybe(0.7, |dice| dice.between(0.2, 0.9)),
        min_attempts: 1 + u32::try_from(dice.below(20)).unwrap_or(0),
        window: dice.magnitude(5.0, 5),
        memory: dice.maybe(0.7, |dice| dice.magnitude(10.0, 6)),
        panic_threshold: dice.pick(&[0.0, 0.3, 0.5, 0.5, 0.7, 1.0]),
        learns_limits: dice.chance(0.6),
    };
    HealthConfig {
        failures: 1 + u32::try_from(dice.below(6)).unwrap_or(0),
        cooldown,
        max_cooldown: cooldown * dice.magnitude(1.0, 6),
        failed_after: 1 + u32::try_from(dice.below(4)).unwrap_or(0),
        tolerance: match dice.below(4) {
            _ if plan.is_first_version => Tolerance::NONE,
            0 => Tolerance::NONE,
            1 => Tolerance::default(),
            _ => tolerance,
        },
    }
}

/// Settings of a router; `seed` is that of a new one.
pub(crate) fn config(dice: &mut Dice, plan: &Plan, seed: u64) -> RouterConfig {
    let published = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    let confidence = Confidence { growth: dice.pick(&[0.0, 0.5, 1.0]), ..published };
    let forgetting = match dice.below(8) {
        0 => Forgetting::PerQuery { factor: 0.97 },
        1 => Forgetting::PerStage { factor: 0.5 },
        2 => Forgetting::Window { stages: 2 },
        _ => Forgetting::None,
    };
    let change_test = dice.chance(0.1).then(ChangeTest::default);
    RouterConfig {
        drift: Drift { forgetting, change_test },
        pacing: dice.chance(0.7).then_some(Pacing { horizon: 100.0, burst: 2.0 }),
        open_decisions: 1 << (2 + dice.below(9)),
        max_age: dice.maybe(0.4, |dice| dice.magnitude(1.0, 10)),
        stage_queries: dice.maybe(0.5, |dice| 20 + dice.below(2_000) as u64),
        redeploys_lost_slots: dice.chance(0.5),
        hard_limits: hard_limits(dice, plan),
        canary: if plan.is_first_version {
            None
        } else {
            dice.maybe(0.2, |dice| dice.between(0.01, 0.5))
        },
        failures: if plan.is_first_version { Failures::default() } else { failures(dice) },
        other_failures: if plan.is_first_version { Vec::new() } else { OtherFailure::defaults() },
        health: health(dice, plan),
        log_capacity: if dice.chance(0.2) { 64 } else { 0 },
        ..RouterConfig::new(USUAL * dice.between(0.3, 3.0), confidence, seed)
    }
}

pub(crate) fn prices(dice: &mut Dice) -> Prices {
    let mut price = |most: f64| (most * dice.unit() * 1e3).floor() / 1e3;
    Prices { input: price(4.0), cached_input: price(4.0), output: price(12.0) }
}

pub(crate) fn settings(dice: &mut Dice, plan: &Plan, is_priced: bool) -> ArmSettings {
    let mut limits = TrafficLimits::default();
    if plan.has_traffic_limits {
        limits.burst_seconds = dice.pick(&[3.0, 10.0, 59.0]);
        limits.requests_per_minute = dice.maybe(0.4, |dice| dice.magnitude(5.0, 10).floor());
        limits.tokens_per_minute = dice.maybe(0.4, |dice| dice.magnitude(3e4, 8).floor());
        limits.concurrent = dice.maybe(0.4, |dice| 1 + dice.below(40) as u64);
    }
    // A limit on tokens needs to know the most that a query can take.
    let has_most = if limits.tokens_per_minute.is_some() { 1.0 } else { 0.5 };
    let largest = limits.tokens_per_minute.map_or(4_000.0, |t| t * limits.burst_seconds / 60.0);
    ArmSettings {
        throughput_cap: if dice.chance(0.5) { 1.0 } else { dice.between(0.1, 1.0) },
        prices: is_priced.then(|| prices(dice)),
        max_cost: (plan.has_hard_limits || dice.chance(0.3)).then(|| usd(dice, 8.0 * USUAL)),
        max_tokens: dice.maybe(has_most, |dice| dice.between(1.0, largest.min(4_000.0)).floor()),
        limits,
    }
}

pub(crate) fn spec(dice: &mut Dice, plan: &Plan) -> ArmSpec {
    let is_priced = dice.chance(0.5);
    let settings = settings(dice, plan, is_priced);
    let weight = dice.below(3) as u64 * 4;
    let usual = Tokens { input: 600.0, cached: 100.0, output: 200.0 };
    let prior = Prior {
        reward: dice.maybe(0.5, |dice| (dice.unit(), weight)),
        cost: (!is_priced).then_some((USUAL, weight)),
        tokens: is_priced.then_some((usual, weight)),
    };
    ArmSpec { settings, prior }
}

/// The tokens of a query, whole numbers of them.
pub(crate) fn tokens(dice: &mut Dice) -> Tokens {
    let input = dice.below(1_200) as f64;
    let cached = (input * dice.unit()).floor();
    Tokens { input, cached, output: dice.below(400) as f64 }
}
