//! `route` and `observe` never touch the heap once the first LP of a stage has been solved.
//!
//! A binary of its own: the counting allocator that it links replaces the global one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;

use allocation_counter::measure;
use stageroute_core::lp::{Problem, RoutingLp, Status};
use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, AtLimit, ChangeTest, Confidence, ConfidenceFamily,
    CostFeedback, Decision, Drift, FailureReason, Forgetting, HardLimit, HealthConfig, Learner,
    LogBatch, Observation, Pacing, Period, Prices, Prior, Query, Router, RouterConfig, Sampler,
    StartCost, Tokens, TrafficLimits,
};

fn router(family: ConfidenceFamily, arms: usize, cap: f64) -> Router {
    let settings = ArmSettings { throughput_cap: cap, ..ArmSettings::default() };
    router_of(config(family), settings, arms)
}

fn config(family: ConfidenceFamily) -> RouterConfig {
    let published = Confidence::new(family, 0.25, 0.02);
    let confidence = Confidence { cost_floor: 1e-5, initial_cost_lcb: 1e-5, ..published };
    RouterConfig {
        pacing: Some(Pacing { horizon: 10.0, burst: 2.0 }),
        open_decisions: 256,
        stage_queries: Some(1000),
        ..RouterConfig::new(1e-3, confidence, 11)
    }
}

fn router_of(config: RouterConfig, settings: ArmSettings, arms: usize) -> Router {
    let mut router = Router::new(config).unwrap();
    let spec = ArmSpec { settings, ..ArmSpec::default() };
    let live: Vec<_> = (0..arms).map(|_| router.add_arm(&spec).unwrap()).collect();
    router.publish(&live, StartCost::NONE).unwrap();
    router
}

/// Queries with feedback split, late and sometimes refused; bills now and then far above the
/// budget, so that the LP goes through all its states.
fn serve(router: &mut Router, world: &mut Sampler, steps: u64) {
    let arms = router.len() as f64;
    for _ in 0..steps {
        let decision = router.route(&Query::default()).unwrap();
        let id = decision.id;
        let quality = (decision.arm.index() as f64 + 1.0) / arms;
        let reward = if world.unit() < quality { 1.0 } else { 0.0 };
        let overcharge = if world.unit() < 0.01 { 50.0 } else { 1.0 };
        let cost = 2e-3 * quality * world.unit() * overcharge;
        let bill = Observation { id, cost: Some(cost), ..Observation::default() };
        if id.is_multiple_of(3) && id >= 100 {
            let (id, reward) = (id - 99, Some(reward));
            let late = Observation { id, reward, ..Observation::default() };
            let _ = router.observe(0.0, &late);
            router.observe(0.0, &bill).unwrap();
        } else {
            router.observe(0.0, &Observation { reward: Some(reward), ..bill }).unwrap();
        }
        assert!(router.observe(0.0, &bill).is_err());
    }
}

#[test]
fn the_counter_counts() {
    let info = measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    assert_eq!(info.count_total, 1);
}

#[test]
fn route_and_observe_do_not_allocate() {
    for (_, family) in ConfidenceFamily::NAMES {
        for arms in [5, 11, 32] {
            let mut router = router(family, arms, 0.5);
            let mut world = Sampler::new(5);
            serve(&mut router, &mut world, 1);
            let info = measure(|| serve(&mut router, &mut world, 5_000));
            assert_eq!(info.count_total, 0, "{family:?} with {arms} arms");
            let (solves, counters) = (router.solve_counts(), router.counters());
            let all_ways = [solves.kept, solves.warm, solves.cold];
            assert!(all_ways.iter().all(|&n| n > 20), "{family:?}, {arms}: {solves:?}");
            assert!(counters.optimal > 100 && counters.throttled > 20, "{counters:?}");
        }
    }
}

/// Limits of every kind, a log that is taken away, failures, prices, queries with wishes.
#[test]
fn a_guarded_router_does_not_allocate() {
    let limit = HardLimit { usd: 1e6, period: Period::Hour, at_limit: AtLimit::Cheapest };
    let guarded = RouterConfig {
        hard_limits: vec![limit],
        max_age: Some(60.0),
        health: HealthConfig { failures: 1, ..HealthConfig::default() },
        log_capacity: 4096,
        ..config(ConfidenceFamily::Bernstein)
    };
    let settings = ArmSettings {
        throughput_cap: 0.5,
        prices: Some(Prices { input: 3.0, cached_input: 0.3, output: 15.0 }),
        max_cost: Some(0.1),
        max_tokens: Some(2_000.0),
        limits: TrafficLimits {
            requests_per_minute: Some(600.0),
            tokens_per_minute: Some(1e6),
            concurrent: Some(8),
            ..TrafficLimits::default()
        },
    };
    let mut router = router_of(guarded, settings, 11);
    let mut world = Sampler::new(9);
    let mut batch = LogBatch::default();
    let allowed = [0, 2, 4, 6, 8, 10].map(ArmIndex);
    let mut now = 1e9;
    let mut serve = |router: &mut Router, steps: usize| {
        for step in 0..steps {
            now += 0.02 * world.unit();
            let query = Query {
                allowed: step.is_multiple_of(3).then_some(Cow::Borrowed(&allowed[..])),
                max_cost: step.is_multiple_of(5).then_some(0.05),
                tokens: step.is_multiple_of(7).then_some((500.0, 800.0)),
                ..Query::at(now)
            };
            let Ok(Decision { id, .. }) = router.route(&query) else { continue };
            if world.unit() < 0.02 {
                let reason = FailureReason::NAMES[step % 4].1;
                router.fail(now, id, reason, None, None).unwrap();
            } else {
                let tokens = Tokens { input: 500.0, cached: 0.0, output: 800.0 * world.unit() };
                let (reward, tokens) = (Some(world.unit()), Some(tokens));
                router.observe(now, &Observation { id, reward, tokens, cost: None }).unwrap();
            }
            if step % 500 == 499 {
                router.drain_log(&mut batch);
            }
        }
    };
    // An arm that is refused for too much traffic for the first time is given a meter.
    serve(&mut router, 20_000);
    let info = measure(|| serve(&mut router, 20_000));
    assert_eq!(info.count_total, 0);
    let counters = router.counters();
    assert!(counters.restricted > 5_000 && counters.cooldowns > 20, "{counters:?}");
    assert!(counters.refused_traffic > 0, "{counters:?}");
}

#[test]
fn the_cap_infeasible_state_does_not_allocate() {
    let mut router = router(ConfidenceFamily::Bernstein, 11, 0.05);
    let mut world = Sampler::new(6);
    serve(&mut router, &mut world, 1);
    let info = measure(|| serve(&mut router, &mut world, 2_000));
    assert_eq!(info.count_total, 0);
    assert_eq!(router.counters().cap_infeasible, 2_001);
}

#[test]
fn solving_does_not_allocate() {
    for arms in [5, 11, 32, 128] {
        let mut world = Sampler::new(7);
        let reward: Vec<f64> = (0..arms).map(|_| world.unit()).collect();
        let cost: Vec<f64> = (0..arms).map(|_| 0.1 + world.unit()).collect();
        let cap = vec![0.3; arms];
        let problem = Problem { reward: &reward, cost: &cost, cap: &cap, budget: 0.5 };
        let mut lp = RoutingLp::new(problem).unwrap();
        let mut infeasible = 0;
        let info = measure(|| {
            for step in 0..2_000 {
                lp.set_arm(step % arms, world.unit(), 0.1 + world.unit());
                lp.set_budget(world.unit());
                infeasible += u32::from(lp.solve().unwrap() == Status::BudgetInfeasible);
                lp.solve_cold().unwrap();
            }
            lp.load(problem).unwrap();
            lp.solve().unwrap();
        });
        assert_eq!(info.count_total, 0, "{arms} arms");
        assert!(infeasible > 20, "{arms} arms: {infeasible}");
    }
}

/// Whatever is forgotten or found to have changed, in USD or in tokens; boundaries and their
/// planning neither, once the planner's buffer has its size.
#[test]
fn learning_under_drift_does_not_allocate() {
    let ways = [
        Forgetting::None,
        Forgetting::PerQuery { factor: 0.99 },
        Forgetting::PerStage { factor: 0.5 },
        Forgetting::Window { stages: 4 },
    ];
    let change_test = Some(ChangeTest { threshold: 6.0, ..ChangeTest::default() });
    let prices = Prices { input: 3.0, cached_input: 0.3, output: 15.0 };
    for forgetting in ways {
        let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
        let mut learner = Learner::new(confidence, Drift { forgetting, change_test }).unwrap();
        learner.add_arm(&Prior::default(), None).unwrap();
        learner.add_arm(&Prior::default(), Some(prices)).unwrap();
        let mut world = Sampler::new(8);
        let mut planned = Vec::new();
        learner.next_bounds(&mut planned);
        let info = measure(|| {
            for step in 0..10_000 {
                let reward = Some(world.unit());
                let output = 1_000.0 * world.unit();
                let tokens = Tokens { input: 500.0, cached: 100.0, output };
                learner
                    .observe(ArmIndex(0), reward, Some(CostFeedback::Usd(2e-3 * world.unit())))
                    .unwrap();
                learner.observe(ArmIndex(1), reward, Some(CostFeedback::Tokens(tokens))).unwrap();
                if step % 100 == 99 {
                    learner.next_bounds(&mut planned);
                    learner.begin_stage();
                    learner
                        .set_prices(ArmIndex(1), Some(Prices { output: world.unit(), ..prices }))
                        .unwrap();
                }
            }
        });
        assert_eq!(info.count_total, 0, "{forgetting:?}");
        assert!(
            learner.changes(ArmIndex(0)) > 5 && learner.changes(ArmIndex(1)) > 5,
            "{forgetting:?}"
        );
    }
}
