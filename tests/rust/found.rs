//! Faults that the simulator (`stageroute-sim`) found, each as small as it gets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;

use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, AtLimit, Confidence, ConfidenceFamily, Drift, Error,
    FailureReason, Forgetting, HardLimit, HealthConfig, Observation, Period, Prices, Prior, Query,
    Router, RouterConfig, Sampler, StartCost, Tokens, TrafficLimits,
};

const DAY: f64 = 86_400.0;
const NOON: f64 = 20_000.5 * DAY;

fn config() -> RouterConfig {
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    RouterConfig { open_decisions: 64, ..RouterConfig::new(1.0, confidence, 5) }
}

fn daily(usd: f64, at_limit: AtLimit) -> RouterConfig {
    RouterConfig { hard_limits: vec![HardLimit { usd, period: Period::Day, at_limit }], ..config() }
}

/// An arm of which a query costs at most so much, and is expected to.
fn arm(usd: f64) -> ArmSpec {
    let settings = ArmSettings { max_cost: Some(usd), ..ArmSettings::default() };
    ArmSpec { settings, prior: Prior { cost: Some((usd, 10)), ..Prior::default() } }
}

fn router(config: RouterConfig, arms: &[ArmSpec]) -> Router {
    let mut router = Router::new(config).unwrap();
    let live: Vec<_> = arms.iter().map(|spec| router.add_arm(spec).unwrap()).collect();
    router.publish(&live, StartCost::NONE).unwrap();
    router
}

fn only(now: f64, arm: u32) -> Query<'static> {
    Query { allowed: Some(Cow::Owned(vec![ArmIndex(arm)])), ..Query::at(now) }
}

fn bill(router: &mut Router, now: f64, id: u64, usd: f64) {
    router.observe(now, &Observation { id, cost: Some(usd), ..Observation::default() }).unwrap();
}

fn spend(router: &mut Router, now: f64, usd: f64) {
    let id = router.route(&Query::at(now)).unwrap().id;
    bill(router, now, id, usd);
}

fn restored(router: &Router) -> Router {
    Router::from_bytes(&router.to_bytes().unwrap()).unwrap()
}

fn retry_after(router: &mut Router, now: f64) -> f64 {
    match router.route(&Query::at(now)).unwrap_err() {
        Error::AtHardLimit { retry_after, .. } | Error::AtTrafficLimit { retry_after } => {
            retry_after.unwrap()
        }
        Error::AllCooling { retry_after } => retry_after,
        error => panic!("{error}"),
    }
}

#[test]
fn nothing_in_flight_is_not_less_than_nothing() {
    let mut router = router(config(), &[arm(0.7), arm(0.1)]);
    let ids = [0, 1].map(|arm| router.route(&only(NOON, arm)).unwrap().id);
    for (id, usd) in ids.into_iter().zip([0.7, 0.1]) {
        bill(&mut router, NOON, id, usd);
    }
    assert_eq!(router.ledger().in_flight, 0.0);
}

/// A clock that goes back over two days: bills of the day between say nothing of the first.
#[test]
fn a_bill_frees_money_only_where_it_was_reserved() {
    let mut router = router(daily(10.0, AtLimit::Cheapest), &[arm(1.0)]);
    (0..8).for_each(|_| spend(&mut router, NOON, 1.0));
    let between = Query::at(NOON + DAY);
    let open: Vec<u64> = (0..5).map(|_| router.route(&between).unwrap().id).collect();
    let now = NOON + 2.0 * DAY;
    spend(&mut router, now, 1.0);
    router.step_clock(-2.0 * DAY).unwrap();
    spend(&mut router, now, 1.0);
    for id in open {
        bill(&mut router, now, id, 0.0);
    }
    // 8 + 1 of this day, and 1 that was spent while the clock was two days ahead.
    assert!(matches!(router.route(&Query::at(now)), Err(Error::AtHardLimit { .. })));
    assert_eq!(router.limits().next().unwrap().committed, 10.0);
}

/// Decided in a day that the clock left by a jump back and came to again as time passed.
#[test]
fn a_bill_above_its_reservation_counts_in_a_window_that_came_again() {
    let mut router = router(daily(10.0, AtLimit::Cheapest), &[arm(1.0)]);
    let id = router.route(&Query::at(NOON)).unwrap().id;
    router.step_clock(-DAY).unwrap();
    router.route(&Query::at(NOON)).unwrap();
    router.route(&Query::at(NOON + DAY)).unwrap();
    let before = router.limits().next().unwrap().committed;
    bill(&mut router, NOON + DAY, id, 8.0);
    assert_eq!(router.limits().next().unwrap().committed, before + 7.0);
}

/// The next day is one in which the clock has been already, and everything was spent.
#[test]
fn a_wait_for_money_ends_in_a_window_that_has_some() {
    let mut router = router(daily(2.0, AtLimit::Cheapest), &[arm(1.0)]);
    spend(&mut router, NOON, 1.0);
    (0..2).for_each(|_| spend(&mut router, NOON + DAY, 1.0));
    router.step_clock(-DAY).unwrap();
    assert_eq!(retry_after(&mut router, NOON + DAY), 1.5 * DAY);
}

/// However the sum of time, wait and offset is rounded.
#[test]
fn a_wait_for_money_is_never_too_short() {
    for k in 1..2_000 {
        let (now, offset) = (NOON + f64::from(k) * 0.377, f64::from(k) * -7.013);
        let mut router = router(daily(1.0, AtLimit::Cheapest), &[arm(1.0)]);
        router.step_clock(offset).unwrap();
        spend(&mut router, now, 1.0);
        let wait = retry_after(&mut router, now);
        router.route(&Query::at(now + wait)).unwrap();
    }
}

/// The expensive arm cools down. When it is back, a limit that refuses refuses every query.
#[test]
fn a_wait_counts_the_limit_that_an_arm_brings_back() {
    let health = HealthConfig { failures: 1, ..config().health };
    let config = RouterConfig { health, ..daily(10.0, AtLimit::Refuse) };
    let mut router = router(config, &[arm(0.5), arm(6.0)]);
    let ids = [0, 1].map(|arm| router.route(&only(NOON, arm)).unwrap().id);
    for id in ids {
        router.fail(NOON, id, FailureReason::Error, Some(4.0), None).unwrap();
    }
    let wait = retry_after(&mut router, NOON);
    router.route(&Query::at(NOON + wait)).unwrap();
    assert_eq!(wait, 0.5 * DAY);
}

/// Two of three models are cooling down and would serve, but a limit that refuses has no room for the third.
#[test]
fn a_panic_that_serves_nothing_is_not_counted() {
    let health = HealthConfig { failures: 1, ..config().health };
    let config = RouterConfig { health, ..daily(10.0, AtLimit::Refuse) };
    let mut router = router(config, &[arm(6.0), arm(0.5), arm(0.5)]);
    for arm in [1, 2] {
        let [first, second] = [0, 1].map(|_| router.route(&only(NOON, arm)).unwrap().id);
        router.fail(NOON, first, FailureReason::Error, None, None).unwrap();
        bill(&mut router, NOON, second, 0.0);
    }
    let id = router.route(&only(NOON, 0)).unwrap().id;
    bill(&mut router, NOON, id, 5.0);
    assert!(matches!(router.route(&Query::at(NOON)), Err(Error::AtHardLimit { .. })));
    assert_eq!(router.counters().panicked, 0);
}

/// A query that was sent in the very second in which the limit came.
#[test]
fn a_new_limit_counts_what_its_first_query_used() {
    let mut router = router(config(), &[ArmSpec::default()]);
    let limits = TrafficLimits {
        tokens_per_minute: Some(1_000.0),
        burst_seconds: 59.0,
        ..TrafficLimits::default()
    };
    let prices = Some(Prices { input: 1.0, cached_input: 1.0, output: 1.0 });
    let settings =
        ArmSettings { prices, max_tokens: Some(100.0), limits, ..ArmSettings::default() };
    router.route(&Query { tokens: Some((1.0, 1.0)), ..Query::at(NOON) }).unwrap();
    router.set_arm(ArmIndex(0), settings).unwrap();
    let id = router.route(&Query::at(NOON)).unwrap().id;
    let tokens = Some(Tokens { input: 950.0, ..Tokens::default() });
    router.observe(NOON, &Observation { id, tokens, ..Observation::default() }).unwrap();
    let refused = router.route(&Query::at(NOON + 30.0));
    assert!(matches!(refused, Err(Error::AtTrafficLimit { .. })), "{refused:?}");
}

/// Ten minutes at the half-life of then, none at that of now.
#[test]
fn failures_have_lost_weight_as_they_were_to() {
    let mut router = router(config(), &[arm(1.0), arm(1.0)]);
    let id = router.route(&only(NOON, 0)).unwrap().id;
    router.fail(NOON, id, FailureReason::Error, None, None).unwrap();
    router.publish(&[ArmIndex(1)], StartCost::NONE).unwrap();
    router.route(&only(NOON + 600.0, 1)).unwrap();
    let mut changed = router.config().clone();
    changed.health.tolerance.memory = Some(1e9);
    router.configure(changed).unwrap();
    // Ten answers and a failure two half-lives ago, and the answer that everyone is given.
    let chance = router.arm(ArmIndex(0)).answer_chance;
    assert!((chance - 3.5 / 3.75).abs() < 1e-4, "{chance}");
}

/// Over a part of the live set that is a degenerate vertex, whatever was solved before.
#[test]
fn a_restored_router_draws_with_the_same_probabilities() {
    let mut chance = Sampler::new(1);
    let arms: Vec<ArmSpec> = (0..7_i32)
        .map(|place| {
            let settings = ArmSettings { throughput_cap: 0.3, ..ArmSettings::default() };
            let reward = Some((0.9 - 0.1 * f64::from(place), 20));
            let cost = Some((0.001 * f64::from(8 - place), 20));
            ArmSpec { settings, prior: Prior { reward, cost, tokens: None } }
        })
        .collect();
    let mut router = router(RouterConfig { budget: 0.004, ..config() }, &arms);
    for step in 0..3_000 {
        let allowed: Vec<_> = ArmIndex::first(7).filter(|arm| arm.0 != step % 3).collect();
        let query = Query { allowed: Some(Cow::Owned(allowed)), ..Query::at(NOON) };
        let mut twin = restored(&router);
        let decision = router.route(&query).unwrap();
        assert_eq!(twin.route(&query).unwrap(), decision);
        let cost = Some(0.01 * chance.unit());
        let reward = Some(chance.unit());
        let observation = Observation { id: decision.id, reward, cost, tokens: None };
        router.observe(NOON, &observation).unwrap();
    }
}

/// It answered at times before it cooled down, was not live for ten minutes, and is all there is now.
#[test]
fn what_is_known_against_an_arm_is_looked_at_when_it_becomes_live() {
    let health =
        HealthConfig { failures: 1, cooldown: 900.0, max_cooldown: 900.0, ..config().health };
    let mut router = router(RouterConfig { health, ..config() }, &[arm(1.0), arm(1.0)]);
    let ids = [0, 1, 0, 0].map(|arm| router.route(&only(NOON, arm)).unwrap().id);
    for id in [ids[0], ids[1]] {
        router.fail(NOON, id, FailureReason::Error, None, None).unwrap();
    }
    bill(&mut router, NOON, ids[2], 1.0);
    router.publish(&[ArmIndex(1)], StartCost::NONE).unwrap();
    router.route(&Query::at(NOON + 600.0)).unwrap_err();
    router.publish(&[ArmIndex(0)], StartCost::NONE).unwrap();
    let refused = router.route(&Query::at(NOON + 600.1));
    assert!(matches!(refused, Err(Error::AllCooling { .. })), "{refused:?}");
}

/// When a place comes back nobody knows, until those of lost queries do.
#[test]
fn a_wait_for_a_place_is_not_told() {
    let limits = TrafficLimits { concurrent: Some(1), ..TrafficLimits::default() };
    let settings = ArmSettings { limits, ..ArmSettings::default() };
    let with = |lost_after| RouterConfig { lost_after, ..config() };
    let mut router = router(with(Some(10.0)), &[ArmSpec { settings, ..ArmSpec::default() }]);
    let refused_at = |now, router: &mut Router| {
        let refused = router.route(&Query::at(NOON + now)).unwrap_err();
        assert_eq!(refused, Error::AtTrafficLimit { retry_after: None });
    };
    router.route(&Query::at(NOON)).unwrap();
    refused_at(9.0, &mut router);
    router.configure(with(None)).unwrap();
    refused_at(20.0, &mut router);
    router.configure(with(Some(30.0))).unwrap();
    refused_at(29.0, &mut router);
    router.route(&Query::at(NOON + 30.0)).unwrap();
}

#[test]
fn a_batch_that_is_refused_takes_no_time() {
    let mut router = router(config(), &[arm(1.0)]);
    let id = router.route(&Query::at(NOON)).unwrap().id;
    let unbillable = Observation { id, tokens: Some(Tokens::default()), ..Observation::default() };
    let before = router.to_bytes().unwrap();
    router.observe_all(NOON + 9.0, &[unbillable]).unwrap_err();
    assert!(router.to_bytes().unwrap() == before);
    router.observe_each(NOON + 9.0, &[unbillable]).unwrap_err();
    assert!(router.to_bytes().unwrap() == before);
    // Nor does a correction of a bill that there is not.
    router.correct(NOON + 9.0, id, 1.0).unwrap_err();
    assert!(router.to_bytes().unwrap() == before);
}

/// What had lost weight query by query is kept stage by stage from then on.
#[test]
fn a_router_that_forgets_in_another_way_can_be_restored() {
    let forgets = |forgetting| Drift { forgetting, change_test: None };
    let first = forgets(Forgetting::PerQuery { factor: 0.97 });
    let mut router = router(RouterConfig { drift: first, ..config() }, &[arm(1.0)]);
    (0..40).for_each(|_| spend(&mut router, NOON, 0.3));
    for forgetting in [Forgetting::None, Forgetting::Window { stages: 2 }] {
        (0..40).for_each(|_| spend(&mut router, NOON, 0.3));
        router.configure(RouterConfig { drift: forgets(forgetting), ..config() }).unwrap();
    }
    for query in 0..200 {
        spend(&mut router, NOON, 0.3);
        restored(&router);
        if query % 7 == 6 {
            router.publish(&[ArmIndex(0)], StartCost::NONE).unwrap();
        }
    }
}

/// A bill for a decision from before a limit that no query has met yet.
#[test]
fn a_new_limit_starts_at_nothing_and_can_be_restored() {
    let mut router = router(daily(10.0, AtLimit::Cheapest), &[arm(1.0)]);
    let id = router.route(&Query::at(NOON)).unwrap().id;
    let mut changed = router.config().clone();
    changed.hard_limits[0].period = Period::Month;
    router.configure(changed).unwrap();
    bill(&mut router, NOON, id, 0.25);
    restored(&router);
    router.route(&Query::at(NOON)).unwrap();
    assert_eq!(router.limits().next().unwrap().committed, 1.0);
}

/// An answer long after the only failure: a router that was restored then looks for trouble no more, so
/// the other must not either.
#[test]
fn trouble_that_has_passed_is_passed_for_all() {
    let mut router = router(config(), &[arm(1.0)]);
    let ids: Vec<u64> = (0..2).map(|_| router.route(&Query::at(NOON)).unwrap().id).collect();
    router.fail(NOON, ids[0], FailureReason::Error, None, None).unwrap();
    router.route(&Query::at(NOON + 0.5)).unwrap();
    bill(&mut router, NOON + DAY, ids[1], 0.5);
    let mut twin = restored(&router);
    for router in [&mut router, &mut twin] {
        router.route(&only(NOON + DAY + 1.0, 0)).unwrap();
    }
    assert!(router.to_bytes().unwrap() == twin.to_bytes().unwrap());
}
