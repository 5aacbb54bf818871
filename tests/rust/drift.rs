//! Forgetting and stage boundaries of the learner. The change test has a file of its own, and what
//! all of it is worth is in `drift_scenarios.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/learner.rs"]
mod common;

use common::{HASTY, PRICES, change_test, confidence, feedback, learner, observe, repeat};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stageroute_core::{
    ArmIndex, ArmStats, Bounds, ChangeTest, Confidence, ConfidenceFamily, CostFeedback, Drift,
    Error, Forgetting, Learner, Moments, Prices, Prior, Tokens,
};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0xd21f7),
        ..ProptestConfig::default()
    }
}

fn forgetting(forgetting: Forgetting) -> Drift {
    Drift { forgetting, ..Drift::default() }
}

/// Every way to forget, alone and with a change test.
fn all_ways() -> Vec<Drift> {
    [
        Forgetting::None,
        Forgetting::PerQuery { factor: 0.9 },
        Forgetting::PerStage { factor: 0.5 },
        Forgetting::Window { stages: 1 },
        Forgetting::Window { stages: 3 },
    ]
    .into_iter()
    .flat_map(|way| [forgetting(way), Drift { change_test: Some(HASTY), ..forgetting(way) }])
    .collect()
}

fn next_bounds(learner: &Learner) -> Vec<Bounds> {
    let mut out = vec![Bounds { reward_ucb: f64::NAN, cost_lcb: f64::NAN }; 7];
    learner.next_bounds(&mut out);
    out
}

// ---- forgetting -------------------------------------------------------------------------------

/// What an observation weighs, by its stage and its place among all.
type Weight<'a> = &'a dyn Fn(usize, usize) -> f64;

/// Moments of weighted numbers, in two passes.
fn weighted(values: &[(f64, f64)]) -> (f64, f64, f64) {
    let weight: f64 = values.iter().map(|(w, _)| w).sum();
    if weight < 1e-9 {
        return (0.0, 0.0, 0.0);
    }
    let mean = values.iter().map(|(w, x)| w * x).sum::<f64>() / weight;
    let m2: f64 = values.iter().map(|(w, x)| w * (x - mean).powi(2)).sum();
    (weight, mean, m2 / weight)
}

fn check_moments(moments: &Moments, values: &[(f64, f64)], unit: f64) {
    let (weight, mean, variance) = weighted(values);
    assert_eq!(moments.count(), values.len() as u64);
    assert!((moments.weight() - weight).abs() <= 1e-12 * weight, "{moments:?} {weight}");
    assert!((moments.mean() - mean).abs() <= 1e-12 * unit, "{moments:?} {mean}");
    let error = (moments.variance() - variance).abs();
    assert!(error <= 1e-12 * unit * unit, "{moments:?} {variance}");
}

proptest! {
    #![proptest_config(config())]

    /// Every way to forget against the weights that it stands for, written out.
    #[test]
    fn observations_have_the_weights_they_should(
        stages in prop::collection::vec(prop::collection::vec(0.0..=1.0_f64, 0..8), 1..9),
        factor in 0.05..0.999_f64,
        window in 1..5_u32,
        prior in prop::option::of((0.0..=1.0_f64, 1..5_u64)),
    ) {
        let unit = 1e-2;
        let believed = prior.map_or(vec![], |(mean, weight)| vec![mean; usize::try_from(weight).unwrap()]);
        // (stage, number), the prior in the stage before the first.
        let told: Vec<(usize, f64)> = believed
            .iter()
            .map(|&x| (0, x))
            .chain(stages.iter().enumerate().flat_map(|(k, xs)| xs.iter().map(move |&x| (k, x))))
            .collect();
        let (last, n) = (stages.len() - 1, told.len());
        let ways: [(Forgetting, Weight); 4] = [
            (Forgetting::None, &|_, _| 1.0),
            (Forgetting::PerQuery { factor }, &|_, at| {
                // A prior is one lump: its parts are forgotten together.
                let newer = n - 1 - at.max(believed.len().saturating_sub(1));
                factor.powi(i32::try_from(newer).unwrap())
            }),
            (Forgetting::PerStage { factor }, &|stage, _| {
                factor.powi(i32::try_from(last - stage).unwrap())
            }),
            (Forgetting::Window { stages: window }, &|stage, _| {
                f64::from(u8::from(last - stage <= window as usize))
            }),
        ];
        for (way, weight) in ways {
            let mut learner = Learner::new(confidence(), forgetting(way)).unwrap();
            let usage = |x: f64| Tokens { output: x * unit / PRICES.output * 1e6, ..Tokens::default() };
            let reward = prior;
            let cost = prior.map(|(mean, weight)| (mean * unit, weight));
            let tokens = prior.map(|(mean, weight)| (usage(mean), weight));
            let dollars = Prior { reward, cost, tokens: None };
            learner.add_arm(&dollars, None).unwrap();
            learner.add_arm(&Prior { reward, cost: None, tokens }, Some(PRICES)).unwrap();
            for (k, numbers) in stages.iter().enumerate() {
                if k > 0 {
                    learner.begin_stage();
                }
                for &x in numbers {
                    observe(&mut learner, ArmIndex(0), x, x * unit);
                    learner.observe(ArmIndex(1), Some(x), Some(CostFeedback::Tokens(usage(x)))).unwrap();
                }
            }
            let values: Vec<(f64, f64)> =
                told.iter().enumerate().map(|(at, &(k, x))| (weight(k, at), x)).collect();
            let costs: Vec<(f64, f64)> = values.iter().map(|&(w, x)| (w, x * unit)).collect();
            for stats in learner.stats() {
                check_moments(&stats.reward, &values, 1.0);
                check_moments(&stats.cost, &costs, unit);
            }
        }
    }

    /// With everything off, statistics and bounds are those of plain running moments, to the bit.
    #[test]
    fn nothing_changes_by_default(
        told in prop::collection::vec((0.0..=1.0_f64, 0.0..=0.02_f64, any::<bool>()), 0..100),
    ) {
        let mut learner = Learner::new(confidence(), Drift::default()).unwrap();
        learner.add_arm(&Prior::default(), None).unwrap();
        let (mut stats, mut fair_share) = (ArmStats::default(), 0.0);
        for (reward, cost, boundary) in told {
            if boundary {
                learner.begin_stage();
                fair_share = stats.reward.count() as f64;
            }
            let bounds = observe(&mut learner, ArmIndex(0), reward, cost);
            stats.observe(Some(reward), Some(cost)).unwrap();
            prop_assert_eq!(learner.stats()[0], stats);
            prop_assert_eq!(bounds, confidence().bounds(&stats, fair_share));
            prop_assert_eq!(stats.reward.weight(), stats.reward.count() as f64);
        }
        prop_assert_eq!(learner.changes(ArmIndex(0)), 0);
    }
}

#[test]
fn bounds_of_an_idle_arm_widen_until_it_is_as_new() {
    for way in [Forgetting::PerStage { factor: 0.6 }, Forgetting::Window { stages: 4 }] {
        let mut learner = learner(forgetting(way));
        for arm in [0, 1].map(ArmIndex) {
            for k in 0..100 {
                observe(&mut learner, arm, 0.2, 4e-3 + 1e-4 * f64::from(k % 10));
            }
        }
        let mut last = learner.bounds().to_vec();
        assert!(last.iter().all(|b| b.reward_ucb < 0.6 && b.cost_lcb > 3e-3));
        for stage in 0..20 {
            learner.begin_stage();
            for (bounds, last) in learner.bounds().iter().zip(&last) {
                assert!(bounds.reward_ucb >= last.reward_ucb - 1e-15, "{way:?} at {stage}");
                assert!(bounds.cost_lcb <= last.cost_lcb + 1e-15, "{way:?} at {stage}");
            }
            last = learner.bounds().to_vec();
        }
        for arm in [0, 1].map(ArmIndex) {
            let setting = confidence();
            assert_eq!(last[arm], setting.bounds(&ArmStats::default(), 0.0), "{way:?}");
            // The visits of its youth are not asked for again: one makes it known.
            assert_eq!(learner.stats()[arm].reward.count(), 100);
            let bounds = observe(&mut learner, arm, 0.2, 4e-3);
            assert!(bounds.reward_ucb < 1.0, "{way:?}: {bounds:?}");
        }
    }
}

/// Forgetting per query is by the arm's own observations: others leave it as it is.
#[test]
fn an_idle_arm_keeps_what_is_forgotten_per_query() {
    let mut learner = learner(forgetting(Forgetting::PerQuery { factor: 0.9 }));
    repeat(&mut learner, 50, ArmIndex(0), 0.2, 4e-3);
    let stats = learner.stats()[0];
    assert!((stats.reward.weight() - 10.0).abs() < 0.1, "{stats:?}");
    for _ in 0..50 {
        repeat(&mut learner, 50, ArmIndex(1), 0.2, 4e-3);
        learner.begin_stage();
    }
    assert_eq!(learner.stats()[0], stats);
}

/// A decayed weight stays below `min_visits` for ever. Forced visits look at the number of
/// observations instead, or a bad and expensive arm would be forced upon the router without end.
#[test]
fn forced_visits_end_although_the_weight_stays_small() {
    let ways = [
        Forgetting::PerQuery { factor: 0.9 },
        Forgetting::PerStage { factor: 0.1 },
        Forgetting::Window { stages: 1 },
    ];
    for way in ways {
        let mut learner = learner(forgetting(way));
        for query in 0..200 {
            if query % 5 == 0 {
                learner.begin_stage();
            }
            let bounds = observe(&mut learner, ArmIndex(0), 0.1, 0.02);
            let weight = learner.stats()[0].reward.weight();
            assert!(weight < 20.0, "{way:?}");
            assert_eq!(bounds.cost_lcb == 0.0, query < 19, "{way:?} at {query}");
        }
    }
}

/// What is left of an observation, or of a prior, that has been forgotten to less than its own weight
/// is no knowledge: the arm is new again until it is observed.
#[test]
fn less_than_one_observation_is_no_knowledge() {
    let unknown = |bounds: Bounds| (bounds.reward_ucb, bounds.cost_lcb) == (1.0, 0.0);
    let drift = Drift { forgetting: Forgetting::PerStage { factor: 0.5 }, ..Drift::default() };
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 1e-6, 0.02);
    let mut learner = Learner::new(confidence, drift).unwrap();
    let prior = Prior { reward: Some((0.5, 2)), cost: Some((1e-2, 2)), tokens: None };
    let believed = learner.add_arm(&prior, None).unwrap();
    let observed = learner.add_arm(&Prior::default(), None).unwrap();
    learner.observe(observed, Some(0.5), Some(CostFeedback::Usd(1e-2))).unwrap();
    assert!(!unknown(learner.bounds()[believed]) && !unknown(learner.bounds()[observed]));
    learner.begin_stage();
    assert_eq!(learner.stats()[believed].reward.weight(), 1.0);
    assert!(!unknown(learner.bounds()[believed]) && unknown(learner.bounds()[observed]));
    learner.begin_stage();
    assert_eq!(learner.stats()[believed].reward.weight(), 0.5);
    assert!(unknown(learner.bounds()[believed]) && unknown(learner.bounds()[observed]));
    let again = learner.observe(believed, Some(0.5), Some(CostFeedback::Usd(1e-2))).unwrap();
    assert!(!unknown(again));
}

/// What a decision will cost is still guessed from what was known last.
#[test]
fn a_forgotten_cost_is_still_expected() {
    for way in [Forgetting::PerStage { factor: 0.1 }, Forgetting::Window { stages: 2 }] {
        let mut learner = learner(forgetting(way));
        for arm in [0, 1].map(ArmIndex) {
            assert_eq!(learner.expected_cost(arm), learner.bounds()[arm].cost_lcb);
            repeat(&mut learner, 30, arm, 0.5, 3e-3);
        }
        for _ in 0..40 {
            learner.begin_stage();
            for arm in [0, 1].map(ArmIndex) {
                assert!((learner.expected_cost(arm) - 3e-3).abs() < 1e-15, "{way:?}");
            }
        }
        assert_eq!(learner.stats()[0].cost.weight(), 0.0);
        assert!((learner.expected_tokens(ArmIndex(1)).unwrap().output - 200.0).abs() < 1e-9);
        let double = Prices { output: 2.0 * PRICES.output, ..PRICES };
        learner.set_prices(ArmIndex(1), Some(double)).unwrap();
        assert!((learner.expected_cost(ArmIndex(1)) - 6e-3).abs() < 1e-15);
    }
}

// ---- boundaries -------------------------------------------------------------------------------

/// What can happen between two boundaries.
#[derive(Debug, Clone)]
enum Event {
    Observe(prop::sample::Index, Option<f64>, Option<f64>),
    Price(f64),
    Add(Option<(f64, u64)>),
    Boundary,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let unit = || prop::option::of(prop_oneof![0.0..=1.0_f64, Just(0.0), Just(1.0)]);
    let event = prop_oneof![
        12 => (any::<prop::sample::Index>(), unit(), unit())
            .prop_map(|(arm, reward, cost)| Event::Observe(arm, reward, cost)),
        1 => (1.0..30.0_f64).prop_map(Event::Price),
        1 => prop::option::of((0.0..=1.0_f64, 0..9_u64)).prop_map(Event::Add),
        2 => Just(Event::Boundary),
    ];
    prop::collection::vec(event, 0..120)
}

fn apply(learner: &mut Learner, event: &Event) {
    match *event {
        Event::Observe(arm, reward, cost) => {
            let arm = ArmIndex::try_from(arm.index(learner.len())).unwrap();
            let kind = usize::from(learner.prices(arm).is_some());
            let cost = cost.map(|c| feedback(kind, 0.02 * c));
            learner.observe(arm, reward, cost).unwrap();
        }
        Event::Price(output) => {
            learner.set_prices(ArmIndex(1), Some(Prices { output, ..PRICES })).unwrap();
        }
        Event::Add(reward) => {
            let arm = learner.add_arm(&Prior { reward, ..Prior::default() }, None).unwrap();
            assert_eq!(arm.index() + 1, learner.len());
        }
        Event::Boundary => learner.begin_stage(),
    }
}

proptest! {
    #![proptest_config(config())]

    /// Planning a stage changes nothing and sees what the boundary then leaves, to the bit. Bytes
    /// of the state, read back, are the same state.
    #[test]
    fn the_next_bounds_are_those_of_the_boundary(events in events()) {
        for drift in all_ways() {
            let mut learner = learner(drift);
            for event in &events {
                apply(&mut learner, event);
            }
            let before = learner.clone();
            let next = next_bounds(&learner);
            prop_assert_eq!(&learner, &before);
            let bytes = postcard::to_stdvec(&learner).unwrap();
            let mut restored: Learner = postcard::from_bytes(&bytes).unwrap();
            restored.validate().unwrap();
            prop_assert_eq!(postcard::to_stdvec(&restored).unwrap(), bytes);
            learner.begin_stage();
            prop_assert_eq!(learner.bounds(), &next[..]);
            for (arm, bounds) in next.iter().enumerate() {
                let stats = &learner.stats()[arm];
                let plain = Confidence { growth: 0.0, ..confidence() }.bounds(stats, 0.0);
                prop_assert!(bounds.reward_ucb >= plain.reward_ucb);
                prop_assert_eq!(bounds.cost_lcb, plain.cost_lcb);
            }
            restored.begin_stage();
            prop_assert_eq!(&restored, &learner);
            for event in &events {
                apply(&mut restored, event);
                apply(&mut learner, event);
            }
            prop_assert_eq!(restored, learner);
        }
    }

    /// Bytes that are not a whole learner are refused, or make one that can be used.
    #[test]
    fn broken_bytes_do_no_harm(at: prop::sample::Index, byte: u8, events in events()) {
        let mut learner = learner(forgetting(Forgetting::Window { stages: 2 }));
        for event in &events {
            apply(&mut learner, event);
        }
        let mut bytes = postcard::to_stdvec(&learner).unwrap();
        *at.get_mut(&mut bytes) = byte;
        if let Ok(mut broken) = postcard::from_bytes::<Learner>(&bytes)
            && broken.validate().is_ok()
            && !broken.is_empty()
        {
            let _ = broken.observe(ArmIndex(0), Some(0.5), Some(CostFeedback::Usd(1e-3)));
            next_bounds(&broken);
            broken.begin_stage();
        }
    }
}

// ---- settings ---------------------------------------------------------------------------------

#[test]
fn each_setting_is_checked_by_name() {
    let refused = |drift: Drift, message: &str| {
        let error = drift.validate().unwrap_err();
        assert!(matches!(error, Error::InvalidNumber { .. }));
        assert_eq!(error.to_string(), message);
        assert_eq!(Learner::new(confidence(), drift).unwrap_err().to_string(), message);
    };
    assert_eq!(Drift::default(), Drift { forgetting: Forgetting::None, change_test: None });
    assert!(all_ways().iter().all(|drift| drift.validate().is_ok()));
    change_test(ChangeTest::default()).validate().unwrap();
    for (factor, shown) in [(0.0, "0"), (1.0, "1"), (-0.5, "-0.5"), (f64::NAN, "NaN")] {
        let message = format!("forgetting_factor = {shown}: must be in (0, 1)");
        refused(forgetting(Forgetting::PerQuery { factor }), &message);
        refused(forgetting(Forgetting::PerStage { factor }), &message);
    }
    for stages in [0, 4097] {
        let message = format!("window_stages = {stages}: must be in [1, 4096], in stages");
        refused(forgetting(Forgetting::Window { stages }), &message);
    }
    for (threshold, shown) in [(0.0, "0"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let rule = "must be finite and above 0, in standard deviations";
        let message = format!("change_threshold = {shown}: {rule}");
        refused(change_test(ChangeTest { threshold, ..HASTY }), &message);
    }
    for (slack, shown) in [(0.0, "0"), (3.0, "3"), (f64::NAN, "NaN")] {
        let message = format!("change_slack = {shown}: must be in (0, 3), in standard deviations");
        refused(change_test(ChangeTest { slack, ..HASTY }), &message);
    }
    for (min_samples, shown) in [(1, "1"), (2_000_000_000, "2000000000")] {
        let rule = "must be in [2, 1e9], in observations";
        let message = format!("change_min_samples = {shown}: {rule}");
        refused(change_test(ChangeTest { min_samples, ..HASTY }), &message);
    }
}
