//! The deployment problem against brute force over all live sets, the exact LP on each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use stageroute_core::deployment::{Deployment, solve_deployment};
use stageroute_core::lp::{Problem, RoutingLp, Status};
use stageroute_core::{Error, Sampler};

const TOLERANCE: f64 = 1e-9;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x0057_a9e2_07e5),
        ..ProptestConfig::default()
    }
}

#[derive(Debug, Clone)]
struct Instance {
    reward: Vec<f64>,
    cost: Vec<f64>,
    cap: Vec<f64>,
    budget: f64,
    slots: usize,
}

impl Instance {
    fn problem(&self) -> Problem<'_> {
        let Self { reward, cost, cap, budget, .. } = self;
        Problem { reward, cost, cap, budget: *budget }
    }

    fn solve(&self) -> Deployment {
        solve_deployment(self.problem(), self.slots, 0.0, &mut || false).unwrap()
    }

    fn unit(&self) -> f64 {
        self.cost.iter().copied().fold(f64::MIN_POSITIVE, f64::max)
    }

    fn lp(&self, set: &[usize]) -> RoutingLp {
        let of_set = |values: &[f64]| set.iter().map(|&arm| values[arm]).collect::<Vec<_>>();
        let (reward, cost, cap) = (of_set(&self.reward), of_set(&self.cost), of_set(&self.cap));
        let mut lp = RoutingLp::new(Problem {
            reward: &reward,
            cost: &cost,
            cap: &cap,
            budget: self.budget,
        })
        .unwrap();
        lp.solve().unwrap();
        lp
    }

    /// Rank of the best status of any set (optimal is 2), and the best that it can do at that: reward,
    /// minus spend, or caps. A strict judge does not let a set exceed the budget by what the exact LP
    /// forgives, which is relative to the largest cost and so may be much.
    fn brute_force(&self, is_strict: bool) -> (usize, f64) {
        let arms = self.reward.len();
        let size = self.slots.min(arms);
        let mut best = (0, f64::NEG_INFINITY);
        for mask in 0_u32..1 << arms {
            if mask.count_ones() as usize != size {
                continue;
            }
            let set: Vec<usize> = (0..arms).filter(|arm| mask >> arm & 1 == 1).collect();
            let verdict = self.verdict(&set, is_strict);
            if verdict > best {
                best = verdict;
            }
        }
        best
    }

    fn verdict(&self, set: &[usize], is_strict: bool) -> (usize, f64) {
        let lp = self.lp(set);
        let is_over = is_strict && lp.spend() > self.budget * (1.0 + 1e-12);
        match lp.status() {
            Status::Optimal if !is_over => (2, lp.objective()),
            Status::CapInfeasible => (0, set.iter().map(|&arm| self.cap[arm]).sum()),
            _ => (1, -lp.spend() / self.unit()),
        }
    }
}

fn instance(most: usize) -> impl Strategy<Value = Instance> {
    prop_oneof![spread(most), tied(most), near_ties(most), badly_scaled(most), duplicates(most)]
        .prop_flat_map(|instance| {
            let arms = instance.reward.len();
            (Just(instance), 1..=arms.max(2) - 1)
        })
        .prop_map(|(instance, slots)| Instance { slots, ..instance })
}

type Arm = (f64, f64, f64);

fn new(arms: &[Arm], budget: f64) -> Instance {
    let column = |of: fn(&Arm) -> f64| arms.iter().map(of).collect();
    Instance {
        reward: column(|a| a.0),
        cost: column(|a| a.1),
        cap: column(|a| a.2),
        budget,
        slots: 1,
    }
}

fn spread(most: usize) -> impl Strategy<Value = Instance> {
    let arm = (0.0..=1.0, 1e-4..1e-2, prop_oneof![0.05..=1.0, 0.1..0.4]);
    (prop::collection::vec(arm, 1..=most), 0.0..6e-3).prop_map(|(arms, budget)| new(&arms, budget))
}

/// Few distinct values, so that most sets tie, and caps that often sum to 1 exactly.
fn tied(most: usize) -> impl Strategy<Value = Instance> {
    let grid = vec![0.0, 0.25, 0.5, 0.75, 1.0];
    let arm = (select(grid.clone()), select(grid.clone()), select(vec![0.2, 0.25, 0.3, 0.5, 1.0]));
    let budget = select(vec![0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0]);
    (prop::collection::vec(arm, 1..=most), budget).prop_map(|(arms, budget)| new(&arms, budget))
}

/// Estimates that differ by 1e-10 to 1e-6.
fn near_ties(most: usize) -> impl Strategy<Value = Instance> {
    let near = |center: f64| {
        (0_i32..4, select(vec![1e-10, 1e-8, 1e-6]))
            .prop_map(move |(k, step)| center * (1.0 + f64::from(k) * step))
    };
    let arm = (
        prop_oneof![near(0.5), near(0.25), near(0.8)],
        prop_oneof![near(1e-3), near(2e-3), near(5e-4)],
        select(vec![0.2, 0.25, 0.3, 0.5]),
    );
    (prop::collection::vec(arm, 1..=most), 4e-4..2.5e-3)
        .prop_map(|(arms, budget)| new(&arms, budget))
}

/// Costs from 1e-9 to 1e3 in one instance.
fn badly_scaled(most: usize) -> impl Strategy<Value = Instance> {
    let arm = (0.0..=1.0, (-9.0..3.0).prop_map(|e: f64| 10_f64.powf(e)), 0.1..0.6);
    let budget = (-9.0..3.5).prop_map(|e: f64| 10_f64.powf(e));
    (prop::collection::vec(arm, 1..=most), budget).prop_map(|(arms, budget)| new(&arms, budget))
}

/// A few kinds of arms, many of each.
fn duplicates(most: usize) -> impl Strategy<Value = Instance> {
    let kind = (0.0..=1.0, 0.0..1e-2, select(vec![0.15, 0.3, 0.4]));
    (prop::collection::vec(kind, 1..=3), prop::collection::vec(0_usize..3, 1..=most), 0.0..6e-3)
        .prop_map(|(kinds, picks, budget)| {
            let arms: Vec<Arm> = picks.iter().map(|&pick| kinds[pick % kinds.len()]).collect();
            new(&arms, budget)
        })
}

fn check(instance: &Instance) -> Result<(), TestCaseError> {
    let found = instance.solve();
    let arms = instance.reward.len();
    prop_assert_eq!(found.deployed.len(), instance.slots.min(arms));
    prop_assert!(found.deployed.windows(2).all(|pair| pair[0] < pair[1]));
    let mass: f64 = found.deployed.iter().map(|&arm| found.weights[arm]).sum();
    prop_assert!((mass - 1.0).abs() <= 1e-12);
    prop_assert!((found.weights.iter().sum::<f64>() - 1.0).abs() <= 1e-12, "weight outside");
    let lp = instance.lp(&found.deployed);
    prop_assert_eq!(lp.status(), found.status);
    prop_assert_eq!(lp.objective(), found.objective);
    prop_assert_eq!(lp.spend(), found.spend);
    prop_assert_eq!(lp.budget_price(), found.budget_price);

    let (rank, value) = instance.verdict(&found.deployed, false);
    let (least, most) = (instance.brute_force(true), instance.brute_force(false));
    prop_assert!(least.0 <= rank && rank <= most.0, "{rank}, not {least:?} to {most:?}");
    let is_as_good = rank > least.0 || value >= least.1 - TOLERANCE;
    let is_possible = rank < most.0 || value <= most.1 + TOLERANCE;
    prop_assert!(is_as_good && is_possible, "{value}, not {least:?} to {most:?}: {:?}", &found);
    Ok(())
}

proptest! {
    #![proptest_config(config(std::env::var("CASES").map_or(20_000, |n| n.parse().unwrap())))]

    #[test]
    fn equals_brute_force(instance in instance(9)) {
        check(&instance)?;
    }
}

#[test]
fn dummy() {
    let _ = Sampler::new(1);
    let _: Option<Error> = None;
}
