//! Properties that every answer of the routing LP has, whatever the data.
//!
//! Three judges, none of which shares code with the solver: the dual function (greedy filling by
//! score, an upper bound at any budget price), all vertices of small instances in integer
//! arithmetic, and the crate's own certificate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use stageroute_core::lp::{Problem, RoutingLp, Status};
use stageroute_core::{Error, Sampler};

/// Error of a probability or an objective where the data are well conditioned.
const TOLERANCE: f64 = 1e-9;
/// Rounding steps that may add up in the spend of one instance.
const ROUNDINGS: f64 = 128.0 * f64::EPSILON;
/// Width, relative to the largest cost, within which a verdict may fall either way.
const BOUNDARY_BAND: f64 = 1e-9;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x0057_a9e2_07e5),
        ..ProptestConfig::default()
    }
}

// ---- instances --------------------------------------------------------------------------------

#[derive(Debug, Clone)]
struct Instance {
    reward: Vec<f64>,
    cost: Vec<f64>,
    cap: Vec<f64>,
    budget: f64,
}

impl Instance {
    fn new(arms: &[(f64, f64, f64)], budget: f64) -> Self {
        Self {
            reward: arms.iter().map(|arm| arm.0).collect(),
            cost: arms.iter().map(|arm| arm.1).collect(),
            cap: arms.iter().map(|arm| arm.2).collect(),
            budget,
        }
    }

    fn problem(&self) -> Problem<'_> {
        let Self { reward, cost, cap, budget } = self;
        Problem { reward, cost, cap, budget: *budget }
    }

    fn solved(&self) -> RoutingLp {
        let mut lp = RoutingLp::new(self.problem()).unwrap();
        lp.solve().unwrap();
        lp
    }

    fn arms(&self) -> usize {
        self.reward.len()
    }

    fn largest_cost(&self) -> f64 {
        self.cost.iter().copied().fold(0.0, f64::max)
    }

    fn cap_sum(&self) -> f64 {
        self.cap.iter().sum()
    }

    /// Arms by rising key, filled to their caps: the mixture of least total key. Returns the dot
    /// product of its shares with `values`.
    fn fill(&self, key: impl Fn(usize) -> f64, values: impl Fn(usize) -> f64) -> f64 {
        let mut order: Vec<usize> = (0..self.arms()).collect();
        order.sort_by(|&a, &b| key(a).total_cmp(&key(b)));
        let mut mass = 1.0_f64;
        let mut total = 0.0;
        for arm in order {
            let share = mass.min(self.cap[arm]);
            total += share * values(arm);
            mass -= share;
        }
        total
    }

    fn least_spend(&self) -> f64 {
        self.fill(|arm| self.cost[arm], |arm| self.cost[arm])
    }

    /// The dual function at price λ: no feasible mixture has a higher objective.
    fn dual_bound(&self, price: f64) -> f64 {
        let score = |arm: usize| self.reward[arm] - price * (self.cost[arm] - self.budget);
        self.fill(|arm| -score(arm), score)
    }

    /// How far rounding in the spend, a few ulp of the largest cost, can move the shares of two
    /// basic arms: the closer their costs, the further.
    fn share_tolerance(&self) -> f64 {
        let mut sorted = self.cost.clone();
        sorted.sort_by(f64::total_cmp);
        let gaps = sorted.windows(2).map(|pair| pair[1] - pair[0]).filter(|&gap| gap > 0.0);
        let smallest = gaps.fold(f64::INFINITY, f64::min);
        TOLERANCE + ROUNDINGS * (self.largest_cost() + self.budget) / smallest
    }
}

/// A routing instance; `kind` says how its numbers are laid out.
fn instance(max_arms: usize) -> impl Strategy<Value = Instance> {
    prop_oneof![spread(max_arms), tied(max_arms), clustered(max_arms), badly_scaled(max_arms)]
}

/// Continuous data of one scale: the optimum is unique and well conditioned.
fn spread(max_arms: usize) -> impl Strategy<Value = Instance> {
    let arm = (0.0..=1.0, 1e-4..1e-2, 0.02..=1.0);
    (prop::collection::vec(arm, 1..=max_arms), -0.2..1.2).prop_map(with_budget_between)
}

/// Few distinct values, so that almost everything ties and vertices are degenerate.
fn tied(max_arms: usize) -> impl Strategy<Value = Instance> {
    let grid = vec![0.0, 0.25, 0.5, 0.75, 1.0];
    let arm = (select(grid.clone()), select(grid.clone()), select(vec![0.125, 0.25, 0.5, 1.0]));
    let budget = select(vec![0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0, 8.0]);
    (prop::collection::vec(arm, 1..=max_arms), budget)
        .prop_map(|(arms, budget)| Instance::new(&arms, budget))
}

/// Estimates that differ in their last few digits.
fn clustered(max_arms: usize) -> impl Strategy<Value = Instance> {
    let arm = (
        (0_u32..50).prop_map(|k| 0.5 + f64::from(k) * 1e-10),
        (0_u32..50).prop_map(|k| 1e-3 * (1.0 + f64::from(k) * 1e-8)),
        select(vec![0.1, 0.2, 0.3, 0.5]),
    );
    (prop::collection::vec(arm, 1..=max_arms), -0.2..1.2).prop_map(with_budget_between)
}

/// Costs from 1e-9 to 1e3 in one instance.
fn badly_scaled(max_arms: usize) -> impl Strategy<Value = Instance> {
    let arm = (0.0..=1.0, (-9.0..3.0).prop_map(|e: f64| 10_f64.powf(e)), 0.02..=1.0);
    let budget = (-9.0..3.5).prop_map(|e: f64| 10_f64.powf(e));
    (prop::collection::vec(arm, 1..=max_arms), budget)
        .prop_map(|(arms, budget)| Instance::new(&arms, budget))
}

/// Puts the budget at a fraction of the way from the cheapest to the dearest arm.
fn with_budget_between((arms, fraction): (Vec<(f64, f64, f64)>, f64)) -> Instance {
    let low = arms.iter().map(|arm| arm.1).fold(f64::INFINITY, f64::min);
    let high = arms.iter().map(|arm| arm.1).fold(0.0, f64::max);
    Instance::new(&arms, (low + fraction * (high - low)).max(0.0))
}

// ---- judges -----------------------------------------------------------------------------------

/// Checks feasibility, verdict and optimality of a solved LP.
fn judge(instance: &Instance, lp: &RoutingLp) -> Result<(), TestCaseError> {
    let p = lp.probabilities();
    let unit = instance.largest_cost();
    let mass: f64 = p.iter().sum();
    prop_assert!((mass - 1.0).abs() <= 1e-12, "mass {mass}");
    prop_assert!(p.iter().all(|&share| share >= 0.0), "negative share in {p:?}");
    let off_support = (0..p.len()).filter(|arm| !lp.support().contains(arm));
    prop_assert!(off_support.clone().all(|arm| p[arm] == 0.0), "mass outside the support");
    let dot = |v: &[f64]| v.iter().zip(p).map(|(v, p)| v * p).sum::<f64>();
    prop_assert!((dot(&instance.reward) - lp.objective()).abs() <= 1e-12);
    prop_assert!((dot(&instance.cost) - lp.spend()).abs() <= ROUNDINGS * unit);

    let certificate = lp.certificate();
    prop_assert!(certificate.primal_residual <= 1e-12, "{certificate:?}");
    prop_assert!(certificate.dual_residual <= 0.0, "{certificate:?}");

    let cap_sum = instance.cap_sum();
    if lp.status() == Status::CapInfeasible {
        prop_assert!(cap_sum < 1.0, "caps sum to {cap_sum}");
        for (&share, &cap) in p.iter().zip(&instance.cap) {
            prop_assert!((share - cap / cap_sum).abs() <= 1e-12, "not in proportion to the caps");
        }
        return Ok(());
    }
    prop_assert!(cap_sum >= 1.0 - BOUNDARY_BAND, "caps sum to {cap_sum}");
    for (&share, &cap) in p.iter().zip(&instance.cap) {
        prop_assert!(share <= cap + 1e-12, "share {share} above cap {cap}");
    }
    let least = instance.least_spend();
    if lp.status() == Status::BudgetInfeasible {
        prop_assert!(least > instance.budget - BOUNDARY_BAND * unit);
        prop_assert!((lp.spend() - least).abs() <= ROUNDINGS * unit, "not the cheapest mixture");
        prop_assert_eq!(lp.budget_price(), f64::INFINITY);
        return Ok(());
    }
    prop_assert!(least <= instance.budget + BOUNDARY_BAND * unit);
    prop_assert!(lp.spend() <= instance.budget + 1e-12 * unit, "over budget");
    let price = lp.budget_price();
    prop_assert!(price >= 0.0 && price.is_finite());
    let rounding = ROUNDINGS * price * (unit + instance.budget);
    // A budget that is missed within the tolerance, in favour of "feasible", is paid for at λ.
    let missed = price * (lp.spend() - instance.budget).max(0.0);
    let tolerance = TOLERANCE + rounding + missed;
    let gap = instance.dual_bound(price) - lp.objective();
    prop_assert!(gap.abs() <= tolerance, "gap {gap:e} at price {price:e}");
    prop_assert!(certificate.gap.abs() <= tolerance, "{certificate:?}");
    Ok(())
}

fn assert_same_shares(a: &[f64], b: &[f64], tolerance: f64) -> Result<(), TestCaseError> {
    for (arm, (x, y)) in a.iter().zip(b).enumerate() {
        prop_assert!((x - y).abs() <= tolerance, "arm {arm}: {x} and {y} in {a:?} and {b:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn answers_are_feasible_and_certified(instance in instance(64)) {
        judge(&instance, &instance.solved())?;
    }

    #[test]
    fn scaling_the_currency_by_a_power_of_two_changes_nothing(
        instance in instance(24),
        exponent in -30_i32..30,
    ) {
        let scale = 2_f64.powi(exponent);
        let mut scaled = instance.clone();
        scaled.cost.iter_mut().for_each(|cost| *cost *= scale);
        scaled.budget *= scale;
        let (before, after) = (instance.solved(), scaled.solved());
        prop_assert_eq!(before.status(), after.status());
        prop_assert_eq!(before.probabilities(), after.probabilities());
    }

    #[test]
    fn scaling_the_currency_by_any_factor_changes_little(
        instance in spread(24),
        scale in 1e-3_f64..1e6,
    ) {
        let mut scaled = instance.clone();
        scaled.cost.iter_mut().for_each(|cost| *cost *= scale);
        scaled.budget *= scale;
        let (before, after) = (instance.solved(), scaled.solved());
        prop_assert_eq!(before.status(), after.status());
        let tolerance = instance.share_tolerance();
        assert_same_shares(before.probabilities(), after.probabilities(), tolerance)?;
    }

    #[test]
    fn the_order_of_arms_does_not_matter(
        (instance, order) in instance(24).prop_flat_map(|instance| {
            let order = Just((0..instance.arms()).collect::<Vec<_>>()).prop_shuffle();
            (Just(instance), order)
        }),
    ) {
        let pick = |values: &[f64]| order.iter().map(|&arm| values[arm]).collect::<Vec<_>>();
        let shuffled = Instance {
            reward: pick(&instance.reward),
            cost: pick(&instance.cost),
            cap: pick(&instance.cap),
            budget: instance.budget,
        };
        let (before, after) = (instance.solved(), shuffled.solved());
        if before.status() != after.status() {
            // The sum of the caps or the least spend is at its boundary to rounding.
            let unit = instance.largest_cost();
            prop_assert!(
                (instance.cap_sum() - 1.0).abs() <= BOUNDARY_BAND
                    || (instance.least_spend() - instance.budget).abs() <= BOUNDARY_BAND * unit
            );
            return Ok(());
        }
        let price = before.budget_price();
        let rounding = if price.is_finite() {
            ROUNDINGS * price * (instance.largest_cost() + instance.budget)
        } else {
            0.0
        };
        prop_assert!((before.objective() - after.objective()).abs() <= TOLERANCE + rounding);
        prop_assert!(
            (before.spend() - after.spend()).abs() <= TOLERANCE * (1.0 + instance.largest_cost())
        );
    }

    #[test]
    fn a_unique_optimum_moves_with_its_arms(instance in spread(24)) {
        let turned = |values: &[f64]| values.iter().rev().copied().collect::<Vec<_>>();
        let reversed = Instance {
            reward: turned(&instance.reward),
            cost: turned(&instance.cost),
            cap: turned(&instance.cap),
            budget: instance.budget,
        };
        let (before, after) = (instance.solved(), reversed.solved());
        prop_assert_eq!(before.status(), after.status());
        let tolerance = instance.share_tolerance();
        assert_same_shares(&turned(before.probabilities()), after.probabilities(), tolerance)?;
    }

    #[test]
    fn an_arm_split_in_two_brings_the_same(instance in instance(16), which: prop::sample::Index) {
        let arm = which.index(instance.arms());
        let mut split = instance.clone();
        split.cap[arm] *= 0.5;
        split.reward.push(instance.reward[arm]);
        split.cost.push(instance.cost[arm]);
        split.cap.push(split.cap[arm]);
        let (before, after) = (instance.solved(), split.solved());
        if before.status() == Status::Optimal && after.status() == Status::Optimal {
            let unit = instance.largest_cost() + instance.budget;
            let tolerance = TOLERANCE + ROUNDINGS * before.budget_price() * unit;
            prop_assert!((before.objective() - after.objective()).abs() <= tolerance);
        } else if before.status() != after.status() {
            let unit = instance.largest_cost();
            prop_assert!(
                (instance.cap_sum() - 1.0).abs() <= BOUNDARY_BAND
                    || (instance.least_spend() - instance.budget).abs() <= BOUNDARY_BAND * unit
            );
        }
    }

    #[test]
    fn a_larger_budget_never_brings_less(
        instance in instance(24),
        mut budgets in prop::collection::vec(0.0..2.0_f64, 2..8),
    ) {
        budgets.sort_by(f64::total_cmp);
        let unit = instance.largest_cost();
        let mut lp = instance.solved();
        let (mut best, mut was_feasible) = (f64::NEG_INFINITY, false);
        for fraction in budgets {
            lp.set_budget(fraction * unit);
            match lp.solve().unwrap() {
                Status::Optimal => {
                    let rounding = ROUNDINGS * lp.budget_price() * unit;
                    prop_assert!(lp.objective() >= best - TOLERANCE - rounding);
                    (best, was_feasible) = (lp.objective(), true);
                }
                Status::BudgetInfeasible => prop_assert!(!was_feasible),
                Status::CapInfeasible => return Ok(()),
            }
        }
    }
}

// ---- warm and cold ----------------------------------------------------------------------------

/// One change between two solves.
#[derive(Debug, Clone)]
enum Change {
    Arm(prop::sample::Index, f64, f64),
    /// All arms at once, as after a batch of feedback.
    AllArms(f64, f64),
    Budget(f64),
    /// New data with the caps scaled: the only way into and out of `cap_infeasible`.
    Load(f64),
    None,
}

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let level = || prop_oneof![0.0..=1.0, select(vec![0.0, 0.25, 0.5, 1.0])];
    let change = prop_oneof![
        6 => (any::<prop::sample::Index>(), level(), level())
            .prop_map(|(arm, r, c)| Change::Arm(arm, r, c)),
        1 => (0.5..1.5, 0.5..1.5).prop_map(|(r, c)| Change::AllArms(r, c)),
        3 => prop_oneof![0.0..1.2, select(vec![0.0, 0.25, 0.5, 100.0])].prop_map(Change::Budget),
        1 => (0.02..2.0).prop_map(Change::Load),
        1 => Just(Change::None),
    ];
    prop::collection::vec(prop::collection::vec(change, 1..4), 1..30)
}

fn apply(change: &Change, now: &mut Instance, unit: f64, lp: &mut RoutingLp) {
    match change {
        Change::Arm(arm, reward, cost) => {
            let arm = arm.index(now.arms());
            (now.reward[arm], now.cost[arm]) = (*reward, cost * unit);
            lp.set_arm(arm, now.reward[arm], now.cost[arm]);
        }
        Change::AllArms(reward, cost) => {
            for arm in 0..now.arms() {
                now.reward[arm] = (now.reward[arm] * reward).min(1.0);
                now.cost[arm] *= cost;
                lp.set_arm(arm, now.reward[arm], now.cost[arm]);
            }
        }
        Change::Budget(fraction) => {
            now.budget = fraction * unit;
            lp.set_budget(now.budget);
        }
        Change::Load(scale) => {
            now.cap.iter_mut().for_each(|cap| *cap = (*cap * scale).clamp(1e-3, 1.0));
            lp.load(now.problem()).unwrap();
        }
        Change::None => {}
    }
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn warm_solves_give_what_cold_solves_give(start in instance(24), changes in changes()) {
        let unit = start.largest_cost().max(1e-9);
        let mut now = start;
        let mut lp = now.solved();
        for changes in &changes {
            for change in changes {
                apply(change, &mut now, unit, &mut lp);
            }
            let status = lp.solve().unwrap();
            let cold = now.solved();
            prop_assert_eq!(status, cold.status(), "{:?}", &now);
            prop_assert_eq!(lp.problem(), now.problem());
            let tolerance = now.share_tolerance();
            assert_same_shares(lp.probabilities(), cold.probabilities(), tolerance)?;
            judge(&now, &lp)?;
        }
    }
}

/// The infeasible states are left and entered again by the budget alone, and the warm answer is
/// the cold one to the last bit where the vertex is the same.
#[test]
fn states_are_entered_and_left() {
    let (reward, cost, cap) = ([0.9, 0.6, 0.3], [3.0, 2.0, 1.0], [0.5, 0.5, 0.6]);
    let at = |budget| {
        Instance::new(&[0, 1, 2].map(|arm: usize| (reward[arm], cost[arm], cap[arm])), budget)
    };
    let mut lp = at(2.0).solved();
    let budgets = [2.0, 1.4, 1.39, 0.0, 1.0, 1.4, 1.5, 100.0, 0.0, 2.2];
    for budget in budgets {
        lp.set_budget(budget);
        let status = lp.solve().unwrap();
        assert_eq!(status == Status::Optimal, budget >= 1.4, "at {budget}");
        let cold = at(budget).solved();
        assert_eq!(lp.probabilities(), cold.probabilities(), "at {budget}");
        assert_eq!(lp.budget_price(), cold.budget_price(), "at {budget}");
    }
    let short = [0.2, 0.2, 0.2];
    lp.load(Problem { reward: &reward, cost: &cost, cap: &short, budget: 2.0 }).unwrap();
    assert_eq!(lp.solve().unwrap(), Status::CapInfeasible);
    lp.set_arm(0, 0.1, 9.0);
    lp.set_budget(0.0);
    assert_eq!(lp.solve().unwrap(), Status::CapInfeasible);
    assert_eq!(lp.budget_price(), 0.0);
    lp.load(at(2.0).problem()).unwrap();
    assert_eq!(lp.solve().unwrap(), Status::Optimal);
    assert_eq!(lp.probabilities(), at(2.0).solved().probabilities());
}

/// Among arms that are alike, which one a cold solve chooses depends on the budget: a warm basis
/// must not outlive the budget that it was found at.
#[test]
fn equal_arms_are_chosen_alike_warm_and_cold() {
    let kinds = [(0.9, 0.9), (0.5, 0.5), (1.0, 0.875), (0.5, 0.25), (0.8, 0.1), (1.0, 0.5)];
    let mut sampler = Sampler::new(4);
    let mut below =
        |n: usize| (0..n).rev().find(|&k| sampler.unit() * (k + 1) as f64 <= 1.0).unwrap();
    for _ in 0..500 {
        let count = 4 + below(9);
        let arms: Vec<_> = (0..count)
            .map(|_| {
                let (reward, cost) = kinds[below(kinds.len())];
                (reward, cost, 0.45)
            })
            .collect();
        let mut now = Instance::new(&arms, 0.5);
        let mut lp = now.solved();
        for _ in 0..30 {
            if below(2) == 0 {
                let arm = below(count);
                (now.reward[arm], now.cost[arm]) = kinds[below(kinds.len())];
                lp.set_arm(arm, now.reward[arm], now.cost[arm]);
            }
            now.budget = below(33) as f64 / 32.0;
            lp.set_budget(now.budget);
            lp.solve().unwrap();
            assert_same_shares(lp.probabilities(), now.solved().probabilities(), TOLERANCE)
                .unwrap();
        }
    }
}

// ---- ties and small instances in exact arithmetic ---------------------------------------------

/// A small instance in integers: rewards and costs in sixteenths, caps in eighths.
#[derive(Debug, Clone)]
struct Grid {
    arms: Vec<(i64, i64, i64)>,
    budget: i64,
}

/// A vertex: objective and spend, in 1/128 (of one reward, of one USD).
#[derive(Debug, Clone, Copy)]
struct Vertex {
    objective: f64,
    spend: f64,
}

impl Grid {
    fn instance(&self, currency: f64) -> Instance {
        let float = |n: i64, unit: f64| f64::from(i32::try_from(n).unwrap()) / unit;
        let arms: Vec<_> = self
            .arms
            .iter()
            .map(|&(r, c, cap)| (float(r, 16.0), float(c, 16.0) * currency, float(cap, 8.0)))
            .collect();
        Instance::new(&arms, float(self.budget, 16.0) * currency)
    }

    /// Every vertex of the mixtures within the caps, and, where `meets_budget`, the budget: each
    /// arm at 0, at its cap, or one of at most two basic ones. All but the last division is exact.
    fn vertices(&self, meets_budget: bool) -> Vec<Vertex> {
        let count = self.arms.len();
        let mut found = Vec::new();
        for at_cap in 0_u32..1 << count {
            let filled: Vec<_> = (0..count).filter(|arm| at_cap >> arm & 1 == 1).collect();
            let sum = |f: &dyn Fn(usize) -> i64| filled.iter().map(|&arm| f(arm)).sum::<i64>();
            let mass = 8 - sum(&|arm| self.arms[arm].2);
            let reward = sum(&|arm| self.arms[arm].0 * self.arms[arm].2);
            let spend = sum(&|arm| self.arms[arm].1 * self.arms[arm].2);
            let left = 8 * self.budget - spend;
            if mass < 0 {
                continue;
            }
            for i in (0..count).filter(|arm| at_cap >> arm & 1 == 0) {
                let (r_i, c_i, cap_i) = self.arms[i];
                if mass <= cap_i && (!meets_budget || c_i * mass <= left) {
                    found.push(vertex(reward + r_i * mass, spend + c_i * mass, 0, 0, 1));
                }
                for j in (0..i).filter(|arm| meets_budget && at_cap >> arm & 1 == 0) {
                    let (r_j, c_j, cap_j) = self.arms[j];
                    let (sign, gap) = ((c_i - c_j).signum(), (c_i - c_j).abs());
                    // The share of i is numerator / gap.
                    let numerator = sign * (left - c_j * mass);
                    let in_bounds = 0 <= numerator
                        && numerator <= cap_i * gap
                        && numerator <= mass * gap
                        && mass * gap - numerator <= cap_j * gap;
                    if gap > 0 && in_bounds {
                        let (r, c) = (reward + r_j * mass, spend + c_j * mass);
                        let gains = ((r_i - r_j) * numerator, (c_i - c_j) * numerator);
                        found.push(vertex(r, c, gains.0, gains.1, gap));
                    }
                }
            }
            if mass == 0 && filled.len() == count && (!meets_budget || left >= 0) {
                found.push(vertex(reward, spend, 0, 0, 1));
            }
        }
        found
    }
}

fn vertex(reward: i64, spend: i64, more_reward: i64, more_spend: i64, gap: i64) -> Vertex {
    let ratio = |whole: i64, part: i64| {
        let float = |n: i64| f64::from(i32::try_from(n).unwrap());
        (float(whole) + float(part) / float(gap)) / 128.0
    };
    Vertex { objective: ratio(reward, more_reward), spend: ratio(spend, more_spend) }
}

fn grid() -> impl Strategy<Value = Grid> {
    let coarse = (0_i64..=4).prop_map(|n| 4 * n);
    let reward = prop_oneof![0_i64..=16, coarse.clone()];
    let cost = prop_oneof![0_i64..=16, coarse];
    let cap = prop_oneof![1_i64..=8, select(vec![2_i64, 4, 8])];
    (prop::collection::vec((reward, cost, cap), 1..=6), 0_i64..=18)
        .prop_map(|(arms, budget)| Grid { arms, budget })
}

proptest! {
    #![proptest_config(config(4000))]

    #[test]
    fn small_instances_match_all_vertices(grid in grid(), exponent in -30_i32..10) {
        let currency = 2_f64.powi(exponent);
        let lp = grid.instance(currency).solved();
        let caps: i64 = grid.arms.iter().map(|arm| arm.2).sum();
        if caps < 8 {
            prop_assert_eq!(lp.status(), Status::CapInfeasible);
            return Ok(());
        }
        let vertices = grid.vertices(true);
        let spend = lp.spend() / currency;
        let best = |vertices: &[Vertex]| {
            vertices.iter().map(|v| v.objective).fold(f64::NEG_INFINITY, f64::max)
        };
        let least = |vertices: &[Vertex]| {
            vertices.iter().map(|v| v.spend).fold(f64::INFINITY, f64::min)
        };
        if vertices.is_empty() {
            prop_assert_eq!(lp.status(), Status::BudgetInfeasible);
            let mixtures = grid.vertices(false);
            let cheapest = least(&mixtures);
            prop_assert!((spend - cheapest).abs() <= 1e-12, "{} and {}", spend, cheapest);
            // Among the cheapest mixtures, the best one.
            let tied: Vec<_> = mixtures.into_iter().filter(|v| v.spend == cheapest).collect();
            prop_assert!((lp.objective() - best(&tied)).abs() <= 1e-12, "tie: {tied:?}");
            return Ok(());
        }
        prop_assert_eq!(lp.status(), Status::Optimal);
        let optimum = best(&vertices);
        prop_assert!((lp.objective() - optimum).abs() <= 1e-12, "optimum {}", optimum);
        // Among equally good mixtures, the cheapest one.
        let tied: Vec<_> =
            vertices.into_iter().filter(|v| (v.objective - optimum).abs() <= 1e-13).collect();
        prop_assert!(spend <= least(&tied) + 1e-12, "spend {} of {:?}", spend, tied);
    }
}

#[test]
fn equal_arms_fill_in_order() {
    let instance = Instance::new(&[(0.5, 1.0, 0.4); 4], 1.0);
    assert_eq!(instance.solved().probabilities(), [0.4, 0.4, 1.0 - 0.4 - 0.4, 0.0]);
}

#[test]
fn of_equally_good_arms_the_cheaper_serves() {
    let instance = Instance::new(&[(0.5, 3.0, 1.0), (0.5, 1.0, 0.7), (0.5, 2.0, 1.0)], 10.0);
    let lp = instance.solved();
    assert_eq!(lp.probabilities()[0], 0.0);
    assert_eq!(lp.probabilities()[1], 0.7);
    assert_eq!(lp.budget_price(), 0.0);
}

/// Rounding puts the mass that these caps leave for the last arm at -5.6e-17.
#[test]
fn caps_that_sum_to_one_leave_no_negative_share() {
    let rewards = [0.5, 0.500_000_000_1, 0.500_000_000_2, 0.500_000_000_3];
    let costs = [1.000_000_04e-3, 1.000_000_01e-3, 1e-3, 1e-3];
    let caps = [0.1, 0.3, 0.5, 0.2];
    let arms: Vec<_> = (0..4).map(|arm| (rewards[arm], costs[arm], caps[arm])).collect();
    let instance = Instance::new(&arms, 1e-3);
    judge(&instance, &instance.solved()).unwrap();
}

/// Where two arms cross the marginal one at the same price, mass goes to the cheaper of them.
#[test]
fn a_tie_at_a_crossing_goes_to_the_cheaper_arm() {
    // All three are on one line: at a price of 1/4 they score the same.
    for order in [[0, 1, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0]] {
        let arms = [(1.0, 4.0, 1.0), (0.75, 3.0, 1.0), (0.5, 2.0, 1.0)];
        let lp = Instance::new(&order.map(|arm: usize| arms[arm]), 2.5).solved();
        let expected = [0.25, 0.0, 0.75];
        assert_eq!(lp.probabilities(), order.map(|arm| expected[arm]), "{order:?}");
        assert_eq!(lp.budget_price(), 0.25);
    }
}

/// Smaller data loaded over larger ones, whose marginal arm had a higher index.
#[test]
fn smaller_data_leave_nothing_of_the_larger() {
    let mut lp = Instance::new(&[(0.1, 1.0, 0.5), (0.2, 1.0, 0.5), (0.9, 9.0, 0.5)], 9.0).solved();
    let small = Instance::new(&[(0.5, 1.0, 0.5)], 1.0);
    lp.load(small.problem()).unwrap();
    assert_eq!(lp.solve().unwrap(), Status::CapInfeasible);
    judge(&small, &lp).unwrap();
    lp.cap_prices(&mut [0.0]);
    assert_eq!(lp.probabilities(), [1.0]);
}

// ---- bad data ---------------------------------------------------------------------------------

#[test]
fn bad_data_are_refused_by_name() {
    let good = Instance::new(&[(0.5, 1.0, 1.0), (0.25, 0.5, 0.5)], 0.75);
    let refused = |change: &dyn Fn(&mut Instance), message: &str| {
        let mut bad = good.clone();
        change(&mut bad);
        assert_eq!(RoutingLp::new(bad.problem()).unwrap_err().to_string(), message);
        let mut lp = good.solved();
        lp.load(bad.problem()).unwrap_err();
        assert_eq!(lp.problem(), good.problem(), "the old data stay");
    };
    refused(&|i| i.reward[1] = f64::NAN, "reward[1] = NaN: must be finite");
    refused(&|i| i.cost[0] = -1.0, "cost[0] = -1: a cost must be finite and not negative, in USD");
    refused(
        &|i| i.cost[1] = f64::INFINITY,
        "cost[1] = inf: a cost must be finite and not negative, in USD",
    );
    refused(&|i| i.cap[0] = 0.0, "throughput_cap[0] = 0: must be in (0, 1]");
    refused(&|i| i.cap[1] = 1.5, "throughput_cap[1] = 1.5: must be in (0, 1]");
    refused(
        &|i| i.budget = -0.5,
        "budget = -0.5: must be finite and not negative, in USD per query",
    );
    refused(
        &|i| i.budget = f64::NAN,
        "budget = NaN: must be finite and not negative, in USD per query",
    );
    refused(
        &|i| i.cost.truncate(1),
        "cost has 1 elements; it must have 2, one for each element of reward",
    );
    refused(
        &|i| i.cap.push(1.0),
        "throughput_cap has 3 elements; it must have 2, one for each element of reward",
    );
    let empty = Problem { reward: &[], cost: &[], cap: &[], budget: 1.0 };
    assert_eq!(RoutingLp::new(empty).unwrap_err(), Error::NoArms { argument: "reward" });
}
