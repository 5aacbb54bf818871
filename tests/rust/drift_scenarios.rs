//! What forgetting and the change test are worth: the reward that is recovered in a world that
//! changes. Seeds are fixed; figures are printed with `--nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use stageroute_core::lp::{Problem, RoutingLp};
use stageroute_core::{
    ArmIndex, ChangeTest, Confidence, ConfidenceFamily, CostFeedback, Drift, Forgetting, Learner,
    Prices, Prior, Sampler, Tokens,
};

fn confidence() -> Confidence {
    let published = Confidence::new(ConfidenceFamily::Bernstein, 0.15, 0.02);
    Confidence { growth: 1.0, min_visits: 20, ..published }
}

fn bernoulli(sampler: &mut Sampler, p: f64) -> f64 {
    if sampler.unit() < p { 1.0 } else { 0.0 }
}

fn exponential(sampler: &mut Sampler, mean: f64) -> f64 {
    -mean * (1.0 - sampler.unit()).ln()
}

// ---- recovery ---------------------------------------------------------------------------------

const STAGE: usize = 500;
const STAGES: usize = 20;

/// Mean reward and cost of every arm before and after the change; usage is in output tokens at
/// 10 USD per million.
struct Scenario {
    budget: f64,
    before: &'static [(f64, f64)],
    after: &'static [(f64, f64)],
}

/// How a learner meets the change.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    drift: Drift,
    knows_prices: bool,
}

fn ways() -> [Way; 7] {
    let way = |name, forgetting, change_test| Way {
        name,
        drift: Drift { forgetting, change_test },
        knows_prices: false,
    };
    [
        way("nothing forgotten", Forgetting::None, None),
        way("per query, 0.998", Forgetting::PerQuery { factor: 0.998 }, None),
        way("per stage, 0.7", Forgetting::PerStage { factor: 0.7 }, None),
        way("window of 3 stages", Forgetting::Window { stages: 3 }, None),
        way("change test", Forgetting::None, Some(ChangeTest::default())),
        way(
            "both, 0.9 per stage",
            Forgetting::PerStage { factor: 0.9 },
            Some(ChangeTest::default()),
        ),
        Way { knows_prices: true, ..way("prices known", Forgetting::None, None) },
    ]
}

struct Run {
    /// Mean expected reward after the change, as a share of the best mixture's.
    share: f64,
    /// The same before the change: what guarding against change costs.
    share_before: f64,
    /// Spend after the change in budgets.
    spend: f64,
}

fn lp(arms: &[(f64, f64)], budget: f64) -> RoutingLp {
    let (reward, cost): (Vec<f64>, Vec<f64>) = arms.iter().copied().unzip();
    let cap = vec![1.0; arms.len()];
    RoutingLp::new(Problem { reward: &reward, cost: &cost, cap: &cap, budget }).unwrap()
}

fn optimum(arms: &[(f64, f64)], budget: f64) -> f64 {
    let mut lp = lp(arms, budget);
    lp.solve().unwrap();
    lp.objective()
}

/// Routing by the LP on optimistic estimates, all arms live in every stage; the change comes half
/// way through.
fn play(scenario: &Scenario, way: Way, seed: u64) -> Run {
    let Scenario { budget, before, after } = scenario;
    let dollar = Prices { output: 10.0, ..Prices::default() };
    let mut learner = Learner::new(confidence(), way.drift).unwrap();
    for _ in *before {
        learner.add_arm(&Prior::default(), way.knows_prices.then_some(dollar)).unwrap();
    }
    let mut world = Sampler::new(seed);
    let (mut earned, mut spent) = ([0.0; 2], [0.0; 2]);
    for stage in 0..STAGES {
        let half = usize::from(stage >= STAGES / 2);
        let means = [before, after][half];
        if way.knows_prices && stage == STAGES / 2 {
            for arm in ArmIndex::first(means.len()) {
                let output = dollar.output * after[arm].1 / before[arm].1;
                learner.set_prices(arm, Some(Prices { output, ..dollar })).unwrap();
            }
        }
        learner.begin_stage();
        let bounds: Vec<(f64, f64)> =
            learner.bounds().iter().map(|b| (b.reward_ucb, b.cost_lcb)).collect();
        let mut lp = lp(&bounds, *budget);
        for _ in 0..STAGE {
            lp.solve().unwrap();
            let slot = world.draw(lp.support(), lp.probabilities()).unwrap();
            let arm = ArmIndex::try_from(slot).unwrap();
            let (mean, price) = means[arm];
            let reward = bernoulli(&mut world, mean);
            let cost = exponential(&mut world, price);
            let feedback = match learner.prices(arm) {
                None => CostFeedback::Usd(cost),
                Some(prices) => {
                    let output = cost / prices.output * 1e6;
                    CostFeedback::Tokens(Tokens { output, ..Tokens::default() })
                }
            };
            let bounds = learner.observe(arm, Some(reward), Some(feedback)).unwrap();
            lp.set_arm(slot, bounds.reward_ucb, bounds.cost_lcb);
            earned[half] += mean;
            spent[half] += price;
        }
    }
    let queries = (STAGE * STAGES / 2) as f64;
    Run {
        share: earned[1] / queries / optimum(after, *budget),
        share_before: earned[0] / queries / optimum(before, *budget),
        spend: spent[1] / queries / budget,
    }
}

/// The mean share after the change over 40 seeds, for each of [`ways`] in turn; printed with more.
fn compare(title: &str, scenario: &Scenario) -> Vec<f64> {
    println!("{title}");
    let seeds = 40;
    ways()
        .into_iter()
        .map(|way| {
            let runs: Vec<Run> = (0..seeds).map(|seed| play(scenario, way, seed)).collect();
            let mean = |get: fn(&Run) -> f64| runs.iter().map(get).sum::<f64>() / seeds as f64;
            let worst = runs.iter().map(|run| run.share).fold(f64::INFINITY, f64::min);
            println!(
                "  {:19} after {:.1} % of the best (worst seed {:.1}), before {:.1}; spend {:.2} b",
                way.name,
                100.0 * mean(|run| run.share),
                100.0 * worst,
                100.0 * mean(|run| run.share_before),
                mean(|run| run.spend),
            );
            mean(|run| run.share)
        })
        .collect()
}

/// The best arm gets worse without notice.
#[test]
fn a_silent_regression_is_recovered_from() {
    let scenario = Scenario {
        budget: 2e-3,
        before: &[(0.8, 1e-3), (0.7, 1e-3), (0.4, 1e-3)],
        after: &[(0.5, 1e-3), (0.7, 1e-3), (0.4, 1e-3)],
    };
    let shares = compare("mean reward 0.8 -> 0.5, another arm at 0.7", &scenario);
    let [nothing, per_query, per_stage, window, change_test, both, _] = shares[..] else {
        panic!()
    };
    assert!(nothing < 0.88, "the scenario is too easy: {nothing}");
    assert!(per_query > 0.97 && per_stage > 0.94 && window > 0.95, "{shares:?}");
    assert!(change_test > 0.985 && both > 0.97, "{shares:?}");
}

/// An expensive arm becomes cheap; the budget leaves it some traffic before.
#[test]
fn a_cost_cut_is_made_use_of() {
    let scenario = Scenario {
        budget: 2e-3,
        before: &[(0.9, 8e-3), (0.6, 1e-3), (0.4, 4e-4)],
        after: &[(0.9, 1.6e-3), (0.6, 1e-3), (0.4, 4e-4)],
    };
    let shares = compare("cost of the best arm 8e-3 -> 1.6e-3 USD, budget 2e-3", &scenario);
    let [nothing, per_query, per_stage, window, change_test, both, prices] = shares[..] else {
        panic!()
    };
    assert!(nothing < 0.78, "the scenario is too easy: {nothing}");
    assert!(per_query > 0.86 && per_stage > 0.91 && window > 0.92, "{shares:?}");
    assert!(change_test > 0.96 && both > 0.96, "{shares:?}");
    assert!(prices > 0.998, "known prices need not be learnt: {prices}");
}

/// An arm that has lost all its traffic becomes the best: none of its own observations can tell, so
/// only what forgets by the stage tries it again.
#[test]
fn an_idle_arm_that_improves_is_found_again_by_the_stage() {
    let scenario = Scenario {
        budget: 2e-3,
        before: &[(0.3, 1e-3), (0.7, 1e-3), (0.4, 1e-3)],
        after: &[(0.9, 1e-3), (0.7, 1e-3), (0.4, 1e-3)],
    };
    let shares = compare("mean reward of an idle arm 0.3 -> 0.9, another at 0.7", &scenario);
    let [nothing, _, per_stage, window, _, _, _] = shares[..] else { panic!() };
    assert!(nothing < 0.82, "the scenario is too easy: {nothing}");
    assert!(per_stage > 0.97 && window > 0.93, "{shares:?}");
}
