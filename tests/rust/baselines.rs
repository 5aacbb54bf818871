//! The replay loop and the baselines.

#![allow(clippy::unwrap_used)]

use stageroute_baselines::{Greedy, Mixture, Outcome, OutcomeMatrix, Policy, Trace, replay};
use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, Confidence, ConfidenceFamily, Error, Observation, Pacing,
    Query, Router, RouterConfig, Sampler, StartCost,
};

/// Mean reward and cost of each arm.
const FIVE: [(f64, f64); 5] = [(0.9, 6e-3), (0.8, 3e-3), (0.6, 1e-3), (0.5, 4e-4), (0.3, 1e-4)];

fn confidence(family: ConfidenceFamily, gamma: f64) -> Confidence {
    Confidence::new(family, gamma, 0.02)
}

/// A router over five live arms.
fn router() -> Router {
    let config = RouterConfig {
        open_decisions: 64,
        pacing: Some(Pacing { horizon: 100.0, burst: 2.0 }),
        ..RouterConfig::new(2e-3, confidence(ConfidenceFamily::Bernstein, 0.25), 7)
    };
    let mut router = Router::new(config).unwrap();
    let settings = ArmSettings { throughput_cap: 0.5, ..ArmSettings::default() };
    let spec = ArmSpec { settings, ..ArmSpec::default() };
    let arms: Vec<_> = FIVE.iter().map(|_| router.add_arm(&spec).unwrap()).collect();
    router.publish(&arms, StartCost::NONE).unwrap();
    router
}

// ---- replay -----------------------------------------------------------------------------------

fn outcomes(rows: usize) -> (Vec<f64>, Vec<f64>) {
    let mut sampler = Sampler::new(9);
    (0..rows * 5)
        .map(|cell| {
            let (reward, cost) = FIVE[cell % 5];
            let reward = if sampler.unit() < reward { 1.0 } else { 0.0 };
            (reward, 2.0 * cost * sampler.unit())
        })
        .unzip()
}

#[test]
fn a_replay_equals_its_steps() {
    let (reward, cost) = outcomes(400);
    let matrix = OutcomeMatrix::new(&reward, &cost, 5).unwrap();
    matrix.validate().unwrap();
    assert_eq!(matrix.rows(), 400);
    let rows: Vec<u32> = (0..1000_u32).map(|t| t * 7 % 400).collect();
    let mut replayed = router();
    let mut stepped = replayed.clone();
    let (mut arm, mut probability, mut price) = (vec![0; 1000], vec![0.0; 1000], vec![0.0; 1000]);
    let mut trace =
        Trace { arm: &mut arm, probability: &mut probability, budget_price: &mut price };
    replay(&mut replayed, &matrix, &rows, &mut trace, None, &mut || false).unwrap();
    for (t, &row) in rows.iter().enumerate() {
        let decision = stepped.route(&Query::default()).unwrap();
        let Outcome { reward, cost } = matrix.outcome(row as usize, decision.arm);
        let (id, reward, cost) = (decision.id, Some(reward), Some(cost));
        stepped.observe(0.0, &Observation { id, reward, cost, tokens: None }).unwrap();
        assert_eq!(arm[t], decision.arm.0);
        assert_eq!(probability[t], decision.probability);
        assert_eq!(price[t], decision.budget_price);
    }
    assert!(replayed.to_bytes().unwrap() == stepped.to_bytes().unwrap());
}

#[test]
fn bad_replays_are_refused() {
    let (reward, cost) = outcomes(4);
    let rule = "rows x arms, the same for reward and cost";
    let error = OutcomeMatrix::new(&reward, &cost[..15], 5).unwrap_err();
    assert_eq!(error.to_string(), format!("cost has 15 elements; it must have 20, {rule}"));
    OutcomeMatrix::new(&reward[..18], &cost[..18], 5).unwrap_err();
    OutcomeMatrix::new(&reward, &cost, 0).unwrap_err();
    assert_eq!(OutcomeMatrix::new(&[], &[], 0).unwrap().rows(), 0);
    let bad = [0.5, 1.5];
    let matrix = OutcomeMatrix::new(&bad, &[0.0, 0.0], 2).unwrap();
    assert!(matches!(matrix.validate(), Err(Error::InvalidElement { index: 1, .. })));
    let matrix = OutcomeMatrix::new(&[0.5, 0.5], &[0.0, f64::NAN], 2).unwrap();
    assert!(matches!(matrix.validate(), Err(Error::InvalidElement { argument: "cost", .. })));

    let matrix = OutcomeMatrix::new(&reward, &cost, 5).unwrap();
    let mut router = router();
    let before = router.to_bytes().unwrap();
    let (mut arm, mut probability, mut price) = ([0; 2], [0.0; 2], [0.0; 3]);
    let mut trace =
        Trace { arm: &mut arm, probability: &mut probability, budget_price: &mut price };
    let error = replay(&mut router, &matrix, &[0, 1], &mut trace, None, &mut || false).unwrap_err();
    let message = "trace.budget_price has 3 elements; it must have 2, one for each query";
    assert_eq!(error.to_string(), message);
    let mut trace =
        Trace { arm: &mut arm, probability: &mut probability, budget_price: &mut price[..2] };
    let error = replay(&mut router, &matrix, &[0, 4], &mut trace, None, &mut || false).unwrap_err();
    assert_eq!(error.to_string(), "rows[1] = 4: must be a row of the outcome matrix");
    assert!(router.to_bytes().unwrap() == before);
}

#[test]
fn a_replay_can_be_stopped_and_says_where() {
    let rows = vec![0; 5_000];
    let (mut arm, mut probability, mut price) =
        (vec![9; 5_000], vec![0.0; 5_000], vec![0.0; 5_000]);
    let mut trace =
        Trace { arm: &mut arm, probability: &mut probability, budget_price: &mut price };
    let matrix = OutcomeMatrix::new(&[0.5; 5], &[0.001; 5], 5).unwrap();
    let mut looks = 0;
    let mut stop_at_third = || {
        looks += 1;
        looks == 3
    };
    let mut policy = Mixture::new(5, 7);
    policy.publish(&[0, 1, 2, 3, 4].map(ArmIndex), &[0.2; 5]).unwrap();
    let error =
        replay(&mut policy, &matrix, &rows, &mut trace, None, &mut stop_at_third).unwrap_err();
    let queries = arm.iter().filter(|&&arm| arm != 9).count();
    assert_eq!(error, Error::ReplayStopped { queries });
    assert!(0 < queries && queries < rows.len());
    assert!(arm[..queries].iter().all(|&arm| arm < 5));
    assert!(arm[queries..].iter().all(|&arm| arm == 9), "nothing is written past the end");
}

// ---- mixtures and the greedy baseline -----------------------------------------------------------

#[test]
fn a_mixture_draws_what_it_was_given() {
    let mut mixture = Mixture::new(3, 1);
    assert_eq!(mixture.route(0), Err(Error::NoLiveArm));
    let refused = |mixture: &mut Mixture, deployed: &[u32], p: &[f64], message: &str| {
        let deployed: Vec<_> = deployed.iter().copied().map(ArmIndex).collect();
        assert_eq!(mixture.publish(&deployed, p).unwrap_err().to_string(), message);
    };
    let message = "probabilities has 2 elements; it must have 3, one for each candidate";
    refused(&mut mixture, &[0], &[0.5, 0.5], message);
    let message = "probabilities[1] = NaN: must be in [0, 1]";
    refused(&mut mixture, &[0, 1], &[0.5, f64::NAN, 0.0], message);
    let message = "probabilities[0] = -0.5: must be in [0, 1]";
    refused(&mut mixture, &[0, 1], &[-0.5, 1.0, 0.0], message);
    let message = "probabilities[2] = 0.5: must be 0 for an arm that is not live";
    refused(&mut mixture, &[0, 1], &[0.5, 0.0, 0.5], message);
    let message = "deployed names arm 3; this instance has 3 arms, numbered from 0";
    refused(&mut mixture, &[0, 3], &[1.0, 0.0, 0.0], message);
    let message = "deployed names arm 0 twice; each arm may be named once";
    refused(&mut mixture, &[0, 0], &[1.0, 0.0, 0.0], message);
    assert_eq!(mixture.route(0), Err(Error::NoLiveArm), "nothing was published");
    mixture.publish(&[0, 2].map(ArmIndex), &[0.25, 0.0, 0.75]).unwrap();
    let mut counts = [0_u32; 3];
    for id in 0..10_000 {
        let decision = mixture.route(0).unwrap();
        assert_eq!((decision.id, decision.stage), (id, 1));
        assert_eq!(decision.probability, [0.25, 0.0, 0.75][decision.arm]);
        mixture.observe(0, &decision, Outcome { reward: 1.0, cost: 1.0 }).unwrap();
        counts[decision.arm] += 1;
    }
    assert_eq!(counts[1], 0);
    assert!((2_300..2_700).contains(&counts[0]), "{counts:?}");
}

#[test]
fn greedy_ranks_by_utility_within_the_caps() {
    let confidence = Confidence {
        initial_cost_lcb: 1e-4,
        cost_floor: 1e-4,
        ..confidence(ConfidenceFamily::Paper, 1e-6)
    };
    assert!(Greedy::new(confidence, &[0.5, 1.5], 1).is_err());
    let mut greedy = Greedy::new(confidence, &[0.5, 0.3, 0.6, 1.0], 1).unwrap();
    assert_eq!(greedy.route(0), Err(Error::NoLiveArm));
    assert!(
        greedy.publish(&[0, 4].map(ArmIndex)).is_err()
            && greedy.publish(&[1, 1].map(ArmIndex)).is_err()
    );
    greedy.publish(&[2, 0, 1].map(ArmIndex)).unwrap();
    // Utilities once learnt: arm 0 at 50, arm 1 at 300, arm 2 at 200 per USD.
    let outcome = [(0.9, 18e-3), (0.3, 1e-3), (0.6, 3e-3)];
    let mut counts = [0_u32; 4];
    for step in 0..30_000 {
        let decision = greedy.route(0).unwrap();
        let (reward, cost) = outcome[decision.arm];
        greedy.observe(0, &decision, Outcome { reward, cost }).unwrap();
        if step >= 10_000 {
            counts[decision.arm] += 1;
        }
    }
    let share = counts.map(|count| f64::from(count) / 20_000.0);
    for (arm, expected) in [(0, 0.1), (1, 0.3), (2, 0.6), (3, 0.0)] {
        assert!((share[arm] - expected).abs() < 0.015, "{share:?}");
    }
    assert_eq!(greedy.learner().stats()[3].reward.count(), 0);
    // Caps that fall short are scaled up together.
    greedy.publish(&[0, 1].map(ArmIndex)).unwrap();
    let decision = greedy.route(0).unwrap();
    let expected = [0.5 / 0.8, 0.3 / 0.8][decision.arm];
    assert!((decision.probability - expected).abs() < 1e-12, "{decision:?}");
}
