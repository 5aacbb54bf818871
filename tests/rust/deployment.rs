//! The deployment problem, with constraints and without, against brute force over all live sets, the
//! exact LP on each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use stageroute_core::Error;
use stageroute_core::deployment::{
    BranchAndBound, Deployment, DeploymentProblem, Goal, LIMIT_TOLERANCE, LiveSets, SetSolver,
    solve_deployment,
};
use stageroute_core::lp::{Problem, RoutingLp, Status};

const TOLERANCE: f64 = 1e-9;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x0057_a9e2_07e5),
        ..ProptestConfig::default()
    }
}

/// The answer of the core's own search; None if no set is allowed.
fn solve_with(problem: &DeploymentProblem<'_>) -> Option<Deployment> {
    solve_deployment(problem, 0.0, &mut BranchAndBound::new(&mut || false)).unwrap()
}

/// The same for a goal alone.
fn best_set(problem: &DeploymentProblem<'_>, goal: Goal) -> Option<Vec<usize>> {
    BranchAndBound::new(&mut || false).best_set(problem, goal, None).unwrap()
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
        solve_with(&DeploymentProblem::plain(self.problem(), self.slots)).unwrap()
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
    #![proptest_config(config(10_000))]

    #[test]
    fn equals_brute_force(instance in instance(9)) {
        check(&instance)?;
    }

    #[test]
    fn ties_go_to_the_cheaper_arm(instance in tied(9), slots in 1_usize..4) {
        let instance = Instance { slots, ..instance };
        let found = instance.solve();
        for &arm in &found.deployed {
            let is_cheaper = |&other: &usize| {
                let Instance { reward, cost, cap, .. } = &instance;
                reward[other] == reward[arm]
                    && cap[other] == cap[arm]
                    && cost[other] < cost[arm]
                    && !found.deployed.contains(&other)
            };
            let better = (0..instance.reward.len()).find(is_cheaper);
            prop_assert_eq!(better, None, "in place of {} in {:?}", arm, &found);
        }
    }

    #[test]
    fn scaling_the_currency_by_a_power_of_two_changes_nothing(
        instance in instance(40),
        exponent in -30_i32..30,
    ) {
        let scale = 2_f64.powi(exponent);
        let mut scaled = instance.clone();
        scaled.cost.iter_mut().for_each(|cost| *cost *= scale);
        scaled.budget *= scale;
        let (before, after) = (instance.solve(), scaled.solve());
        prop_assert_eq!(before.status, after.status);
        prop_assert_eq!(before.deployed, after.deployed);
        prop_assert_eq!(before.weights, after.weights);
    }
}

// ---- constraints ------------------------------------------------------------------------------

/// What an instance of the plain problem is asked besides.
#[derive(Debug, Clone)]
struct Demands {
    start: Vec<f64>,
    most: Vec<f64>,
    uses: Vec<f64>,
    pinned: Vec<bool>,
    forbidden: Vec<bool>,
    provider: Vec<usize>,
    min_providers: usize,
}

impl Demands {
    fn problem<'a>(&'a self, instance: &'a Instance) -> DeploymentProblem<'a> {
        let sets = LiveSets {
            max_deployed: instance.slots,
            most: &self.most,
            uses: &self.uses,
            pinned: &self.pinned,
            forbidden: &self.forbidden,
            provider: &self.provider,
            min_providers: self.min_providers,
        };
        DeploymentProblem { mixture: instance.problem(), start: &self.start, sets }
    }

    fn allows(&self, set: &[usize], slots: usize) -> bool {
        let arms = self.pinned.len();
        let sum = |uses: &[f64]| set.iter().map(|&arm| uses[arm]).sum::<f64>();
        let mut providers: Vec<usize> = set.iter().map(|&arm| self.provider[arm]).collect();
        providers.sort_unstable();
        providers.dedup();
        set.len() <= slots
            && !set.is_empty()
            && (0..arms).all(|arm| !self.pinned[arm] || set.contains(&arm))
            && set.iter().all(|&arm| !self.forbidden[arm])
            && providers.len() >= self.min_providers
            && self
                .uses
                .chunks(arms)
                .zip(&self.most)
                .all(|(u, most)| sum(u) <= most + LIMIT_TOLERANCE)
    }

    /// The value of a set; None if it has no mixture.
    fn value(&self, instance: &Instance, set: &[usize], goal: Goal) -> Option<f64> {
        let start: f64 = set.iter().map(|&arm| self.start[arm]).sum();
        let costs = self.start.iter().chain(&instance.cost).copied();
        let unit = costs.fold(f64::MIN_POSITIVE, f64::max);
        let left = instance.budget - start;
        match goal {
            Goal::Largest => Some(set.iter().map(|&arm| instance.cap[arm]).sum()),
            Goal::Best => {
                let lp = Instance { budget: left.max(0.0), ..instance.clone() }.lp(set);
                let is_met = lp.status() == Status::Optimal && left >= -LIMIT_TOLERANCE * unit;
                is_met.then(|| lp.objective())
            }
            Goal::Cheapest => {
                let free = Instance { budget: 0.0, ..instance.clone() };
                let lp = free.lp(set);
                (lp.status() != Status::CapInfeasible).then(|| -(lp.spend() + start) / unit)
            }
        }
    }
}

fn demands(arms: usize, unit: f64) -> impl Strategy<Value = Demands> {
    let start = prop_oneof![
        Just(vec![0.0; arms]),
        prop::collection::vec(prop_oneof![Just(0.0), 0.0..0.2], arms)
    ];
    let limits = prop::collection::vec(
        (
            select(vec![1.0, 1.0, 2.0]),
            prop::collection::vec(select(vec![0.0, 0.1, 0.25, 0.500_000_3, 1.0]), arms),
        ),
        0..3,
    );
    let flags =
        |likely: u32| prop::collection::vec(prop::bool::weighted(f64::from(likely) / 100.0), arms);
    let providers = prop::collection::vec(0_usize..3, arms);
    (start, limits, flags(8), flags(12), providers, select(vec![1_usize, 1, 2, 3])).prop_map(
        move |(start, limits, pinned, forbidden, provider, min_providers)| Demands {
            start: start.into_iter().map(|share| share * unit).collect(),
            most: limits.iter().map(|limit| limit.0).collect(),
            uses: limits.into_iter().flat_map(|limit| limit.1).collect(),
            pinned,
            forbidden,
            provider,
            min_providers,
        },
    )
}

fn constrained() -> impl Strategy<Value = (Instance, Demands)> {
    prop_oneof![spread(8), tied(8), duplicates(8)]
        .prop_flat_map(|instance| {
            let (arms, unit) = (instance.reward.len(), instance.unit());
            (Just(instance), demands(arms, unit), 1_usize..6)
        })
        .prop_map(|(instance, demands, slots)| (Instance { slots, ..instance }, demands))
}

/// The best value of any allowed set; minus infinity if none has one.
fn best_value(instance: &Instance, demands: &Demands, goal: Goal) -> f64 {
    let arms = instance.reward.len();
    (1_u32..1 << arms)
        .map(|mask| (0..arms).filter(|arm| mask >> arm & 1 == 1).collect::<Vec<_>>())
        .filter(|set| demands.allows(set, instance.slots))
        .filter_map(|set| demands.value(instance, &set, goal))
        .fold(f64::NEG_INFINITY, f64::max)
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn deployments_under_constraints_equal_brute_force((instance, demands) in constrained()) {
        let goals = [Goal::Best, Goal::Cheapest, Goal::Largest];
        let values = goals.map(|goal| (goal, best_value(&instance, &demands, goal)));
        let expected = values.into_iter().find(|(_, value)| value.is_finite());
        let found = solve_with(&demands.problem(&instance));
        let (Some((goal, best)), Some(found)) = (expected, &found) else {
            prop_assert!(expected.is_none() && found.is_none(), "{expected:?}, {found:?}");
            return Ok(());
        };
        let status = match goal {
            Goal::Best => Status::Optimal,
            Goal::Cheapest => Status::BudgetInfeasible,
            Goal::Largest => Status::CapInfeasible,
        };
        prop_assert_eq!(found.status, status);
        prop_assert!(demands.allows(&found.deployed, instance.slots), "{found:?}");
        let value = demands.value(&instance, &found.deployed, goal);
        prop_assert!(value.is_some_and(|v| (v - best).abs() <= TOLERANCE), "{value:?}, not {best}");
        let is_full = |arm: usize| {
            let mut wider = found.deployed.clone();
            wider.push(arm);
            let is_free = demands.start[arm] == 0.0 && !found.deployed.contains(&arm);
            !(is_free && demands.allows(&wider, instance.slots))
        };
        prop_assert!((0..instance.reward.len()).all(is_full), "an empty slot in {found:?}");
    }
}

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn equals_brute_force_under_constraints(
        (instance, demands) in constrained(),
        goal in select(vec![Goal::Best, Goal::Cheapest, Goal::Largest]),
    ) {
        let best = best_value(&instance, &demands, goal);
        let Some(set) = best_set(&demands.problem(&instance), goal) else {
            prop_assert_eq!(best, f64::NEG_INFINITY);
            return Ok(());
        };
        prop_assert!(demands.allows(&set, instance.slots), "{set:?}");
        let value = demands.value(&instance, &set, goal);
        prop_assert!(value.is_some_and(|v| (v - best).abs() <= TOLERANCE), "{value:?}, not {best}");
    }
}

// ---- other solvers of sets --------------------------------------------------------------------

/// A solver that gives the same answers whatever the problem.
struct Scripted {
    best: Option<Vec<usize>>,
    cheapest: Option<Vec<usize>>,
}

impl SetSolver for Scripted {
    type Error = Error;
    const NAME: &'static str = "scripted";
    const IS_EXACT: bool = false;

    fn best_set(
        &mut self,
        _: &DeploymentProblem<'_>,
        goal: Goal,
        _: Option<&RoutingLp>,
    ) -> Result<Option<Vec<usize>>, Error> {
        Ok(match goal {
            Goal::Best => self.best.clone(),
            Goal::Cheapest => self.cheapest.clone(),
            Goal::Largest => None,
        })
    }
}

fn scripted(best: Option<Vec<usize>>, cheapest: Option<Vec<usize>>) -> Result<Deployment, Error> {
    let instance = small();
    let problem = DeploymentProblem::plain(instance.problem(), instance.slots);
    let found = solve_deployment(&problem, 0.0, &mut Scripted { best, cheapest })?;
    Ok(found.unwrap())
}

#[test]
fn the_sets_of_an_inexact_solver_are_improved() {
    let best = small().solve();
    assert_eq!((best.status, best.solved_by.as_str()), (Status::Optimal, "native"));
    // All sets of two arms that meet the budget.
    for set in [vec![1, 2], vec![1, 3]] {
        let found = scripted(Some(set.clone()), None).unwrap();
        assert_eq!(found.solved_by, "scripted");
        assert_eq!((found.deployed, found.objective), (best.deployed.clone(), best.objective));
    }
}

#[test]
fn a_solver_that_is_wrong_is_contradicted() {
    let refused = |best, cheapest| scripted(best, cheapest).unwrap_err().to_string();
    let wrong = |goal, status| {
        format!("scripted chose a set as the {goal} one that is {status} when judged exactly")
    };
    assert_eq!(refused(None, Some(vec![1, 3])), wrong("cheapest", "optimal"));
    assert_eq!(refused(Some(vec![0, 1]), None), wrong("best", "budget_infeasible"));
    assert_eq!(refused(Some(vec![1, 2, 3]), None), wrong("best", "not allowed"));
    assert_eq!(refused(Some(vec![1, 4]), None), wrong("best", "not allowed"));
    assert_eq!(refused(None, Some(vec![2, 3])), wrong("cheapest", "cap_infeasible"));
}

// ---- ends and bad data ------------------------------------------------------------------------

/// Four arms of which two are needed, and any two differ.
fn small() -> Instance {
    let arms = [(0.9, 3.0, 0.6), (0.8, 2.0, 0.55), (0.5, 1.0, 0.5), (0.3, 0.2, 0.45)];
    Instance { slots: 2, ..new(&arms, 1.6) }
}

#[test]
fn a_search_that_is_stopped_gives_no_answer() {
    let instance = small();
    let problem = DeploymentProblem::plain(instance.problem(), instance.slots);
    let mut go_on = || false;
    let mut search = BranchAndBound::new(&mut go_on);
    solve_deployment(&problem, 0.0, &mut search).unwrap();
    assert!(search.nodes > 1);
    let mut looks = 0;
    let mut stop = || {
        looks += 1;
        true
    };
    let stopped = solve_deployment(&problem, 0.0, &mut BranchAndBound::new(&mut stop));
    assert_eq!(stopped.unwrap_err(), Error::SearchStopped { nodes: 1 });
    assert_eq!(looks, 1);
}

#[test]
fn bad_data_are_refused_by_name() {
    let instance = small();
    let refuse = |problem: &DeploymentProblem<'_>, price| {
        let solved = solve_deployment(problem, price, &mut BranchAndBound::new(&mut || false));
        solved.unwrap_err().to_string()
    };
    let solve = |slots, price| refuse(&DeploymentProblem::plain(instance.problem(), slots), price);
    assert_eq!(solve(0, 0.0), "max_deployed = 0: must be at least 1");
    let rule = "must be finite and not negative, in reward per USD";
    assert_eq!(solve(2, -1.0), format!("current_price = -1: {rule}"));

    let good = Demands {
        start: vec![0.0; 4],
        most: vec![1.0],
        uses: vec![0.5; 4],
        pinned: vec![false; 4],
        forbidden: vec![false; 4],
        provider: vec![0; 4],
        min_providers: 1,
    };
    let refused = |change: &dyn Fn(&mut Demands), message: &str| {
        let mut bad = good.clone();
        change(&mut bad);
        assert_eq!(refuse(&bad.problem(&instance), 0.0), message);
    };
    refused(&|d| d.start.truncate(3), "start has 3 elements; it must have 4, one for each arm");
    refused(
        &|d| d.uses.truncate(3),
        "uses has 3 elements; it must have 4, one for each arm and limit",
    );
    refused(&|d| d.provider.push(0), "provider has 5 elements; it must have 4, one for each arm");
    refused(
        &|d| d.start[1] = -1.0,
        "start[1] = -1: a cost must be finite and not negative, in USD",
    );
    refused(&|d| d.most[0] = f64::NAN, "most[0] = NaN: must be finite and not negative");
}

#[test]
fn contradictions_allow_no_set() {
    let instance = small();
    let demands = Demands {
        start: vec![0.0; 4],
        most: vec![],
        uses: vec![],
        pinned: vec![true, false, false, false],
        forbidden: vec![true, false, false, false],
        provider: vec![0; 4],
        min_providers: 1,
    };
    for goal in [Goal::Best, Goal::Cheapest, Goal::Largest] {
        assert_eq!(best_set(&demands.problem(&instance), goal), None);
    }
    assert_eq!(solve_with(&demands.problem(&instance)), None);
}
