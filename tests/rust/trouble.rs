//! What unreliable providers do to a service: refusals at random, at a limit lower than was told, and
//! models that fail more often than not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;

use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, Confidence, ConfidenceFamily, Decision, Error, FailureReason,
    HealthConfig, Observation, Prior, Query, Router, RouterConfig, Sampler, StartCost, Tolerance,
    TrafficLimits,
};

const START: f64 = 1e9;

fn config() -> RouterConfig {
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.15, 0.01);
    RouterConfig::new(0.01, confidence, 1)
}

fn router(config: RouterConfig, specs: &[ArmSpec]) -> Router {
    let mut router = Router::new(config).unwrap();
    let arms: Vec<_> = specs.iter().map(|spec| router.add_arm(spec).unwrap()).collect();
    router.publish(&arms, StartCost::NONE).unwrap();
    router
}

fn spec(throughput_cap: f64, limits: TrafficLimits) -> ArmSpec {
    let settings = ArmSettings { throughput_cap, limits, ..ArmSettings::default() };
    ArmSpec { settings, prior: Prior { cost: Some((0.001, 1)), ..Prior::default() } }
}

fn plain() -> ArmSpec {
    spec(1.0, TrafficLimits::default())
}

fn answer(router: &mut Router, now: f64, id: u64, reward: f64) {
    let (reward, cost) = (Some(reward), Some(0.001));
    router.observe(now, &Observation { id, reward, cost, tokens: None }).unwrap();
}

fn only(now: f64, arm: u32) -> Query<'static> {
    Query { allowed: Some(Cow::Owned(vec![ArmIndex(arm)])), ..Query::at(now) }
}

/// Serves requests with up to three models each, where a share of all answers is `reason` at random;
/// returns the share served.
fn served(share: f64, per_second: u32, reason: FailureReason, seed: u64) -> f64 {
    let mut router = router(config(), &[spec(1.0 / 3.0, TrafficLimits::default()); 4]);
    let mut world = Sampler::new(seed);
    let requests = 120 * per_second;
    let (mut now, mut answered) = (START, 0.0);
    for _ in 0..requests {
        now += 1.0 / f64::from(per_second);
        let mut left: Vec<ArmIndex> = ArmIndex::first(4).collect();
        for _ in 0..3 {
            let allowed = Some(Cow::Borrowed(&left[..]));
            let Ok(Decision { id, arm, .. }) = router.route(&Query { allowed, ..Query::at(now) })
            else {
                break;
            };
            if world.unit() < share {
                router.fail(now, id, reason, None, None).unwrap();
                left.retain(|&other| other != arm);
                continue;
            }
            answer(&mut router, now, id, f64::from(u8::from(world.unit() < 0.8)));
            answered += 1.0;
            break;
        }
    }
    answered / f64::from(requests)
}

/// Three tries leave `share³` unserved; nothing else may be.
#[test]
fn failures_at_random_never_take_the_service_down() {
    for reason in [FailureReason::RateLimit, FailureReason::Error] {
        for (share, least) in [(0.01, 0.9999), (0.03, 0.999), (0.1, 0.99)] {
            for per_second in [50, 200] {
                for seed in 0..3 {
                    let served = served(share, per_second, reason, seed);
                    assert!(served >= least, "{reason:?} {share} {per_second}: {served}");
                }
            }
        }
    }
}

/// Of the last half of the queries, how many went wrong, where one of two models fails so often.
fn failed(other: f64, of_unreliable: impl Fn(u32, &mut Sampler) -> bool) -> f64 {
    let mut router = router(config(), &[plain(), plain()]);
    let (mut world, mut tries, mut failures) = (Sampler::new(1), 0, 0.0);
    for query in 0..4_000_u32 {
        let now = START + f64::from(query);
        let Decision { id, arm, .. } = router.route(&Query::at(now)).unwrap();
        if arm == ArmIndex(0) {
            tries += 1;
            if of_unreliable(tries, &mut world) {
                router.fail(now, id, FailureReason::Error, None, None).unwrap();
                failures += f64::from(u8::from(query >= 2_000));
                continue;
            }
        }
        answer(&mut router, now, id, if arm == ArmIndex(0) { 0.9 } else { other });
    }
    failures / 2_000.0
}

/// An answer is worth 0.9, but an attempt only a third of that: the other model is better.
#[test]
fn a_model_that_fails_often_pays_for_it_by_itself() {
    assert!(failed(0.85, |tries, _| tries % 3 != 0) < 0.02);
    assert!(failed(0.85, |_, world| world.unit() < 0.3) < 0.02);
    // One in twenty leaves 0.855, clearly the better one.
    let share = failed(0.7, |_, world| world.unit() < 0.05);
    assert!((0.03..0.07).contains(&share), "{share}");
}

#[test]
fn an_arm_is_tried_again_in_the_end() {
    let mut router = router(config(), &[plain(), plain()]);
    let mut now = START;
    for _ in 0..20 {
        let id = router.route(&only(now, 0)).map(|decision| decision.id);
        if let Ok(id) = id {
            router.fail(now, id, FailureReason::Error, None, None).unwrap();
        }
        now += 20.0;
    }
    assert!(router.arm(ArmIndex(0)).answer_chance < 0.3);
    // It has recovered meanwhile, which nobody could know.
    let mut served = 0;
    for _ in 0..7_200 {
        now += 1.0;
        let Decision { id, arm, .. } = router.route(&Query::at(now)).unwrap();
        served += u32::from(arm == ArmIndex(0));
        answer(&mut router, now, id, if arm == ArmIndex(0) { 0.9 } else { 0.7 });
    }
    assert!(served > 3_000, "{served}");
    assert!(router.arm(ArmIndex(0)).answer_chance > 0.99);
}

/// A provider that lets `allowed` requests through in any minute; the queries from the first refusal
/// until no more than one of the next hundred is refused, and the share refused after that.
fn queries_until_held(
    told: Option<f64>,
    allowed: usize,
    per_second: f64,
    says: bool,
) -> (u32, f64) {
    let limits = TrafficLimits { requests_per_minute: told, ..TrafficLimits::default() };
    let mut router = router(config(), &[spec(1.0, limits), plain()]);
    let mut accepted: Vec<f64> = Vec::new();
    let mut refusals = Vec::new();
    let mut now = START;
    for _ in 0..20_000 {
        now += 1.0 / per_second;
        let Decision { id, arm, .. } = router.route(&Query::at(now)).unwrap();
        let is_limited = arm == ArmIndex(0);
        accepted.retain(|&at| at > now - 60.0);
        let is_refused = is_limited && accepted.len() >= allowed;
        if is_refused {
            let retry_after = says.then(|| accepted[0] + 60.0 - now);
            router.fail(now, id, FailureReason::RateLimit, None, retry_after).unwrap();
        } else {
            if is_limited {
                accepted.push(now);
            }
            answer(&mut router, now, id, if is_limited { 0.9 } else { 0.5 });
        }
        refusals.push(f64::from(u8::from(is_refused)));
    }
    let first = refusals.iter().position(|&refused| refused > 0.0).unwrap_or(0);
    let of = |place: usize| refusals[place..place + 100].iter().sum::<f64>();
    let held = (first..19_900).find(|&place| of(place) <= 1.0).unwrap();
    let later = &refusals[held..];
    (u32::try_from(held - first).unwrap(), later.iter().sum::<f64>() / later.len() as f64)
}

/// The provider allows a third of what the router was told, or has a limit that nobody told.
#[test]
fn the_limit_of_a_provider_is_learnt_from_its_refusals() {
    for told in [Some(300.0), None] {
        for per_second in [2.0, 5.0, 20.0] {
            for says in [false, true] {
                let (queries, later) = queries_until_held(told, 100, per_second, says);
                let case = format!("{told:?} {per_second} {says}: {queries}, {later}");
                println!("{case}");
                assert!(queries <= 200 && later < 0.01, "{case}");
            }
        }
    }
}

/// A provider takes a third for ten minutes: most of what it takes is used, little is refused, and when
/// it takes all again, so it gets it.
#[test]
fn a_limit_that_passes_is_used_and_then_forgotten() {
    for told in [Some(300.0), None] {
        for says in [false, true] {
            let limits = TrafficLimits { requests_per_minute: told, ..TrafficLimits::default() };
            let mut router = router(config(), &[spec(1.0, limits), plain()]);
            let (mut accepted, mut counts) = (Vec::<f64>::new(), [[0_u32; 2]; 25]);
            for query in 0_u16..25 * 60 * 4 {
                let now = START + f64::from(query) / 4.0;
                let minute = usize::from(query / 240);
                let Decision { id, arm, .. } = router.route(&Query::at(now)).unwrap();
                accepted.retain(|&at| at > now - 60.0);
                if arm == ArmIndex(1) {
                    answer(&mut router, now, id, 0.5);
                } else if (5..15).contains(&minute) && accepted.len() >= 80 {
                    counts[minute][1] += 1;
                    let retry_after = says.then(|| accepted[0] + 60.0 - now);
                    router.fail(now, id, FailureReason::RateLimit, None, retry_after).unwrap();
                } else {
                    counts[minute][0] += 1;
                    accepted.push(now);
                    answer(&mut router, now, id, 0.9);
                }
            }
            let sum = |minutes: std::ops::Range<usize>, of: usize| {
                counts[minutes].iter().map(|count| count[of]).sum::<u32>()
            };
            println!("{told:?} {says}: {counts:?}");
            // The first minute still has what came before.
            assert!(sum(7..15, 0) >= 8 * 80 * 3 / 4, "used");
            assert!(sum(5..15, 1) <= 80, "refused");
            assert!(sum(22..25, 0) >= 3 * 240 * 9 / 10, "given back");
        }
    }
}

/// A provider says how many queries it will still take, and until when.
#[test]
fn a_quota_is_kept_to_and_the_latest_word_counts() {
    let mut router = router(config(), &[plain(), plain()]);
    for _ in 0..40 {
        let Decision { id, arm, .. } = router.route(&Query::at(START)).unwrap();
        answer(&mut router, START, id, if arm == ArmIndex(0) { 0.9 } else { 0.2 });
    }
    let sent = |router: &mut Router, now: f64, queries: u32| {
        let arms = (0..queries).map(|_| router.route(&Query::at(now)).unwrap().arm);
        arms.filter(|&arm| arm == ArmIndex(0)).count()
    };
    assert!(sent(&mut router, START, 50) >= 45);
    router.note_quota(START, ArmIndex(0), 3, 12.0).unwrap();
    assert_eq!(sent(&mut router, START + 1.0, 50), 3);
    assert_eq!(sent(&mut router, START + 11.9, 50), 0);
    let refusal = router.route(&only(START + 11.0, 0)).unwrap_err();
    let Error::AtTrafficLimit { retry_after: Some(wait) } = refusal else { panic!("{refusal}") };
    assert!((wait - 0.1).abs() < 1e-6, "{wait}");
    assert!(sent(&mut router, START + 12.0, 50) >= 45);
    // The latest word: more than before; more than matters; nothing, for absurdly long.
    router.note_quota(START + 13.0, ArmIndex(0), 0, 60.0).unwrap();
    router.note_quota(START + 13.0, ArmIndex(0), 5, 60.0).unwrap();
    assert_eq!(sent(&mut router, START + 13.0, 50), 5);
    router.note_quota(START + 14.0, ArmIndex(0), 4_999, 60.0).unwrap();
    assert!(sent(&mut router, START + 14.0, 50) >= 45);
    router.note_quota(START + 15.0, ArmIndex(0), 0, 1e9).unwrap();
    assert_eq!(sent(&mut router, START + 15.0, 50), 0);
    let longest = HealthConfig::default().max_cooldown;
    assert!(sent(&mut router, START + 15.0 + longest, 50) >= 45);
    for bad in [-1.0, f64::NAN] {
        assert!(router.note_quota(START + 400.0, ArmIndex(0), 0, bad).is_err());
    }
    assert!(router.note_quota(START + 400.0, ArmIndex(9), 0, 1.0).is_err());
}

/// What the provider said last counts, up to the longest cool-down.
#[test]
fn the_latest_word_of_a_provider_counts() {
    let mut router = router(config(), &[plain()]);
    let ids: Vec<u64> = (0..4).map(|_| router.route(&Query::at(START)).unwrap().id).collect();
    let wait = |router: &mut Router, now: f64| match router.route(&Query::at(now)) {
        Ok(_) => 0.0,
        Err(Error::AllCooling { retry_after }) => retry_after,
        Err(error) => panic!("{error}"),
    };
    let refuse = |router: &mut Router, now, id, seconds| {
        router.fail(now, id, FailureReason::RateLimit, None, Some(seconds)).unwrap();
    };
    refuse(&mut router, START + 1.0, ids[0], 1.0);
    refuse(&mut router, START + 2.0, ids[1], 60.0);
    assert_eq!(wait(&mut router, START + 10.0), 52.0);
    refuse(&mut router, START + 11.0, ids[2], 4.0);
    assert_eq!(wait(&mut router, START + 12.0), 3.0);
    // Not a time, nor for ever.
    refuse(&mut router, START + 13.0, ids[3], 1.7e9);
    assert_eq!(wait(&mut router, START + 13.0), HealthConfig::default().max_cooldown);
    router.end_cooldown(START + 20.0, ArmIndex(0)).unwrap();
    assert_eq!(wait(&mut router, START + 20.0), 0.0);
}

/// Most arms cool, but answer at times: better one of them than none. A dead one gets nothing.
#[test]
fn unreliable_arms_serve_where_most_are_out() {
    let health = HealthConfig { failures: 3, ..HealthConfig::default() };
    let mut router = router(RouterConfig { health, ..config() }, &[plain(); 3]);
    let cool = |router: &mut Router, arm: u32, answers: u32| {
        for attempt in 0..answers + 4 {
            let Ok(Decision { id, .. }) = router.route(&only(START, arm)) else { break };
            if attempt > 0 && attempt <= answers {
                answer(router, START, id, 0.8);
            } else {
                router.fail(START, id, FailureReason::Error, None, None).unwrap();
            }
        }
        assert!(router.arm(ArmIndex(arm)).health.is_cooling(START));
    };
    // The third is known to be worth little.
    for _ in 0..100 {
        let id = router.route(&only(START, 2)).unwrap().id;
        answer(&mut router, START, id, 0.1);
    }
    cool(&mut router, 0, 2);
    cool(&mut router, 1, 0);
    let before = router.counters().panicked;
    assert_eq!(router.route(&Query::at(START + 1.0)).unwrap().arm, ArmIndex(0), "by value");
    assert_eq!(router.counters().panicked, before + 1);
    assert!(matches!(router.route(&only(START + 1.0, 1)), Err(Error::AllCooling { .. })));
    // Without the threshold the one that is up serves.
    let tolerance = Tolerance { panic_threshold: 1.0, ..Tolerance::default() };
    let strict = HealthConfig { tolerance, ..health };
    let mut router = self::router(RouterConfig { health: strict, ..config() }, &[plain(); 3]);
    cool(&mut router, 0, 2);
    cool(&mut router, 1, 0);
    assert_eq!(router.route(&Query::at(START + 1.0)).unwrap().arm, ArmIndex(2));
    assert_eq!(router.counters().panicked, 0);
}
