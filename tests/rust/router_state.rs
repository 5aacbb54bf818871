//! What a router says of itself, and the settings that it takes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;

use stageroute_core::lp::SolveCounts;
use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, AtLimit, Confidence, ConfidenceFamily, Error, FailureReason,
    HardLimit, HealthConfig, Observation, Period, Prices, Prior, Query, Room, Router, RouterConfig,
    StartCost, Tokens, TrafficLimits,
};

const BUDGET: f64 = 2e-3;
const ARM: ArmIndex = ArmIndex(0);
const PRICES: Prices = Prices { input: 1.0, cached_input: 0.5, output: 4.0 };

fn config() -> RouterConfig {
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    RouterConfig { open_decisions: 16, ..RouterConfig::new(BUDGET, confidence, 3) }
}

/// A router with one live arm.
fn router(config: RouterConfig, settings: ArmSettings) -> Router {
    let mut router = Router::new(config).unwrap();
    let prior = Prior { cost: settings.prices.is_none().then_some((1e-3, 10)), ..Prior::default() };
    router.add_arm(&ArmSpec { settings, prior }).unwrap();
    router.publish(&[ARM], StartCost::NONE).unwrap();
    router
}

fn plain() -> ArmSettings {
    ArmSettings::default()
}

fn limited() -> ArmSettings {
    let limits = TrafficLimits { requests_per_minute: Some(600.0), ..TrafficLimits::default() };
    ArmSettings { limits, ..plain() }
}

fn hourly(usd: f64) -> Vec<HardLimit> {
    vec![HardLimit { usd, period: Period::Hour, at_limit: AtLimit::Cheapest }]
}

fn told<T>(result: Result<T, Error>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn a_router_tells_its_size_budget_and_time() {
    let mut router = Router::new(config()).unwrap();
    assert!(router.is_empty() && router.lp().is_none());
    assert_eq!(router.candidates(0.0).count(), 0);
    assert_eq!((router.budget(), router.paced_budget(), router.clock()), (BUDGET, BUDGET, 0.0));
    router.add_arm(&ArmSpec::default()).unwrap();
    router.add_arm(&ArmSpec::default()).unwrap();
    assert!(!router.is_empty() && router.len() == 2);
    router.publish(&[ArmIndex(1)], StartCost::NONE).unwrap();
    router.set_budget(3e-3).unwrap();
    router.route(&Query::at(50.0)).unwrap();
    assert_eq!((router.budget(), router.paced_budget(), router.clock()), (3e-3, 3e-3, 50.0));
    assert_eq!(router.lp().unwrap().problem().budget, 3e-3);
    router.route(&Query::at(49.0)).unwrap();
    assert_eq!(router.clock(), 50.0, "it never runs backwards");
    assert_eq!(router.arrival_rate(), 0.0, "nothing is limited");
    assert_eq!(router.limits().count(), 0);
}

/// How the LPs of a stage were solved: from nothing first, kept while nothing moves.
#[test]
fn a_router_tells_how_its_lps_were_solved() {
    let mut router = router(config(), plain());
    assert_eq!(router.solve_counts(), SolveCounts::default());
    for _ in 0..3 {
        router.route(&Query::default()).unwrap();
    }
    assert_eq!(router.solve_counts(), SolveCounts { kept: 2, warm: 0, cold: 1 });
}

/// Callers look at a clock only where it matters.
#[test]
fn a_router_says_when_it_needs_the_time() {
    let clocks = |router: &Router| (router.needs_clock_to_route(), router.needs_clock_to_observe());
    assert_eq!(clocks(&router(config(), plain())), (false, false));
    assert_eq!(clocks(&router(config(), limited())), (true, true));
    let aged = RouterConfig { max_age: Some(5.0), ..config() };
    assert_eq!(clocks(&router(aged, plain())), (true, true));
    let logged = RouterConfig { log_capacity: 4, ..config() };
    assert_eq!(clocks(&router(logged, plain())), (true, false));
    let guarded = RouterConfig { hard_limits: hourly(1.0), ..config() };
    let foreseen = ArmSettings { max_cost: Some(0.01), ..plain() };
    assert_eq!(clocks(&router(guarded, foreseen)), (true, false));
    let mut cooling = router(config(), plain());
    let id = cooling.route(&Query::at(1.0)).unwrap().id;
    cooling.fail(1.0, id, FailureReason::RateLimit, None, None).unwrap();
    assert_eq!(clocks(&cooling), (true, true));
}

#[test]
fn counts_have_their_names() {
    let health = HealthConfig { failures: 3, ..HealthConfig::default() };
    let mut router = router(RouterConfig { health, ..config() }, plain());
    for reason in [FailureReason::Timeout, FailureReason::Error, FailureReason::Error] {
        let id = router.route(&Query::at(1.0)).unwrap().id;
        router.fail(1.0, id, reason, None, None).unwrap();
    }
    let id = router.route(&Query::at(2_000.0)).unwrap().id;
    let observation = Observation { id, reward: Some(1.0), cost: Some(1e-3), tokens: None };
    router.observe(2_000.0, &observation).unwrap();
    router.observe(2_000.0, &observation).unwrap_err();
    let counters = router.counters();
    let failures: Vec<_> = router.failures_by_reason().take(4).collect();
    assert_eq!(failures, [("timeout", 1), ("rate_limit", 0), ("refusal", 0), ("error", 2)]);
    let named: Vec<_> = counters.named().filter(|&(_, count)| count > 0).collect();
    let expected =
        [("optimal", 4), ("rewards", 1), ("costs", 4), ("repeated", 1), ("cooldowns", 1)];
    assert_eq!(named, expected);
    assert!(counters.named().all(|(name, _)| name != "failures"));
}

/// What each hard limit stands at, and until when.
#[test]
fn a_router_tells_its_limits() {
    let config = RouterConfig { hard_limits: hourly(1.0), ..config() };
    let mut router = router(config, ArmSettings { max_cost: Some(0.25), ..plain() });
    router.route(&Query::at(3_700.0)).unwrap();
    let states: Vec<_> = router.limits().collect();
    assert_eq!(states.len(), 1);
    assert_eq!((states[0].limit.usd, states[0].committed, states[0].ends), (1.0, 0.25, 7_200.0));
}

#[test]
fn settings_of_a_router_have_their_ranges() {
    let refused = |config: RouterConfig| told(Router::new(config));
    let rule = "must be in [1, 2^28]: each takes 48 bytes";
    for (open_decisions, shown) in [(0, "0"), ((1 << 28) + 1, "268435457")] {
        let message = refused(RouterConfig { open_decisions, ..config() });
        assert_eq!(message, format!("open_decisions = {shown}: {rule}"));
    }
    Router::new(RouterConfig { open_decisions: 1, ..config() }).unwrap();
    let rule = "must be finite and above 0, in seconds";
    for (age, shown) in [(0.0, "0"), (-1.0, "-1"), (f64::INFINITY, "inf"), (f64::NAN, "NaN")] {
        let message = refused(RouterConfig { max_age: Some(age), ..config() });
        assert_eq!(message, format!("max_age = {shown}: {rule}"));
    }
    let message = refused(RouterConfig { log_capacity: (1 << 24) + 1, ..config() });
    assert_eq!(message, "log_capacity = 16777217: must be at most 2^24");
    let mut router = router(config(), plain());
    assert_eq!(told(router.set_log_capacity((1 << 24) + 1)), message);
    for budget in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(told(router.set_budget(budget)).starts_with("budget = "));
        assert_eq!(router.budget(), BUDGET);
    }
}

#[test]
fn settings_of_an_arm_have_their_ranges() {
    let mut open = router(config(), plain());
    let refused = |router: &mut Router, settings: ArmSettings| {
        let before = router.to_bytes().unwrap();
        let message = told(router.set_arm(ARM, settings));
        assert_eq!(told(router.add_arm(&ArmSpec { settings, ..ArmSpec::default() })), message);
        assert!(router.to_bytes().unwrap() == before);
        message
    };
    for (tokens, shown) in [(0.5, "0.5"), (f64::INFINITY, "inf"), (f64::NAN, "NaN")] {
        let message = refused(&mut open, ArmSettings { max_tokens: Some(tokens), ..plain() });
        assert_eq!(message, format!("max_tokens = {shown}: must be finite and at least 1"));
    }
    open.set_arm(ARM, ArmSettings { max_tokens: Some(1.0), ..plain() }).unwrap();
    for max_cost in [-1.0, f64::INFINITY] {
        let message = refused(&mut open, ArmSettings { max_cost: Some(max_cost), ..plain() });
        assert!(message.starts_with("max_cost = "), "{message}");
    }
    let foreseen = ArmSettings { max_cost: Some(0.01), ..plain() };
    open.set_arm(ARM, foreseen).unwrap();
    let guarded = RouterConfig { hard_limits: hourly(1.0), ..config() };
    let mut guarded = router(guarded, foreseen);
    let message = refused(&mut guarded, plain());
    assert!(message.contains("must be given where there are hard limits"), "{message}");
    guarded.set_arm(ARM, ArmSettings { max_cost: Some(0.02), ..plain() }).unwrap();
}

/// A change of other settings forgets nothing of the traffic; one of the limits counts at once.
#[test]
fn settings_leave_the_traffic_alone() {
    let once = TrafficLimits { requests_per_minute: Some(1.0), ..TrafficLimits::default() };
    let once = ArmSettings { limits: once, ..plain() };
    let mut router = router(config(), once);
    router.route(&Query::at(100.0)).unwrap();
    router.set_arm(ARM, ArmSettings { throughput_cap: 0.5, ..once }).unwrap();
    assert!(matches!(router.route(&Query::at(101.0)), Err(Error::AtTrafficLimit { .. })));
    assert_eq!(router.arm(ARM).under_way, 1);
    router.set_arm(ARM, limited()).unwrap();
    router.route(&Query::at(102.0)).unwrap();
}

/// An arm that is known to cost at most so much is judged by that, another by what it is expected to.
#[test]
fn a_query_that_names_its_most_excludes_what_may_cost_more() {
    let ask = |router: &mut Router, max_cost: f64, tokens: Option<(f64, f64)>| {
        let query = Query { max_cost: Some(max_cost), tokens, ..Query::default() };
        router.route(&query).is_ok()
    };
    // Expected: 1e-3.
    let mut expected = router(config(), plain());
    assert!(ask(&mut expected, 1e-3, None) && !ask(&mut expected, 0.9e-3, None));
    let size = Some((1_000.0, 1_000.0));
    assert!(ask(&mut expected, 1e-3, size) && !ask(&mut expected, 0.9e-3, size));
    // At most 4e-3, although 1e-3 is expected.
    let mut foreseen = router(config(), ArmSettings { max_cost: Some(4e-3), ..plain() });
    assert!(ask(&mut foreseen, 4e-3, None) && !ask(&mut foreseen, 3.9e-3, None));
    // Priced: 5e-3 for a query of that size; nothing is known of others.
    let mut priced = router(config(), ArmSettings { prices: Some(PRICES), ..plain() });
    assert!(ask(&mut priced, 5e-3, size) && !ask(&mut priced, 4.9e-3, size));
    assert!(ask(&mut priced, 0.0, None));
    let refused = priced.counters().refused_excluded;
    let nobody = Query { allowed: Some(Cow::Borrowed(&[])), ..Query::default() };
    assert_eq!(priced.route(&nobody), Err(Error::AllExcluded { live: 1 }));
    assert_eq!(priced.counters().refused_excluded, refused + 1);
}

/// Tokens without a cost are billed at the prices of the decision; without prices they are refused.
#[test]
fn tokens_are_billed_at_prices_only() {
    let tokens = Some(Tokens { input: 1_000.0, cached: 0.0, output: 500.0 });
    let mut priced = router(config(), ArmSettings { prices: Some(PRICES), ..plain() });
    let id = priced.route(&Query::default()).unwrap().id;
    priced.observe(0.0, &Observation { id, reward: None, cost: None, tokens }).unwrap();
    assert_eq!(priced.ledger().billed, 3e-3);
    let mut unpriced = router(config(), plain());
    let id = unpriced.route(&Query::default()).unwrap().id;
    let before = unpriced.to_bytes().unwrap();
    let alone = Observation { id, reward: Some(1.0), cost: None, tokens };
    assert!(matches!(unpriced.observe(0.0, &alone), Err(Error::InvalidFeedback(_))));
    assert!(unpriced.to_bytes().unwrap() == before);
    unpriced.observe(0.0, &Observation { cost: Some(2e-3), ..alone }).unwrap();
    assert_eq!(unpriced.ledger().billed, 2e-3);
}

/// A stage ends by its queries, or because a slot was lost where that is asked for.
#[test]
fn a_stage_is_due_for_its_reasons_only() {
    for (redeploys_lost_slots, stage_queries) in [(false, None), (true, None), (false, Some(2))] {
        let config = RouterConfig { redeploys_lost_slots, stage_queries, ..config() };
        let mut router = Router::new(config).unwrap();
        let arms: Vec<_> = (0..2).map(|_| router.add_arm(&ArmSpec::default()).unwrap()).collect();
        router.publish(&arms, StartCost::NONE).unwrap();
        router.route(&Query::default()).unwrap();
        assert!(!router.is_stage_due());
        router.route(&Query::default()).unwrap();
        assert_eq!(router.is_stage_due(), stage_queries.is_some());
        router.extend_stage();
        assert!(!router.is_stage_due());
        router.retire_arm(arms[0]).unwrap();
        assert_eq!(router.is_stage_due(), redeploys_lost_slots);
    }
}

#[test]
fn a_copy_encodes_as_its_router_does() {
    let mut router = router(config(), plain());
    let copied = |router: &Router, room| router.copy(Room::new(room)).to_bytes().unwrap();
    // Empty, half full, full to the brim, and wrapped; with too little room, just enough, and more.
    for queries in [0, 8, 8, 5, 30] {
        for id in 0..queries {
            router.route(&Query::at(f64::from(id))).unwrap();
        }
        for room in [0, 16, 64] {
            assert_eq!(copied(&router, room), router.to_bytes().unwrap(), "{queries}, {room}");
        }
    }
}
