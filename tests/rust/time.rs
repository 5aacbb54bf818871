//! Clocks that jump: what is measured goes on, what follows the calendar follows it, and no money is
//! lost or free.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use stageroute_core::{
    ArmSettings, ArmSpec, AtLimit, Confidence, ConfidenceFamily, Error, HardLimit, Period, Prior,
    Router, RouterConfig, Sampler, StartCost, TrafficLimits,
};
use stageroute_journal::{Position, Tail, records};
use stageroute_live::{
    Clock, Feedback, Live, Manual, Moment, Reading, SharedRouter, Timeline, Wishes,
};

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

/// A steady clock, and a wall clock.
#[derive(Default)]
struct Pair(Mutex<(f64, f64)>);

impl Clock for Pair {
    fn moment(&self) -> Moment {
        let (steady, wall) = *self.0.lock().unwrap();
        Moment::Both { wall: NOON + wall, steady }
    }
}

/// A router, and what it served, each for 1 USD: when, by a clock that never jumps and by the wall.
struct Served {
    router: SharedRouter<Arc<Pair>>,
    clocks: Arc<Pair>,
    queries: Vec<(f64, f64)>,
    open: Vec<u64>,
}

impl Served {
    fn new(usd_per_day: f64) -> Self {
        let clocks = Arc::new(Pair::default());
        let router = Router::new(config(usd_per_day)).unwrap();
        let router = SharedRouter::new(router, Arc::clone(&clocks));
        router.add_model("a", &spec(None), b"").unwrap();
        router.publish(&["a"], StartCost::NONE, b"").unwrap();
        Self { router, clocks, queries: Vec::new(), open: Vec::new() }
    }

    fn set(&self, steady: f64, wall: f64) {
        *self.clocks.0.lock().unwrap() = (steady, wall);
    }

    /// Decides as many queries as it may, up to `most`; they are billed later.
    fn route(&mut self, steady: f64, wall: f64, most: usize) -> usize {
        self.set(steady, wall);
        let routed = (0..most).map_while(|_| self.router.route(&Wishes::default()).ok());
        let ids: Vec<u64> = routed.map(|routed| routed.decision.id).collect();
        self.queries.extend(ids.iter().map(|_| (steady, wall)));
        self.open.extend(&ids);
        ids.len()
    }

    fn bill(&mut self, steady: f64, wall: f64, usd: f64) {
        self.set(steady, wall);
        for id in self.open.drain(..) {
            self.router.observe(id, Feedback { cost: Some(usd), ..Feedback::default() }).unwrap();
        }
    }

    fn committed(&self) -> f64 {
        self.router.lock().unwrap().router().limits().next().unwrap().committed
    }

    /// The most that was spent on any day of one of the clocks.
    fn worst(&self, clock: impl Fn(&(f64, f64)) -> f64) -> usize {
        let day = |query: &(f64, f64)| ((NOON + clock(query)) / DAY).floor();
        let of = |one: &(f64, f64)| self.queries.iter().filter(|q| day(q) == day(one)).count();
        self.queries.iter().map(of).max().unwrap_or(0)
    }
}

/// A reading ahead, and right again: the day that it was is kept, and nothing is lost of the day that
/// it showed.
#[test]
fn a_clock_that_was_ahead_spends_no_day_twice() {
    let mut served = Served::new(10.0);
    assert_eq!(served.route(0.0, 0.0, 4), 4);
    served.bill(1.0, 1.0, 1.0);
    assert_eq!(served.route(2.0, 2.0, 1), 1);
    // Ahead: by the old reading there is room for 5, and the bill of then counts on its day.
    served.bill(3.0, DAY + 3.0, 0.5);
    assert_eq!(served.route(4.0, DAY + 4.0, 3), 3);
    assert_eq!(served.committed(), 3.0);
    assert_eq!(served.route(5.0, DAY + 5.0, 20), 2, "4.5 before, 5 since");
    served.set(6.0, DAY + 6.0);
    let refusal = served.router.route(&Wishes::default());
    let Err(stageroute_live::Error::Refused(Error::AtHardLimit {
        retry_after: Some(wait), ..
    })) = refusal
    else {
        panic!("{refusal:?}");
    };
    assert!((wait - (DAY / 2.0 - 6.0)).abs() < 1e-3, "{wait}: until the day ends as it was");
    served.bill(7.0, DAY + 7.0, 1.0);
    assert_eq!(served.route(10.0, 10.0, 20), 0);
    assert_eq!(served.committed(), 9.5);
    // Tomorrow comes: what was spent by its reading stays spent.
    assert_eq!(served.route(DAY, DAY, 20), 5);
    assert_eq!(served.route(2.0 * DAY, 2.0 * DAY, 20), 10);
}

/// The clock goes back over many days, and through them once more: what is spent is spent.
#[test]
fn days_that_come_again_are_spent() {
    let mut served = Served::new(10.0);
    for day in 0..12 {
        assert_eq!(served.route(f64::from(day) * DAY, f64::from(day) * DAY, 20), 10);
        served.bill(f64::from(day) * DAY, f64::from(day) * DAY, 1.0);
    }
    for day in 0..12 {
        assert_eq!(served.route(f64::from(12 + day) * DAY, f64::from(day) * DAY, 20), 0, "{day}");
    }
    assert_eq!(served.route(24.0 * DAY, 12.0 * DAY, 20), 10);
}

/// A machine that slept, or a clock that was set right: by the new reading all is there, and the old
/// one binds no longer than its day would have lasted.
#[test]
fn a_clock_that_was_behind_is_followed() {
    let mut served = Served::new(10.0);
    assert_eq!(served.route(0.0, 0.0, 8), 8);
    assert_eq!(served.route(1.0, 3.0 * DAY, 20), 2, "the old day had so much left");
    assert_eq!(served.route(DAY / 2.0, 3.5 * DAY - 1.0, 20), 8);
    assert_eq!(served.worst(|query| query.1), 10);
}

/// A clock that is wrong for a part of some days, by any amount, with bills that come late: no day has
/// more than its limit, neither by the wall nor truly, and little is lost.
#[test]
fn no_jump_breaks_the_limit_of_the_day_that_it_is() {
    let mut chance = Sampler::new(5);
    for _ in 0..300 {
        let mut served = Served::new(10.0);
        let (mut steady, mut error, mut was_wrong) = (0.0, 0.0, false);
        for _ in 0..300 {
            steady += 4_000.0 * chance.unit();
            let of_day = (NOON + steady).rem_euclid(DAY);
            was_wrong &= of_day > 4_000.0;
            if error != 0.0 {
                error = if of_day > DAY - 10_000.0 || chance.unit() < 0.2 { 0.0 } else { error };
            } else if !was_wrong && of_day < DAY - 10_000.0 && chance.unit() < 0.05 {
                error = (((7.0 * chance.unit()).floor() - 3.0) * DAY / 2.0).min(DAY);
                was_wrong = true;
            }
            served.route(steady, steady + error, 2);
            if chance.unit() < 0.3 {
                served.bill(steady, steady + error, 1.0);
            }
        }
        assert!(served.worst(|query| query.0) <= 10, "truly");
        assert!(served.worst(|query| query.1) <= 10, "by the wall");
        let days = (steady / DAY).floor();
        assert!(served.queries.len() as f64 >= 7.0 * days, "{} in {days}", served.queries.len());
    }
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
