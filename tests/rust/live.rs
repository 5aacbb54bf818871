//! A router in service without Python: names, clock, journal, and the stage that is due.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use stageroute_core::deployment::{BranchAndBound, DeploymentProblem, solve_deployment};
use stageroute_core::lp::Problem;
use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, Confidence, ConfidenceFamily, Error as Refused, FailureReason,
    HardLimit, Observation, Period, Prior, Router, RouterConfig, Sampler, StartCost,
};
use stageroute_journal::{Error as JournalFault, Position, Tail, records};
use stageroute_live::{
    Clock, Error, Feedback, Live, Manual, Routed, SharedRouter, System, Timeline, Wishes,
};

const IDENTITY: [u8; 16] = *b"a live router...";
const NAMES: [&str; 3] = ["small", "middle", "large"];

fn config() -> RouterConfig {
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    let at_limit = stageroute_core::AtLimit::Cheapest;
    RouterConfig {
        stage_queries: Some(50),
        max_age: Some(60.0),
        hard_limits: vec![HardLimit { usd: 5.0, period: Period::Hour, at_limit }],
        ..RouterConfig::new(2e-3, confidence, 5)
    }
}

fn spec() -> ArmSpec {
    let settings =
        ArmSettings { throughput_cap: 0.6, max_cost: Some(0.01), ..ArmSettings::default() };
    ArmSpec { settings, prior: Prior::default() }
}

/// A router with three live models.
fn shared<C: Clock>(clock: C) -> SharedRouter<C> {
    let router = SharedRouter::new(Router::new(config()).unwrap(), clock);
    for name in NAMES {
        router.add_model(name, &spec(), name.as_bytes()).unwrap();
    }
    router.publish(&NAMES, StartCost::NONE, b"").unwrap();
    router
}

/// Everything a gateway does, from one seed.
fn drive(router: &SharedRouter<Arc<Manual>>, clock: &Manual, from: f64) -> Vec<Routed> {
    let (mut chance, mut routed) = (Sampler::new(9), Vec::new());
    for step in 0..200 {
        clock.set(from + f64::from(step));
        let allowed = ["large", "small"];
        let is_choosy = chance.unit() < 0.2;
        let wishes = Wishes { allowed: is_choosy.then_some(&allowed[..]), ..Wishes::default() };
        let Ok(answer) = router.route(&wishes) else { continue };
        let id = answer.decision.id;
        let cost = Some(4e-3 * chance.unit());
        match step % 10 {
            0 => router.fail(id, FailureReason::Timeout, None, None).unwrap(),
            1 => router.release(id).unwrap(),
            2 => {
                let observation = Observation { id, reward: Some(1.0), cost, tokens: None };
                router.observe_many(&[observation], true).unwrap();
            }
            _ => router.observe(id, Feedback { reward: Some(0.5), cost, tokens: None }).unwrap(),
        }
        if step % 60 == 59 {
            router.publish(&NAMES[1..], StartCost::NONE, b"").unwrap();
        }
        routed.push(answer);
    }
    router
        .set_model("large", ArmSettings { max_cost: Some(0.02), ..spec().settings }, b"")
        .unwrap();
    router.set_budget(3e-3, false, b"").unwrap();
    router.retire_model("middle").unwrap();
    router.extend_stage(b"").unwrap();
    routed
}

fn bytes<C: Clock>(router: &SharedRouter<C>) -> Vec<u8> {
    router.lock().unwrap().snapshot().unwrap().1
}

fn tail_in(folder: &Path) -> Tail {
    Tail::create(&folder.join("tail"), 1 << 16, IDENTITY, Position::START).unwrap()
}

/// What was journaled is what was done: the same records make the same router, bit by bit.
#[test]
fn a_journal_makes_the_same_router() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Manual::at(1e9));
    let router = SharedRouter::new(Router::new(config()).unwrap(), Arc::clone(&clock));
    router.lock().unwrap().attach_journal(Arc::new(Mutex::new(tail_in(folder.path()))));
    for name in NAMES {
        router.add_model(name, &spec(), name.as_bytes()).unwrap();
    }
    router.publish(&NAMES, StartCost::NONE, b"").unwrap();
    let routed = drive(&router, &clock, 1e9);
    assert!(routed.len() > 150);
    let (head, state) = router.lock().unwrap().snapshot().unwrap();

    let (_, found) = Tail::open(&folder.path().join("tail"), IDENTITY, Position::START).unwrap();
    let mut again: Live = Live::new(Router::new(config()).unwrap());
    let mut count = 0;
    for record in records::iter(&found.records) {
        let note = again.repeat(record.unwrap()).unwrap();
        if let Some(name) = note.filter(|note| !note.is_empty()) {
            let name = std::str::from_utf8(name).unwrap();
            again.name_arms([(name, Arc::from(name))]).unwrap();
        }
        count += 1;
    }
    assert_eq!(head.unwrap().seq, count + 1);
    assert!(again.snapshot().unwrap() == (None, state));
    assert_eq!(again.names().find("large").unwrap(), ArmIndex(2));
    assert_eq!(&**again.names().label(ArmIndex(1)), "middle");
}

/// A call that the journal refuses is not done.
#[test]
fn a_call_that_is_not_journaled_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let tail = Arc::new(Mutex::new(tail_in(folder.path())));
    let router = shared(Manual::at(1e9));
    router.lock().unwrap().attach_journal(Arc::clone(&tail));
    assert!(router.lock().unwrap().unjournaled().is_none());
    let id = router.route(&Wishes::default()).unwrap().decision.id;
    tail.lock().unwrap().close();
    let before = bytes(&router);
    let feedback = Feedback { reward: Some(1.0), ..Feedback::default() };
    let refused = [
        router.route(&Wishes::default()).map(drop),
        router.observe(id, feedback),
        router.fail(id, FailureReason::Error, None, None),
        router.add_model("new", &spec(), b""),
        router.retire_model("small"),
        router.publish(&NAMES, StartCost::NONE, b""),
    ];
    for error in refused {
        assert!(matches!(error, Err(Error::Journal(JournalFault::Closed))), "{error:?}");
    }
    assert!(bytes(&router) == before);
    assert!(router.lock().unwrap().names().get("new").is_none());
}

#[test]
fn names_are_unique_and_known() {
    let router = shared(System);
    let before = bytes(&router);
    let told = |error: Result<(), Error>| error.unwrap_err().to_string();
    let unknown = "name = 'tiny': no such model; this router knows small, middle, large";
    assert_eq!(told(router.retire_model("tiny")), unknown);
    assert_eq!(told(router.publish(&["small", "tiny"], StartCost::NONE, b"")), unknown);
    let wishes = Wishes { allowed: Some(&["tiny"]), ..Wishes::default() };
    assert_eq!(told(router.route(&wishes).map(drop)), unknown);
    let taken = "name = 'small': this router has a model of that name already";
    assert_eq!(told(router.add_model("small", &spec(), b"")), taken);
    assert!(bytes(&router) == before);
    let mut live: Live = Live::new(Router::from_bytes(&before).unwrap());
    let name = |name: &'static str| (name, Arc::from(name));
    let wrong = "the snapshot does not hold a router: 2 names for 3 arms";
    assert_eq!(told(live.name_arms([name("a"), name("b")])), wrong);
    live.name_arms([name("c")]).unwrap();
}

/// One that waits is told once, whether it waits before or after the stage is found over.
#[test]
fn the_end_of_a_stage_is_told_once() {
    let router = shared(System);
    let brief = Duration::from_millis(1);
    for _ in 0..50 {
        assert!(!router.wait_until_due(Duration::ZERO));
        router.route(&Wishes::default()).unwrap();
    }
    assert!(!router.wait_until_due(brief), "nothing has found the stage over yet");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| router.wait_until_due(Duration::from_secs(60)));
        router.route(&Wishes::default()).unwrap();
        assert!(waiting.join().unwrap());
    });
    router.route(&Wishes::default()).unwrap();
    assert!(!router.wait_until_due(brief), "told twice");
    // A boundary that fails is asked for again.
    router.publish(&["small", "small"], StartCost::NONE, b"").unwrap_err();
    router.route(&Wishes::default()).unwrap();
    assert!(router.wait_until_due(brief));
    router.publish(&NAMES, StartCost::NONE, b"").unwrap();
    router.route(&Wishes::default()).unwrap();
    assert!(!router.wait_until_due(brief));
}

/// The live set of the next stage, by names: what a gateway's own thread decides.
fn deploy<C: Clock>(router: &SharedRouter<C>, max_deployed: usize) -> Vec<Arc<str>> {
    let live = router.lock().unwrap();
    let (core, mut bounds) = (live.router(), Vec::new());
    core.next_bounds(&mut bounds);
    let arms: Vec<ArmIndex> = core.candidates(0.0).collect();
    let column = |get: &dyn Fn(ArmIndex) -> f64| arms.iter().map(|&arm| get(arm)).collect();
    let reward: Vec<f64> = column(&|arm| bounds[arm].reward_ucb);
    let cost: Vec<f64> = column(&|arm| bounds[arm].cost_lcb);
    let cap: Vec<f64> = column(&|arm| core.planned_share(arm));
    let mixture = Problem { reward: &reward, cost: &cost, cap: &cap, budget: core.budget() };
    let problem = DeploymentProblem::plain(mixture, max_deployed);
    let mut should_stop = || false;
    let mut solver = BranchAndBound::new(&mut should_stop);
    let found = solve_deployment(&problem, 0.0, &mut solver).unwrap();
    let deployed = found.unwrap().deployed;
    deployed.into_iter().map(|slot| Arc::clone(live.names().label(arms[slot]))).collect()
}

/// All that a gateway needs, and no Python: it routes, learns, and deploys when a stage is over.
#[test]
fn a_gateway_serves_and_deploys() {
    let router = shared(System);
    let mut world = Sampler::new(4);
    let quality = |model: &str| if model == "large" { 0.9 } else { 0.3 };
    for _ in 0..450 {
        let Routed { decision, model } = router.route(&Wishes::default()).unwrap();
        let reward = Some(f64::from(u8::from(world.unit() < quality(&model))));
        router.observe(decision.id, Feedback { reward, cost: Some(1e-3), tokens: None }).unwrap();
        if router.wait_until_due(Duration::ZERO) {
            let models = deploy(&router, 2);
            let names: Vec<&str> = models.iter().map(|name| &**name).collect();
            router.publish(&names, StartCost::NONE, b"").unwrap();
        }
    }
    let live = router.lock().unwrap();
    let set = live.router().live();
    assert_eq!((set.stage(), set.arms().len()), (9, 2));
    assert!(set.arms().contains(&live.names().find("large").unwrap()));
}

#[test]
fn a_lost_slot_makes_the_stage_due() {
    let config = RouterConfig { redeploys_lost_slots: true, ..config() };
    let router = SharedRouter::new(Router::new(config).unwrap(), System);
    for name in NAMES {
        router.add_model(name, &spec(), b"").unwrap();
    }
    router.publish(&NAMES, StartCost::NONE, b"").unwrap();
    router.retire_model("small").unwrap();
    assert!(router.wait_until_due(Duration::ZERO));
}

/// The time is the clock's: what is too old for one clock is not for another.
#[test]
fn the_clock_is_what_it_is_told_to_be() {
    let clock = Arc::new(Manual::at(1e9));
    let router = shared(Arc::clone(&clock));
    let id = router.route(&Wishes::default()).unwrap().decision.id;
    clock.set(1e9 + 61.0);
    let late = router.observe(id, Feedback { reward: Some(1.0), ..Feedback::default() });
    assert!(matches!(late, Err(Error::Refused(Refused::ExpiredDecision { .. }))), "{late:?}");
    let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let now = Timeline::from(0.0).read(System.moment(), 0.0).now;
    assert!((before..before + 60.0).contains(&now));
}

/// Threads share one router, and no decision is lost or made twice.
#[test]
fn threads_share_a_router() {
    let router = shared(System);
    let ids: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let route = |_| {
                        let id = router.route(&Wishes::default()).unwrap().decision.id;
                        let cost = Some(1e-3);
                        let feedback = Feedback { reward: Some(1.0), cost, tokens: None };
                        router.observe(id, feedback).unwrap();
                        id
                    };
                    (0..500).map(route).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut sorted = ids;
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..2000));
    let live = router.lock().unwrap();
    assert_eq!((live.router().counters().rewards, live.router().ledger().queries), (2000, 2000));
}

/// The way of a query through names, clock and journal allocates nothing.
#[test]
fn calls_allocate_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let router = shared(System);
    router.lock().unwrap().attach_journal(Arc::new(Mutex::new(tail_in(folder.path()))));
    let step = || {
        let id = router.route(&Wishes::default()).unwrap().decision.id;
        let feedback = Feedback { reward: Some(1.0), cost: Some(1e-3), tokens: None };
        router.observe(id, feedback).unwrap();
    };
    // The first record makes room for those that follow.
    (0..20).for_each(|_| step());
    let count = allocation_counter::measure(|| (0..10).for_each(|_| step()));
    assert_eq!(count.count_total, 0);
}
