//! Runs one scenario of the hot path for a number of steps, to be counted from outside:
//!
//! ```text
//! valgrind --tool=callgrind instruction_counts SCENARIO STEPS
//! ```
//!
//! Counting a run of n and one of 2n steps and taking the difference leaves the steps alone: start,
//! data and warm-up are the same in both. Every scenario is deterministic.

use std::borrow::Cow;
use std::hint::black_box;
use std::process::ExitCode;

use stageroute_baselines::{OutcomeMatrix, Trace, replay};
use stageroute_core::deployment::{BranchAndBound, DeploymentProblem, solve_deployment};
use stageroute_core::lp::{Problem, RoutingLp};
use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, AtLimit, ChangeTest, Confidence, ConfidenceFamily,
    CostFeedback, Drift, Error, Forgetting, HardLimit, Learner, LogBatch, Observation, Pacing,
    Period, Prices, Prior, Query, Router, RouterConfig, Sampler, StartCost, Tokens, TrafficLimits,
};

type Scenario = fn(usize) -> Result<(), Error>;

const SCENARIOS: [(&str, Scenario); 17] = [
    ("lp_kept_11", |steps| lp_kept(11, steps)),
    ("lp_warm_11", |steps| lp_warm(11, steps)),
    ("lp_cold_11", |steps| lp_cold(11, steps)),
    ("lp_cold_32", |steps| lp_cold(32, steps)),
    ("deployment_11", |steps| deployment(11, steps)),
    ("step_bernstein_5", |steps| step(ConfidenceFamily::Bernstein, 5, steps)),
    ("step_bernstein_11", |steps| step(ConfidenceFamily::Bernstein, 11, steps)),
    ("step_bernstein_32", |steps| step(ConfidenceFamily::Bernstein, 32, steps)),
    ("step_kl_11", |steps| step(ConfidenceFamily::Kl, 11, steps)),
    ("guarded_11", |steps| guarded(11, steps)),
    ("restricted_11", |steps| restricted(11, steps)),
    ("replay_11", |steps| replay_rows(11, steps)),
    ("learn_plain", |steps| learn(Forgetting::None, false, false, steps)),
    ("learn_tokens", |steps| learn(Forgetting::None, false, true, steps)),
    ("learn_per_query", |steps| learn(Forgetting::PerQuery { factor: 0.999 }, false, false, steps)),
    ("learn_window", |steps| learn(Forgetting::Window { stages: 4 }, false, false, steps)),
    ("learn_change_test", |steps| learn(Forgetting::None, true, false, steps)),
];

/// Rows of precomputed outcomes; steps beyond them start over.
const ROWS: u32 = 4096;
/// Steps before the counted ones: every arm has been tried by then.
const WARM_UP: usize = 2000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, steps] = arguments.as_slice() else {
        eprintln!("usage: instruction_counts SCENARIO STEPS");
        for (name, _) in SCENARIOS {
            eprintln!("  {name}");
        }
        return ExitCode::from(2);
    };
    let scenario = SCENARIOS.iter().find(|(known, _)| known == name);
    let (Some((_, run)), Ok(steps)) = (scenario, steps.parse()) else {
        eprintln!("no scenario {name} with {steps} steps");
        return ExitCode::from(2);
    };
    match run(steps) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Arms whose quality and price rise together, with some noise, at caps of 1/2.
fn lp(arms: usize) -> Result<RoutingLp, Error> {
    let mut sampler = Sampler::new(1);
    let reward: Vec<f64> =
        (0..arms).map(|arm| 0.3 + 0.5 * arm as f64 / arms as f64 + 0.1 * sampler.unit()).collect();
    let cost: Vec<f64> = (0..arms).map(|arm| 1e-4 * (1.0 + arm as f64 * sampler.unit())).collect();
    let cap = vec![0.5; arms];
    let mut lp = RoutingLp::new(Problem { reward: &reward, cost: &cost, cap: &cap, budget: 3e-4 })?;
    lp.solve()?;
    Ok(lp)
}

/// The estimates of one arm change slightly, so that the basis stays.
fn lp_kept(arms: usize, steps: usize) -> Result<(), Error> {
    let mut lp = lp(arms)?;
    let problem = lp.problem();
    let (reward, cost) = (problem.reward.to_vec(), problem.cost.to_vec());
    for step in 0..steps {
        let arm = step % arms;
        let shift = if (step / arms).is_multiple_of(2) { 1e-9 } else { -1e-9 };
        lp.set_arm(arm, reward[arm] + shift, cost[arm]);
        black_box(lp.solve()?);
    }
    assert_eq!(lp.counts().kept, steps as u64, "the basis moved");
    Ok(())
}

/// The budget swings, so that the basis is left by a few pivots every time.
fn lp_warm(arms: usize, steps: usize) -> Result<(), Error> {
    let mut lp = lp(arms)?;
    for step in 0..steps {
        lp.set_budget(if step % 2 == 0 { 2e-4 } else { 3e-4 });
        black_box(lp.solve()?);
    }
    assert_eq!(lp.counts().warm, steps as u64, "the basis was kept or given up");
    Ok(())
}

fn lp_cold(arms: usize, steps: usize) -> Result<(), Error> {
    let mut lp = lp(arms)?;
    for step in 0..steps {
        lp.set_budget(if step % 2 == 0 { 2e-4 } else { 3e-4 });
        black_box(lp.solve_cold()?);
    }
    Ok(())
}

/// Deployment problems of which five arms with caps around 1/5 hardly suffice, so that most need a
/// search. One step is one of them.
fn deployment(arms: usize, steps: usize) -> Result<(), Error> {
    const PROBLEMS: usize = 16;
    let mut sampler = Sampler::new(3);
    let mut draw = |low: f64, high: f64| -> Vec<f64> {
        (0..PROBLEMS * arms).map(|_| low + (high - low) * sampler.unit()).collect()
    };
    let (reward, cost, cap) = (draw(0.2, 0.9), draw(1e-5, 2e-3), draw(0.12, 0.25));
    let mut searched = 0;
    for step in 0..steps {
        let first = step % PROBLEMS * arms;
        let own = first..first + arms;
        let (reward, cost, cap) = (&reward[own.clone()], &cost[own.clone()], &cap[own]);
        let problem = DeploymentProblem::plain(Problem { reward, cost, cap, budget: 5e-4 }, 5);
        let mut go_on = || false;
        let mut search = BranchAndBound::new(&mut go_on);
        black_box(solve_deployment(&problem, 0.0, &mut search)?);
        searched += usize::from(search.nodes > 0);
    }
    assert!(2 * searched > steps, "{searched} of {steps} needed a search");
    Ok(())
}

fn config(family: ConfidenceFamily) -> RouterConfig {
    RouterConfig {
        pacing: Some(Pacing { horizon: 500.0, burst: 2.0 }),
        open_decisions: 4096,
        ..RouterConfig::new(1e-3, Confidence::new(family, 0.25, 0.02), 1)
    }
}

fn spec() -> ArmSpec {
    let settings = ArmSettings { throughput_cap: 0.5, ..ArmSettings::default() };
    ArmSpec { settings, ..ArmSpec::default() }
}

fn router(family: ConfidenceFamily, arms: usize) -> Result<Router, Error> {
    let mut router = Router::new(config(family))?;
    let live: Result<Vec<_>, _> = (0..arms).map(|_| router.add_arm(&spec())).collect();
    router.publish(&live?, StartCost::NONE)?;
    Ok(router)
}

/// Bernoulli rewards and even costs of `arms` arms, the more expensive the better.
fn outcomes(arms: usize) -> (Vec<f64>, Vec<f64>) {
    let mut sampler = Sampler::new(2);
    (0..ROWS as usize * arms)
        .map(|cell| {
            let quality = (cell % arms + 1) as f64 / arms as f64;
            let reward = if sampler.unit() < 0.2 + 0.7 * quality { 1.0 } else { 0.0 };
            (reward, 6e-3 * quality * quality * sampler.unit())
        })
        .unzip()
}

fn step(family: ConfidenceFamily, arms: usize, steps: usize) -> Result<(), Error> {
    let mut router = router(family, arms)?;
    let (reward, cost) = outcomes(arms);
    for t in 0..WARM_UP + steps {
        let decision = black_box(router.route(&Query::default())?);
        let cell = t % ROWS as usize * arms + decision.arm.index();
        let (reward, cost) = (Some(reward[cell]), Some(cost[cell]));
        let observation = Observation { id: decision.id, reward, cost, tokens: None };
        router.observe(0.0, black_box(&observation))?;
    }
    Ok(())
}

/// The same with everything on that looks at each query: limits on money and on traffic of every arm,
/// an age for feedback, the log.
fn guarded(arms: usize, steps: usize) -> Result<(), Error> {
    let at_limit = AtLimit::Cheapest;
    let limit = |period| HardLimit { usd: 1e6, period, at_limit };
    let mut router = Router::new(RouterConfig {
        hard_limits: vec![limit(Period::Hour), limit(Period::Total)],
        max_age: Some(600.0),
        ..config(ConfidenceFamily::Bernstein)
    })?;
    router.set_log_capacity(1 << 10)?;
    let limits = TrafficLimits {
        requests_per_minute: Some(1e9),
        tokens_per_minute: Some(1e12),
        concurrent: Some(1_000),
        ..TrafficLimits::default()
    };
    let settings = ArmSettings {
        max_cost: Some(1.0),
        max_tokens: Some(10_000.0),
        limits,
        ..ArmSettings::default()
    };
    let spec = ArmSpec { settings, prior: Prior::default() };
    let live: Result<Vec<_>, _> = (0..arms).map(|_| router.add_arm(&spec)).collect();
    router.publish(&live?, StartCost::NONE)?;
    let (reward, cost) = outcomes(arms);
    let mut batch = LogBatch::default();
    for t in 0..WARM_UP + steps {
        let now = 1.8e9 + 0.01 * t as f64;
        let decision = black_box(router.route(&Query::at(now))?);
        let cell = t % ROWS as usize * arms + decision.arm.index();
        let (reward, cost) = (Some(reward[cell]), Some(cost[cell]));
        let observation = Observation { id: decision.id, reward, cost, tokens: None };
        router.observe(now, black_box(&observation))?;
        if t % 512 == 0 {
            router.drain_log(&mut batch);
        }
    }
    Ok(())
}

/// The same over every other arm, which each query names.
fn restricted(arms: usize, steps: usize) -> Result<(), Error> {
    let mut router = router(ConfidenceFamily::Bernstein, arms)?;
    let (reward, cost) = outcomes(arms);
    let allowed: Vec<_> = ArmIndex::first(arms).step_by(2).collect();
    let query = Query { allowed: Some(Cow::Borrowed(&allowed)), ..Query::default() };
    for t in 0..WARM_UP + steps {
        let decision = black_box(router.route(&query)?);
        let cell = t % ROWS as usize * arms + decision.arm.index();
        let (reward, cost) = (Some(reward[cell]), Some(cost[cell]));
        let observation = Observation { id: decision.id, reward, cost, tokens: None };
        router.observe(0.0, black_box(&observation))?;
    }
    assert_eq!(router.counters().restricted, (WARM_UP + steps) as u64);
    Ok(())
}

fn replay_rows(arms: usize, steps: usize) -> Result<(), Error> {
    let mut router = router(ConfidenceFamily::Bernstein, arms)?;
    let (reward, cost) = outcomes(arms);
    let matrix = OutcomeMatrix::new(&reward, &cost, arms)?;
    let steps = WARM_UP + steps;
    let rows: Vec<u32> = (0..ROWS).cycle().take(steps).collect();
    let (mut arm, mut probability, mut price) =
        (vec![0; steps], vec![0.0; steps], vec![0.0; steps]);
    let mut trace =
        Trace { arm: &mut arm, probability: &mut probability, budget_price: &mut price };
    replay(&mut router, &matrix, &rows, &mut trace, None, &mut || false)?;
    black_box(trace);
    Ok(())
}

/// One reward and one cost of an arm, as the learner alone takes them.
fn learn(
    forgetting: Forgetting,
    is_tested: bool,
    in_tokens: bool,
    steps: usize,
) -> Result<(), Error> {
    let change_test = is_tested.then(ChangeTest::default);
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    let mut learner = Learner::new(confidence, Drift { forgetting, change_test })?;
    let prices = Prices { input: 3.0, cached_input: 0.3, output: 15.0 };
    learner.add_arm(&Prior::default(), in_tokens.then_some(prices))?;
    let (reward, cost) = outcomes(1);
    for t in 0..WARM_UP + steps {
        let row = t % ROWS as usize;
        let feedback = if in_tokens {
            let output = 1e5 * cost[row];
            CostFeedback::Tokens(Tokens { input: 500.0, cached: 100.0, output })
        } else {
            CostFeedback::Usd(cost[row])
        };
        black_box(learner.observe(ArmIndex(0), Some(reward[row]), Some(black_box(feedback)))?);
    }
    Ok(())
}
