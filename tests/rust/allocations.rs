//! `route` and `observe` never touch the heap once the first LP of a stage has been solved.
//!
//! A binary of its own: the counting allocator that it links replaces the global one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use allocation_counter::measure;
use stageroute_core::lp::{Problem, RoutingLp, Status};
use stageroute_core::{
    ArmStats, ChangeTest, Confidence, ConfidenceFamily, CostFeedback, Drift, Forgetting, Learner,
    Observation, Pacing, Prices, Prior, Router, RouterConfig, Sampler, Tokens,
};

fn router(family: ConfidenceFamily, arms: usize, cap: f64) -> Router {
    let config = RouterConfig {
        budget: 1e-3,
        confidence: Confidence {
            cost_floor: 1e-5,
            initial_cost_lcb: 1e-5,
            ..Confidence::new(family, 0.25, 0.02)
        },
        pacing: Some(Pacing { horizon: 10.0 }),
        open_decisions: 256,
        stage_queries: Some(1000),
        seed: 11,
    };
    let mut router = Router::new(&config).unwrap();
    let live: Vec<_> =
        (0..arms).map(|_| router.add_arm(cap, ArmStats::default()).unwrap()).collect();
    router.publish(&live).unwrap();
    router
}

/// Queries with feedback split, late and sometimes refused; bills now and then far above the
/// budget, so that the LP goes through all its states.
fn serve(router: &mut Router, world: &mut Sampler, steps: u64) {
    let arms = router.caps().len() as f64;
    for _ in 0..steps {
        let decision = router.route().unwrap();
        let id = decision.id;
        let quality = (decision.arm as f64 + 1.0) / arms;
        let reward = if world.unit() < quality { 1.0 } else { 0.0 };
        let overcharge = if world.unit() < 0.01 { 50.0 } else { 1.0 };
        let cost = 2e-3 * quality * world.unit() * overcharge;
        if id.is_multiple_of(3) && id >= 100 {
            let late = Observation { id: id - 99, reward: Some(reward), cost: None };
            let _ = router.observe(late);
            router.observe(Observation { id, reward: None, cost: Some(cost) }).unwrap();
        } else {
            router.observe(Observation { id, reward: Some(reward), cost: Some(cost) }).unwrap();
        }
        let again = Observation { id, reward: None, cost: Some(cost) };
        assert!(router.observe(again).is_err());
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
                learner.observe(0, reward, Some(CostFeedback::Usd(2e-3 * world.unit()))).unwrap();
                learner.observe(1, reward, Some(CostFeedback::Tokens(tokens))).unwrap();
                if step % 100 == 99 {
                    learner.next_bounds(&mut planned);
                    learner.begin_stage();
                    learner.set_prices(1, Some(Prices { output: world.unit(), ..prices })).unwrap();
                }
            }
        });
        assert_eq!(info.count_total, 0, "{forgetting:?}");
        assert!(learner.changes(0) > 5 && learner.changes(1) > 5, "{forgetting:?}");
    }
}
