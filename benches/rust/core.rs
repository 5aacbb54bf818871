//! The core and the replay loop, without Python: `cargo bench -p stageroute-baselines`.
//!
//! Each measured call makes [`STEPS`] solves or steps; the item rate shown is per solve or step.

#![allow(clippy::unwrap_used, missing_docs)]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use stageroute_baselines::{OutcomeMatrix, Trace, replay};
use stageroute_core::deployment::{BranchAndBound, DeploymentProblem, solve_deployment};
use stageroute_core::lp::{Problem, RoutingLp};
use stageroute_core::{
    ArmSettings, ArmSpec, Confidence, ConfidenceFamily, Observation, Pacing, Query, Room, Router,
    RouterConfig, Sampler, StartCost,
};

const STEPS: usize = 1000;
const ARMS: [usize; 5] = [3, 5, 11, 32, 128];
/// Queries of the full `RouterBench` table, whose size the replay has.
const QUERIES: usize = 36_497;

fn main() {
    divan::main();
}

/// Arms whose quality rises with their price, ever more slowly, with some noise.
fn lp(arms: usize) -> RoutingLp {
    let mut sampler = Sampler::new(1);
    let place = |arm: usize| (arm + 1) as f64 / arms as f64;
    let reward: Vec<f64> =
        (0..arms).map(|arm| 0.3 + 0.6 * place(arm) + 0.02 * sampler.unit()).collect();
    let cost: Vec<f64> = (0..arms).map(|arm| 1e-4 + 2e-3 * place(arm).powi(2)).collect();
    let cap = vec![0.6; arms];
    let mut lp =
        RoutingLp::new(Problem { reward: &reward, cost: &cost, cap: &cap, budget: 5e-4 }).unwrap();
    lp.solve().unwrap();
    lp
}

/// The estimates of one arm change slightly: the basis is kept.
#[divan::bench(args = ARMS)]
fn lp_kept(bencher: Bencher<'_, '_>, arms: usize) {
    let mut lp = lp(arms);
    let problem = lp.problem();
    let (reward, cost) = (problem.reward.to_vec(), problem.cost.to_vec());
    bencher.counter(ItemsCount::new(STEPS)).bench_local(|| {
        for step in 0..STEPS {
            let arm = step % arms;
            let shift = if (step / arms).is_multiple_of(2) { 1e-9 } else { -1e-9 };
            lp.set_arm(arm, reward[arm] + shift, cost[arm]);
            black_box(lp.solve().unwrap());
        }
    });
    let counts = lp.counts();
    assert!(counts.kept > 10 * (counts.warm + counts.cold), "{counts:?}");
}

/// Two budgets, close to each other, with different optimal bases and so with different prices.
fn budgets_with_a_pivot_between(lp: &mut RoutingLp) -> [f64; 2] {
    let mut last = None;
    for step in 0..1000 {
        let budget = 2e-6 * f64::from(step);
        lp.set_budget(budget);
        lp.solve_cold().unwrap();
        let price = lp.budget_price();
        match last {
            // Prices of one basis differ by rounding at most.
            Some((before, other)) if price > 0.0 && price < 0.999 * other => {
                return [before, budget];
            }
            _ if price.is_finite() => last = Some((budget, price)),
            _ => {}
        }
    }
    unreachable!("no pivot below 2e-3 USD")
}

/// The budget crosses a breakpoint: the basis is left by pivots.
#[divan::bench(args = ARMS)]
fn lp_warm(bencher: Bencher<'_, '_>, arms: usize) {
    let mut lp = lp(arms);
    let budgets = budgets_with_a_pivot_between(&mut lp);
    let before = lp.counts();
    bencher.counter(ItemsCount::new(STEPS)).bench_local(|| {
        for step in 0..STEPS {
            lp.set_budget(budgets[step % 2]);
            black_box(lp.solve().unwrap());
        }
    });
    let counts = lp.counts();
    let others = counts.kept + counts.cold - before.kept - before.cold;
    assert!(counts.warm > 10 * others, "{counts:?}");
}

/// The same from nothing.
#[divan::bench(args = ARMS)]
fn lp_cold(bencher: Bencher<'_, '_>, arms: usize) {
    let mut lp = lp(arms);
    let budgets = budgets_with_a_pivot_between(&mut lp);
    bencher.counter(ItemsCount::new(STEPS)).bench_local(|| {
        for step in 0..STEPS {
            lp.set_budget(budgets[step % 2]);
            black_box(lp.solve_cold().unwrap());
        }
    });
}

/// A deployment problem of which eight arms with caps around 1/8 hardly suffice.
#[divan::bench(args = [11, 100, 1_000, 10_000], sample_size = 1)]
fn deployment(bencher: Bencher<'_, '_>, arms: usize) {
    let mut sampler = Sampler::new(3);
    let mut draw = |low: f64, high: f64| -> Vec<f64> {
        (0..arms).map(|_| low + (high - low) * sampler.unit()).collect()
    };
    let (reward, cost, cap) = (draw(0.2, 0.9), draw(1e-5, 2e-3), draw(0.1, 0.175));
    let mixture = Problem { reward: &reward, cost: &cost, cap: &cap, budget: 3e-4 };
    bencher.bench_local(|| {
        let problem = DeploymentProblem::plain(black_box(mixture), 8);
        solve_deployment(&problem, 0.0, &mut BranchAndBound::new(&mut || false)).unwrap()
    });
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

fn router(family: ConfidenceFamily, arms: usize) -> Router {
    let mut router = Router::new(config(family)).unwrap();
    let live: Vec<_> = (0..arms).map(|_| router.add_arm(&spec()).unwrap()).collect();
    router.publish(&live, StartCost::NONE).unwrap();
    router
}

/// Bernoulli rewards and even costs, the more expensive the better.
fn outcomes(rows: usize, arms: usize) -> (Vec<f64>, Vec<f64>) {
    let mut sampler = Sampler::new(2);
    (0..rows * arms)
        .map(|cell| {
            let quality = (cell % arms + 1) as f64 / arms as f64;
            let reward = if sampler.unit() < 0.2 + 0.7 * quality { 1.0 } else { 0.0 };
            (reward, 6e-3 * quality * quality * sampler.unit())
        })
        .unzip()
}

/// One `route` and one `observe`.
fn step(bencher: Bencher<'_, '_>, family: ConfidenceFamily, arms: usize) {
    let mut router = router(family, arms);
    let (reward, cost) = outcomes(STEPS, arms);
    let mut pass = || {
        for t in 0..STEPS {
            let decision = black_box(router.route(&Query::default()).unwrap());
            let cell = t * arms + decision.arm.index();
            let (reward, cost) = (Some(reward[cell]), Some(cost[cell]));
            let observation = Observation { id: decision.id, reward, cost, tokens: None };
            router.observe(0.0, black_box(&observation)).unwrap();
        }
    };
    (0..10).for_each(|_| pass());
    bencher.counter(ItemsCount::new(STEPS)).bench_local(pass);
}

#[divan::bench(args = [5, 11, 32])]
fn step_bernstein(bencher: Bencher<'_, '_>, arms: usize) {
    step(bencher, ConfidenceFamily::Bernstein, arms);
}

#[divan::bench(args = [5, 11, 32])]
fn step_paper(bencher: Bencher<'_, '_>, arms: usize) {
    step(bencher, ConfidenceFamily::Paper, arms);
}

#[divan::bench(args = [5, 11, 32])]
fn step_kl(bencher: Bencher<'_, '_>, arms: usize) {
    step(bencher, ConfidenceFamily::Kl, arms);
}

/// What a snapshot does while it holds the router's lock: it is encoded afterwards.
#[divan::bench(args = [65_536, 1 << 20])]
fn copy_of_open_decisions(bencher: Bencher<'_, '_>, open: usize) {
    let config = RouterConfig { open_decisions: open, ..config(ConfidenceFamily::Bernstein) };
    let mut router = Router::new(config).unwrap();
    let arm = router.add_arm(&spec()).unwrap();
    router.publish(&[arm], StartCost::NONE).unwrap();
    for _ in 0..open {
        black_box(router.route(&Query::default()).unwrap());
    }
    bencher.with_inputs(|| Room::new(open)).bench_local_values(|room| router.copy(room));
}

/// The whole table through a fresh router.
#[divan::bench(args = [11], sample_count = 50)]
fn replay_table(bencher: Bencher<'_, '_>, arms: usize) {
    let (reward, cost) = outcomes(QUERIES, arms);
    let matrix = OutcomeMatrix::new(&reward, &cost, arms).unwrap();
    let rows: Vec<u32> = (0..).take(QUERIES).collect();
    let (mut arm, mut probability, mut price) =
        (vec![0; QUERIES], vec![0.0; QUERIES], vec![0.0; QUERIES]);
    bencher
        .counter(ItemsCount::new(QUERIES))
        .with_inputs(|| router(ConfidenceFamily::Bernstein, arms))
        .bench_local_values(|mut router| {
            let mut trace =
                Trace { arm: &mut arm, probability: &mut probability, budget_price: &mut price };
            replay(&mut router, &matrix, &rows, &mut trace, None, &mut || false).unwrap();
            router.ledger()
        });
}
