//! Limits on traffic: hard in any 60 seconds, no harder than they must be, and planned with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stageroute_core::lp::{Problem, RoutingLp};
use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, Confidence, ConfidenceFamily, Error, FailureReason, Failures,
    Observation, Prices, Prior, Query, Reasons, Router, RouterConfig, Sampler, StartCost, Strike,
    Tokens, TrafficLimits,
};

fn config() -> RouterConfig {
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    let mut config = RouterConfig::new(2e-3, confidence, 3);
    config.open_decisions = 64;
    // Cool-downs are for another test.
    let Failures { timeout, rate_limit, refusal, error } = &mut config.failures;
    for effect in [timeout, rate_limit, refusal, error] {
        effect.strike = Strike::None;
    }
    config
}

const NONE: TrafficLimits = TrafficLimits {
    requests_per_minute: None,
    tokens_per_minute: None,
    concurrent: None,
    burst_seconds: 3.0,
};

fn requests(per_minute: f64) -> TrafficLimits {
    TrafficLimits { requests_per_minute: Some(per_minute), ..NONE }
}

fn tokens(per_minute: f64) -> TrafficLimits {
    TrafficLimits { tokens_per_minute: Some(per_minute), ..NONE }
}

fn limited(limits: TrafficLimits) -> ArmSettings {
    ArmSettings { limits, ..ArmSettings::default() }
}

/// Arms whose estimates are pinned, in the order of merit, all of them live.
fn router(arms: &[ArmSettings]) -> Router {
    let mut router = Router::new(config()).unwrap();
    for (arm, &settings) in arms.iter().enumerate() {
        let weight = 1_000_000_000_000;
        let reward = Some((0.9 - 0.1 * arm as f64, weight));
        let cost = Some((1e-3, weight));
        let prior = Prior { reward, cost, tokens: None };
        router.add_arm(&ArmSpec { settings, prior }).unwrap();
    }
    router.publish(&ArmIndex::first(arms.len()).collect::<Vec<_>>(), StartCost::NONE).unwrap();
    router
}

fn settled(id: u64, used: f64) -> Observation {
    let tokens = Some(Tokens { input: used, cached: 0.0, output: 0.0 });
    Observation { id, reward: None, cost: Some(1e-3), tokens }
}

// ---- any sequence of events -------------------------------------------------------------------

/// Time in 1024ths of a second: exact as a float.
type Ticks = i64;
const MINUTE: Ticks = 60 * 1024;

fn seconds(ticks: Ticks) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let ticks = ticks as f64;
    ticks / 1024.0
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// A query with its number of tokens, or without.
    Route(Option<u32>),
    /// A bill with a share of the tokens taken, in 255ths.
    Settle(prop::sample::Index, u8),
    Fail(prop::sample::Index, usize),
    Release(prop::sample::Index),
    Wait(Ticks),
    SetLimits(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        24 => prop::option::weighted(0.5, 0..60_u32).prop_map(Event::Route),
        8 => (index(), any::<u8>()).prop_map(|(index, share)| Event::Settle(index, share)),
        2 => (index(), 0..4_usize).prop_map(|(index, reason)| Event::Fail(index, reason)),
        2 => index().prop_map(Event::Release),
        8 => prop_oneof![4 => 0..2_000_i64, 2 => 0..MINUTE, 1 => Just(1024), 1 => 0..5 * MINUTE]
            .prop_map(Event::Wait),
        1 => (0..4_usize).prop_map(Event::SetLimits),
    ]
}

fn limits() -> impl Strategy<Value = TrafficLimits> {
    let burst = prop_oneof![3 => Just(20.0), 1 => 16.0..59.9];
    let requests = prop::option::weighted(0.6, prop_oneof![2 => 1.0..40.0, 1 => Just(1.0)]);
    let tokens = prop::option::weighted(0.6, 200.0..1_000.0);
    let concurrent = prop::option::weighted(0.5, 1..8_u64);
    (requests, tokens, concurrent, burst).prop_map(|(requests, tokens, concurrent, burst)| {
        TrafficLimits {
            requests_per_minute: requests,
            tokens_per_minute: tokens.map(f64::floor),
            concurrent,
            burst_seconds: burst,
        }
    })
}

/// One query as the outside sees it.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Ticks,
    /// What it may use, or did where that is known.
    tokens: f64,
    is_under_way: bool,
    is_billed: bool,
    /// Whether that was only assumed.
    is_estimate: bool,
}

/// What an arm with these settings takes for a query of `tokens`.
const MAX_TOKENS: f64 = 50.0;

struct Model {
    limits: TrafficLimits,
    sent: Vec<Sent>,
    /// Since when each kind of limit has been there without a break.
    requests_since: usize,
    tokens_since: usize,
}

impl Model {
    fn under_way(&self) -> u64 {
        // The table of open decisions holds no more; what is evicted is taken to be done.
        let kept = self.sent.len().saturating_sub(64);
        self.sent[kept..].iter().filter(|sent| sent.is_under_way).count() as u64
    }

    /// Requests and tokens in the last 60 seconds, both ends included.
    fn last_minute(&self, now: Ticks) -> (usize, f64) {
        let is_recent = |sent: &&Sent| sent.at >= now - MINUTE;
        let requests = self.sent[self.requests_since..].iter().filter(is_recent).count();
        let tokens = self.sent[self.tokens_since..].iter().filter(is_recent).map(|s| s.tokens);
        (requests, tokens.sum())
    }

    fn check(&self, now: Ticks) {
        let (requests, tokens) = self.last_minute(now);
        let TrafficLimits { requests_per_minute, tokens_per_minute, concurrent, .. } = self.limits;
        assert!(requests_per_minute.is_none_or(|limit| requests as f64 <= limit), "{requests}");
        assert!(tokens_per_minute.is_none_or(|limit| tokens <= limit + 1e-9), "{tokens}");
        assert!(concurrent.is_none_or(|limit| self.under_way() <= limit));
    }

    fn set(&mut self, limits: TrafficLimits) {
        if self.limits.requests_per_minute.is_none() {
            self.requests_since = self.sent.len();
        }
        if self.limits.tokens_per_minute.is_none() {
            self.tokens_since = self.sent.len();
        }
        self.limits = limits;
    }
}

/// One query; a refusal's time is taken at its word.
fn route(router: &mut Router, model: &mut Model, now: Ticks, tokens: Option<u32>) {
    let counts = tokens.map(|tokens| (f64::from(tokens), 0.0));
    let query = Query { tokens: counts, ..Query::at(seconds(now)) };
    match router.route(&query) {
        Ok(_) => {
            let tokens = tokens.map_or(MAX_TOKENS, f64::from);
            model.sent.push(Sent {
                at: now,
                tokens,
                is_under_way: true,
                is_billed: false,
                is_estimate: false,
            });
            model.check(now);
        }
        Err(Error::AtTrafficLimit { retry_after: None }) => {
            assert!(model.under_way() >= model.limits.concurrent.unwrap());
        }
        Err(Error::AtTrafficLimit { retry_after: Some(wait) }) => {
            assert!(wait > 0.0 && wait <= 61.0, "{wait}");
            let mut later = router.clone();
            let earlier = Query { now: query.now + 0.999 * wait, ..query.clone() };
            assert!(later.route(&earlier).is_err());
            later.route(&Query { now: query.now + wait, ..query }).unwrap();
        }
        Err(Error::AllExcluded { .. }) => {
            let largest =
                model.limits.tokens_per_minute.unwrap() * model.limits.burst_seconds / 60.0;
            assert!(f64::from(tokens.unwrap()) > largest);
        }
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x7_4aff),
        ..ProptestConfig::default()
    })]

    /// In any 60 seconds, wherever they start, whatever is settled when, and while limits change:
    /// never more than what the limits are.
    #[test]
    fn no_sixty_seconds_see_more_than_a_limit(
        limits in prop::collection::vec(limits(), 4),
        events in prop::collection::vec(event(), 1..300),
        start in prop_oneof![Just(0), 0..1_700_000_000 * 1024_i64],
    ) {
        let arm = |limits| ArmSettings { max_tokens: Some(MAX_TOKENS), ..limited(limits) };
        let mut router = router(&[arm(limits[0])]);
        let mut model =
            Model { limits: limits[0], sent: Vec::new(), requests_since: 0, tokens_since: 0 };
        let mut now = start;
        for event in events {
            let made = model.sent.len();
            match event {
                Event::Route(tokens) => route(&mut router, &mut model, now, tokens),
                Event::Wait(ticks) => now += ticks,
                Event::SetLimits(which) => {
                    // A new limit begins after the last query.
                    now += 1;
                    router.observe_all(seconds(now), &[]).unwrap();
                    router.set_arm(ArmIndex(0), arm(limits[which])).unwrap();
                    model.set(limits[which]);
                    now += 1;
                }
                _ if made == 0 => {}
                Event::Settle(index, share) => {
                    let id = index.index(made);
                    let used = (model.sent[id].tokens * f64::from(share) / 255.0).floor();
                    if router.observe(seconds(now), &settled(id as u64, used)).is_ok() {
                        let sent = &mut model.sent[id];
                        assert!(!sent.is_billed || sent.is_estimate);
                        sent.is_estimate = false;
                        *sent = Sent { tokens: used, is_under_way: false, is_billed: true, ..*sent };
                    }
                }
                Event::Fail(index, reason) => {
                    let id = index.index(made);
                    let why = FailureReason::NAMES[reason].1;
                    if router.fail(seconds(now), id as u64, why, None, None).is_ok() {
                        let sent = &mut model.sent[id];
                        sent.is_under_way = false;
                        // A rate limit and an error are free.
                        if !sent.is_billed && (reason == 1 || reason == 3) {
                            sent.tokens = 0.0;
                        }
                        sent.is_estimate |= !sent.is_billed && reason != 2;
                        sent.is_billed |= reason != 2;
                    }
                }
                Event::Release(index) => {
                    let id = index.index(made);
                    if router.release(seconds(now), id as u64).is_ok() {
                        model.sent[id].is_under_way = false;
                    }
                }
            }
            assert_eq!(router.arm(ArmIndex(0)).under_way, model.under_way());
        }
    }
}

// ---- what flows, flows ------------------------------------------------------------------------

/// Served in 20 minutes of queries every `every` seconds.
fn served(router: &mut Router, every: f64, mut serve: impl FnMut(&mut Router, u64, f64)) -> f64 {
    let (mut now, mut count) = (1.7e9, 0.0);
    while now < 1.7e9 + 1_200.0 {
        if let Ok(decision) = router.route(&Query::at(now)) {
            serve(router, decision.id, now);
            count += 1.0;
        }
        now += every;
    }
    count
}

#[test]
fn a_limit_on_requests_is_used_under_overload() {
    for per_minute in [1.0, 2.0, 7.0, 20.0, 60.0, 600.0, 6_000.0] {
        for burst_seconds in [0.5, 3.0, 30.0, 59.0] {
            let limits = TrafficLimits { burst_seconds, ..requests(per_minute) };
            let mut router = router(&[limited(limits)]);
            let served = served(&mut router, 20.0 / per_minute.max(40.0), |_, _, _| {});
            let share = served / (20.0 * per_minute);
            assert!(share >= 0.95, "{per_minute} per minute, {burst_seconds} s: {share}");
        }
    }
}

/// Twice as many tokens are set aside as are used; what was not used comes back a second later.
#[test]
fn a_limit_on_tokens_is_used_under_overload() {
    for (per_minute, largest) in [(60_000.0, 3_000.0), (60_000.0, 300.0), (1e6, 50_000.0)] {
        let settings = ArmSettings { max_tokens: Some(largest), ..limited(tokens(per_minute)) };
        let mut router = router(&[settings]);
        let mut open = std::collections::VecDeque::new();
        let every = 0.02 * largest / per_minute * 60.0;
        let served = served(&mut router, every, |router, id, now| {
            open.push_back((id, now));
            while open.front().is_some_and(|&(_, sent)| sent <= now - 1.0) {
                let (id, _) = open.pop_front().unwrap();
                router.observe(now, &settled(id, 0.5 * largest)).unwrap();
            }
        });
        let share = served * 0.5 * largest / (20.0 * per_minute);
        assert!(share >= 0.9, "{per_minute} per minute, {largest} each: {share}");
    }
}

/// What was settled long after it was sent was filled up long ago: it is not given back twice.
#[test]
fn a_late_bill_gives_nothing_back_twice() {
    let settings = ArmSettings { max_tokens: Some(500.0), ..limited(tokens(10_000.0)) };
    let mut router = router(&[settings]);
    let mut now = 1_000.0;
    let mut early = Vec::new();
    for _ in 0..40 {
        early.push(router.route(&Query::at(now)).unwrap().id);
        now += 4.0;
    }
    // From here on 500 tokens each are really used.
    let start = now + 61.0;
    now = start;
    let mut sent = 0.0;
    while now < start + 60.0 {
        while router.route(&Query::at(now)).is_ok() {
            sent += 500.0;
        }
        if let Some(id) = early.pop() {
            router.observe(now, &settled(id, 0.0)).unwrap();
        }
        now += 0.5;
    }
    assert!((9_000.0..=10_000.0).contains(&sent), "{sent}");
}

#[test]
fn tokens_that_were_not_used_come_back() {
    let settings = ArmSettings { max_tokens: Some(500.0), ..limited(tokens(10_000.0)) };
    let mut router = router(&[settings]);
    let id = router.route(&Query::at(5.0)).unwrap().id;
    assert!(router.route(&Query::at(5.0)).is_err());
    router.observe(5.0, &settled(id, 100.0)).unwrap();
    let tokens = |tokens| Query { tokens: Some((tokens, 0.0)), ..Query::at(5.0) };
    assert!(router.route(&tokens(401.0)).is_err());
    let id = router.route(&tokens(400.0)).unwrap().id;
    // A query that never ran has used none.
    router.fail(5.0, id, FailureReason::Error, None, None).unwrap();
    let id = router.route(&tokens(400.0)).unwrap().id;
    // More than was set aside is a debt.
    router.observe(5.0, &settled(id, 500.0)).unwrap();
    let wait = match router.route(&tokens(0.0)) {
        Err(Error::AtTrafficLimit { retry_after: Some(wait) }) => wait,
        other => panic!("{other:?}"),
    };
    assert!((wait - 100.0 / (10_000.0 / 60.0)).abs() < 1e-6, "{wait}");
}

/// A query that nothing is heard of counts as under way until its decision is evicted.
#[test]
fn queries_under_way_are_counted_until_they_are_answered_or_evicted() {
    let limits = TrafficLimits { concurrent: Some(3), ..NONE };
    let mut router = Router::new(RouterConfig { max_age: Some(30.0), ..config() }).unwrap();
    router.add_arm(&ArmSpec { settings: limited(limits), ..ArmSpec::default() }).unwrap();
    router.publish(&[ArmIndex(0)], StartCost::NONE).unwrap();
    for now in [10.0, 11.0, 12.0] {
        router.route(&Query::at(now)).unwrap();
    }
    let full = Err(Error::AtTrafficLimit { retry_after: None });
    assert_eq!(router.route(&Query::at(13.0)), full);
    router.release(13.0, 1).unwrap();
    router.release(13.0, 1).unwrap();
    router.observe(13.0, &settled(1, 0.0)).unwrap();
    assert_eq!(router.arm(ArmIndex(0)).under_way, 2);
    router.route(&Query::at(13.0)).unwrap();
    assert_eq!(router.route(&Query::at(40.0)), full);
    router.route(&Query::at(40.0_f64.next_up())).unwrap();
    assert_eq!(router.arm(ArmIndex(0)).under_way, 3);
}

#[test]
fn a_query_that_could_never_fit_is_a_configuration_error() {
    let mut router = Router::new(config()).unwrap();
    let settings = ArmSettings { max_tokens: Some(4_000.0), ..limited(tokens(60_000.0)) };
    let error = router.add_arm(&ArmSpec { settings, ..ArmSpec::default() }).unwrap_err();
    let message = "max_tokens = 4000: a query of that size would never fit: at most \
                   tokens_per_minute x burst_seconds / 60 may come at once; raise burst_seconds or \
                   tokens_per_minute";
    assert_eq!(error.to_string(), message);
    let limits = TrafficLimits { burst_seconds: 4.0, ..settings.limits };
    let settings = ArmSettings { limits, ..settings };
    router.add_arm(&ArmSpec { settings, ..ArmSpec::default() }).unwrap();
    router.publish(&[ArmIndex(0)], StartCost::NONE).unwrap();
    let too_large = Query { tokens: Some((4_000.0, 1.0)), ..Query::at(1.0) };
    assert_eq!(router.route(&too_large), Err(Error::TooLarge { tokens: 4001.0, most: 4000.0 }));
    assert!(
        router.set_arm(ArmIndex(0), ArmSettings { max_tokens: Some(4_001.0), ..settings }).is_err()
    );
}

// ---- around and with limits -------------------------------------------------------------------

/// The probabilities of the LP over some arms as they stand.
fn solve_over(router: &Router, arms: &[ArmIndex]) -> Vec<f64> {
    let bounds = arms.iter().map(|&arm| router.learner().bounds()[arm]);
    let (reward, cost): (Vec<_>, Vec<_>) = bounds.map(|b| (b.reward_ucb, b.cost_lcb)).unzip();
    let cap: Vec<f64> = arms.iter().map(|&arm| router.arm(arm).share).collect();
    let budget = router.paced_budget();
    let problem = Problem { reward: &reward, cost: &cost, cap: &cap, budget };
    let mut lp = RoutingLp::new(problem).unwrap();
    lp.solve_cold().unwrap();
    lp.probabilities().to_vec()
}

#[test]
fn an_arm_at_its_limit_is_routed_around() {
    let half = |limits| ArmSettings { throughput_cap: 0.5, ..limited(limits) };
    let arms = [half(requests(20.0)), half(NONE), half(requests(40.0)), half(NONE)];
    let mut router = router(&arms);
    let mut counts = [0_u32; 4];
    for step in 0..200 {
        let now = 50.0 + 0.01 * f64::from(step);
        // Which arms have room is known from outside: one arm is let through, the others are asked.
        let mut open = Vec::new();
        for arm in ArmIndex::first(4) {
            let alone = Query { allowed: Some(Cow::Owned(vec![arm])), ..Query::at(now) };
            if router.clone().route(&alone).is_ok() {
                open.push(arm);
            }
        }
        let expected = solve_over(&router, &open);
        let decision = router.route(&Query::at(now)).unwrap();
        let place = open.iter().position(|&arm| arm == decision.arm).unwrap();
        assert_eq!(decision.probability, expected[place]);
        assert_eq!(decision.reasons.contains(Reasons::TRAFFIC_LIMIT), open.len() < 4);
        counts[decision.arm] += 1;
    }
    assert_eq!(counts[0], 2);
    assert!(counts[1] > 80 && counts[3] > 50, "{counts:?}");
    assert_eq!(router.counters().refused_traffic, 0);
}

/// What is said of the wait is the nearest way out, over all arms and all that is in their way.
#[test]
fn the_wait_is_that_of_the_first_arm_to_open() {
    let limits = TrafficLimits { concurrent: Some(1), ..NONE };
    let mut router = router(&[limited(requests(1.0)), limited(limits), limited(requests(3.0))]);
    for _ in 0..4 {
        router.route(&Query::at(10.5)).unwrap();
    }
    let after = |wait| Err(Error::AtTrafficLimit { retry_after: Some(wait) });
    let nearest = router.route(&Query::at(11.0));
    assert!(matches!(nearest, Err(Error::AtTrafficLimit { retry_after: Some(wait) })
        if (wait - 19.5).abs() < 1e-6));
    let only =
        |arm: u32| Query { allowed: Some(Cow::Owned(vec![ArmIndex(arm)])), ..Query::at(11.0) };
    // Until the second in which it was sent is over for sure.
    assert_eq!(router.route(&only(0)), after(60.0));
    assert_eq!(router.route(&only(1)), Err(Error::AtTrafficLimit { retry_after: None }));
}

/// Poisson arrivals for ten minutes; the last five are counted: queries for each arm, queries that
/// were routed around an arm, queries refused.
fn play(router: &mut Router, per_second: f64, seed: u64) -> (Vec<f64>, f64, f64) {
    let mut world = Sampler::new(seed);
    let (mut now, mut arms) = (1.7e9, vec![0.0; router.len()]);
    let (mut around, mut refused, mut all) = (0.0, 0.0, 0.0);
    while now < 1.7e9 + 600.0 {
        now -= (1.0 - world.unit()).ln() / per_second;
        let counts = now >= 1.7e9 + 300.0;
        let decision = router.route(&Query::at(now));
        all += f64::from(u8::from(counts));
        match decision {
            Ok(decision) if counts => {
                arms[decision.arm] += 1.0;
                around += f64::from(decision.reasons.bits() & 1 << 1) / 2.0;
            }
            Err(_) if counts => refused += 1.0,
            _ => {}
        }
    }
    (arms.iter().map(|count| count / all).collect(), around / all, refused / all)
}

#[test]
fn shares_follow_limits_and_arrivals() {
    let per_second = 20.0;
    let mut free = router(&[limited(requests(120.0)), limited(NONE)]);
    let (shares, around, refused) = play(&mut free, per_second, 1);
    println!("one limited: shares {shares:?}, {around} around, {refused} refused");
    assert!((free.arrival_rate() / per_second - 1.0).abs() < 0.15);
    // 2 of 20 per second.
    assert!((free.arm(ArmIndex(0)).share - 0.1).abs() < 0.015, "{}", free.arm(ArmIndex(0)).share);
    assert_eq!(free.arm(ArmIndex(1)).share, 1.0);
    assert!((0.085..=0.1 * 1.03).contains(&shares[0]), "{shares:?}");
    assert_eq!(refused, 0.0);
    assert!(around < 0.25, "{around}");

    // Both limited, together to 1.5 times what arrives.
    let mut both = router(&[limited(requests(600.0)), limited(requests(1_200.0))]);
    let (shares, around, refused) = play(&mut both, per_second, 2);
    println!("both limited: shares {shares:?}, {around} around, {refused} refused");
    assert!((0.46..=0.51).contains(&shares[0]), "{shares:?}");
    assert!(refused < 0.001, "{refused}");
}

/// Once a second a share that is more than 2 % off is derived anew; one that is less off stays.
#[test]
fn small_movements_of_a_share_are_left_alone() {
    let mut router = router(&[limited(requests(600.0)), limited(NONE)]);
    let (mut now, mut last) = (1e9, f64::NEG_INFINITY);
    let mut seen = [0_u32; 3];
    for step in 0..4_000_u32 {
        // 20 a second, and slowly more.
        now += 0.05 / (1.0 + f64::from(step) / 4_000.0);
        let before = router.arm(ArmIndex(0)).share;
        router.route(&Query::at(now)).unwrap();
        let (after, planned) = (router.arm(ArmIndex(0)).share, router.planned_share(ArmIndex(0)));
        let is_due = now >= last + 1.0;
        if is_due {
            last = now;
        }
        let is_moved = (planned - before).abs() > 0.02 * planned;
        assert_eq!(after, if is_due && is_moved { planned } else { before }, "step {step}");
        seen[if is_due { usize::from(is_moved) } else { 2 }] += 1;
    }
    assert!(seen.iter().all(|&count| count > 20), "{seen:?}");
}

/// What a query takes of a limit on tokens is its input and its output.
#[test]
fn shares_follow_the_tokens_that_are_expected() {
    let prices = Some(Prices { input: 1.0, cached_input: 1.0, output: 1.0 });
    let settings = ArmSettings { prices, ..limited(tokens(600_000.0)) };
    let share = |input: f64, output: f64| {
        let mut router = Router::new(config()).unwrap();
        let expected = Tokens { input, cached: 0.0, output };
        let prior = Prior { tokens: Some((expected, 1_000)), ..Prior::default() };
        let arm = router.add_arm(&ArmSpec { settings, prior }).unwrap();
        let other = router.add_arm(&ArmSpec::default()).unwrap();
        router.publish(&[arm, other], StartCost::NONE).unwrap();
        for step in 0..2_000 {
            let query = Query::at(1e9 + 0.05 * f64::from(step));
            let other = Some(Cow::Owned(vec![other]));
            router.route(&Query { allowed: other, ..query }).unwrap();
        }
        router.planned_share(arm)
    };
    // 10 of 20 per second.
    assert!((share(1_000.0, 0.0) - 0.5).abs() < 0.01, "{}", share(1_000.0, 0.0));
    assert_eq!(share(600.0, 400.0), share(1_000.0, 0.0));
    assert_eq!(share(600.0, 1_400.0), 0.5 * share(1_000.0, 0.0));
}

#[test]
fn a_share_never_exceeds_the_throughput_cap() {
    let arms = [
        ArmSettings { throughput_cap: 0.3, ..limited(requests(600.0)) },
        ArmSettings { throughput_cap: 0.3, ..limited(requests(60_000.0)) },
        limited(NONE),
    ];
    let mut router = router(&arms);
    for (per_second, seed) in [(2.0, 1), (100.0, 2)] {
        let (shares, ..) = play(&mut router, per_second, seed);
        assert!(router.arm(ArmIndex(0)).share <= 0.3 && router.arm(ArmIndex(1)).share <= 0.3);
        assert!(shares[1] < 0.32, "{shares:?}");
        // Limits that leave more than the cap do not count.
        assert_eq!(router.arm(ArmIndex(1)).share, 0.3);
        assert_eq!(router.arm(ArmIndex(0)).share == 0.3, per_second < 10.0);
        router.set_arm(ArmIndex(0), arms[0]).unwrap();
        let mut fresh = self::router(&arms);
        std::mem::swap(&mut router, &mut fresh);
    }
}

/// Answers that take long leave fewer of them at the same time.
#[test]
fn shares_follow_latency_where_queries_under_way_are_limited() {
    let limits = TrafficLimits { concurrent: Some(10), ..NONE };
    let mut router = router(&[limited(limits), limited(NONE)]);
    let mut open = std::collections::VecDeque::new();
    for step in 0..6_000 {
        let now = 1e9 + 0.05 * f64::from(step);
        while open.front().is_some_and(|&(_, sent)| sent <= now - 2.0) {
            let (id, _) = open.pop_front().unwrap();
            router.release(now, id).unwrap();
        }
        open.push_back((router.route(&Query::at(now)).unwrap().id, now));
    }
    // 10 at once, 2 s each: 5 of 20 per second.
    assert!(
        (router.arm(ArmIndex(0)).share - 0.25).abs() < 0.02,
        "{}",
        router.arm(ArmIndex(0)).share
    );
}

/// A limit that comes later does not learn from times that were never told.
#[test]
fn decisions_without_a_clock_teach_no_latency() {
    let mut router = router(&[limited(NONE), limited(NONE)]);
    for _ in 0..5 {
        router.route(&Query::default()).unwrap();
    }
    let limits = TrafficLimits { concurrent: Some(10), ..requests(600.0) };
    router.set_arm(ArmIndex(0), limited(limits)).unwrap();
    assert_eq!(router.arm(ArmIndex(0)).under_way, 5);
    for step in 0..300_u32 {
        let now = 1.7e9 + f64::from(step);
        let id = router.route(&Query::at(now)).unwrap().id;
        router.release(now + 0.1, id).unwrap();
        if step < 5 {
            router.release(now + 0.1, u64::from(step)).unwrap();
        }
    }
    assert_eq!((router.arm(ArmIndex(0)).share, router.arm(ArmIndex(0)).under_way), (1.0, 0));
}

#[test]
fn limits_are_checked_by_name() {
    let mut router = Router::new(config()).unwrap();
    let mut refused = |limits: TrafficLimits, message: &str| {
        let spec = ArmSpec { settings: limited(limits), ..ArmSpec::default() };
        assert_eq!(router.add_arm(&spec).unwrap_err().to_string(), message);
    };
    for (bad, shown) in [(0.5, "0.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let rule = "must be finite and at least 1";
        refused(requests(bad), &format!("requests_per_minute = {shown}: {rule}"));
        refused(tokens(bad), &format!("tokens_per_minute = {shown}: {rule}"));
    }
    let concurrent = Some(0);
    refused(TrafficLimits { concurrent, ..NONE }, "concurrent = 0: must be at least 1");
    for burst_seconds in [0.0, 60.0, -1.0] {
        let message = format!("burst_seconds = {burst_seconds}: must be in (0, 60) seconds");
        refused(TrafficLimits { burst_seconds, ..NONE }, &message);
    }
}
