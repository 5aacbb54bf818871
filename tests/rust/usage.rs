//! Usage in tokens, prices, and what they come to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stageroute_core::{
    ArmIndex, ArmStats, Bounds, Confidence, ConfidenceFamily, CostFeedback, Drift, Error,
    Forgetting, Learner, Moments, Prices, Prior, Tokens, UsageMoments,
};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 300,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x70_ce25),
        ..ProptestConfig::default()
    }
}

fn confidence() -> Confidence {
    let published = Confidence::new(ConfidenceFamily::Bernstein, 0.15, 0.02);
    Confidence { cost_floor: 1e-6, initial_cost_lcb: 1e-6, ..published }
}

fn learner() -> Learner {
    Learner::new(confidence(), Drift::default()).unwrap()
}

const PRICES: Prices = Prices { input: 3.0, cached_input: 0.3, output: 15.0 };
const USAGE: Tokens = Tokens { input: 1200.0, cached: 1000.0, output: 80.0 };

fn tokens() -> impl Strategy<Value = Tokens> {
    (0.0..20_000.0_f64, 0.0..=1.0_f64, 0.0..4_000.0_f64).prop_map(|(input, share, output)| Tokens {
        input,
        cached: input * share,
        output,
    })
}

fn prices() -> impl Strategy<Value = Prices> {
    let price = || prop_oneof![0.0..30.0_f64, Just(0.0)];
    (price(), price(), price()).prop_map(|(input, cached_input, output)| Prices {
        input,
        cached_input,
        output,
    })
}

fn usage(queries: &[Tokens]) -> UsageMoments {
    let mut usage = UsageMoments::default();
    for tokens in queries {
        usage.push(tokens);
    }
    usage
}

/// The moments of the bills themselves.
fn bills(queries: &[Tokens], prices: &Prices) -> Moments {
    let mut moments = Moments::default();
    for tokens in queries {
        moments.push(prices.bill(tokens));
    }
    moments
}

fn is_close(a: &Moments, b: &Moments, scale: f64) -> bool {
    a.count() == b.count()
        && (a.weight() - b.weight()).abs() <= 1e-12 * b.weight()
        && (a.mean() - b.mean()).abs() <= 1e-12 * scale
        && (a.variance() - b.variance()).abs() <= 1e-11 * scale * scale
}

/// What a large bill is at these prices: the scale of rounding errors.
fn scale(prices: &Prices) -> f64 {
    prices.bill(&Tokens { input: 40_000.0, cached: 20_000.0, output: 4_000.0 })
}

proptest! {
    #![proptest_config(config())]

    /// Usage learnt once gives the moments of cost under any prices.
    #[test]
    fn cost_moments_follow_from_usage(
        queries in prop::collection::vec(tokens(), 0..80),
        prices in prices(),
    ) {
        let (from_usage, direct) = (usage(&queries).billed(&prices), bills(&queries, &prices));
        prop_assert!(is_close(&from_usage, &direct, scale(&prices)), "{from_usage:?} {direct:?}");
        prop_assert!(from_usage.variance() >= 0.0);
    }

    #[test]
    fn merging_equals_concatenating(
        queries in prop::collection::vec(tokens(), 0..80),
        cut: prop::sample::Index,
        prices in prices(),
    ) {
        let cut = if queries.is_empty() { 0 } else { cut.index(queries.len()) };
        let mut merged = usage(&queries[..cut]);
        merged.merge(&usage(&queries[cut..]));
        let direct = bills(&queries, &prices);
        prop_assert!(is_close(&merged.billed(&prices), &direct, scale(&prices)));
    }

    /// Prices that change along the way leave the same state as the last ones from the start.
    #[test]
    fn the_past_is_billed_at_the_present_prices(
        queries in prop::collection::vec((tokens(), prices()), 1..40),
        last in prices(),
    ) {
        let (mut changing, mut constant) = (learner(), learner());
        changing.add_arm(&Prior::default(), Some(PRICES)).unwrap();
        constant.add_arm(&Prior::default(), Some(last)).unwrap();
        for (tokens, prices) in queries {
            let feedback = Some(CostFeedback::Tokens(tokens));
            changing.set_prices(ArmIndex(0), Some(prices)).unwrap();
            changing.observe(ArmIndex(0), None, feedback).unwrap();
            constant.observe(ArmIndex(0), None, feedback).unwrap();
        }
        let bounds = changing.set_prices(ArmIndex(0), Some(last)).unwrap();
        prop_assert_eq!(&changing, &constant);
        prop_assert_eq!(bounds, constant.bounds()[0]);
    }
}

#[test]
fn a_bill_adds_up() {
    let bill = PRICES.bill(&USAGE);
    assert!((bill - (200.0 * 3.0 + 1000.0 * 0.3 + 80.0 * 15.0) * 1e-6).abs() < 1e-18);
    assert_eq!(PRICES.bill(&Tokens::default()), 0.0);
    assert_eq!(Prices::default().bill(&USAGE), 0.0);
    // Whatever is accepted is a bill that is accepted.
    let dear = Prices { input: 1e5, cached_input: 1e5, output: 1e5 };
    let large = Tokens { input: 1e9, cached: 0.0, output: 1e9 };
    dear.validate().unwrap();
    CostFeedback::Usd(dear.bill(&large)).validate().unwrap();
}

/// A constant bill has no spread, whatever it is made of.
#[test]
fn equal_usage_has_no_variance() {
    let moments = usage(&vec![USAGE; 1000]).billed(&PRICES);
    assert!((moments.mean() - PRICES.bill(&USAGE)).abs() < 1e-18);
    assert_eq!(moments.variance(), 0.0);
    assert_eq!(usage(&[]).billed(&PRICES), Moments::default());
}

#[test]
fn a_price_change_counts_at_once() {
    let mut learner = learner();
    let arm = learner.add_arm(&Prior::default(), Some(PRICES)).unwrap();
    for k in 0..500 {
        let tokens = Tokens { output: 40.0 + f64::from(k % 5) * 20.0, ..USAGE };
        learner.observe(arm, Some(1.0), Some(CostFeedback::Tokens(tokens))).unwrap();
    }
    let before = (learner.bounds()[arm], learner.expected_cost(arm));
    let half = Prices { input: 1.5, cached_input: 0.15, output: 7.5 };
    let bounds = learner.set_prices(arm, Some(half)).unwrap();
    assert!((learner.expected_cost(arm) - 0.5 * before.1).abs() < 1e-15);
    assert_eq!(bounds.reward_ucb, before.0.reward_ucb);
    let expected = confidence().bounds(&learner.stats()[arm], 0.0);
    assert_eq!(bounds, expected);
    assert!(bounds.cost_lcb < before.0.cost_lcb);
    assert_eq!(learner.prices(arm), Some(half));
    assert_eq!(learner.expected_tokens(arm).unwrap().cached, 1000.0);
}

#[test]
fn an_expected_usage_is_worth_its_weight() {
    let mut learner = learner();
    let prior = Prior { tokens: Some((USAGE, 9)), reward: Some((0.7, 4)), ..Prior::default() };
    let arm = learner.add_arm(&prior, Some(PRICES)).unwrap();
    let cost = learner.stats()[arm].cost;
    assert_eq!((cost.count(), cost.weight(), cost.variance()), (9, 9.0, 0.0));
    assert!((learner.expected_cost(arm) - PRICES.bill(&USAGE)).abs() < 1e-18);
    let expected = learner.expected_tokens(arm).unwrap();
    assert!((expected.input - 1200.0).abs() < 1e-9 && expected.output == 80.0);
    assert_eq!(learner.stats()[arm].reward, Moments::prior(0.7, 4));
    let more = Tokens { output: 180.0, ..USAGE };
    learner.observe(arm, None, Some(CostFeedback::Tokens(more))).unwrap();
    assert!((learner.usage(arm).unwrap().mean().output - 90.0).abs() < 1e-12);
    // A weight of 0 is no knowledge.
    let nothing = Prior { tokens: Some((USAGE, 0)), ..Prior::default() };
    let unknown = learner.add_arm(&nothing, Some(PRICES)).unwrap();
    assert_eq!(learner.stats()[unknown], ArmStats::default());
    assert_eq!(learner.expected_tokens(unknown), None);
    assert_eq!(learner.expected_cost(unknown), learner.bounds()[unknown].cost_lcb);
}

/// How much of a bill was usage and how much price cannot be told.
#[test]
fn dollars_teach_an_arm_with_prices_nothing() {
    let mut learner = learner();
    let arm = learner.add_arm(&Prior::default(), Some(PRICES)).unwrap();
    let before = learner.clone();
    let bounds = learner.observe(arm, None, Some(CostFeedback::Usd(5e-3))).unwrap();
    assert_eq!((bounds, &learner), (before.bounds()[arm], &before));
    learner.observe(arm, Some(0.5), Some(CostFeedback::Usd(5e-3))).unwrap();
    assert_eq!(learner.stats()[arm].reward.count(), 1);
    assert_eq!(learner.stats()[arm].cost, Moments::default());
}

#[test]
fn prices_come_and_go_before_a_cost_is_learnt_only() {
    for forgetting in [Forgetting::None, Forgetting::Window { stages: 2 }] {
        let drift = Drift { forgetting, ..Drift::default() };
        let mut learner = Learner::new(confidence(), drift).unwrap();
        let arm = learner.add_arm(&Prior::default(), None).unwrap();
        learner.observe(arm, Some(1.0), None).unwrap();
        for prices in [Some(PRICES), None, None, Some(PRICES)] {
            learner.set_prices(arm, prices).unwrap();
            assert_eq!(learner.prices(arm), prices);
        }
        learner.observe(arm, None, Some(CostFeedback::Tokens(USAGE))).unwrap();
        let dollars = learner.add_arm(&Prior::default(), None).unwrap();
        learner.observe(dollars, None, Some(CostFeedback::Usd(1e-3))).unwrap();
        let believed = Prior { cost: Some((1e-3, 5)), ..Prior::default() };
        let believed = learner.add_arm(&believed, None).unwrap();
        // Nor after it has been forgotten.
        (0..5).for_each(|_| learner.begin_stage());
        let before = learner.clone();
        let rule = "an arm can gain or lose prices only before it has learnt a cost: \
                    tokens are no USD";
        for (arm, prices) in [(arm, None), (dollars, Some(PRICES)), (believed, Some(PRICES))] {
            let error = learner.set_prices(arm, prices).unwrap_err();
            assert!(matches!(error, Error::WrongPricing { .. }));
            assert_eq!(error.to_string(), format!("prices of arm {arm}: {rule}"));
        }
        assert_eq!(learner, before);
    }
}

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    let mut learner = learner();
    let priced = learner.add_arm(&Prior::default(), Some(PRICES)).unwrap();
    let unpriced = learner.add_arm(&Prior::default(), None).unwrap();
    let before = learner.clone();
    let mut refused = |message: &str, call: &dyn Fn(&mut Learner) -> Result<Bounds, Error>| {
        assert_eq!(call(&mut learner).unwrap_err().to_string(), message);
        assert_eq!(learner, before);
    };
    let rule = "must be in [0, 1e9], in tokens";
    let cached_rule = "must be in [0, input_tokens]: they are part of the input";
    for (tokens, message) in [
        (Tokens { input: -1.0, ..USAGE }, format!("input_tokens = -1: {rule}")),
        (Tokens { input: f64::NAN, ..USAGE }, format!("input_tokens = NaN: {rule}")),
        (Tokens { input: 2e9, ..USAGE }, format!("input_tokens = 2000000000: {rule}")),
        (Tokens { output: f64::INFINITY, ..USAGE }, format!("output_tokens = inf: {rule}")),
        (Tokens { cached: 1201.0, ..USAGE }, format!("cached_tokens = 1201: {cached_rule}")),
        (Tokens { cached: -0.5, ..USAGE }, format!("cached_tokens = -0.5: {cached_rule}")),
        (Tokens { cached: f64::NAN, ..USAGE }, format!("cached_tokens = NaN: {cached_rule}")),
    ] {
        let feedback = CostFeedback::Tokens(tokens);
        refused(&message, &|l| l.observe(priced, Some(1.0), Some(feedback)));
        let prior = Prior { tokens: Some((tokens, 3)), ..Prior::default() };
        refused(&message, &|l| l.add_arm(&prior, Some(PRICES)).map(|arm| l.bounds()[arm]));
    }
    let rule = "must be in [0, 1e5], in USD per million tokens";
    for (prices, message) in [
        (Prices { input: -3.0, ..PRICES }, format!("input_price = -3: {rule}")),
        (Prices { cached_input: f64::NAN, ..PRICES }, format!("cached_input_price = NaN: {rule}")),
        (Prices { output: 1e6, ..PRICES }, format!("output_price = 1000000: {rule}")),
    ] {
        refused(&message, &|l| l.set_prices(priced, Some(prices)));
        let prior = Prior::default();
        refused(&message, &|l| l.add_arm(&prior, Some(prices)).map(|arm| l.bounds()[arm]));
    }
    let tokens = CostFeedback::Tokens(USAGE);
    let message = "tokens of arm 1: tokens can be billed only at prices: \
                   report the cost in USD, or set prices first";
    refused(message, &|l| l.observe(unpriced, Some(1.0), Some(tokens)));
    let reward = "reward = 1.5: a reward must be a number in [0, 1]";
    refused(reward, &|l| l.observe(priced, Some(1.5), Some(tokens)));
    let cost =
        "cost = -1: a cost must be finite and not negative, and at most 1e9, in USD per query";
    refused(cost, &|l| l.observe(priced, None, Some(CostFeedback::Usd(-1.0))));
    let unknown = "arm names arm 2; this instance has 2 arms, numbered from 0";
    refused(unknown, &|l| l.observe(ArmIndex(2), None, Some(tokens)));
    refused(unknown, &|l| l.set_prices(ArmIndex(2), Some(PRICES)));
    let new = |prior: Prior, prices: Option<Prices>| {
        move |l: &mut Learner| l.add_arm(&prior, prices).map(|arm| l.bounds()[arm])
    };
    let message = "cost_prior of arm 2: an arm with prices learns its usage: \
                   its prior is in tokens, not in USD";
    refused(message, &new(Prior { cost: Some((1e-3, 1)), ..Prior::default() }, Some(PRICES)));
    let message = "tokens_prior of arm 2: an arm without prices learns USD: \
                   its prior is a cost in USD";
    refused(message, &new(Prior { tokens: Some((USAGE, 1)), ..Prior::default() }, None));
    let message = "reward_prior = 2: a reward must be a number in [0, 1]";
    refused(message, &new(Prior { reward: Some((2.0, 1)), ..Prior::default() }, None));
    let message = "cost_prior = NaN: a cost must be finite and not negative, and at most 1e9, \
                   in USD per query";
    refused(message, &new(Prior { cost: Some((f64::NAN, 1)), ..Prior::default() }, None));
    let message = "prior_weight = 18446744073709552000: must be at most 2^53, in observations";
    refused(message, &new(Prior { cost: Some((1.0, u64::MAX)), ..Prior::default() }, None));
}
