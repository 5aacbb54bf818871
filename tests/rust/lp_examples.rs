//! The routing LP on examples worked by hand: exact answers, ties, tolerances, and how it got there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use stageroute_core::lp::{
    Certificate, Dual, FEASIBILITY_TOLERANCE, Problem, RoutingLp, SolveCounts, Status,
    TIE_TOLERANCE, certify,
};

/// An LP over arms given as (reward, cost, cap), solved.
fn solved(arms: &[(f64, f64, f64)], budget: f64) -> RoutingLp {
    let mut lp = load(arms, budget);
    lp.solve().unwrap();
    lp
}

fn load(arms: &[(f64, f64, f64)], budget: f64) -> RoutingLp {
    let reward: Vec<f64> = arms.iter().map(|arm| arm.0).collect();
    let cost: Vec<f64> = arms.iter().map(|arm| arm.1).collect();
    let cap: Vec<f64> = arms.iter().map(|arm| arm.2).collect();
    RoutingLp::new(Problem { reward: &reward, cost: &cost, cap: &cap, budget }).unwrap()
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let is_close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-15);
    assert!(is_close, "{found:?}, not {expected:?}");
}

fn cap_prices(lp: &RoutingLp) -> Vec<f64> {
    let mut prices = vec![f64::NAN; lp.probabilities().len()];
    lp.cap_prices(&mut prices);
    prices
}

// ---- answers ----------------------------------------------------------------------------------

const LADDER: [(f64, f64, f64); 3] = [(0.75, 4.0, 0.5), (0.5, 2.0, 0.5), (0.25, 1.0, 0.5)];

/// At λ = 1/6 the first and the last arm score the same, 1/12, and the second 1/12 more.
#[test]
fn a_binding_budget_has_a_price() {
    let mut arms = LADDER;
    arms[2].2 = 1.0;
    let lp = solved(&arms, 2.0);
    assert_eq!(lp.status(), Status::Optimal);
    assert_close(lp.probabilities(), &[1.0 / 6.0, 0.5, 1.0 / 3.0]);
    assert_eq!(lp.support(), [0, 1, 2]);
    assert_close(&[lp.objective(), lp.spend()], &[11.0 / 24.0, 2.0]);
    assert_close(&[lp.budget_price(), lp.mass_price()], &[1.0 / 6.0, 1.0 / 12.0]);
    assert_close(&cap_prices(&lp), &[0.0, 1.0 / 12.0, 0.0]);
}

/// Without a binding budget an arm is worth its reward.
#[test]
fn a_slack_budget_is_free() {
    let lp = solved(&LADDER, 8.0);
    assert_eq!(lp.status(), Status::Optimal);
    assert_eq!(lp.probabilities(), [0.5, 0.5, 0.0]);
    assert_eq!(lp.support(), [0, 1]);
    assert_eq!((lp.objective(), lp.spend()), (0.625, 3.0));
    assert_eq!((lp.budget_price(), lp.mass_price()), (0.0, 0.5));
    assert_eq!(cap_prices(&lp), [0.25, 0.0, 0.0]);
}

/// Where no mixture meets the budget only cost counts: the mass is worth what it costs.
#[test]
fn the_cheapest_mixture_stands_in_where_the_budget_cannot_be_met() {
    let lp = solved(&LADDER, 1.25);
    assert_eq!(lp.status(), Status::BudgetInfeasible);
    assert_eq!(lp.probabilities(), [0.0, 0.5, 0.5]);
    assert_eq!((lp.objective(), lp.spend()), (0.375, 1.5));
    assert_eq!((lp.budget_price(), lp.mass_price()), (f64::INFINITY, -2.0));
    assert_eq!(cap_prices(&lp), [0.0, 0.0, 1.0]);
}

#[test]
fn caps_that_fall_short_are_filled_in_proportion() {
    let lp = solved(&[(0.75, 4.0, 0.125), (0.5, 2.0, 0.375)], 1.0);
    assert_eq!(lp.status(), Status::CapInfeasible);
    assert_eq!(lp.probabilities(), [0.25, 0.75]);
    assert_eq!(lp.support(), [0, 1]);
    assert_eq!((lp.objective(), lp.spend(), lp.budget_price()), (0.5625, 2.5, 0.0));
}

#[test]
fn verdicts_have_their_names() {
    let names =
        [Status::Optimal, Status::BudgetInfeasible, Status::CapInfeasible].map(Status::as_str);
    assert_eq!(names, ["optimal", "budget_infeasible", "cap_infeasible"]);
}

// ---- ties -------------------------------------------------------------------------------------

/// The scores of the two cheaper arms cross that of the first at the same price: any mixture on the
/// line is as good, and the cheaper arm shares.
#[test]
fn a_tie_at_a_crossing_goes_to_the_cheaper_arm() {
    let (best, middle, cheapest) = ((1.0, 4.0, 1.0), (0.5, 2.0, 1.0), (0.25, 1.0, 1.0));
    let (two, one) = (2.0 / 3.0, 1.0 / 3.0);
    assert_close(solved(&[best, middle, cheapest], 3.0).probabilities(), &[two, 0.0, one]);
    assert_close(solved(&[best, cheapest, middle], 3.0).probabilities(), &[two, one, 0.0]);
    assert_close(solved(&[middle, cheapest, best], 3.0).probabilities(), &[0.0, one, two]);
}

#[test]
fn a_tie_of_equal_arms_goes_to_the_first() {
    let (best, other) = ((1.0, 4.0, 1.0), (0.5, 2.0, 1.0));
    assert_eq!(solved(&[best, other, other], 3.0).probabilities(), [0.5, 0.5, 0.0]);
    assert_eq!(solved(&[other, other, best], 3.0).probabilities(), [0.5, 0.0, 0.5]);
    assert_eq!(solved(&[other, other], 3.0).probabilities(), [1.0, 0.0]);
}

/// Of mixtures that cost the same, above the budget, the one with the higher reward.
#[test]
fn a_tie_in_cost_goes_to_the_better_arm() {
    let arms = [(0.25, 2.0, 0.75), (0.5, 2.0, 0.75), (1.0, 4.0, 1.0)];
    let lp = solved(&arms, 1.0);
    assert_eq!(lp.status(), Status::BudgetInfeasible);
    assert_eq!(lp.probabilities(), [0.25, 0.75, 0.0]);
}

// ---- tolerances -------------------------------------------------------------------------------

/// A budget short of the cheapest mixture by less than the tolerance, in units of the largest cost,
/// counts as met; whether it is solved cold or from either side.
#[test]
fn the_budget_has_its_tolerance() {
    let arms = [(0.75, 4.0, 1.0), (0.25, 1.0, 1.0)];
    let at = |missing: f64| 1.0 - missing * 4.0 * FEASIBILITY_TOLERANCE;
    let cases = [
        (1.25, Status::BudgetInfeasible),
        (0.75, Status::Optimal),
        (1e9, Status::BudgetInfeasible),
        (0.0, Status::Optimal),
    ];
    let mut warm = solved(&arms, 2.0);
    for (missing, status) in cases {
        assert_eq!(solved(&arms, at(missing)).status(), status, "{missing}");
        warm.set_budget(at(missing));
        assert_eq!(warm.solve().unwrap(), status, "{missing}, warm");
        assert_close(warm.probabilities(), &[0.0, 1.0]);
    }
}

/// Exactly at the tolerance it is met.
#[test]
fn the_tolerance_of_the_budget_is_part_of_it() {
    let short = 4.0 * FEASIBILITY_TOLERANCE;
    let arms = [(0.75, 4.0, 1.0), (0.25, 2.0 * short, 1.0)];
    assert_eq!(solved(&arms, short).status(), Status::Optimal);
    let mut warm = solved(&arms, 0.0);
    assert_eq!(warm.status(), Status::BudgetInfeasible);
    warm.set_budget(short);
    assert_eq!(warm.solve().unwrap(), Status::Optimal);
}

#[test]
fn the_caps_have_their_tolerance() {
    let at = |missing: f64| {
        let rest = 0.5 - missing * FEASIBILITY_TOLERANCE;
        solved(&[(0.75, 1.0, 0.5), (0.25, 1.0, rest)], 2.0).status()
    };
    assert_eq!(at(0.0), Status::Optimal);
    assert_eq!(at(0.75), Status::Optimal);
    assert_eq!(at(1.25), Status::CapInfeasible);
}

// ---- ways to an answer ------------------------------------------------------------------------

fn counts(kept: u64, warm: u64, cold: u64) -> SolveCounts {
    SolveCounts { kept, warm, cold }
}

/// The basis is kept while it stays strictly optimal, left by pivots, or given up.
#[test]
fn each_way_to_an_answer_is_counted() {
    let mut lp = solved(&LADDER, 2.25);
    assert_eq!(lp.counts(), counts(0, 0, 1));
    lp.solve().unwrap();
    lp.set_budget(2.5);
    lp.solve().unwrap();
    assert_eq!(lp.counts(), counts(2, 0, 1), "the same two arms share");
    // An arm outside of the basis improves, but not enough; then the price moves with a basic arm.
    lp.set_arm(1, 0.5, 1.875);
    lp.solve().unwrap();
    lp.set_arm(0, 0.78, 4.0);
    lp.solve().unwrap();
    assert_eq!(lp.counts(), counts(4, 0, 1));
    lp.set_budget(3.5);
    lp.solve().unwrap();
    assert_eq!((lp.counts(), lp.budget_price()), (counts(4, 1, 1), 0.0), "pivots down to price 0");
    lp.set_budget(2.5);
    lp.solve().unwrap();
    assert_eq!(lp.counts(), counts(4, 2, 1), "and up again");
    lp.set_budget(1.0);
    lp.solve().unwrap();
    assert_eq!(lp.counts(), counts(4, 2, 2), "the budget cannot be met");
    lp.set_budget(1.125);
    lp.solve().unwrap();
    assert_eq!(lp.counts(), counts(5, 2, 2), "it still cannot");
    lp.solve_cold().unwrap();
    lp.solve_cold().unwrap();
    assert_eq!(lp.counts(), counts(5, 2, 4));
}

/// From one pair of arms to the next, down and up the price, without solving from nothing.
#[test]
fn a_moving_budget_is_followed_by_pivots() {
    let arms = [(0.25, 1.0, 1.0), (0.5, 2.0, 1.0), (0.75, 4.0, 1.0), (0.875, 8.0, 1.0)];
    let mut lp = solved(&arms, 1.5);
    let steps = [
        (3.0, [0.0, 0.5, 0.5, 0.0], 0.125),
        (6.0, [0.0, 0.0, 0.5, 0.5], 0.03125),
        (1.25, [0.75, 0.25, 0.0, 0.0], 0.25),
        (5.0, [0.0, 0.0, 0.75, 0.25], 0.03125),
        (2.5, [0.0, 0.75, 0.25, 0.0], 0.125),
    ];
    for (step, (budget, probabilities, price)) in (1..).zip(steps) {
        lp.set_budget(budget);
        lp.solve().unwrap();
        assert_eq!(lp.probabilities(), probabilities);
        assert_eq!((lp.budget_price(), lp.counts()), (price, counts(0, step, 1)), "{budget}");
    }
}

/// Scores that differ by no more than rounding are a tie: solved cold each time, so that it falls
/// the same way whatever was solved before.
#[test]
fn ties_are_solved_cold() {
    // All three are on the line r = (4 + c) / 16, but for this difference.
    let solves = |difference: f64| {
        let arms = [(0.25, 0.0, 1.0), (0.3125, 1.0, 1.0), (0.4375 - difference, 3.0, 1.0)];
        let mut lp = solved(&arms, 0.5);
        for budget in [0.25, 0.5, 0.75] {
            lp.set_budget(budget);
            lp.solve().unwrap();
        }
        lp.counts()
    };
    assert_eq!(solves(0.0), counts(0, 0, 4));
    assert_eq!(solves(0.125 * TIE_TOLERANCE), counts(0, 0, 4));
    assert_eq!(solves(TIE_TOLERANCE), counts(3, 0, 1));
    // The same of one arm that changes.
    let mut lp = solved(&[(0.25, 0.0, 1.0), (0.3125, 1.0, 1.0), (0.375, 3.0, 1.0)], 0.5);
    lp.set_arm(2, 0.4375 - TIE_TOLERANCE, 3.0);
    lp.solve().unwrap();
    assert_eq!(lp.counts(), counts(1, 0, 1));
    lp.set_arm(2, 0.4375 - 0.125 * TIE_TOLERANCE, 3.0);
    lp.solve().unwrap();
    assert_eq!(lp.counts(), counts(1, 0, 2));
}

// ---- certificates -----------------------------------------------------------------------------

/// Residuals and gap of a claim about the ladder of arms.
fn certified(
    budget: f64,
    status: Status,
    probabilities: [f64; 3],
    budget_price: f64,
    mass_price: f64,
) -> [f64; 3] {
    let (reward, cost, cap) = ([0.75, 0.5, 0.25], [4.0, 2.0, 1.0], [0.5; 3]);
    let problem = Problem { reward: &reward, cost: &cost, cap: &cap, budget };
    let dual = Dual { budget_price, mass_price };
    let Certificate { primal_residual, dual_residual, gap } =
        certify(&problem, status, &probabilities, dual);
    [primal_residual, dual_residual, gap]
}

/// Claims that are wrong in one way each are found wrong by as much.
#[test]
fn a_wrong_claim_has_its_residuals() {
    use Status::{BudgetInfeasible, CapInfeasible, Optimal};
    // The optimum of the budget 3, and of 8, where the budget is free.
    assert_eq!(certified(3.0, Optimal, [0.5, 0.5, 0.0], 0.0, 0.5), [0.0, 0.0, 0.0]);
    // Over the budget by 1, in units of the largest cost; its price says what that would save.
    let over = certified(2.0, Optimal, [0.5, 0.5, 0.0], 0.125, 0.25);
    assert_eq!(over, [0.25, 0.0, 0.25 + 0.25 - 0.625]);
    // Below it: no violation, but worse than the prices promise. Scores are 1/4, 1/4, 1/8.
    let below = certified(2.5, Optimal, [0.25, 0.25, 0.5], 0.125, 0.125);
    assert_eq!(below, [0.0, 0.0, 0.3125 + 0.125 + 2.0 * 0.0625 - 0.4375]);
    // Mass that is missing, a share above its cap, a share below 0.
    assert_eq!(certified(8.0, Optimal, [0.5, 0.375, 0.0], 0.0, 0.5)[0], 0.125);
    assert_eq!(certified(8.0, Optimal, [0.5, 0.5, 0.25], 0.0, 0.5)[0], 0.25);
    assert_eq!(certified(8.0, Optimal, [0.75, 0.25, 0.0], 0.0, 0.5)[0], 0.25);
    assert_eq!(certified(8.0, Optimal, [0.5, 0.625, -0.125], 0.0, 0.5)[0], 0.125);
    assert_eq!(certified(8.0, Optimal, [0.5, 0.75, -0.25], 0.0, 0.5)[0], 0.25);
    // A negative price of the budget, in reward per largest cost.
    assert_eq!(certified(3.0, Optimal, [0.5, 0.5, 0.0], -0.125, 0.5)[1], 0.5);
    // The cheapest mixture is above the budget; another one is dearer; a budget that is met.
    assert_eq!(certified(1.0, BudgetInfeasible, [0.0, 0.5, 0.5], 9.0, -2.0), [0.0, 0.0, 0.0]);
    let dearer = certified(1.0, BudgetInfeasible, [0.25, 0.25, 0.5], 9.0, -1.5);
    assert_eq!(dearer, [0.0, 0.0, -1.5 + 0.25 + 2.0]);
    assert_eq!(certified(2.5, BudgetInfeasible, [0.0, 0.5, 0.5], 9.0, -2.0)[0], 0.25);
    // Caps that sum to 1.5, so that they do not fall short; and mass that is missing.
    assert_eq!(certified(1.0, CapInfeasible, [0.5, 0.25, 0.25], 9.0, 9.0), [0.5, 0.0, 0.0]);
    assert_eq!(certified(1.0, CapInfeasible, [0.125, 0.125, 0.0], 9.0, 9.0), [0.75, 0.0, 0.0]);
}

/// The certificate of a solved LP is that of its own answer and prices.
#[test]
fn solved_lps_certify_themselves() {
    for budget in [8.0, 2.25, 1.25] {
        let Certificate { primal_residual, dual_residual, gap } =
            solved(&LADDER, budget).certificate();
        assert!(primal_residual <= 1e-15 && dual_residual == 0.0 && gap.abs() <= 1e-15);
    }
    let lp = load(&LADDER, 2.25);
    assert_eq!(lp.certificate().primal_residual, 1.0, "nothing is placed before it is solved");
}
