//! No baseline touches the heap once its first stage has begun.
//!
//! A binary of its own: the counting allocator that it links replaces the global one.

#![allow(clippy::unwrap_used)]

use allocation_counter::measure;
use stageroute_baselines::{
    ContextConfig, ContextRouter, DualMethod, Features, Index, IndexConfig, IndexRouter,
    KnapsackConfig, KnapsackRouter, LinUcb, LinUcbConfig, Outcome, Policy, Sharing,
};
use stageroute_core::{ArmIndex, Confidence, ConfidenceFamily, Pacing, Prior, Sampler};

/// Serves a baseline over rows of a table, with bills now and then far above the budget.
fn serve_baseline(policy: &mut impl Policy, world: &mut Sampler, steps: usize) {
    for step in 0..steps {
        let decision = policy.route(step % 8).unwrap();
        let quality = (decision.arm.index() as f64 + 1.0) / 6.0;
        let overcharge = if world.unit() < 0.01 { 50.0 } else { 1.0 };
        let outcome = Outcome {
            reward: if world.unit() < quality { 1.0 } else { 0.0 },
            cost: 2e-3 * quality * world.unit() * overcharge,
        };
        policy.observe(step % 8, &decision, outcome).unwrap();
    }
}

fn check_baseline(policy: &mut impl Policy, name: &str) {
    let mut world = Sampler::new(3);
    serve_baseline(policy, &mut world, 100);
    let info = measure(|| serve_baseline(policy, &mut world, 5_000));
    assert_eq!(info.count_total, 0, "{name}");
}

#[test]
fn baselines_do_not_allocate() {
    let (caps, priors) = (vec![0.5; 5], vec![Prior::default(); 5]);
    let (budget, horizon, seed, live) = (1e-3, 6_000, 7, [0, 1, 2, 3, 4].map(ArmIndex));
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    let pacing = Some(Pacing { horizon: 100.0, burst: 2.0 });
    let indices = [
        Index::Ucb1,
        Index::KlUcb { c: 3.0 },
        Index::Thompson,
        Index::EpsilonGreedy { scale: 5.0 },
    ];
    for index in indices {
        let (throughput_cap, priors) = (caps.clone(), priors.clone());
        let config = IndexConfig { index, throughput_cap, priors, budget, pacing, seed };
        let mut router = IndexRouter::new(config).unwrap();
        router.publish(&live).unwrap();
        check_baseline(&mut router, &format!("{index:?}"));
    }
    for method in [DualMethod::MultiplicativeWeights, DualMethod::GradientDescent] {
        let config = KnapsackConfig {
            method,
            step: 0.01,
            budget,
            horizon,
            stage_queries: 1_000.0,
            confidence,
            throughput_cap: caps.clone(),
            priors: priors.clone(),
        };
        let mut router = KnapsackRouter::new(&config).unwrap();
        router.publish(&live).unwrap();
        check_baseline(&mut router, &format!("{method:?}"));
    }
    let config = LinUcbConfig {
        width: 1.0,
        step: 0.01,
        budget,
        horizon,
        throughput_cap: caps.clone(),
        priors: priors.clone(),
    };
    let features: Vec<f64> = (0..24).map(|k| f64::from(k % 5) / 4.0).collect();
    let features = Features::new(&features, 3).unwrap();
    let mut linucb = LinUcb::new(&config, features.clone()).unwrap();
    linucb.publish(&live).unwrap();
    check_baseline(&mut linucb, "LinUCB");
    let prices = Sharing::Prices { money_step: 0.03, share_step: 0.002, stage_queries: 1_000.0 };
    for sharing in [Sharing::Own, prices] {
        let config = ContextConfig {
            sharing,
            width: 0.4,
            budget,
            pacing,
            confidence,
            throughput_cap: caps.clone(),
            priors: priors.clone(),
            seed,
        };
        let mut router = ContextRouter::new(&config, features.clone()).unwrap();
        router.publish(&live, 0.0).unwrap();
        check_baseline(&mut router, &format!("{sharing:?}"));
    }
}
