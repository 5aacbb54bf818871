//! Health of arms: when they get traffic, and when not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, Charge, Confidence, ConfidenceFamily, Error, FailureEffect,
    FailureReason, Failures, HealthConfig, Observation, Prior, Query, Reasons, Router,
    RouterConfig, StartCost, Strike, Tolerance, TrafficLimits,
};

/// Failures in a row alone.
const HEALTH: HealthConfig = HealthConfig {
    failures: 3,
    cooldown: 4.0,
    max_cooldown: 20.0,
    failed_after: 3,
    tolerance: Tolerance::NONE,
};

/// A rate-limit answer cools an arm at once.
fn failures() -> Failures {
    let rate_limit =
        FailureEffect { reward: None, charge: Charge::Nothing, strike: Strike::CoolDown };
    Failures { rate_limit, ..Failures::default() }
}

fn config() -> RouterConfig {
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    RouterConfig {
        open_decisions: 256,
        failures: failures(),
        health: HEALTH,
        redeploys_lost_slots: true,
        ..RouterConfig::new(2e-3, confidence, 3)
    }
}

fn router(arms: usize) -> Router {
    let mut router = Router::new(config()).unwrap();
    let settings = ArmSettings { throughput_cap: 0.7, ..ArmSettings::default() };
    for _ in 0..arms {
        router.add_arm(&ArmSpec { settings, ..ArmSpec::default() }).unwrap();
    }
    router.publish(&ArmIndex::first(arms).collect::<Vec<_>>(), StartCost::NONE).unwrap();
    router
}

fn only(arm: u32, now: f64) -> Query<'static> {
    Query { allowed: Some(Cow::Owned(vec![ArmIndex(arm)])), ..Query::at(now) }
}

fn succeed(router: &mut Router, now: f64, id: u64) {
    router.observe(now, &Observation { id, reward: Some(1.0), ..Observation::default() }).unwrap();
}

fn fail(router: &mut Router, now: f64, id: u64) {
    router.fail(now, id, FailureReason::Error, None, None).unwrap();
}

/// Lets an arm fail three times at once.
fn cool(router: &mut Router, arm: u32, now: f64) {
    let ids: Vec<u64> = (0..3).map(|_| router.route(&only(arm, now)).unwrap().id).collect();
    for id in ids {
        fail(router, now, id);
    }
    assert!(router.arm(ArmIndex(arm)).health.is_cooling(now));
}

// ---- a model of a breaker ---------------------------------------------------------------------

#[derive(Debug, Clone, Copy)]
enum Breaker {
    Closed {
        failures: u32,
    },
    /// Cooled so often since the last success, until then; a probe may be out since.
    Open {
        times: u32,
        until: f64,
        probe: Option<f64>,
    },
}

#[derive(Debug, Clone, Copy)]
struct Arm {
    breaker: Breaker,
    /// What was sent before then is old news.
    cooled_until: f64,
}

impl Arm {
    fn cooldown(times: u32) -> f64 {
        // 4, 8, 16, and never more than 20.
        (4.0 * 2.0_f64.powi(i32::try_from(times).unwrap() - 1)).min(20.0)
    }

    /// When a query may be sent.
    fn opens(&self) -> f64 {
        match self.breaker {
            Breaker::Closed { .. } => 0.0,
            Breaker::Open { until, probe: None, .. } => until,
            Breaker::Open { times, until, probe: Some(sent) } => {
                until.max(sent + Self::cooldown(times))
            }
        }
    }

    fn send(&mut self, now: f64) {
        if let Breaker::Open { probe, .. } = &mut self.breaker {
            *probe = Some(now);
        }
    }

    fn succeed(&mut self, sent: f64) {
        if sent >= self.cooled_until {
            self.breaker = Breaker::Closed { failures: 0 };
        }
    }

    fn fail(&mut self, strike: Strike, sent: f64, now: f64, retry_after: f64) {
        if strike == Strike::None || sent < self.cooled_until {
            return;
        }
        let times = match &mut self.breaker {
            Breaker::Closed { failures } => {
                *failures += 1;
                if strike == Strike::Failure && *failures < 3 {
                    return;
                }
                1
            }
            Breaker::Open { times, .. } => *times + 1,
        };
        self.cooled_until = now + Self::cooldown(times).max(retry_after);
        self.breaker = Breaker::Open { times, until: self.cooled_until, probe: None };
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Route,
    Succeed(prop::sample::Index),
    Release(prop::sample::Index),
    Fail(prop::sample::Index, usize, Option<u32>),
    Wait(f64),
    /// Exactly as long as a refusal says, or until just before.
    WaitForArm(usize, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        10 => Just(Event::Route),
        3 => index().prop_map(Event::Succeed),
        1 => index().prop_map(Event::Release),
        8 => (index(), 0..4_usize, prop::option::weighted(0.2, 0..40_u32))
            .prop_map(|(index, reason, retry)| Event::Fail(index, reason, retry)),
        2 => (0.0..6.0).prop_map(Event::Wait),
        2 => (0..3_usize, any::<bool>()).prop_map(|(arm, early)| Event::WaitForArm(arm, early)),
    ]
}

/// One query: the arms that get traffic are those that the model says.
fn route(router: &mut Router, arms: &mut [Arm; 3], sent: &mut Vec<(usize, f64)>, now: f64) {
    let open: Vec<usize> = (0..3).filter(|&arm| now >= arms[arm].opens()).collect();
    match router.route(&Query::at(now)) {
        Ok(decision) => {
            assert!(open.contains(&decision.arm.index()), "{decision:?} of {open:?}");
            let has = |reason| decision.reasons.contains(reason);
            assert_eq!(has(Reasons::COOLING), open.len() < 3);
            let is_probe = matches!(arms[decision.arm].breaker, Breaker::Open { .. });
            assert_eq!(has(Reasons::PROBE), is_probe);
            arms[decision.arm].send(now);
            sent.push((decision.arm.index(), now));
        }
        Err(Error::AllCooling { retry_after }) => {
            assert!(open.is_empty(), "{open:?} are open");
            let first = arms.iter().map(Arm::opens).fold(f64::INFINITY, f64::min);
            assert!((now + retry_after - first).abs() <= 1e-9 && now + retry_after >= first);
            let half = router.clone().route(&Query::at(now + 0.5 * retry_after));
            // Half of the last bit of a time is all of it.
            assert!(retry_after < 1e-6 || matches!(half, Err(Error::AllCooling { .. })));
            router.clone().route(&Query::at(now + retry_after)).unwrap();
        }
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x4ea1),
        ..ProptestConfig::default()
    })]

    /// No traffic while cooling, one probe at a time, and nothing from old news: over any sequence of
    /// answers and failures, early, late and repeated.
    #[test]
    fn breakers_follow_their_model(events in prop::collection::vec(event(), 1..200), is_now in any::<bool>()) {
        let mut router = router(3);
        let closed = Arm { breaker: Breaker::Closed { failures: 0 }, cooled_until: 0.0 };
        let (mut arms, mut sent) = ([closed; 3], Vec::new());
        let mut done: Vec<(bool, bool)> = Vec::new();
        let mut now = if is_now { 1.7e9 } else { 0.0 };
        for event in events {
            done.resize(sent.len(), (false, false));
            match event {
                Event::Route => route(&mut router, &mut arms, &mut sent, now),
                Event::Wait(seconds) => now += seconds,
                Event::WaitForArm(arm, early) => {
                    let opens = arms[arm].opens();
                    now = (if early { opens.next_down() } else { opens }).max(now);
                }
                _ if sent.is_empty() => {}
                Event::Succeed(index) | Event::Release(index) => {
                    let id = index.index(sent.len());
                    let (arm, at) = sent[id];
                    let (is_released, _) = done[id];
                    if matches!(event, Event::Release(_)) {
                        router.release(now, id as u64).unwrap();
                    } else {
                        let reward = Some(1.0);
                        let answer = Observation { id: id as u64, reward, ..Observation::default() };
                        let _ = router.observe(now, &answer);
                    }
                    if !is_released {
                        arms[arm].succeed(at);
                        done[id].0 = true;
                    }
                }
                Event::Fail(index, reason, retry_after) => {
                    let id = index.index(sent.len());
                    let (arm, at) = sent[id];
                    let why = FailureReason::NAMES[reason].1;
                    let retry_after = retry_after.map(f64::from);
                    let is_counted = router.fail(now, id as u64, why, None, retry_after).is_ok();
                    if is_counted {
                        prop_assert!(!done[id].1);
                        done[id] = (true, true);
                        let strikes =
                            [Strike::Failure, Strike::CoolDown, Strike::None, Strike::Failure];
                        arms[arm].fail(strikes[reason], at, now, retry_after.unwrap_or(0.0));
                    }
                }
            }
            for (arm, model) in ArmIndex::first(3).zip(&arms) {
                let health = router.arm(arm).health;
                prop_assert_eq!(health.is_closed(), matches!(model.breaker, Breaker::Closed { .. }));
                prop_assert_eq!(health.admits(now, &HEALTH), now >= model.opens());
                let is_failed = matches!(model.breaker, Breaker::Open { times: 3.., until, .. } if now < until);
                prop_assert_eq!(health.has_failed(now, &HEALTH), is_failed);
            }
        }
    }
}

// ---- one thing at a time ----------------------------------------------------------------------

#[test]
fn cool_downs_double_up_to_their_maximum_until_a_success() {
    let mut router = router(2);
    let mut now = 1.7e9;
    cool(&mut router, 0, now);
    for (level, seconds) in [(1, 4.0), (2, 8.0), (3, 16.0), (4, 20.0), (5, 20.0)] {
        let health = router.arm(ArmIndex(0)).health;
        assert_eq!(health.reopens(&HEALTH), now + seconds, "{level}");
        assert_eq!(health.has_failed(now, &HEALTH), level >= 3);
        let refused = Err(Error::AllCooling { retry_after: seconds });
        assert_eq!(router.route(&only(0, now)), refused);
        now += seconds;
        assert!(!health.is_cooling(now) && !health.is_closed());
        let probe = router.route(&only(0, now)).unwrap();
        assert!(probe.reasons.contains(Reasons::PROBE));
        // One probe at a time.
        assert!(matches!(router.route(&only(0, now)), Err(Error::AllCooling { .. })));
        fail(&mut router, now, probe.id);
    }
    assert_eq!(router.counters().cooldowns, 6);
    now += 20.0;
    let probe = router.route(&only(0, now)).unwrap().id;
    succeed(&mut router, now, probe);
    assert!(router.arm(ArmIndex(0)).health.is_closed());
    // From the beginning.
    cool(&mut router, 0, now);
    assert_eq!(router.arm(ArmIndex(0)).health.reopens(&HEALTH), now + 4.0);
}

#[test]
fn a_rate_limit_cools_at_once_and_for_as_long_as_it_says() {
    for (retry_after, seconds) in [(None, 4.0), (Some(1.0), 4.0), (Some(90.0), 90.0)] {
        let mut router = router(2);
        let id = router.route(&only(1, 10.0)).unwrap().id;
        router.fail(10.0, id, FailureReason::RateLimit, None, retry_after).unwrap();
        assert_eq!(router.arm(ArmIndex(1)).health.reopens(&HEALTH), 10.0 + seconds);
        for _ in 0..50 {
            let decision = router.route(&Query::at(10.0 + 0.99 * seconds)).unwrap();
            assert_eq!((decision.arm, decision.probability), (ArmIndex(0), 1.0));
        }
    }
}

#[test]
fn successes_between_failures_keep_an_arm_open() {
    let mut router = router(2);
    for _ in 0..50 {
        for _ in 0..2 {
            let id = router.route(&only(0, 1.0)).unwrap().id;
            fail(&mut router, 1.0, id);
        }
        let id = router.route(&only(0, 1.0)).unwrap().id;
        succeed(&mut router, 1.0, id);
    }
    assert_eq!(router.counters().cooldowns, 0);
}

/// The usual way to write it: whatever happened, in the end the query is released. That is no
/// success of one that has failed.
#[test]
fn a_release_after_a_failure_is_no_success() {
    let mut router = router(2);
    for _ in 0..3 {
        let id = router.route(&only(0, 1.0)).unwrap().id;
        fail(&mut router, 1.0, id);
        router.release(1.0, id).unwrap();
    }
    assert!(router.arm(ArmIndex(0)).health.is_cooling(1.0));
    let probe = router.route(&only(0, 5.0)).unwrap().id;
    fail(&mut router, 5.0, probe);
    router.release(5.0, probe).unwrap();
    assert_eq!(router.arm(ArmIndex(0)).health.reopens(&HEALTH), 13.0);
}

/// Also when the breaker has closed since: what was sent before the cool-down tells of that time.
#[test]
fn old_news_cools_nothing_and_heals_nothing() {
    let mut router = router(2);
    let old: Vec<u64> = (0..8).map(|_| router.route(&only(0, 1.0)).unwrap().id).collect();
    cool(&mut router, 0, 1.0);
    let cooled = router.arm(ArmIndex(0)).health;
    succeed(&mut router, 2.0, old[0]);
    fail(&mut router, 2.0, old[1]);
    router.fail(2.0, old[2], FailureReason::RateLimit, None, Some(500.0)).unwrap();
    assert_eq!(router.arm(ArmIndex(0)).health, cooled);
    let probe = router.route(&only(0, 5.0)).unwrap().id;
    succeed(&mut router, 5.5, probe);
    for &id in &old[3..7] {
        fail(&mut router, 6.0, id);
    }
    router.fail(6.0, old[7], FailureReason::RateLimit, None, Some(500.0)).unwrap();
    assert!(router.arm(ArmIndex(0)).health.is_closed());
    assert_eq!((router.counters().cooldowns, router.counters().failures), (1, [0, 2, 0, 8]));
}

/// Two probes sent, each given up: the arm is probed again, as often as it takes.
#[test]
fn a_lost_probe_does_not_lock_an_arm_out() {
    let mut router = router(2);
    cool(&mut router, 0, 100.0);
    let mut now = 104.0;
    for _ in 0..100 {
        router.route(&only(0, now)).unwrap();
        let refused = router.route(&only(0, now + 1.0));
        assert_eq!(refused, Err(Error::AllCooling { retry_after: 3.0 }));
        now += 4.0;
    }
    let probe = router.route(&only(0, now)).unwrap().id;
    succeed(&mut router, now, probe);
    for _ in 0..5 {
        router.route(&only(0, now)).unwrap();
    }
}

#[test]
fn when_all_are_down_the_first_to_come_back_is_named() {
    let mut router = router(3);
    for (arm, now) in [(0, 10.0), (1, 11.5), (2, 12.0)] {
        cool(&mut router, arm, now);
    }
    assert_eq!(router.route(&Query::at(13.0)), Err(Error::AllCooling { retry_after: 1.0 }));
    assert_eq!(router.counters().refused_cooling, 1);
    assert_eq!(router.route(&Query::at(14.0)).unwrap().arm, ArmIndex(0));
    assert_eq!(router.route(&Query::at(14.0)), Err(Error::AllCooling { retry_after: 1.5 }));
    assert_eq!(router.route(&only(2, 14.0)), Err(Error::AllCooling { retry_after: 2.0 }));
}

/// Cooling, and full besides: the time at which it could be tried is not known.
#[test]
fn an_arm_that_is_cooling_and_full_waits_for_answers() {
    let mut router = router(1);
    let limits = TrafficLimits { concurrent: Some(4), ..TrafficLimits::default() };
    router.set_arm(ArmIndex(0), ArmSettings { limits, ..ArmSettings::default() }).unwrap();
    for _ in 0..4 {
        router.route(&Query::at(1.0)).unwrap();
    }
    router.fail(1.0, 0, FailureReason::RateLimit, None, None).unwrap();
    assert_eq!(router.route(&Query::at(1.0)), Err(Error::AllCooling { retry_after: 4.0 }));
    router.route(&Query::at(5.0)).unwrap();
    let full = Err(Error::AtTrafficLimit { retry_after: None });
    assert_eq!(router.route(&Query::at(6.0)), Err(Error::AtTrafficLimit { retry_after: None }));
    assert_eq!(router.route(&Query::at(9.0)), full);
    router.release(9.0, 1).unwrap();
    router.route(&Query::at(9.0)).unwrap();
}

/// Unless it is set otherwise, a timeout is billed as expected (the query may have run), a refusal is a
/// reward of 0 whose bill is still to come, and the rest never ran and is free.
#[test]
fn each_failure_has_its_effect_by_default() {
    let prior = Prior { cost: Some((1e-3, 10)), ..Prior::default() };
    let effects = [
        // Billed, still in flight, rewards counted.
        (FailureReason::Timeout, 1e-3, 0.0, 0),
        (FailureReason::RateLimit, 0.0, 0.0, 0),
        (FailureReason::Refusal, 0.0, 1e-3, 1),
        (FailureReason::Error, 0.0, 0.0, 0),
        // The caller gave up, or asked for what no model does.
        (FailureReason::Other(0), 1e-3, 0.0, 0),
        (FailureReason::Other(1), 0.0, 0.0, 0),
    ];
    for (reason, billed, in_flight, rewards) in effects {
        let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
        let mut router = Router::new(RouterConfig::new(1e-3, confidence, 1)).unwrap();
        let arm = router.add_arm(&ArmSpec { prior, ..ArmSpec::default() }).unwrap();
        router.publish(&[arm], StartCost::NONE).unwrap();
        let id = router.route(&Query::at(1.0)).unwrap().id;
        router.fail(1.0, id, reason, None, None).unwrap();
        let (ledger, counters) = (router.ledger(), router.counters());
        assert_eq!((ledger.billed, ledger.in_flight), (billed, in_flight), "{reason:?}");
        let failures = router.failures_by_reason().map(|(_, count)| count).sum::<u64>();
        assert_eq!((counters.rewards, failures), (rewards, 1));
        assert!(router.arm(arm).health.is_closed(), "{reason:?}");
        let lowers = matches!(reason, FailureReason::Timeout | FailureReason::Error);
        assert_eq!(router.arm(arm).answer_chance < 1.0, lowers, "{reason:?}");
    }
}

#[test]
fn failures_are_no_statistics_unless_their_effect_says_so() {
    let mut router = router(2);
    let before = router.learner().clone();
    for reason in [FailureReason::Timeout, FailureReason::Error, FailureReason::RateLimit] {
        let id = router.route(&only(1, 50.0)).unwrap().id;
        router.fail(50.0, id, reason, Some(1e-3), None).unwrap();
    }
    assert_eq!(router.learner(), &before);
    let decision = router.route(&Query::at(100.0)).unwrap();
    router.fail(100.0, decision.id, FailureReason::Refusal, None, None).unwrap();
    let stats = router.learner().stats()[decision.arm];
    assert_eq!((stats.reward.count(), stats.reward.mean(), stats.cost.count()), (1, 0.0, 0));
    assert_eq!(router.counters().rewards, 1);
    // What was learnt stays through a cool-down and after it.
    let learnt = router.learner().clone();
    cool(&mut router, 0, 200.0);
    router.route(&only(0, 300.0)).unwrap();
    assert_eq!(router.learner(), &learnt);
}

/// An arm that relapses too often loses its slot; one that is not live has none to lose.
#[test]
fn a_failed_arm_makes_the_stage_due() {
    let mut router = router(3);
    let mut now = 10.0;
    let mut relapse = |router: &mut Router| {
        for _ in 0..3 {
            let ids = [router.route(&only(0, now)), router.route(&only(0, now))];
            for id in ids.iter().flatten().map(|decision| decision.id) {
                router.fail(now, id, FailureReason::RateLimit, None, None).unwrap();
            }
            now += 20.0;
        }
        now - 20.0
    };
    let last = relapse(&mut router);
    assert!(router.is_stage_due());
    assert_eq!(router.candidates(0.0).collect::<Vec<_>>(), [1, 2].map(ArmIndex));
    router.publish(&[1, 2].map(ArmIndex), StartCost::NONE).unwrap();
    assert!(!router.is_stage_due() && !router.needs_clock_to_route());
    // Its time is over: it is a candidate again, and still on probation.
    assert_eq!(router.candidates(last + 15.9).count(), 2);
    assert_eq!(router.candidates(last + 16.0).count(), 3, "though nobody told it the time");
    router.route(&Query::at(last + 16.0)).unwrap();
    router.publish(&[0, 1].map(ArmIndex), StartCost::NONE).unwrap();
    let probe = router.route(&only(0, last + 40.0)).unwrap().id;
    router.publish(&[1, 2].map(ArmIndex), StartCost::NONE).unwrap();
    router.fail(last + 41.0, probe, FailureReason::Error, None, None).unwrap();
    assert!(
        router.arm(ArmIndex(0)).health.has_failed(last + 41.0, &HEALTH) && !router.is_stage_due()
    );
}

/// New settings leave an arm as healthy as it was.
#[test]
fn settings_do_not_heal() {
    let mut router = router(2);
    cool(&mut router, 0, 10.0);
    let health = router.arm(ArmIndex(0)).health;
    router.set_arm(ArmIndex(0), ArmSettings::default()).unwrap();
    assert_eq!(router.arm(ArmIndex(0)).health, health);
    assert!(router.route(&only(0, 11.0)).is_err());
    // A router that needed no clock needs one now, and none when all is well again.
    assert!(router.needs_clock_to_route());
    let probe = router.route(&only(0, 14.0)).unwrap().id;
    succeed(&mut router, 14.0, probe);
    assert!(!router.needs_clock_to_route());
}

#[test]
fn health_settings_are_checked_by_name() {
    let refused = |health: HealthConfig, message: &str| {
        let error = Router::new(RouterConfig { health, ..config() }).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    refused(HealthConfig { failures: 0, ..HEALTH }, "failures = 0: must be at least 1");
    refused(HealthConfig { failed_after: 0, ..HEALTH }, "failed_after = 0: must be at least 1");
    let rule = "must be finite and above 0, in seconds";
    refused(HealthConfig { cooldown: 0.0, ..HEALTH }, &format!("cooldown = 0: {rule}"));
    let rule = "must be finite and at least cooldown, in seconds";
    refused(HealthConfig { max_cooldown: 3.0, ..HEALTH }, &format!("max_cooldown = 3: {rule}"));
    let failures = Failures::default();
    let refusal = FailureEffect { reward: Some(1.5), ..failures.refusal };
    let failures = Failures { refusal, ..failures };
    let error = Router::new(RouterConfig { failures, ..config() }).unwrap_err();
    assert_eq!(error.to_string(), "reward = 1.5: a reward must be a number in [0, 1]");
    let mut router = router(1);
    let id = router.route(&Query::at(1.0)).unwrap().id;
    for (retry_after, shown) in [(-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let error = router.fail(1.0, id, FailureReason::RateLimit, None, Some(retry_after));
        let message = format!("retry_after = {shown}: must be finite and not negative, in seconds");
        assert_eq!(error.unwrap_err().to_string(), message);
    }
    assert_eq!(router.counters().failures, [0; 4]);
}
