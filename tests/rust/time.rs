//! Clocks that jump: what is measured goes on, what follows the calendar follows it, and no money is
//! lost or free.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use stageroute_core::{
    ArmSettings, ArmSpec, AtLimit, Confidence, ConfidenceFamily, HardLimit, Period, Prior, Router,
    RouterConfig, Sampler, StartCost, TrafficLimits,
};
use stageroute_journal::{Position, Tail, records};
use stageroute_live::{Feedback, Live, Manual, Moment, Reading, SharedRouter, Timeline, Wishes};

const NOON: f64 = 1_800_014_400.0;
const DAY: f64 = 86_400.0;

fn config(usd_per_day: f64) -> RouterConfig {
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    let limit = HardLimit { usd: usd_per_day, period: Period::Day, at_limit: AtLimit::Cheapest };
    RouterConfig { hard_limits: vec![limit], ..RouterConfig::new(1.0, confidence, 5) }
}

fn spec(requests_per_minute: Option<f64>) -> ArmSpec {
    let limits = TrafficLimits { requests_per_minute, ..TrafficLimits::default() };
    let settings = ArmSettings { max_cost: Some(1.0), limits, ..ArmSettings::default() };
    ArmSpec { settings, prior: Prior::default() }
}

fn shared(config: RouterConfig, spec: &ArmSpec) -> (SharedRouter<Arc<Manual>>, Arc<Manual>) {
    let clock = Arc::new(Manual::at(NOON));
    let router = SharedRouter::new(Router::new(config).unwrap(), Arc::clone(&clock));
    router.add_model("a", spec, b"").unwrap();
    router.publish(&["a"], StartCost::NONE, b"").unwrap();
    (router, clock)
}

/// Serves a query, if one may be served, for 1 USD.
fn serve(router: &SharedRouter<Arc<Manual>>) -> Option<u64> {
    let id = router.route(&Wishes::default()).ok()?.decision.id;
    router.observe(id, Feedback { cost: Some(1.0), ..Feedback::default() }).unwrap();
    Some(id)
}

fn committed(router: &SharedRouter<Arc<Manual>>) -> f64 {
    router.lock().unwrap().router().limits().next().unwrap().committed
}

#[test]
fn time_never_runs_backwards_and_jumps_are_told() {
    let mut time = Timeline::from(0.0);
    let mut at = |wall, offset| time.read(Moment::At(wall, None), offset);
    assert_eq!(at(NOON, 0.0), Reading { now: NOON, jump: None });
    assert_eq!(at(NOON + 5.0, 0.0), Reading { now: NOON + 5.0, jump: None });
    // Threads look at a clock in another order than they come in: that is no jump.
    assert_eq!(at(NOON + 4.5, 0.0), Reading { now: NOON + 5.0, jump: None });
    let back = at(NOON - 295.0, 0.0);
    assert_eq!(back, Reading { now: NOON + 5.0, jump: Some(-300.0) });
    // Told until it is taken.
    assert_eq!(at(NOON - 295.0, 0.0), back);
    assert_eq!(at(NOON - 294.0, -300.0), Reading { now: NOON + 6.0, jump: None });
    // A thread that read the clock before it was put forward, and comes in after one that read it then.
    let taken = time.counter().load(Ordering::Relaxed);
    let mut at = |wall, after| time.read(Moment::At(wall, Some(after)), -300.0);
    assert_eq!(at(NOON, taken).now, NOON + 300.0);
    assert_eq!(at(NOON - 200.0, taken), Reading { now: NOON + 300.0, jump: None });
    assert!(at(NOON - 200.0, taken + 2).jump.is_some());
}

/// A clock of one's own that says what has passed: the wall may jump both ways.
#[test]
fn a_pair_of_clocks_tells_what_has_passed() {
    let mut time = Timeline::from(0.0);
    let mut at = |wall, steady, offset| time.read(Moment::Both { wall, steady }, offset);
    assert_eq!(at(NOON, 7.0, 0.0), Reading { now: NOON, jump: None });
    assert_eq!(at(NOON + 5.0, 12.0, 0.0), Reading { now: NOON + 5.0, jump: None });
    assert_eq!(at(NOON + DAY, 13.0, 0.0), Reading { now: NOON + 6.0, jump: Some(DAY - 6.0) });
    assert_eq!(at(NOON + DAY + 1.0, 14.0, DAY - 6.0), Reading { now: NOON + 7.0, jump: None });
    assert_eq!(at(NOON - 300.0, 15.0, DAY - 6.0).jump, Some(-308.0));
    // A steady clock that goes back: no time has passed.
    assert_eq!(at(NOON - 300.0, 0.0, -308.0).now, NOON + 8.0);
    assert!(at(NOON, f64::NAN, -308.0).now.is_nan());
    assert_eq!(at(NOON - 299.0, 1.0, -308.0).now, NOON + 9.0);
    // After a restart the wall says what has passed.
    time.restart(NOON + 9.0);
    assert_eq!(time.read(Moment::Both { wall: NOON + 60.0, steady: 2.0 }, 0.0).now, NOON + 60.0);
}

/// The system's own clocks: steady time is close to the wall's, and a wall that is not where it was is
/// followed.
#[test]
fn the_system_has_a_clock_that_does_not_jump() {
    let mut time = Timeline::from(0.0);
    let first = time.read(Moment::Now, 0.0);
    let second = time.read(Moment::Now, 0.0);
    assert!(second.now >= first.now && second.now < first.now + 60.0);
    assert_eq!((first.jump, second.jump), (None, None));
    // A router whose last time was an hour of tomorrow: the wall is earlier, and no time passes.
    let mut time = Timeline::from(first.now + DAY);
    let Reading { now, jump } = time.read(Moment::Now, 0.0);
    assert_eq!(now, first.now + DAY);
    assert!((jump.unwrap() + DAY).abs() < 60.0, "{jump:?}");
}

/// One reading a day ahead, then right again: the minute goes on.
#[test]
fn a_meter_does_not_wait_for_a_clock_that_was_wrong() {
    for jump in [DAY, 365.0 * DAY, -300.0, -DAY] {
        let (router, clock) = shared(config(1e6), &spec(Some(60.0)));
        serve(&router).unwrap();
        clock.set(NOON + jump);
        let _ = serve(&router);
        let served = (1..=600).filter(|&second| {
            clock.set(NOON + f64::from(second));
            serve(&router).is_some()
        });
        let count = served.count();
        assert!((590..=602).contains(&count), "{jump}: {count}");
        assert!(router.lock().unwrap().router().counters().clock_steps >= 1);
    }
}

/// Whatever the clock says, a day's limit holds for the queries of each day that it said, and what was
/// spent while it was wrong is spent on the right day.
#[test]
fn a_jump_neither_frees_nor_loses_money() {
    let (router, clock) = shared(config(10.0), &spec(None));
    let spend = |at, most: usize| {
        clock.set(at);
        (0..most).map_while(|_| serve(&router)).count()
    };
    assert_eq!(spend(NOON, 4), 4);
    assert_eq!(spend(NOON + DAY, 3), 3);
    assert_eq!(committed(&router), 3.0);
    // Back again: today had 4, and the 3 of the wrong reading were spent today.
    assert_eq!(spend(NOON + 10.0, 20), 3);
    assert_eq!(committed(&router), 10.0);
    // Tomorrow comes: what was booked there stays booked there.
    assert_eq!(spend(NOON + DAY, 20), 7);
    assert_eq!(spend(NOON + 2.0 * DAY, 20), 10);
    // A step back of a few minutes within the day.
    assert_eq!(spend(NOON + 2.0 * DAY - 300.0, 20), 0);
}

/// A clock that two time servers fight over: each day's limit holds all the same.
#[test]
fn no_oscillation_of_the_clock_breaks_a_limit() {
    let mut chance = Sampler::new(3);
    for _ in 0..200 {
        let (router, clock) = shared(config(10.0), &spec(None));
        let mut spent = [0_u32; 4];
        for _ in 0..200 {
            let day = (4.0 * chance.unit()).floor();
            clock.set(NOON + day * DAY + 600.0 * chance.unit());
            let served = serve(&router).is_some();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let place = day as usize;
            spent[place] += u32::from(served);
        }
        assert!(spent.iter().all(|&usd| usd <= 10), "{spent:?}");
        assert!(spent.iter().sum::<u32>() >= 10, "{spent:?}");
    }
}

/// A router that was stopped while its clock was a year ahead goes on the next day.
#[test]
fn a_journal_goes_on_after_a_clock_that_was_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tail");
    let identity = *b"clocks that jump";
    let (router, clock) = shared(config(1e6), &spec(Some(60.0)));
    let tail = Tail::create(&path, 1 << 16, identity, Position::START).unwrap();
    let tail = Arc::new(Mutex::new(tail));
    let (_, state) = router.lock().unwrap().snapshot().unwrap();
    router.lock().unwrap().attach_journal(Arc::clone(&tail));
    serve(&router).unwrap();
    clock.set(NOON + 365.0 * DAY);
    serve(&router).unwrap();
    clock.set(NOON + 1.0);
    serve(&router).unwrap();
    clock.set(NOON + 365.0 * DAY);
    serve(&router).unwrap();
    let before = router.lock().unwrap().router().clone();
    drop(router);
    drop(tail);
    let (_, found) = Tail::open(&path, identity, Position::START).unwrap();
    let mut live: Live = Live::new(Router::from_bytes(&state).unwrap());
    for record in records::iter(&found.records) {
        live.repeat(record.unwrap()).unwrap();
    }
    assert_eq!(live.router().to_bytes().unwrap(), before.to_bytes().unwrap());
    live.name_arms([("a", Arc::from("a"))]).unwrap();
    let served = (1..=600).filter(|&second| {
        let moment = Moment::At(NOON + DAY + f64::from(second), None);
        live.route(moment, &Wishes::default()).is_ok()
    });
    assert!((590..=602).contains(&served.count()));
}
