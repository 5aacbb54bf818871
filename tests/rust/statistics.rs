//! Running moments, and the bounds that each confidence family makes of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stageroute_core::{
    ArmIndex, ArmStats, Bounds, Confidence, ConfidenceFamily, CostFeedback, Drift, Error, Learner,
    Moments, Prior, Sampler, kl_upper,
};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 500,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x05ca_1ab1_e0dd),
        ..ProptestConfig::default()
    }
}

fn pushed(values: &[f64]) -> Moments {
    let mut moments = Moments::default();
    for &x in values {
        moments.push(x);
    }
    moments
}

fn is_close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * a.abs().max(b.abs()).max(1e-300)
}

/// Mean and population variance in two passes.
fn two_pass(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n)
}

// ---- moments ----------------------------------------------------------------------------------

proptest! {
    #![proptest_config(config())]

    #[test]
    fn moments_match_two_passes(values in prop::collection::vec(0.0..1.0_f64, 1..200)) {
        let moments = pushed(&values);
        let (mean, variance) = two_pass(&values);
        prop_assert_eq!(moments.count(), values.len() as u64);
        prop_assert_eq!(moments.weight(), values.len() as f64);
        prop_assert!(is_close(moments.mean(), mean, 1e-13));
        prop_assert!((moments.variance() - variance).abs() <= 1e-14);
        prop_assert!(is_close(moments.sum(), values.iter().sum(), 1e-12));
        let squares = values.iter().map(|x| x * x).sum();
        prop_assert!(is_close(moments.sum_of_squares(), squares, 1e-12));
    }

    #[test]
    fn merging_equals_concatenating(
        values in prop::collection::vec(0.0..1e-2_f64, 0..200),
        cut: prop::sample::Index,
    ) {
        let cut = if values.is_empty() { 0 } else { cut.index(values.len()) };
        let whole = pushed(&values);
        let mut merged = pushed(&values[..cut]);
        merged.merge(&pushed(&values[cut..]));
        prop_assert_eq!(merged.count(), whole.count());
        prop_assert!((merged.mean() - whole.mean()).abs() <= 1e-15);
        prop_assert!((merged.variance() - whole.variance()).abs() <= 1e-18);
    }

    #[test]
    fn merging_nothing_changes_nothing(values in prop::collection::vec(0.0..1.0_f64, 0..20)) {
        let moments = pushed(&values);
        let mut merged = moments;
        merged.merge(&Moments::default());
        prop_assert_eq!(merged, moments);
        let mut empty = Moments::default();
        empty.merge(&moments);
        prop_assert_eq!(empty.count(), moments.count());
        prop_assert!((empty.mean() - moments.mean()).abs() <= f64::EPSILON);
        prop_assert_eq!(empty.variance(), moments.variance());
    }

    #[test]
    fn a_batch_equals_single_updates(
        rewards in prop::collection::vec(0.0..=1.0_f64, 0..60),
        costs in prop::collection::vec(0.0..1e3_f64, 0..60),
    ) {
        let (mut batched, mut single) = (ArmStats::default(), ArmStats::default());
        batched.observe_batch(&rewards, &costs).unwrap();
        for at in 0..rewards.len().max(costs.len()) {
            single.observe(rewards.get(at).copied(), costs.get(at).copied()).unwrap();
        }
        prop_assert_eq!(batched, single);
        prop_assert_eq!(batched.reward.count(), rewards.len() as u64);
        prop_assert_eq!(batched.cost.count(), costs.len() as u64);
    }
}

/// Sums of squares would lose every digit: the square of the mean is 1e18 times the variance.
#[test]
fn a_tiny_spread_on_a_large_mean_is_measured() {
    let mut sampler = Sampler::new(1);
    let values: Vec<f64> = (0..100_000).map(|_| 1e6 + 1e-3 * (sampler.unit() - 0.5)).collect();
    let around_zero: Vec<f64> = values.iter().map(|x| x - 1e6).collect();
    let (mean, variance) = two_pass(&around_zero);
    let moments = pushed(&values);
    assert!((moments.mean() - 1e6 - mean).abs() <= 1e-9);
    assert!(is_close(moments.variance(), variance, 1e-6), "{} {variance}", moments.variance());
    let mut merged = Moments::default();
    values.chunks(777).for_each(|chunk| merged.merge(&pushed(chunk)));
    assert!(is_close(merged.variance(), variance, 1e-6), "{} {variance}", merged.variance());
}

/// 3e7 steps of a known cycle. Rounding in Welford's recurrence grows with the count at most, so
/// the errors allowed here, a tenth of what the bounds could notice at 1e9, hold there too: at
/// 1e9 the narrowest radius in use is above 1e-5.
#[test]
fn long_streams_stay_accurate() {
    let steps = if cfg!(debug_assertions) { 3_000_000 } else { 30_000_000_u64 };
    let cycle = [0.9, 0.1, 0.35, 0.7, 0.2];
    let (mean, variance) = two_pass(&cycle);
    let mut moments = Moments::default();
    for _ in 0..steps / 5 {
        for x in cycle {
            moments.push(x);
        }
    }
    assert_eq!(moments.count(), steps);
    assert!(is_close(moments.mean(), mean, 1e-10), "{}", moments.mean() - mean);
    assert!(is_close(moments.variance(), variance, 1e-9), "{}", moments.variance() - variance);
}

/// A count near 1e9 is reached by merging; single updates still move the mean by their share.
#[test]
fn updates_count_after_a_billion() {
    let mut moments = pushed(&[0.25, 0.75]);
    while moments.count() < 1_000_000_000 {
        let copy = moments;
        moments.merge(&copy);
    }
    let (count, before) = (moments.count() as f64, moments.mean());
    assert_eq!((before, moments.variance()), (0.5, 0.0625));
    moments.push(1.0);
    assert!(is_close(moments.mean() - before, 0.5 / (count + 1.0), 1e-6));
}

#[test]
fn a_prior_is_worth_its_weight() {
    let mut moments = Moments::prior(0.2, 3);
    assert_eq!((moments.count(), moments.mean(), moments.variance()), (3, 0.2, 0.0));
    moments.push(0.6);
    assert!(is_close(moments.mean(), 0.3, 1e-15));
    assert_eq!(Moments::prior(0.7, 0), Moments::default());
    assert_eq!(Moments::prior(f64::NAN, 0), Moments::default());
}

/// Discounting scales the weight alone; the count goes on, and a vanishing weight becomes nothing.
#[test]
fn discounting_scales_the_weight() {
    let mut moments = pushed(&[0.2, 0.4, 0.9]);
    let (mean, variance) = (moments.mean(), moments.variance());
    moments.discount(0.25);
    assert_eq!((moments.count(), moments.weight(), moments.mean()), (3, 0.75, mean));
    assert!(is_close(moments.variance(), variance, 1e-15));
    moments.discount(1e-9);
    assert_eq!((moments.count(), moments.weight()), (3, 0.0));
    assert_eq!((moments.mean(), moments.variance()), (0.0, 0.0));
    moments.push(0.3);
    assert_eq!((moments.count(), moments.weight(), moments.mean()), (4, 1.0, 0.3));
}

/// A weight of exactly 1e-9 is the least that is kept.
#[test]
fn the_least_weight_is_kept() {
    let (mut least, mut less) = (pushed(&[0.5]), pushed(&[0.5]));
    least.discount(1e-9);
    assert_eq!((least.weight(), least.mean()), (1e-9, 0.5));
    less.discount(0.999e-9);
    assert_eq!((less.count(), less.weight(), less.mean()), (1, 0.0, 0.0));
}

/// Two moments of different weight, merged by hand.
#[test]
fn merged_moments_are_weighted() {
    let mut moments = pushed(&[1.0, 3.0]);
    let mut other = pushed(&[5.0, 5.0, 6.0, 8.0]);
    other.discount(0.5);
    moments.merge(&other);
    // Means 2 and 6, both of weight 2; squared deviations 2 and 6 / 2, and 4 x 4 between them.
    assert_eq!((moments.count(), moments.weight(), moments.mean()), (6, 4.0, 4.0));
    assert_eq!((moments.variance(), moments.sum()), (21.0 / 4.0, 16.0));
    assert_eq!(moments.sum_of_squares(), 21.0 + 64.0);
}

#[test]
fn nothing_seen_is_zero() {
    let moments = Moments::default();
    assert_eq!((moments.count(), moments.mean(), moments.variance()), (0, 0.0, 0.0));
    assert_eq!((moments.sum(), moments.sum_of_squares()), (0.0, 0.0));
}

#[test]
fn missing_rewards_are_counted_apart() {
    let mut stats = ArmStats::default();
    stats.observe(None, Some(2.0)).unwrap();
    stats.observe(Some(1.0), None).unwrap();
    stats.observe(None, Some(4.0)).unwrap();
    stats.observe(None, None).unwrap();
    assert_eq!((stats.reward.count(), stats.reward.mean()), (1, 1.0));
    assert_eq!((stats.cost.count(), stats.cost.mean()), (2, 3.0));
}

#[test]
fn bad_observations_change_nothing() {
    let mut stats = ArmStats::default();
    stats.observe(Some(0.5), Some(1.0)).unwrap();
    let before = stats;
    let reward_rule = "a reward must be a number in [0, 1]";
    let cost_rule = "a cost must be finite and not negative, and at most 1e9, in USD per query";
    for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY, -f64::MIN_POSITIVE] {
        let error = stats.observe(Some(bad), Some(1.0)).unwrap_err();
        assert_eq!(error.to_string(), format!("reward = {bad}: {reward_rule}"));
        let error = stats.observe_batch(&[0.1, bad], &[1.0]).unwrap_err();
        assert_eq!(error.to_string(), format!("rewards[1] = {bad}: {reward_rule}"));
    }
    for bad in [-1e-9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = stats.observe(Some(1.0), Some(bad)).unwrap_err();
        assert_eq!(error.to_string(), format!("cost = {bad}: {cost_rule}"));
        let error = stats.observe_batch(&[0.1, 0.2], &[bad]).unwrap_err();
        assert_eq!(error.to_string(), format!("costs[0] = {bad}: {cost_rule}"));
    }
    assert_eq!(stats, before);
}

// ---- confidence -------------------------------------------------------------------------------

const FAMILIES: [ConfidenceFamily; 4] = [
    ConfidenceFamily::Paper,
    ConfidenceFamily::Bernstein,
    ConfidenceFamily::Kl,
    ConfidenceFamily::Hoeffding,
];

const CEILING: f64 = 0.02;

fn confidence(family: ConfidenceFamily, gamma: f64) -> Confidence {
    Confidence {
        cost_floor: 1e-6,
        initial_cost_lcb: 1e-6,
        ..Confidence::new(family, gamma, CEILING)
    }
}

fn stats(rewards: &[f64], costs: &[f64]) -> ArmStats {
    let mut stats = ArmStats::default();
    stats.observe_batch(rewards, costs).unwrap();
    stats
}

/// The radius of the three symmetric families, written out from their papers.
fn radius(family: ConfidenceFamily, gamma: f64, count: usize, mean: f64, variance: f64) -> f64 {
    let n = count as f64 + 1.0;
    let f_rad = |v: f64| (gamma * v / n).sqrt() + gamma / n;
    match family {
        ConfidenceFamily::Paper => 2.0 * f_rad(mean),
        ConfidenceFamily::Bernstein => 2.0 * f_rad(variance + 1.0 / n),
        ConfidenceFamily::Hoeffding => (gamma / (2.0 * n)).sqrt(),
        ConfidenceFamily::Kl => panic!("not symmetric"),
    }
}

fn kl(p: f64, q: f64) -> f64 {
    let term = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
    term(p, q) + term(1.0 - p, 1.0 - q)
}

fn observations() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    let reward = prop_oneof![0.0..=1.0_f64, prop::sample::select(vec![0.0, 1.0])];
    (prop::collection::vec(reward, 1..80), prop::collection::vec(0.0..=CEILING, 1..80))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn symmetric_families_follow_their_formulas(
        (rewards, costs) in observations(),
        gamma in 0.01..4.0_f64,
    ) {
        let (mean_r, variance_r) = two_pass(&rewards);
        let scaled: Vec<f64> = costs.iter().map(|c| c / CEILING).collect();
        let (mean_c, variance_c) = two_pass(&scaled);
        for family in [FAMILIES[0], FAMILIES[1], FAMILIES[3]] {
            let bounds = confidence(family, gamma).bounds(&stats(&rewards, &costs), 0.0);
            let r = mean_r + radius(family, gamma, rewards.len(), mean_r, variance_r);
            prop_assert!((bounds.reward_ucb - r.min(1.0)).abs() <= 1e-12);
            let c = mean_c - radius(family, gamma, costs.len(), mean_c, variance_c);
            let c = (CEILING * c).max(1e-6);
            prop_assert!((bounds.cost_lcb - c).abs() <= 1e-12 * CEILING);
        }
    }

    /// The bounds are feasible for `(n + 1) kl(mean, q) ≤ γ` to rounding, and nothing beyond is.
    #[test]
    fn kl_bounds_satisfy_their_inequality(
        (rewards, costs) in observations(),
        gamma in 0.01..4.0_f64,
    ) {
        let setting = confidence(ConfidenceFamily::Kl, gamma);
        let stats = stats(&rewards, &costs);
        let bounds = setting.bounds(&stats, 0.0);
        let mean = stats.reward.mean();
        let level = gamma / (rewards.len() as f64 + 1.0);
        let q = bounds.reward_ucb;
        prop_assert!(q >= mean);
        if q < 1.0 {
            prop_assert!(kl(mean, q - 1e-9 * (q - mean)) <= level + 1e-12);
            prop_assert!(kl(mean, q) >= level - 1e-9, "{} {}", kl(mean, q), level);
        } else {
            prop_assert!(mean == 1.0 || kl(mean, 1.0 - 1e-15) <= level + 1e-9);
        }
        let mean = stats.cost.mean() / CEILING;
        let level = gamma / (costs.len() as f64 + 1.0);
        let q = bounds.cost_lcb / CEILING;
        prop_assert!(q <= mean.max(1e-6 / CEILING) + 1e-15);
        if bounds.cost_lcb > 1e-6 {
            prop_assert!(kl(mean, q + 1e-9 * (mean - q)) <= level + 1e-12);
            prop_assert!(kl(mean, q) >= level - 1e-9);
        }
    }

    #[test]
    fn bounds_are_optimistic_and_in_range(
        (rewards, costs) in observations(),
        gamma in 0.01..4.0_f64,
    ) {
        let stats = stats(&rewards, &costs);
        for family in FAMILIES {
            let Bounds { reward_ucb, cost_lcb } = confidence(family, gamma).bounds(&stats, 0.0);
            prop_assert!((0.0..=1.0).contains(&reward_ucb));
            prop_assert!(reward_ucb >= stats.reward.mean() - 1e-15);
            prop_assert!(cost_lcb >= 1e-6);
            prop_assert!(cost_lcb <= stats.cost.mean().max(1e-6));
        }
    }

    /// Counting in thousandths of a dollar scales cost bounds and leaves reward bounds alone.
    #[test]
    fn the_unit_of_money_does_not_matter(
        (rewards, costs) in observations(),
        gamma in 0.01..4.0_f64,
        exponent in prop::sample::select(vec![-20_i32, 10, 3]),
    ) {
        // 1e3 rounds; a power of two must not change a single bit.
        let exact = exponent != 3;
        let scale = if exact { 2_f64.powi(exponent) } else { 1e3 };
        let scaled: Vec<f64> = costs.iter().map(|c| c * scale).collect();
        for family in FAMILIES {
            let plain = confidence(family, gamma);
            let other = Confidence {
                initial_cost_lcb: plain.initial_cost_lcb * scale,
                cost_floor: plain.cost_floor * scale,
                cost_ceiling: plain.cost_ceiling * scale,
                ..plain
            };
            let a = plain.bounds(&stats(&rewards, &costs), 0.0);
            let b = other.bounds(&stats(&rewards, &scaled), 0.0);
            prop_assert_eq!(a.reward_ucb, b.reward_ucb);
            let tolerance = if exact { 0.0 } else { 1e-12 * other.cost_ceiling };
            prop_assert!((a.cost_lcb * scale - b.cost_lcb).abs() <= tolerance);
        }
    }
}

#[test]
fn bounds_tighten_as_observations_come() {
    for family in FAMILIES {
        let setting = confidence(family, 0.5);
        let mut last = Bounds { reward_ucb: 1.0, cost_lcb: 0.0 };
        for n in [1_u64, 4, 16, 64, 256, 4096, 65_536] {
            // The same mean and variance at every n.
            let mut stats = ArmStats::default();
            for _ in 0..n {
                stats.observe_batch(&[0.1, 0.3], &[0.004, 0.008]).unwrap();
            }
            let bounds = setting.bounds(&stats, 0.0);
            assert!(bounds.reward_ucb <= last.reward_ucb, "{family:?} at {n}");
            assert!(bounds.cost_lcb >= last.cost_lcb, "{family:?} at {n}");
            last = bounds;
        }
        assert!(last.reward_ucb - 0.2 < 0.01, "{family:?}: {last:?}");
        assert!(0.006 - last.cost_lcb < 0.01 * CEILING, "{family:?}: {last:?}");
    }
}

#[test]
fn an_unseen_arm_has_its_initial_bounds() {
    for family in FAMILIES {
        let setting = Confidence {
            initial_reward_ucb: 0.8,
            initial_cost_lcb: 0.003,
            ..confidence(family, 0.1)
        };
        let initial = Bounds { reward_ucb: 0.8, cost_lcb: 0.003 };
        assert_eq!(setting.bounds(&ArmStats::default(), 0.0), initial);
        // Reward and cost leave their initial bounds apart.
        let only_cost = setting.bounds(&stats(&[], &[0.02]), 0.0);
        assert_eq!(only_cost.reward_ucb, 0.8);
        assert_ne!(only_cost.cost_lcb, 0.003);
        let only_reward = setting.bounds(&stats(&[0.1], &[]), 0.0);
        assert_ne!(only_reward.reward_ucb, 0.8);
        assert_eq!(only_reward.cost_lcb, 0.003);
    }
}

/// What is worth less than one observation is no knowledge, be it a prior or what was seen.
#[test]
fn a_weight_below_one_leaves_an_arm_initial() {
    let initial = Bounds { reward_ucb: 0.8, cost_lcb: 0.003 };
    for family in FAMILIES {
        let setting = Confidence {
            initial_reward_ucb: initial.reward_ucb,
            initial_cost_lcb: initial.cost_lcb,
            ..confidence(family, 0.1)
        };
        for (count, factor) in [(1, 0.999), (3, 0.25), (40, 1e-3)] {
            let mut reward = Moments::prior(0.1, count);
            let mut cost = Moments::prior(0.01, count);
            let known = setting.bounds(&ArmStats { reward, cost }, 0.0);
            assert!(known.reward_ucb != initial.reward_ucb && known.cost_lcb != initial.cost_lcb);
            reward.discount(factor);
            cost.discount(factor);
            assert!(reward.weight() > 0.0 && reward.weight() < 1.0);
            assert_eq!(setting.bounds(&ArmStats { reward, cost }, 0.0), initial);
        }
        // Two observations at half their weight are worth one.
        let mut whole = Moments::prior(0.1, 2);
        whole.discount(0.5);
        let bounds = setting.bounds(&ArmStats { reward: whole, cost: whole }, 0.0);
        assert!(bounds.reward_ucb != initial.reward_ucb && bounds.cost_lcb != initial.cost_lcb);
    }
}

/// Where kl(mean, q) = level has a closed form.
#[test]
fn kl_bounds_match_their_closed_forms() {
    for level in [1e-6, 1e-3, 0.1, 0.7, 3.0, 30.0_f64] {
        // kl(0, q) = -ln(1 - q).
        let q = -(-level).exp_m1();
        assert!((kl_upper(0.0, level) - q).abs() <= 1e-12, "{level}");
        // kl(1/2, q) = -ln(4 q (1 - q)) / 2.
        let q = 0.5 * (1.0 + (-(-2.0 * level).exp_m1()).sqrt());
        assert!((kl_upper(0.5, level) - q).abs() <= 1e-12, "{level}");
        assert_eq!(kl_upper(1.0, level), 1.0);
    }
}

#[test]
fn forced_visits_keep_the_initial_bounds() {
    for family in FAMILIES {
        let setting = Confidence { min_visits: 3, ..confidence(family, 0.1) };
        let initial = setting.bounds(&ArmStats::default(), 0.0);
        assert_eq!(setting.bounds(&stats(&[0.0; 2], &[0.02; 2]), 0.0), initial);
        let enough = setting.bounds(&stats(&[0.0; 3], &[0.02; 3]), 0.0);
        assert!(enough.reward_ucb < initial.reward_ucb, "{family:?}");
        assert!(enough.cost_lcb > initial.cost_lcb, "{family:?}");
    }
}

/// An arm visited less than its fair share has γ widened by the logarithm of how far it lags,
/// for its reward alone.
#[test]
fn growth_widens_the_reward_bound_of_arms_that_lag() {
    let stats = stats(&[0.1; 9], &[0.01; 9]);
    for family in FAMILIES {
        let plain = confidence(family, 0.05);
        let growing = Confidence { growth: 0.5, ..plain };
        for fair_share in [0.0, 5.0, 10.0] {
            assert_eq!(growing.bounds(&stats, fair_share), plain.bounds(&stats, 0.0));
        }
        assert_eq!(plain.bounds(&stats, 1e6), plain.bounds(&stats, 0.0), "no growth, no change");
        for fair_share in [20.0, 1000.0] {
            let lag: f64 = fair_share / 10.0;
            let wider = Confidence { gamma: 0.05 * (1.0 + 0.5 * lag.ln()), ..plain };
            let bounds = growing.bounds(&stats, fair_share);
            assert!((bounds.reward_ucb - wider.bounds(&stats, 0.0).reward_ucb).abs() < 1e-12);
            assert_eq!(bounds.cost_lcb, plain.bounds(&stats, 0.0).cost_lcb);
        }
    }
}

#[test]
fn the_fair_share_is_taken_at_boundaries_only() {
    let setting = Confidence { growth: 0.5, ..confidence(ConfidenceFamily::Bernstein, 0.05) };
    let mut learner = Learner::new(setting, Drift::default()).unwrap();
    let add_arm = |learner: &mut Learner, rewards: usize| {
        let arm = learner.add_arm(&Prior::default(), None).unwrap();
        for _ in 0..rewards {
            learner.observe(arm, Some(0.1), None).unwrap();
        }
        arm
    };
    let busy = add_arm(&mut learner, 0);
    let idle = add_arm(&mut learner, 4);
    let before = learner.bounds()[idle];
    for _ in 0..96 {
        learner.observe(busy, Some(0.5), Some(CostFeedback::Usd(0.01))).unwrap();
    }
    assert_eq!(learner.bounds()[idle], before);
    learner.begin_stage();
    for arm in [busy, idle] {
        assert_eq!(learner.bounds()[arm], setting.bounds(&learner.stats()[arm], 50.0));
    }
    assert!(learner.bounds()[idle].reward_ucb > before.reward_ucb);
    let late = add_arm(&mut learner, 4);
    assert_eq!(learner.bounds()[late], learner.bounds()[idle]);
    assert!(matches!(
        learner.observe(ArmIndex(9), None, None),
        Err(Error::UnknownArm { arm: ArmIndex(9), .. })
    ));
}

/// A mean cost above the ceiling is taken as it is: cut off, the arm would look cheaper than it is.
#[test]
fn a_cost_above_the_ceiling_is_not_cut_off() {
    let stats = stats(&[], &[10.0 * CEILING; 1000]);
    for family in FAMILIES {
        let bound = confidence(family, 0.1).bounds(&stats, 0.0).cost_lcb;
        assert!((9.0 * CEILING..=10.0 * CEILING).contains(&bound), "{family:?}: {bound}");
    }
}

#[test]
fn family_names_are_those_of_the_configuration() {
    let names = ConfidenceFamily::NAMES.map(|(name, _)| name);
    assert_eq!(names, ["paper", "bernstein", "kl", "hoeffding"]);
    assert_eq!(ConfidenceFamily::NAMES.map(|(_, family)| family), FAMILIES);
}

#[test]
fn each_setting_is_checked_by_name() {
    let good = confidence(ConfidenceFamily::Bernstein, 0.25);
    good.validate().unwrap();
    Confidence { cost_floor: 0.0, initial_cost_lcb: 0.0, ..good }.validate().unwrap();
    let refused = |bad: Confidence, message: &str| {
        let error = bad.validate().unwrap_err();
        assert!(matches!(error, Error::InvalidNumber { .. }));
        assert_eq!(error.to_string(), message);
    };
    for (gamma, shown) in [(0.0, "0"), (-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let message = format!("gamma = {shown}: must be finite and above 0");
        refused(Confidence { gamma, ..good }, &message);
    }
    for (growth, shown) in [(-0.5, "-0.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let message = format!("growth = {shown}: must be finite and not negative");
        refused(Confidence { growth, ..good }, &message);
    }
    refused(
        Confidence { cost_floor: -0.5, ..good },
        "cost_floor = -0.5: must be finite and not negative, in USD per query",
    );
    refused(
        Confidence { cost_floor: f64::NAN, ..good },
        "cost_floor = NaN: must be finite and not negative, in USD per query",
    );
    let message = "must be finite and above cost_floor, in USD per query";
    for (cost_ceiling, shown) in [(1e-6, "0.000001"), (f64::INFINITY, "inf"), (f64::NAN, "NaN")] {
        let message = format!("cost_ceiling = {shown}: {message}");
        refused(Confidence { cost_ceiling, ..good }, &message);
    }
    for (initial_reward_ucb, shown) in [(1.5, "1.5"), (-0.5, "-0.5"), (f64::NAN, "NaN")] {
        let message = format!("initial_reward_ucb = {shown}: must be in [0, 1]");
        refused(Confidence { initial_reward_ucb, ..good }, &message);
    }
    for (initial_cost_lcb, shown) in [(0.0, "0"), (0.5, "0.5"), (f64::NAN, "NaN")] {
        let rule = "must be in [cost_floor, cost_ceiling], in USD per query";
        let message = format!("initial_cost_lcb = {shown}: {rule}");
        refused(Confidence { initial_cost_lcb, ..good }, &message);
    }
}

/// Bounds bit by bit, of the families that take logarithms: as long as these are the same on two
/// platforms, so are decisions. Means and levels are no round numbers in binary.
#[test]
fn bounds_are_the_same_on_every_platform() {
    let kl: Vec<u64> =
        KL_CASES.iter().map(|&(mean, level)| kl_upper(mean, level).to_bits()).collect();
    assert_eq!(kl, KL_BITS, "{kl:#018x?}");
    let seen = stats(&[0.3, 0.9, 0.1, 0.7], &[0.003, 0.011, 0.007]);
    let of = |family| {
        let setting = Confidence { growth: 1.5, ..confidence(family, 0.1) };
        let Bounds { reward_ucb, cost_lcb } = setting.bounds(&seen, 17.3);
        (reward_ucb.to_bits(), cost_lcb.to_bits())
    };
    let bounds = FAMILIES.map(of);
    assert_eq!(bounds, BOUND_BITS, "{bounds:#018x?}");
}

const KL_CASES: [(f64, f64); 6] =
    [(0.0, 0.3), (0.1, 1e-6), (0.3, 0.01), (0.7, 0.1), (0.999, 1e-3), (1.0 / 3.0, 2.7)];
const KL_BITS: [u64; 6] = [
    0x3fd0_966f_2c79_07f6,
    0x3fb9_b570_845b_30b9,
    0x3fd7_7f96_7b4f_9485,
    0x3feb_de2a_8229_5e37,
    0x3fef_feb3_4379_0001,
    0x3fef_c8e1_3536_36e1,
];
const BOUND_BITS: [(u64, u64); 4] = [
    (0x3fee_7d7e_ea52_e02c, 0x3f62_8016_7557_cf96),
    (0x3fec_0cbe_61a2_207e, 0x3f65_e666_7db6_425c),
    (0x3fe5_431f_2d6a_f119, 0x3f74_7111_7975_224a),
    (0x3fe5_69da_8cf0_3748, 0x3f73_8358_43ca_c652),
];
