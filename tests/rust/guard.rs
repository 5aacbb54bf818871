//! Hard limits on money, against a ledger in whole nanodollars that knows nothing of how the router
//! keeps its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, AtLimit, Charge, Confidence, ConfidenceFamily, Error,
    FailureEffect, FailureReason, Failures, HardLimit, Observation, Period, Prices, Prior, Query,
    Router, RouterConfig, StartCost, Strike, Tokens,
};

fn settings(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x9_0a4d),
        ..ProptestConfig::default()
    }
}

/// Failures that bill, but never cool an arm: health has tests of its own.
fn config(limits: &[HardLimit]) -> RouterConfig {
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    let effect = |charge| FailureEffect { reward: None, charge, strike: Strike::None };
    RouterConfig {
        open_decisions: 16,
        hard_limits: limits.to_vec(),
        failures: Failures {
            timeout: effect(Charge::Expected),
            rate_limit: effect(Charge::Nothing),
            refusal: effect(Charge::Open),
            error: effect(Charge::Nothing),
        },
        ..RouterConfig::new(1e-3, confidence, 3)
    }
}

fn limit(nano: u32, period: Period, at_limit: AtLimit) -> HardLimit {
    HardLimit { usd: usd(i128::from(nano)), period, at_limit }
}

fn usd(nano: i128) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let nano = nano as f64;
    nano / 1e9
}

/// An arm of which one query costs at most `nano` nanodollars.
fn arm_up_to(nano: i128) -> ArmSpec {
    let settings = ArmSettings { max_cost: Some(usd(nano)), ..ArmSettings::default() };
    // More than it can ever cost: what is assumed of a bill must not go beyond the promise.
    let prior = Prior { cost: Some((3.0 * usd(nano), 5)), ..Prior::default() };
    ArmSpec { settings, prior }
}

fn router(limits: &[HardLimit], arms: &[ArmSpec]) -> Router {
    let mut router = Router::new(config(limits)).unwrap();
    let live: Vec<_> = arms.iter().map(|spec| router.add_arm(spec).unwrap()).collect();
    router.publish(&live, StartCost::NONE).unwrap();
    router
}

fn bill(id: u64, nano: i128) -> Observation {
    Observation { id, cost: Some(usd(nano)), ..Observation::default() }
}

// ---- an independent calendar and ledger -------------------------------------------------------

/// Time in 1024ths of a second: whole, so that boundaries are met exactly, and exact as a float.
type Ticks = i64;
const SECOND: Ticks = 1024;
const HOUR: Ticks = 3_600 * SECOND;
const DAY: Ticks = 24 * HOUR;

fn seconds(ticks: Ticks) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let ticks = ticks as f64;
    ticks / 1024.0
}

/// First tick of the month that holds `now`, and of the next, by counting months from 1970.
fn month(now: Ticks) -> (Ticks, Ticks) {
    let (mut start, mut year) = (0, 1970);
    loop {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let february = if is_leap { 29 } else { 28 };
        for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if now < start + days * DAY {
                return (start, start + days * DAY);
            }
            start += days * DAY;
        }
        year += 1;
    }
}

fn window(period: Period, now: Ticks) -> (Ticks, Ticks) {
    match period {
        Period::Hour => (now - now % HOUR, now - now % HOUR + HOUR),
        Period::Day => (now - now % DAY, now - now % DAY + DAY),
        // From the 5th of January 1970, which was a Monday.
        Period::Week => {
            let of_week = (now - 4 * DAY).rem_euclid(7 * DAY);
            (now - of_week, now - of_week + 7 * DAY)
        }
        Period::Month => month(now),
        Period::Total => (Ticks::MIN, Ticks::MAX),
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    made: Ticks,
    reservation: i128,
    expected: f64,
    bill: Option<i128>,
    has_failed: bool,
    /// Whether the bill was only assumed.
    is_estimate: bool,
}

struct Ledger {
    limits: Vec<(HardLimit, i128)>,
    entries: Vec<Entry>,
    /// Bills that were assumed from an expectation: known to a nanodollar each.
    assumed: i128,
    /// What real bills were above the estimates that they replaced: nobody could foresee that.
    above_estimate: i128,
}

impl Ledger {
    /// Bills, or what stands for them, of the decisions made in a window.
    fn sum(&self, period: Period, now: Ticks, unbilled: impl Fn(&Entry) -> i128) -> i128 {
        let (start, end) = window(period, now);
        let within = self.entries.iter().filter(|entry| (start..end).contains(&entry.made));
        within.map(|entry| entry.bill.unwrap_or_else(|| unbilled(entry))).sum()
    }

    fn committed(&self, period: Period, now: Ticks) -> i128 {
        self.sum(period, now, |entry| entry.reservation)
    }

    /// Whether a reservation fits into all windows that behave so at their limit.
    fn fits(&self, reservation: i128, now: Ticks, at_limit: Option<AtLimit>) -> bool {
        let limits = self
            .limits
            .iter()
            .filter(|(limit, _)| at_limit.is_none_or(|at_limit| limit.at_limit == at_limit));
        let mut limits = limits;
        limits.all(|(limit, most)| self.committed(limit.period, now) + reservation <= *most)
    }

    fn check(&self, router: &Router, now: Ticks) {
        for (state, (limit, most)) in router.limits().zip(&self.limits) {
            assert_eq!(state.limit, *limit);
            #[allow(clippy::cast_possible_truncation)]
            let shown = (state.committed * 1e9).round() as i128;
            let committed = self.committed(limit.period, now);
            let is_near = (shown - committed).abs() <= self.assumed;
            assert!(is_near, "{limit:?}: {shown} is shown, {committed} is committed");
            let most = most + self.above_estimate;
            assert!(committed <= most, "{limit:?} with {committed}");
            for entry in &self.entries {
                let billed = self.sum(limit.period, entry.made, |_| 0);
                assert!(billed <= most, "{limit:?} with {billed} of bills");
            }
        }
    }
}

// ---- any sequence of events -------------------------------------------------------------------

#[derive(Debug, Clone, Copy)]
enum Event {
    /// A query, for some of the arms, perhaps with its tokens.
    Route {
        only: Option<usize>,
        tokens: Option<(u32, u32)>,
    },
    /// A bill, as a share of the reservation in 255ths, for one of the decisions.
    Bill(prop::sample::Index, u8),
    Fail(prop::sample::Index, usize, Option<u8>),
    /// Some ticks go by, …
    Wait(Ticks),
    /// … or all until exactly the next hour, day or month begins, or one less.
    WaitFor(usize, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let index = any::<prop::sample::Index>;
    let only = prop::option::weighted(0.2, 0..3_usize);
    let tokens = prop::option::weighted(0.2, (0..800_u32, 0..200_u32));
    prop_oneof![
        12 => (only, tokens).prop_map(|(only, tokens)| Event::Route { only, tokens }),
        6 => (index(), any::<u8>()).prop_map(|(index, share)| Event::Bill(index, share)),
        2 => (index(), 0..4_usize, prop::option::of(any::<u8>()))
            .prop_map(|(index, reason, share)| Event::Fail(index, reason, share)),
        2 => prop_oneof![Just(1), 0..HOUR, 0..3 * DAY, 0..70 * DAY].prop_map(Event::Wait),
        2 => (0..3_usize, any::<bool>()).prop_map(|(period, early)| Event::WaitFor(period, early)),
    ]
}

fn hard_limit() -> impl Strategy<Value = HardLimit> {
    let period = prop::sample::select(Period::NAMES.map(|(_, period)| period).to_vec());
    let at_limit = prop_oneof![3 => Just(AtLimit::Cheapest), 1 => Just(AtLimit::Refuse)];
    (1_000..20_000_u32, period, at_limit).prop_map(|(nano, period, at)| limit(nano, period, at))
}

/// What one query of these three arms can cost: 100, 1,500, or what its tokens cost.
const MOST: [i128; 3] = [100, 1_500, 4_000];
/// In nanodollars per token, for the third arm.
const PRICES: (i128, i128) = (2, 5);

fn reservation(arm: usize, tokens: Option<(u32, u32)>) -> i128 {
    match tokens {
        Some((input, output)) if arm == 2 => {
            PRICES.0 * i128::from(input) + PRICES.1 * i128::from(output)
        }
        _ => MOST[arm],
    }
}

fn three_arms() -> [ArmSpec; 3] {
    let [a, b, mut c] = MOST.map(arm_up_to);
    c.settings.prices = Some(Prices { input: 2e-3, cached_input: 1e-3, output: 5e-3 });
    c.prior.cost = None;
    [a, b, c]
}

/// One query, judged by the ledger; a refusal's time is taken at its word.
fn route(
    router: &mut Router,
    ledger: &mut Ledger,
    now: Ticks,
    only: Option<usize>,
    tokens: Option<(u32, u32)>,
) {
    let allowed = only.map(|arm| Cow::Owned(vec![ArmIndex::try_from(arm).unwrap()]));
    let counts = tokens.map(|(input, output)| (f64::from(input), f64::from(output)));
    let query = Query { allowed, tokens: counts, ..Query::at(seconds(now)) };
    let arms: Vec<usize> = (0..3).filter(|&arm| only.is_none_or(|only| only == arm)).collect();
    let needs = |arm| reservation(arm, tokens);
    let is_refused = arms
        .iter()
        .any(|&arm| needs(arm) > 0 && !ledger.fits(needs(arm), now, Some(AtLimit::Refuse)));
    let fitting: Vec<usize> = arms
        .iter()
        .copied()
        .filter(|&arm| needs(arm) == 0 || ledger.fits(needs(arm), now, None))
        .collect();
    match router.route(&query) {
        Ok(decision) => {
            assert!(
                !is_refused && fitting.contains(&decision.arm.index()),
                "{decision:?} of {fitting:?}"
            );
            let entry = Entry {
                made: now,
                reservation: needs(decision.arm.index()),
                expected: router.learner().expected_cost(decision.arm),
                bill: None,
                has_failed: false,
                is_estimate: false,
            };
            ledger.entries.push(entry);
        }
        Err(Error::AtHardLimit { retry_after, .. }) => {
            assert!(is_refused || fitting.is_empty(), "refused, though {fitting:?} fit");
            let Some(seconds) = retry_after else { return };
            let mut later = router.clone();
            let earlier = later.route(&Query { now: query.now + 0.999 * seconds, ..query.clone() });
            assert!(is_refused || earlier.is_err());
            later.route(&Query { now: query.now + seconds, ..query }).unwrap();
        }
        Err(error) => panic!("{error}"),
    }
}

/// One bill; what is refused has been billed, or has been evicted.
fn settle(router: &mut Router, ledger: &mut Ledger, now: Ticks, id: usize, share: u8) {
    let entry = &mut ledger.entries[id];
    let nano = entry.reservation * i128::from(share) / 255;
    match router.observe(seconds(now), &bill(id as u64, nano)) {
        Ok(()) => {
            let before = entry.bill.replace(nano);
            assert_eq!(before.is_some(), entry.is_estimate);
            ledger.above_estimate += before.map_or(0, |before| (nano - before).max(0));
            entry.is_estimate = false;
        }
        Err(Error::AlreadyObserved { .. }) => assert!(entry.bill.is_some() && !entry.is_estimate),
        Err(Error::ExpiredDecision { .. }) => assert!(id + 16 < ledger.entries.len()),
        Err(error) => panic!("{error}"),
    }
}

fn fail(
    router: &mut Router,
    ledger: &mut Ledger,
    now: Ticks,
    id: usize,
    reason: usize,
    share: Option<u8>,
) {
    let entry = &mut ledger.entries[id];
    let cost = share.map(|share| entry.reservation * i128::from(share) / 255);
    let why = FailureReason::NAMES[reason].1;
    let result = router.fail(seconds(now), id as u64, why, cost.map(usd), None);
    if result.is_err() {
        return;
    }
    assert!(!entry.has_failed);
    entry.has_failed = true;
    #[allow(clippy::cast_possible_truncation)]
    let expected = (entry.expected * 1e9).ceil() as i128;
    let charge = match (cost, reason) {
        (Some(cost), _) => Some(cost),
        (None, 0) => Some(expected.min(entry.reservation)),
        (None, 2) => None,
        (None, _) => Some(0),
    };
    ledger.assumed += i128::from(cost.is_none() && reason == 0);
    entry.is_estimate |= entry.bill.is_none() && cost.is_none() && charge.is_some();
    entry.bill = entry.bill.or(charge);
}

proptest! {
    #![proptest_config(settings(600))]

    /// Whatever happens, and whenever: the bills of the decisions made in a window never exceed its
    /// limit, and what is committed is those bills and what is still reserved, to the nanodollar.
    #[test]
    fn no_window_ever_exceeds_its_limit(
        limits in prop::collection::vec(hard_limit(), 1..4),
        events in prop::collection::vec(event(), 1..150),
        start in prop_oneof![Just(0), 0..60 * 365 * DAY],
    ) {
        let mut router = router(&limits, &three_arms());
        #[allow(clippy::cast_possible_truncation)]
        let whole = |limit: &HardLimit| (limit.usd * 1e9).round() as i128;
        let limits = limits.iter().map(|limit| (*limit, whole(limit))).collect();
        let mut ledger = Ledger { limits, entries: Vec::new(), assumed: 0, above_estimate: 0 };
        let mut now = start;
        for event in events {
            let made = ledger.entries.len();
            match event {
                Event::Route { only, tokens } => route(&mut router, &mut ledger, now, only, tokens),
                Event::Wait(ticks) => now += ticks,
                Event::WaitFor(period, early) => {
                    let period = [Period::Hour, Period::Day, Period::Month][period];
                    now = (window(period, now).1 - Ticks::from(early)).max(now);
                }
                _ if made == 0 => {}
                Event::Bill(index, share) => {
                    settle(&mut router, &mut ledger, now, index.index(made), share);
                }
                Event::Fail(index, reason, share) => {
                    fail(&mut router, &mut ledger, now, index.index(made), reason, share);
                }
            }
            // The router has not been told the time of a mere wait.
            router.observe_all(seconds(now), &[]).unwrap();
            ledger.check(&router, now);
        }
        prop_assert_eq!(router.counters().above_reservation, 0);
        // Whatever can still be billed is billed: then nothing is left but bills, and what was
        // reserved for decisions that were evicted.
        for id in 0..ledger.entries.len() {
            settle(&mut router, &mut ledger, now, id, 200);
        }
        ledger.check(&router, now);
    }
}

// ---- one thing at a time ----------------------------------------------------------------------

/// What a router's only limit has committed, in nanodollars.
fn committed(router: &Router) -> f64 {
    (router.limits().next().unwrap().committed * 1e9).round()
}

#[test]
fn a_window_begins_exactly_at_its_boundary() {
    // The leap day of 2024, and the year's last second.
    for (period, ends) in [
        (Period::Hour, 1_709_168_400.0),
        (Period::Day, 1_709_164_800.0),
        (Period::Month, 1_709_251_200.0),
        (Period::Month, 1_735_689_600.0),
    ] {
        let mut router = router(&[limit(100, period, AtLimit::Cheapest)], &[arm_up_to(100)]);
        router.route(&Query::at(ends - 1.0)).unwrap();
        for now in [ends - 0.5, f64::next_down(ends)] {
            let refused = router.route(&Query::at(now)).unwrap_err();
            let retry_after = Some(ends - now);
            let expected = Error::AtHardLimit { usd: 1e-7, period: period.as_str(), retry_after };
            assert_eq!(refused, expected);
        }
        assert_eq!(router.limits().next().unwrap().ends, ends);
        assert_eq!(router.counters().refused_hard_limit, 2);
        router.route(&Query::at(ends)).unwrap();
        // The first window's bill changes nothing any more.
        router.observe(ends, &bill(0, 40)).unwrap();
        assert_eq!(committed(&router), 100.0);
        router.observe(ends, &bill(1, 40)).unwrap();
        assert_eq!(committed(&router), 40.0);
    }
}

#[test]
fn bills_above_their_reservation_are_counted_and_held_against_the_window() {
    let total = limit(1_000, Period::Total, AtLimit::Cheapest);
    let mut router = router(&[total], &[arm_up_to(100), arm_up_to(0)]);
    let only =
        |arm: u32| Query { allowed: Some(Cow::Owned(vec![ArmIndex(arm)])), ..Query::at(1e9) };
    let id = router.route(&only(0)).unwrap().id;
    router.observe(1e9, &bill(id, 5_000)).unwrap();
    assert_eq!(router.counters().above_reservation, 1);
    assert_eq!(committed(&router), 5_000.0);
    let refused = router.route(&only(0)).unwrap_err();
    let expected = Error::AtHardLimit { usd: 1e-6, period: "total", retry_after: None };
    assert_eq!(refused, expected);
    // What costs nothing breaks no limit, not even one that is broken already.
    assert_eq!(router.route(&Query::at(1e9)).unwrap().arm, ArmIndex(1));
}

/// A limit that refuses does so as soon as it would have to change the mixture, also where another
/// limit with less room would go on with the cheapest.
#[test]
fn refusing_is_not_outvoted_by_a_limit_with_less_room() {
    let cheapest = limit(150, Period::Hour, AtLimit::Cheapest);
    let refuse = limit(190, Period::Day, AtLimit::Refuse);
    let arms = [arm_up_to(10), arm_up_to(100)];
    let only =
        |arm: u32| Query { allowed: Some(Cow::Owned(vec![ArmIndex(arm)])), ..Query::at(60.0) };
    let mut lenient = router(&[cheapest], &arms);
    lenient.route(&only(1)).unwrap();
    for _ in 0..5 {
        assert_eq!(lenient.route(&Query::at(60.0)).unwrap().arm, ArmIndex(0));
    }
    for limits in [[cheapest, refuse], [refuse, cheapest]] {
        let mut strict = router(&limits, &arms);
        strict.route(&only(1)).unwrap();
        let refused = strict.route(&Query::at(60.0)).unwrap_err();
        let retry_after = Some(86_400.0 - 60.0);
        let expected = Error::AtHardLimit { usd: 190e-9, period: "day", retry_after };
        assert_eq!(refused, expected);
        // A query that leaves the expensive arm out has its mixture from elsewhere.
        assert_eq!(strict.route(&only(0)).unwrap().arm, ArmIndex(0));
        strict.observe(60.0, &bill(0, 20)).unwrap();
        strict.route(&Query::at(60.0)).unwrap();
    }
}

#[test]
fn start_costs_count_for_the_window_they_fall_into() {
    let day = 86_400.0;
    for period in [Period::Hour, Period::Day, Period::Week, Period::Month, Period::Total] {
        let mut router = Router::new(config(&[limit(1_000, period, AtLimit::Cheapest)])).unwrap();
        router.add_arm(&arm_up_to(400)).unwrap();
        // Before the first query the router does not know the time.
        router.publish(&[ArmIndex(0)], StartCost { usd: usd(500), queries: 1000.0 }).unwrap();
        assert_eq!(committed(&router), 500.0);
        router.route(&Query::at(20_000.0 * day)).unwrap();
        assert_eq!(committed(&router), 900.0, "{period:?}");
        assert!(router.route(&Query::at(20_000.0 * day)).is_err());
        router.observe(20_000.0 * day, &bill(0, 0)).unwrap();
        // What does not fit is not started.
        let above = StartCost { usd: usd(501), queries: 1000.0 };
        let error = router.publish(&[ArmIndex(0)], above).unwrap_err();
        assert!(matches!(error, Error::StartAboveLimit { .. }), "{error}");
        assert_eq!((committed(&router), router.start_room()), (500.0, usd(500)));
        // Nor does it know how late it is when some time has gone by without one.
        router.publish(&[ArmIndex(0)], StartCost { usd: usd(500), queries: 1000.0 }).unwrap();
        assert_eq!(committed(&router), 1_000.0);
        let total = if period == Period::Total { 1_000.0 } else { 500.0 };
        assert_eq!(router.route(&Query::at(20_040.0 * day)).is_ok(), total < 1_000.0);
        let reserved = if total < 1_000.0 { 400.0 } else { 0.0 };
        assert_eq!(committed(&router), total + reserved);
        // It counts once: the window after that one is free.
        let later = router.route(&Query::at(20_080.0 * day));
        assert_eq!(later.is_ok(), period != Period::Total);
        assert_eq!(committed(&router), if period == Period::Total { 1_000.0 } else { 400.0 });
    }
}

/// Input that is read from a cache may be more expensive: the reservation does not rely on it being cheaper.
#[test]
fn tokens_are_reserved_at_their_dearest() {
    let prices = Prices { input: 1.0, cached_input: 4.0, output: 2.0 };
    let mut spec = arm_up_to(10_000_000);
    spec.settings.prices = Some(prices);
    spec.prior.cost = None;
    let mut router = router(&[limit(4_000_000, Period::Total, AtLimit::Cheapest)], &[spec]);
    let query = |input: f64| Query { tokens: Some((input, 10.0)), ..Query::at(1.0) };
    assert!(router.route(&query(996.0)).is_err());
    let id = router.route(&query(995.0)).unwrap().id;
    assert_eq!(committed(&router), 4_000_000.0);
    let tokens = Some(Tokens { input: 995.0, cached: 995.0, output: 10.0 });
    router.observe(1.0, &Observation { id, tokens, ..Observation::default() }).unwrap();
    assert_eq!((committed(&router), router.counters().above_reservation), (4_000_000.0, 0));
}

/// What is assumed of a query that timed out is no more than it could have cost.
#[test]
fn an_assumed_bill_stays_within_its_reservation() {
    let mut router = router(&[limit(1_000, Period::Total, AtLimit::Cheapest)], &[arm_up_to(100)]);
    for _ in 0..10 {
        let id = router.route(&Query::at(1.0)).unwrap().id;
        assert!(router.learner().expected_cost(ArmIndex(0)) > 200e-9);
        router.fail(1.0, id, FailureReason::Timeout, None, None).unwrap();
    }
    assert_eq!((committed(&router), router.counters().above_reservation), (1_000.0, 0));
    assert!(
        (router.ledger().billed - 1e-6).abs() < 1e-18 && router.ledger().in_flight.abs() < 1e-18
    );
}

#[test]
fn a_limit_is_rounded_down_and_a_bill_up() {
    let half = HardLimit { usd: 99.9e-9, period: Period::Total, at_limit: AtLimit::Cheapest };
    assert!(router(&[half], &[arm_up_to(100)]).route(&Query::at(1.0)).is_err());
    let mut fitting = router(&[half], &[arm_up_to(99)]);
    fitting.route(&Query::at(1.0)).unwrap();
    let observation = Observation { id: 0, cost: Some(98.2e-9), ..Observation::default() };
    fitting.observe(1.0, &observation).unwrap();
    assert_eq!(committed(&fitting), 99.0);
}

#[test]
fn absurd_numbers_of_tokens_fit_nowhere() {
    let mut router = router(&[limit(u32::MAX, Period::Total, AtLimit::Cheapest)], &three_arms());
    for tokens in [(f64::MAX, f64::MAX), (0.0, 1e300), (1e18, 0.0)] {
        let allowed = Some(Cow::Owned(vec![ArmIndex(2)]));
        let query = Query { tokens: Some(tokens), allowed, ..Query::at(1.0) };
        assert!(matches!(router.route(&query), Err(Error::AtHardLimit { .. })));
    }
    let nothing = Query { tokens: Some((0.0, 0.0)), ..Query::at(1.0) };
    router.route(&nothing).unwrap();
}

#[test]
fn limits_are_checked_by_name() {
    for (usd, shown) in [(0.0, "0"), (-1.0, "-1"), (2e9, "2000000000"), (f64::NAN, "NaN")] {
        let bad = HardLimit { usd, period: Period::Day, at_limit: AtLimit::Refuse };
        let message =
            format!("usd = {shown}: a hard limit must be above 0 and at most 1e9, in USD");
        assert_eq!(Router::new(config(&[bad])).unwrap_err().to_string(), message);
    }
    let mut router = Router::new(config(&[limit(1, Period::Day, AtLimit::Refuse)])).unwrap();
    let message = "max_cost = NaN: must be given where there are hard limits: they have to foresee \
                   the worst";
    assert_eq!(router.add_arm(&ArmSpec::default()).unwrap_err().to_string(), message);
}
