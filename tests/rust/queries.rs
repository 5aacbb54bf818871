//! Queries with wishes, which leave arms out for once, and the log of what was decided.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stageroute_core::lp::{Problem, RoutingLp, Status};
use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, Charge, Confidence, ConfidenceFamily, DecisionStatus, Error,
    FailureEffect, FailureReason, Failures, HealthConfig, LogBatch, Observation, Pacing, Prices,
    Prior, Query, Reasons, Router, RouterConfig, Sampler, StartCost, Strike, Tokens, Tolerance,
};

const ARMS: usize = 5;

fn config() -> RouterConfig {
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    let cooling = FailureEffect { reward: None, charge: Charge::Nothing, strike: Strike::CoolDown };
    RouterConfig {
        pacing: Some(Pacing { horizon: 50.0, burst: 2.0 }),
        open_decisions: 64,
        // A rate-limit answer cools an arm: what that does to a decision is what matters here.
        failures: Failures { rate_limit: cooling, ..Failures::default() },
        health: HealthConfig { tolerance: Tolerance::NONE, ..HealthConfig::default() },
        ..RouterConfig::new(2e-3, confidence, 3)
    }
}

/// What is known of the cost of each arm: nothing, its most, its prices, both, its expectation.
fn spec(arm: usize) -> ArmSpec {
    let prices = Prices { input: 1.0, cached_input: 0.1, output: 4.0 };
    let settings = ArmSettings {
        throughput_cap: 0.5,
        prices: (arm == 2 || arm == 3).then_some(prices),
        max_cost: (arm == 1 || arm == 3).then_some(4e-3),
        ..ArmSettings::default()
    };
    let cost = (arm == 4).then_some((1e-3, 100));
    ArmSpec { settings, prior: Prior { cost, ..Prior::default() } }
}

fn router(config: RouterConfig) -> Router {
    let mut router = Router::new(config).unwrap();
    let live: Vec<_> = (0..ARMS).map(|arm| router.add_arm(&spec(arm)).unwrap()).collect();
    router.publish(&live, StartCost::NONE).unwrap();
    router
}

/// Some feedback, so that arms differ.
fn answer(router: &mut Router, world: &mut Sampler, id: u64, arm: ArmIndex) {
    let is_priced = router.learner().prices(arm).is_some();
    let output = 1_000.0 * world.unit();
    let tokens = is_priced.then_some(Tokens { input: 200.0, cached: 0.0, output });
    let cost = (!is_priced).then(|| 4e-3 * world.unit() / (arm.index() + 1) as f64);
    let reward = Some(f64::from(u8::from(world.unit() < 0.9 / (arm.index() + 1) as f64)));
    router.observe(0.0, &Observation { id, reward, cost, tokens }).unwrap();
}

/// The LP over some of the arms as they stand.
fn lp_over(router: &Router, arms: &[ArmIndex]) -> RoutingLp {
    let bounds = arms.iter().map(|&arm| router.learner().bounds()[arm]);
    let (reward, cost): (Vec<_>, Vec<_>) = bounds.map(|b| (b.reward_ucb, b.cost_lcb)).unzip();
    let cap: Vec<f64> = arms.iter().map(|&arm| router.arm(arm).share).collect();
    let budget = router.paced_budget();
    let problem = Problem { reward: &reward, cost: &cost, cap: &cap, budget };
    let mut lp = RoutingLp::new(problem).unwrap();
    lp.solve_cold().unwrap();
    lp
}

/// Everything of the LP over the whole live set, its basis included.
fn state_of_lp(router: &Router) -> String {
    serde_json::to_string(router.lp().unwrap()).unwrap()
}

#[derive(Debug, Clone)]
struct Wish {
    allowed: Option<Vec<ArmIndex>>,
    max_cost: Option<f64>,
    tokens: Option<(u32, u32)>,
}

impl Wish {
    fn query(&self) -> Query<'_> {
        Query {
            allowed: self.allowed.as_deref().map(Cow::Borrowed),
            max_cost: self.max_cost,
            tokens: self.tokens.map(|(input, output)| (f64::from(input), f64::from(output))),
            ..Query::default()
        }
    }

    /// Whether an arm may serve it: by its worst case, or where none is known by its expectation.
    fn leaves_in(&self, router: &Router, arm: ArmIndex) -> bool {
        let is_named = self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&arm));
        let ArmSettings { prices, max_cost, .. } = spec(arm.index()).settings;
        let bill = prices
            .zip(self.tokens)
            .map(|(_, (input, output))| (f64::from(input) + 4.0 * f64::from(output)) * 1e-6);
        let worst = bill.or(max_cost).unwrap_or_else(|| router.learner().expected_cost(arm));
        is_named && self.max_cost.is_none_or(|max_cost| worst <= max_cost)
    }
}

fn wish() -> impl Strategy<Value = Wish> {
    let allowed = prop::option::of(prop::collection::vec((0..5_u32).prop_map(ArmIndex), 0..4));
    // Never quite at a boundary: that is for the scenarios.
    let max_cost = prop::option::of((0..60_u32).prop_map(|n| f64::from(n) * 1e-4 + 1e-7));
    let tokens = prop::option::of((0..2_000_u32, 0..1_500_u32));
    (allowed, max_cost, tokens).prop_map(|(allowed, max_cost, tokens)| Wish {
        allowed,
        max_cost,
        tokens,
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x3155),
        ..ProptestConfig::default()
    })]

    /// A wish holds for one query: its probabilities are those of the LP over what it leaves in, and
    /// the LP over the whole live set does not notice.
    #[test]
    fn a_wish_restricts_one_query(wishes in prop::collection::vec(wish(), 1..40), seed: u64) {
        let mut router = router(config());
        let mut world = Sampler::new(seed);
        for wish in wishes {
            for _ in 0..3 {
                let budget = router.paced_budget();
                let decision = router.route(&Query::default()).unwrap();
                let lp = router.lp().unwrap();
                prop_assert_eq!(lp.problem().budget, budget);
                prop_assert_eq!(decision.probability, lp.probabilities()[decision.arm]);
                prop_assert_eq!(decision.reasons, Reasons::default());
                answer(&mut router, &mut world, decision.id, decision.arm);
            }
            let left: Vec<_> =
                ArmIndex::first(ARMS).filter(|&arm| wish.leaves_in(&router, arm)).collect();
            let before = (state_of_lp(&router), router.ledger(), router.counters());
            if left.len() == ARMS {
                let decision = router.route(&wish.query()).unwrap();
                prop_assert_eq!(decision.reasons, Reasons::default());
                continue;
            }
            let result = router.route(&wish.query());
            prop_assert_eq!(state_of_lp(&router), before.0);
            if left.is_empty() {
                prop_assert_eq!(result, Err(Error::AllExcluded { live: ARMS }));
                prop_assert_eq!(router.ledger(), before.1);
                prop_assert_eq!(router.counters().refused_excluded, before.2.refused_excluded + 1);
                continue;
            }
            let decision = result.unwrap();
            prop_assert_eq!(decision.reasons, Reasons::EXCLUDED);
            prop_assert_eq!(router.counters().restricted, before.2.restricted + 1);
            prop_assert_eq!(router.ledger().queries, before.1.queries + 1);
            let place = left.iter().position(|&arm| arm == decision.arm);
            prop_assert!(place.is_some(), "{:?} of {:?}", decision, left);
        }
    }

    /// With the paced budget as it was, the probability is that of the LP over the subset, bit by bit.
    #[test]
    fn a_restricted_probability_is_that_of_its_lp(allowed in prop::collection::btree_set(0..5_u32, 1..ARMS), seed: u64) {
        let mut router = router(config());
        let mut world = Sampler::new(seed);
        for _ in 0..30 {
            let decision = router.route(&Query::default()).unwrap();
            answer(&mut router, &mut world, decision.id, decision.arm);
        }
        let arms: Vec<_> = allowed.into_iter().map(ArmIndex).collect();
        let named: Vec<_> = arms.iter().rev().copied().collect();
        let lp = lp_over(&router, &arms);
        let query = Query { allowed: Some(Cow::Borrowed(&named)), ..Query::default() };
        let decision = router.route(&query).unwrap();
        let place = arms.iter().position(|&arm| arm == decision.arm).unwrap();
        prop_assert_eq!(decision.probability, lp.probabilities()[place]);
        prop_assert_eq!(decision.budget_price, lp.budget_price());
    }
}

/// The LP over a part of the live set keeps its basis from one query to the next. A router that comes
/// from bytes has none, and decides the same, bit by bit: also when the part, a share or the live set
/// changes, and when the wishes alternate.
#[test]
fn a_restricted_lp_that_stays_warm_decides_as_a_cold_one() {
    let mut router = router(config());
    let mut world = Sampler::new(5);
    let (mut restricted, mut differ) = (0, 0);
    for step in 0..3_000_u32 {
        let part: &[u32] = if step % 600 < 400 {
            &[0, 2, 3]
        } else {
            [&[0, 4][..], &[1, 2, 3, 4], &[0, 1, 4]][step as usize % 3]
        };
        let allowed =
            (step % 4 != 0).then(|| Cow::Owned(part.iter().copied().map(ArmIndex).collect()));
        let query = Query { allowed, ..Query::at(f64::from(step)) };
        let mut cold = Router::from_bytes(&router.to_bytes().unwrap()).unwrap();
        let decision = router.route(&query).unwrap();
        assert_eq!(cold.route(&query).unwrap(), decision, "step {step}");
        assert_eq!(cold.counters(), router.counters());
        restricted += u32::from(decision.reasons == Reasons::EXCLUDED);
        differ += u32::from(decision.probability < 1.0);
        answer(&mut router, &mut world, decision.id, decision.arm);
        if step % 500 == 499 {
            let settings =
                ArmSettings { throughput_cap: 0.4 + 0.1 * world.unit(), ..spec(2).settings };
            router.set_arm(ArmIndex(2), settings).unwrap();
        }
        if step % 1_000 == 999 {
            let live: Vec<_> = router.candidates(0.0).collect();
            router.publish(&live, StartCost::NONE).unwrap();
        }
    }
    assert!(restricted > 2_000 && differ > 2_000, "{restricted} {differ}");
}

#[test]
fn a_wish_at_its_boundary_is_met() {
    let mut router = router(config());
    let only = |arm: u32, max_cost: f64| Query {
        allowed: Some(Cow::Owned(vec![ArmIndex(arm)])),
        max_cost: Some(max_cost),
        ..Query::default()
    };
    router.route(&only(1, 4e-3)).unwrap();
    assert!(router.route(&only(1, 4e-3 - 1e-9)).is_err());
    // Nothing is known of the cost of this one but what to expect.
    let expected = router.learner().expected_cost(ArmIndex(4));
    router.route(&only(4, expected)).unwrap();
    assert!(router.route(&only(4, expected.next_down())).is_err());
    let exact = Query { tokens: Some((1_000.0, 500.0)), ..only(2, 3e-3) };
    router.route(&exact).unwrap();
    let above = Query { tokens: Some((1_000.0, 501.0)), ..only(2, 3e-3) };
    assert!(router.route(&above).is_err());
    let nothing = Query { tokens: Some((0.0, 0.0)), ..only(2, 0.0) };
    router.route(&nothing).unwrap();
}

#[test]
fn bad_wishes_are_refused_by_name() {
    let mut router = router(config());
    let before = router.to_bytes().unwrap();
    let mut refused = |query: Query<'_>, message: &str| {
        assert_eq!(router.route(&query).unwrap_err().to_string(), message);
    };
    let allowed = |arms: &[u32]| {
        let arms = arms.iter().copied().map(ArmIndex).collect();
        Query { allowed: Some(Cow::Owned(arms)), ..Query::default() }
    };
    let message = "allowed names arm 5; this instance has 5 arms, numbered from 0";
    refused(allowed(&[0, 5]), message);
    let message = "max_cost = NaN: a cost must be finite and not negative, in USD";
    refused(Query { max_cost: Some(f64::NAN), ..Query::default() }, message);
    let rule = "must be a number of tokens, finite and not negative";
    let query = Query { tokens: Some((-1.0, 0.0)), ..Query::default() };
    refused(query, &format!("input_tokens = -1: {rule}"));
    let query = Query { tokens: Some((0.0, f64::INFINITY)), ..Query::default() };
    refused(query, &format!("max_output_tokens = inf: {rule}"));
    assert!(router.to_bytes().unwrap() == before);
    // Nobody is nobody, and a retired arm is not live.
    assert_eq!(router.route(&allowed(&[])), Err(Error::AllExcluded { live: 5 }));
    router.retire_arm(ArmIndex(2)).unwrap();
    assert_eq!(router.route(&allowed(&[2])), Err(Error::AllExcluded { live: 4 }));
}

/// Over a part of the live set too, the paced budget, the budget itself and the caps are told apart.
#[test]
fn infeasible_restricted_decisions_are_counted() {
    let config = RouterConfig { log_capacity: 8, ..config() };
    let budget = config.budget;
    let mut router = Router::new(config).unwrap();
    let known = |cost: f64| Prior { cost: Some((cost, 1 << 40)), ..Prior::default() };
    for (cost, throughput_cap) in [(0.5 * budget, 1.0), (2.0 * budget, 1.0), (0.5 * budget, 0.5)] {
        let settings = ArmSettings { throughput_cap, ..ArmSettings::default() };
        router.add_arm(&ArmSpec { settings, prior: known(cost) }).unwrap();
    }
    router.publish(&[0, 1, 2].map(ArmIndex), StartCost::NONE).unwrap();
    let mut route = |arm: u32, bill: f64| {
        let query = Query { allowed: Some(Cow::Owned(vec![ArmIndex(arm)])), ..Query::default() };
        let id = router.route(&query).unwrap().id;
        let cost = Some(bill);
        router.observe(0.0, &Observation { id, cost, ..Observation::default() }).unwrap();
        let mut batch = LogBatch::default();
        router.drain_log(&mut batch);
        let counters = router.counters();
        (batch.decisions[0].status, counters.restricted, counters.restricted_infeasible)
    };
    assert_eq!(route(0, 0.5 * budget), (DecisionStatus::Optimal, 1, 0));
    assert_eq!(route(1, 2.0 * budget), (DecisionStatus::BudgetInfeasible, 2, 1));
    assert_eq!(route(2, 100.0 * budget), (DecisionStatus::CapInfeasible, 3, 2));
    // That bill leaves the next LP a budget of 0, which is not the arm's fault.
    assert_eq!(route(0, 0.5 * budget), (DecisionStatus::Throttled, 4, 2));
}

// ---- the log ----------------------------------------------------------------------------------

#[test]
fn there_is_no_log_unless_it_is_asked_for() {
    let mut router = router(config());
    assert_eq!(config().log_capacity, 0);
    for _ in 0..10 {
        router.route(&Query::default()).unwrap();
    }
    let mut batch = LogBatch::default();
    router.drain_log(&mut batch);
    assert!(batch.decisions.is_empty() && batch.arms.is_empty() && batch.dropped == 0);
    assert_eq!((batch.decisions.capacity(), batch.arms.capacity()), (0, 0));
}

/// Every decision, whole or restricted, with the budget and the probabilities that it was drawn with.
#[test]
fn the_log_says_what_was_decided_and_on_what_grounds() {
    let mut router = router(RouterConfig { log_capacity: 4, ..config() });
    let mut world = Sampler::new(1);
    let mut batch = LogBatch::default();
    let mut seen = [0_u32; 3];
    for step in 0..3_000_u32 {
        let now = 1e9 + f64::from(step);
        let allowed = (step % 3 == 0).then(|| Cow::Owned([0, 2, 3].map(ArmIndex).to_vec()));
        // Some arm is cooling, or half open, now and then.
        let cooling = |arm| !router.arm(arm).health.admits(now, router.health_config());
        let named =
            allowed.as_deref().map_or_else(|| ArmIndex::first(ARMS).collect(), <[_]>::to_vec);
        let open: Vec<_> = named.iter().copied().filter(|&arm| !cooling(arm)).collect();
        let (budget, lp) = (router.paced_budget(), lp_over(&router, &open));
        let bounds = router.learner().bounds().to_vec();
        let decision = router.route(&Query { allowed, ..Query::at(now) }).unwrap();
        if step % 20 == 19 {
            router.fail(now, decision.id, FailureReason::RateLimit, None, None).unwrap();
        } else {
            answer(&mut router, &mut world, decision.id, decision.arm);
        }
        router.drain_log(&mut batch);
        assert_eq!((batch.decisions.len(), batch.dropped), (1, 0));
        let logged = batch.decisions[0];
        assert_eq!((logged.decision, logged.at), (decision, now));
        assert_eq!(logged.paced_budget, budget);
        // Which infeasibility it is has tests of its own.
        let is_optimal = lp.status() == Status::Optimal;
        assert_eq!((logged.status == DecisionStatus::Optimal, logged.first_arm), (is_optimal, 0));
        assert_eq!(batch.arms.len(), ARMS);
        let sum: f64 = batch.arms.iter().map(|arm| arm.probability).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        for (arm, entry) in ArmIndex::first(ARMS).zip(&batch.arms) {
            let place = open.iter().position(|&other| other == arm);
            let expected = place.map_or(0.0, |place| lp.probabilities()[place]);
            assert!((entry.probability - expected).abs() < 1e-9, "{step}: {entry:?} {expected}");
            assert_eq!((entry.arm, entry.bounds), (arm, bounds[arm]));
        }
        assert_eq!(batch.arms[decision.arm].probability, decision.probability);
        let kind = if open.len() == ARMS { 0 } else { 1 + usize::from(named.len() == ARMS) };
        seen[kind] += 1;
    }
    assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
}

/// A full log drops what comes, counts it, and goes on when it is drained, in the caller's memory.
#[test]
fn the_log_is_bounded() {
    let mut router = router(RouterConfig { log_capacity: 10, ..config() });
    let mut batch = LogBatch::default();
    for round in 0..5_u64 {
        for _ in 0..25 {
            router.route(&Query::default()).unwrap();
        }
        router.drain_log(&mut batch);
        assert_eq!((batch.decisions.len(), batch.dropped), (10, 15));
        let ids: Vec<u64> = batch.decisions.iter().map(|logged| logged.decision.id).collect();
        assert_eq!(ids, (25 * round..25 * round + 10).collect::<Vec<_>>());
        let places: Vec<usize> = batch.decisions.iter().map(|logged| logged.first_arm).collect();
        assert_eq!(places, (0..10).map(|place| place * ARMS).collect::<Vec<_>>());
        assert!(batch.decisions.capacity() < 32 && batch.arms.capacity() < 32 * 16);
    }
    router.drain_log(&mut batch);
    assert_eq!((batch.decisions.len(), batch.arms.len(), batch.dropped), (0, 0, 0));
}
