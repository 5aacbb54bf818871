//! A snapshot that is not whole is refused: each part of a router, out of its range or at odds with
//! another part. What random damage does is in `commands`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, Confidence, ConfidenceFamily, Drift, Forgetting, Observation,
    Prices, Prior, Query, Router, RouterConfig, StartCost, Tokens, TrafficLimits,
};

/// No count is larger.
const MOST: u64 = 1 << 60;
const ARMS: [ArmIndex; 3] = [ArmIndex(0), ArmIndex(1), ArmIndex(2)];
/// A number that stands nowhere else in a snapshot.
const PLACEHOLDER: f64 = 0.123_456_789;

/// Three live arms: one learns tokens, one has a limit. Two of them share at a budget that binds;
/// stages are forgotten after two more.
fn router() -> Router {
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    let drift = Drift { forgetting: Forgetting::Window { stages: 2 }, change_test: None };
    let mut router =
        Router::new(RouterConfig { drift, ..RouterConfig::new(2e-3, confidence, 3) }).unwrap();
    let weight = 1_000;
    let priced = ArmSettings {
        prices: Some(Prices { input: 1.0, cached_input: 0.5, output: 4.0 }),
        ..ArmSettings::default()
    };
    let tokens = Tokens { input: 400.0, cached: 100.0, output: 900.0 };
    let limits = TrafficLimits { requests_per_minute: Some(600.0), ..TrafficLimits::default() };
    let limited = ArmSettings { throughput_cap: 0.25, limits, ..ArmSettings::default() };
    let specs = [
        (priced, Prior { tokens: Some((tokens, weight)), ..Prior::default() }, 0.875),
        (limited, Prior { cost: Some((2e-3, weight)), ..Prior::default() }, 0.5),
        (ArmSettings::default(), Prior { cost: Some((1e-3, weight)), ..Prior::default() }, 0.25),
    ];
    for (settings, prior, reward) in specs {
        let prior = Prior { reward: Some((reward, weight)), ..prior };
        router.add_arm(&ArmSpec { settings, prior }).unwrap();
    }
    for stage in 0..3_u32 {
        router.publish(&ARMS, StartCost::NONE).unwrap();
        for query in 0..20_u32 {
            let now = f64::from(1_000 + 100 * stage + query);
            let decision = router.route(&Query::at(now)).unwrap();
            let (id, reward) = (decision.id, Some(0.5));
            let tokens = (decision.arm == ARMS[0]).then_some(tokens);
            let cost = (decision.arm != ARMS[0]).then_some(1e-3);
            router.observe(now, &Observation { id, reward, cost, tokens }).unwrap();
        }
    }
    router
}

/// All parts by name. JSON has no infinity: what was never is long ago instead.
fn parts(router: &Router) -> Value {
    let mut whole = serde_json::to_value(router).unwrap();
    for arm in whole["arms"].as_array_mut().unwrap() {
        arm["traffic"]["timed_since"] = json!(0.0);
        if let Some(requests) = arm["traffic"]["requests"].as_object_mut() {
            requests["since"] = json!(0.0);
        }
    }
    if whole["shares_due"].is_null() {
        whole["shares_due"] = json!(0.0);
    }
    whole
}

/// The snapshot with one part replaced.
fn restored(router: &Router, at: &str, value: &Value) -> Result<Router, stageroute_core::Error> {
    let is_nan = *value == nan();
    let value = if is_nan { json!(PLACEHOLDER) } else { value.clone() };
    let mut whole = parts(router);
    let part = whole.pointer_mut(at).unwrap_or_else(|| panic!("there is no {at}"));
    assert_ne!(*part, value, "{at} is changed");
    *part = value;
    let changed: Router = serde_json::from_value(whole).unwrap();
    let mut bytes = changed.to_bytes().unwrap();
    if is_nan {
        let mark = PLACEHOLDER.to_le_bytes();
        let place = bytes.windows(8).position(|window| window == mark).unwrap();
        bytes[place..place + 8].copy_from_slice(&f64::NAN.to_le_bytes());
    }
    Router::from_bytes(&bytes)
}

/// Stands for what is not a number, which JSON does not know.
fn nan() -> Value {
    json!("NaN")
}

fn assert_refused(cases: &[(&str, Value)], reason: &str) {
    let router = router();
    for (at, value) in cases {
        match restored(&router, at, value) {
            Ok(_) => panic!("{at} = {value} is taken"),
            Err(error) => assert!(error.to_string().contains(reason), "{at} = {value}: {error}"),
        }
    }
}

fn assert_taken(cases: &[(&str, Value)]) {
    let router = router();
    for (at, value) in cases {
        let mut restored = restored(&router, at, value).unwrap_or_else(|e| panic!("{at}: {e}"));
        restored.route(&Query::at(2_000.0)).unwrap();
    }
}

#[test]
fn a_whole_snapshot_is_taken() {
    let router = router();
    let mut restored = Router::from_bytes(&router.to_bytes().unwrap()).unwrap();
    let mut original = router;
    for query in 0..20_u32 {
        let now = f64::from(2_000 + query);
        let (a, b) = (original.route(&Query::at(now)), restored.route(&Query::at(now)));
        assert_eq!(a.unwrap(), b.unwrap());
    }
}

/// A basis may be any of three arms: it is checked whenever it is used.
#[test]
fn the_lp_is_checked() {
    assert_refused(
        &[
            ("/lp/simplex/probabilities", json!([0.5, 0.5])),
            ("/lp/simplex/probabilities", json!([-0.25, 0.5, 0.75])),
            ("/lp/simplex/probabilities", json!([0.0, 1.5, 0.0])),
            ("/lp/simplex/side", json!([1.0, 1.0])),
            ("/lp/simplex/side", json!([0.5, 1.0, 0.0])),
            ("/lp/simplex/score", json!([1.0, 1.0, 1.0, 1.0])),
            ("/lp/simplex/support", json!([2, 1])),
            ("/lp/simplex/support", json!([1, 1])),
            ("/lp/simplex/support", json!([1, 3])),
            ("/lp/simplex/at_cap", json!([2, 1])),
            ("/lp/simplex/at_cap", json!([3])),
            ("/lp/simplex/cold_order", json!([0, 0, 2])),
            ("/lp/simplex/cold_order", json!([0, 1])),
            ("/lp/simplex/warm_order", json!([0, 1, 3])),
            ("/lp/simplex/warm_order", json!([0, 1, 2, 2])),
            ("/lp/simplex/marginal", json!(3)),
            ("/lp/simplex/marginal", json!(4)),
            ("/lp/simplex/partner", json!(3)),
            ("/lp/simplex/partner", json!(4)),
            ("/lp/simplex/weights/value", nan()),
            ("/lp/simplex/weights/price", nan()),
            ("/lp/simplex/cap_sum", json!(2.5)),
            ("/lp/change", json!({"Arm": 3})),
            ("/lp/change", json!({"Arm": 4})),
        ],
        "the routing LP's parts",
    );
    assert_refused(&[("/lp/simplex/cost", json!([0.0, 0.0]))], "cost has 2 elements");
    assert_refused(&[("/lp/simplex/budget", json!(-1.0))], "budget = -1");
    assert_taken(&[
        ("/lp/simplex/probabilities", json!([1.0, 0.0, 0.0])),
        ("/lp/simplex/support", json!([0, 1, 2])),
        ("/lp/simplex/at_cap", json!([])),
        ("/lp/simplex/warm_order", json!([2, 1, 0])),
        ("/lp/simplex/marginal", json!(0)),
        ("/lp/simplex/partner", json!(2)),
        ("/lp/simplex/weights", json!({"value": 0.0, "price": 1.0})),
        ("/lp/change", json!("All")),
        ("/lp/change", json!({"Arm": 0})),
    ]);
}

#[test]
fn the_learner_is_checked() {
    assert_refused(&[("/learner/bounds", json!([]))], "bounds has 0 elements; it must have 3");
    assert_refused(&[("/learner/memory", json!([]))], "memory has 0 elements; it must have 3");
    assert_refused(&[("/learner/confidence/gamma", json!(0.0))], "gamma = 0");
    assert_refused(
        &[("/learner/drift/forgetting", json!(Forgetting::PerStage { factor: 2.0 }))],
        "factor = 2",
    );
    let short = json!([{"count": 1, "weight": 1.0, "mean": 0.5, "m2": 0.0}]);
    assert_refused(
        &[
            ("/learner/memory/1/reward/window", short.clone()),
            ("/learner/memory/1/cost/Usd/window", short),
            ("/learner/memory/0/cost/Tokens/memory/window", json!([])),
        ],
        "window has",
    );
    assert_refused(
        &[("/learner/slot", json!(3)), ("/learner/slot", json!(4))],
        "elements; it must have 3",
    );
    assert_taken(&[("/learner/slot", json!(2)), ("/learner/slot", json!(1))]);
}

#[test]
fn statistics_are_checked() {
    assert_refused(
        &[
            ("/learner/stats/1/reward/mean", json!(1.5)),
            ("/learner/stats/1/reward/mean", json!(-0.5)),
            ("/learner/stats/1/cost/mean", json!(3e9)),
            ("/learner/stats/1/cost/mean", json!(-1.0)),
            ("/learner/stats/1/reward/m2", json!(-1.0)),
            ("/learner/stats/1/cost/m2", json!(-1.0)),
            ("/learner/stats/1/reward/weight", json!(-1.0)),
            ("/learner/stats/1/cost/weight", json!(2.0 * MOST as f64)),
            ("/learner/stats/1/reward/count", json!(MOST + 1)),
            ("/learner/stats/1/cost/count", json!(MOST + 1)),
            ("/learner/memory/0/cost/Tokens/usage/mean", json!([-200.0, 100.0, 900.0])),
            ("/learner/memory/0/cost/Tokens/usage/mean", json!([300.0, -1.0, 900.0])),
            ("/learner/memory/0/cost/Tokens/usage/mean", json!([300.0, 100.0, 3e9])),
            ("/learner/memory/0/cost/Tokens/usage/weight", json!(-1.0)),
            ("/learner/memory/0/cost/Tokens/usage/count", json!(MOST + 1)),
            ("/learner/bounds/1/reward_ucb", nan()),
            ("/learner/bounds/1/cost_lcb", json!(-1.0)),
            // Of what is still to be forgotten.
            ("/learner/memory/1/reward/window/0/mean", json!(2.0)),
            ("/learner/memory/1/reward/window/0/weight", json!(-1.0)),
            ("/learner/memory/1/cost/Usd/window/2/m2", json!(-1.0)),
            // What is remembered of the next stages is more than what is known now.
            ("/learner/memory/1/reward/window/0/weight", json!(70.0)),
            ("/learner/memory/1/cost/Usd/window/0/weight", json!(70.0)),
        ],
        "the statistics of an arm",
    );
    // What was known last of an arm counts where nothing is known now.
    let mut forgotten = router();
    for _ in 0..4 {
        forgotten.publish(&ARMS, StartCost::NONE).unwrap();
    }
    assert_eq!(forgotten.learner().stats()[1].cost.weight(), 0.0);
    assert_eq!(forgotten.learner().expected_cost(ARMS[1]), 1e-3);
    let last = json!({"count": 1, "weight": 1.0, "mean": -1.0, "m2": 0.0});
    let error = restored(&forgotten, "/learner/memory/1/cost/Usd/last", &last).unwrap_err();
    assert!(error.to_string().contains("the statistics of an arm"), "{error}");
    assert_taken(&[
        ("/learner/stats/1/reward/mean", json!(1.0)),
        ("/learner/stats/1/cost/mean", json!(2e9)),
        ("/learner/stats/1/reward/count", json!(MOST - 1)),
    ]);
}

#[test]
fn arms_are_checked() {
    let cheap = json!({"input": 0.5, "cached_input": 0.5, "output": 4.0});
    assert_refused(
        &[
            ("/arms/1/share", json!(0.0)),
            ("/arms/1/share", json!(1.5)),
            ("/arms/1/reservation", json!(5)),
            ("/arms/1/settings/max_cost", json!(0.5)),
            ("/arms/0/prices", json!([])),
            ("/arms/0/settings/prices", cheap.clone()),
        ],
        "the settings of an arm",
    );
    assert_refused(&[("/arms/0/settings/prices", Value::Null)], "the prices of an arm");
    let dear = json!({"input": -0.5, "cached_input": 0.5, "output": 4.0});
    assert_refused(&[("/arms/0/prices", json!([dear]))], "input");
    assert_refused(&[("/arms/1/settings/throughput_cap", json!(1.5))], "throughput_cap = 1.5");
    // An arm that had prices once.
    assert_taken(&[("/arms/1/prices", json!([cheap])), ("/arms/1/share", json!(1.0))]);
    let mut one_less = parts(&router());
    one_less["arms"].as_array_mut().unwrap().pop();
    let one_less: Router = serde_json::from_value(one_less).unwrap();
    let error = Router::from_bytes(&one_less.to_bytes().unwrap()).unwrap_err();
    assert!(error.to_string().contains("the arms"), "{error}");
}

#[test]
fn the_plan_is_checked() {
    assert_refused(
        &[
            ("/live/arms", json!([0, 1])),
            ("/live/arms", json!([0, 2, 1])),
            ("/live/stage", json!(MOST + 1)),
            ("/arms/0/is_retired", json!(true)),
        ],
        "the live arms",
    );
    assert_taken(&[("/live/stage", json!(MOST - 1))]);
}

#[test]
fn times_and_money_are_checked() {
    assert_refused(
        &[
            ("/clock", json!(-1.0)),
            ("/clock", nan()),
            ("/shares_due", json!(1_220.5)),
            ("/shares_due", nan()),
        ],
        "the times",
    );
    assert_refused(
        &[
            ("/ledger/billed", nan()),
            ("/ledger/in_flight", nan()),
            ("/ledger/written_off", nan()),
            ("/billed/sum", nan()),
            ("/start_costs/owed", json!(-1.0)),
        ],
        "the sums of money",
    );
    assert_refused(
        &[
            ("/counters/optimal", json!(1)),
            ("/counters/rewards", json!(MOST + 1)),
            ("/counters/cooldowns", json!(MOST + 1)),
        ],
        "the counters",
    );
    assert_taken(&[
        ("/shares_due", json!(0.0)),
        ("/counters/rewards", json!(MOST - 1)),
        ("/ledger/in_flight", json!(-0.5)),
    ]);
}
