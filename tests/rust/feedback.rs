//! Feedback in any order, number and form: what counts, counts once, and adds up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, Batch, Confidence, ConfidenceFamily, Counters, Error,
    FailureReason, Failures, Observation, Prices, Prior, Query, Router, RouterConfig, StartCost,
    Strike, Tokens,
};

const CAPACITY: usize = 8;
const MAX_AGE: f64 = 100.0;

fn config() -> RouterConfig {
    let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    let mut config = RouterConfig {
        open_decisions: CAPACITY,
        max_age: Some(MAX_AGE),
        ..RouterConfig::new(5e-3, confidence, 3)
    };
    let Failures { timeout, rate_limit, refusal, error } = &mut config.failures;
    for effect in [timeout, rate_limit, refusal, error] {
        effect.strike = Strike::None;
    }
    config
}

fn settings(prices: Option<Prices>) -> ArmSettings {
    ArmSettings { throughput_cap: 0.5, prices, ..ArmSettings::default() }
}

fn prices(output: f64) -> Prices {
    Prices { input: 1.0, cached_input: 0.1, output }
}

/// Three arms: one learns USD, two have prices.
fn router(config: RouterConfig) -> Router {
    let mut router = Router::new(config).unwrap();
    for prices in [None, Some(prices(4.0)), Some(prices(8.0))] {
        router.add_arm(&ArmSpec { settings: settings(prices), ..ArmSpec::default() }).unwrap();
    }
    router.publish(&[0, 1, 2].map(ArmIndex), StartCost::NONE).unwrap();
    router
}

// ---- a model of what feedback is to do --------------------------------------------------------

#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)]
struct Made {
    arm: usize,
    at: f64,
    expected: f64,
    /// Those of the time when it was made.
    prices: Option<Prices>,
    has_reward: bool,
    has_cost: bool,
    has_failed: bool,
    is_released: bool,
    /// The bill, once there is one, and whether it was only assumed.
    bill: f64,
    is_estimate: bool,
}

/// Why an observation is not counted.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Refusal {
    Unknown,
    Expired,
    Repeated,
    Unbillable,
}

fn kind(error: &Error) -> Refusal {
    match error {
        Error::UnknownDecision { .. } => Refusal::Unknown,
        Error::ExpiredDecision { .. } => Refusal::Expired,
        Error::AlreadyObserved { .. } => Refusal::Repeated,
        Error::InvalidFeedback(_) => Refusal::Unbillable,
        error => panic!("{error}"),
    }
}

#[derive(Debug, Clone, Default)]
struct Model {
    made: Vec<Made>,
    oldest: usize,
    now: f64,
    billed: f64,
    written_off: f64,
    counters: Counters,
    rewards: [u64; 3],
    costs: [u64; 3],
    prices: [Option<Prices>; 3],
}

impl Model {
    fn new() -> Self {
        Self { prices: [None, Some(prices(4.0)), Some(prices(8.0))], ..Self::default() }
    }

    fn evict(&mut self) {
        let made = self.made[self.oldest];
        if !made.has_cost {
            self.written_off += made.expected;
            self.counters.evicted += 1;
        }
        self.oldest += 1;
    }

    fn evict_aged(&mut self) {
        while self.oldest < self.made.len() && self.now - self.made[self.oldest].at > MAX_AGE {
            self.evict();
        }
    }

    fn open(&mut self, router: &Router, arm: ArmIndex) {
        if self.made.len() - self.oldest == CAPACITY {
            self.evict();
        }
        self.made.push(Made {
            arm: arm.index(),
            at: self.now,
            expected: router.learner().expected_cost(arm),
            prices: self.prices[arm],
            has_reward: false,
            has_cost: false,
            has_failed: false,
            is_released: false,
            bill: 0.0,
            is_estimate: false,
        });
    }

    fn find(&self, id: u64) -> Result<usize, Refusal> {
        let id = usize::try_from(id).unwrap();
        match self.made.get(id) {
            None => Err(Refusal::Unknown),
            Some(made) if id < self.oldest || self.now - made.at > MAX_AGE => Err(Refusal::Expired),
            Some(_) => Ok(id),
        }
    }

    fn admit(&self, observation: &Observation) -> Result<usize, Refusal> {
        let id = self.find(observation.id)?;
        let made = &self.made[id];
        let has_cost = observation.cost.is_some() || observation.tokens.is_some();
        let is_billed = made.has_cost && !made.is_estimate;
        if (observation.reward.is_some() && made.has_reward) || (has_cost && is_billed) {
            return Err(Refusal::Repeated);
        }
        if observation.tokens.is_some() && observation.cost.is_none() && made.prices.is_none() {
            return Err(Refusal::Unbillable);
        }
        Ok(id)
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), Refusal> {
        let id = self.admit(observation)?;
        let made = &mut self.made[id];
        made.is_released = true;
        if observation.reward.is_some() {
            made.has_reward = true;
            self.counters.rewards += 1;
            self.rewards[made.arm] += 1;
        }
        let bill = observation.tokens.and_then(|t| made.prices.map(|p| p.bill(&t)));
        if let Some(bill) = observation.cost.or(bill) {
            self.billed += bill - made.bill;
            made.bill = bill;
            if made.is_estimate {
                made.is_estimate = false;
                self.counters.corrected += 1;
                return Ok(());
            }
            made.has_cost = true;
            self.counters.costs += 1;
            let is_learnt = observation.tokens.is_some() || self.prices[made.arm].is_none();
            self.counters.costs_without_tokens += u64::from(!is_learnt);
            self.costs[made.arm] += u64::from(is_learnt);
        }
        Ok(())
    }

    fn count(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::Unknown => self.counters.unknown += 1,
            Refusal::Expired => self.counters.expired += 1,
            Refusal::Repeated => self.counters.repeated += 1,
            Refusal::Unbillable => {}
        }
    }

    fn fail(&mut self, id: u64, reason: usize, cost: Option<f64>) -> Result<(), Refusal> {
        let id = self.find(id)?;
        let made = &mut self.made[id];
        if made.has_failed || (made.has_reward && made.has_cost) {
            return Err(Refusal::Repeated);
        }
        (made.has_failed, made.is_released) = (true, true);
        self.counters.failures[reason] += 1;
        // A refusal is a reward of 0.
        if reason == 2 && !made.has_reward {
            made.has_reward = true;
            self.counters.rewards += 1;
            self.rewards[made.arm] += 1;
        }
        let charge = [Some(made.expected), Some(0.0), None, Some(0.0)][reason];
        if let Some(bill) = cost.or(charge).filter(|_| !made.has_cost) {
            (made.has_cost, made.bill, made.is_estimate) = (true, bill, cost.is_none());
            self.counters.costs += 1;
            self.billed += bill;
        }
        Ok(())
    }

    fn correct(&mut self, id: u64, cost: f64) -> Result<(), Refusal> {
        let id = self.find(id)?;
        let made = &mut self.made[id];
        if !made.has_cost {
            return Err(Refusal::Unbillable);
        }
        self.billed += cost - made.bill;
        (made.bill, made.is_estimate) = (cost, false);
        self.counters.corrected += 1;
        Ok(())
    }

    fn check(&self, router: &Router) {
        let counters = router.counters();
        let decided = Counters {
            optimal: counters.optimal,
            throttled: counters.throttled,
            budget_infeasible: counters.budget_infeasible,
            ..self.counters
        };
        assert_eq!(counters, decided);
        let ledger = router.ledger();
        let open = self.made[self.oldest..].iter().filter(|made| !made.has_cost);
        let in_flight: f64 = open.clone().map(|made| made.expected).sum();
        assert!((ledger.billed - self.billed).abs() < 1e-12, "{ledger:?} {}", self.billed);
        assert!((ledger.in_flight - in_flight).abs() < 1e-12, "{ledger:?} {in_flight}");
        assert!((ledger.written_off - self.written_off).abs() < 1e-12);
        assert_eq!(ledger.queries, self.made.len() as u64);
        for (arm, stats) in ArmIndex::first(3).zip(router.learner().stats()) {
            assert_eq!(stats.reward.count(), self.rewards[arm]);
            assert_eq!(stats.cost.count(), self.costs[arm]);
            let under_way =
                self.made[self.oldest..].iter().filter(|m| m.arm == arm.index() && !m.is_released);
            assert_eq!(router.arm(arm).under_way, under_way.count() as u64);
        }
    }
}

// ---- any sequence of events -------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Event {
    Route,
    Observe(Observation),
    All(Vec<Observation>),
    Each(Vec<Observation>),
    Fail(u64, usize, Option<f64>),
    Correct(u64, f64),
    Release(u64),
    /// Seconds, whole ones, so that ages meet their limit exactly.
    Wait(u32),
    SetPrice(usize, f64),
}

/// An id, as the number of decisions before the next one.
fn back() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 1..6_u64, 2 => 6..14_u64, 1 => Just(0)]
}

fn observation() -> impl Strategy<Value = Observation> {
    let cost = (0..4_000_u32).prop_map(|micro| f64::from(micro) * 1e-6);
    let tokens = (0..1_000_u32, 0..1_000_u32).prop_map(|(input, output)| Tokens {
        input: f64::from(input),
        cached: f64::from(input / 2),
        output: f64::from(output),
    });
    let reward = prop::option::of((0..=4_u32).prop_map(|quarters| f64::from(quarters) / 4.0));
    (back(), reward, prop::option::weighted(0.4, cost), prop::option::weighted(0.4, tokens))
        .prop_map(|(id, reward, cost, tokens)| Observation { id, reward, cost, tokens })
}

fn event() -> impl Strategy<Value = Event> {
    let cost = prop::option::of((0..4_000_u32).prop_map(|micro| f64::from(micro) * 1e-6));
    let many = || prop::collection::vec(observation(), 0..5);
    prop_oneof![
        10 => Just(Event::Route),
        8 => observation().prop_map(Event::Observe),
        3 => many().prop_map(Event::All),
        3 => many().prop_map(Event::Each),
        3 => (back(), 0..4_usize, cost).prop_map(|(id, why, cost)| Event::Fail(id, why, cost)),
        2 => back().prop_map(Event::Release),
        2 => (back(), 0..4_u32).prop_map(|(id, milli)| Event::Correct(id, f64::from(milli) * 1e-3)),
        2 => prop_oneof![0..30_u32, Just(100)].prop_map(Event::Wait),
        1 => (1..3_usize, 0.0..20.0).prop_map(|(arm, output)| Event::SetPrice(arm, output)),
    ]
}

/// Whether two states are the same but for one count: that of a kind of refusal, which takes as many
/// bytes or one more.
fn differ_by_a_count(router: &Router, other: &Router) -> bool {
    let (a, b) = (router.to_bytes().unwrap(), other.to_bytes().unwrap());
    let differing = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    let is_longer = a.len().abs_diff(b.len()) == 1;
    is_longer || (a.len() == b.len() && differing <= 1)
}

/// All or none; none leaves no trace.
fn observe_all(router: &mut Router, model: &mut Model, observations: &[Observation]) {
    let mut trial = model.clone();
    let expected = observations.iter().enumerate().try_for_each(|(index, observation)| {
        trial.observe(observation).map_err(|refusal| (index, refusal))
    });
    let mut before = router.clone();
    // Feedback that could never count takes no time.
    if !matches!(expected, Err((_, Refusal::Unbillable))) {
        before.observe_all(model.now, &[]).unwrap();
    }
    let result = router.observe_all(model.now, observations);
    assert_eq!(result.map_err(|(index, error)| (index, kind(&error))), expected);
    match expected {
        Ok(()) => *model = trial,
        Err((_, refusal)) => {
            model.count(refusal);
            assert!(differ_by_a_count(router, &before));
        }
    }
}

/// Those that can be counted; none if one of them could never be.
fn observe_each(router: &mut Router, model: &mut Model, observations: &[Observation]) {
    let unbillable = observations.iter().position(|observation| {
        let is_bare = observation.tokens.is_some() && observation.cost.is_none();
        let open = model.find(observation.id).map(|id| model.made[id]);
        let takes_bill = |made: Made| !made.has_cost || made.is_estimate;
        is_bare && open.is_ok_and(|made| made.prices.is_none() && takes_bill(made))
    });
    let result = router.observe_each(model.now, observations);
    if let Some(index) = unbillable {
        let refused = result.map_err(|(index, error)| (index, kind(&error)));
        assert_eq!(refused, Err((index, Refusal::Unbillable)));
        return;
    }
    let mut batch = Batch::default();
    for observation in observations {
        let Err(refusal) = model.observe(observation) else {
            batch.counted += 1;
            continue;
        };
        model.count(refusal);
        match refusal {
            Refusal::Repeated => batch.repeated += 1,
            Refusal::Unknown => batch.unknown += 1,
            _ => batch.expired += 1,
        }
    }
    assert_eq!(result, Ok(batch));
}

fn run(events: Vec<Event>) {
    let (mut router, mut model) = (router(config()), Model::new());
    for event in events {
        let next = model.made.len() as u64;
        let id = |back: u64| if back > next { next } else { next - back };
        let named =
            |observation: Observation| Observation { id: id(observation.id), ..observation };
        let now = model.now;
        match event {
            Event::Route => {
                model.evict_aged();
                let decision = router.route(&Query::at(now)).unwrap();
                assert_eq!(decision.id, next);
                model.open(&router, decision.arm);
            }
            Event::Observe(observation) => {
                let observation = named(observation);
                let result = router.observe(now, &observation);
                let expected = model.observe(&observation);
                assert_eq!(result.map_err(|error| kind(&error)), expected);
                expected.unwrap_or_else(|refusal| model.count(refusal));
            }
            Event::All(observations) => {
                let observations: Vec<_> = observations.into_iter().map(named).collect();
                observe_all(&mut router, &mut model, &observations);
            }
            Event::Each(observations) => {
                let observations: Vec<_> = observations.into_iter().map(named).collect();
                observe_each(&mut router, &mut model, &observations);
            }
            Event::Fail(back, reason, cost) => {
                let why = FailureReason::NAMES[reason].1;
                let result = router.fail(now, id(back), why, cost, None);
                let expected = model.fail(id(back), reason, cost);
                assert_eq!(result.map_err(|error| kind(&error)), expected);
                expected.unwrap_or_else(|refusal| model.count(refusal));
            }
            Event::Correct(back, cost) => {
                let result = router.correct(now, id(back), cost).map_err(|error| kind(&error));
                let expected = model.correct(id(back), cost);
                assert_eq!(result, expected);
                expected.unwrap_or_else(|refusal| model.count(refusal));
            }
            Event::Release(back) => {
                let result = router.release(now, id(back)).map_err(|error| kind(&error));
                let expected = model.find(id(back));
                assert_eq!(result, expected.map(drop));
                match expected {
                    Ok(id) => model.made[id].is_released = true,
                    Err(refusal) => model.count(refusal),
                }
            }
            Event::Wait(seconds) => model.now += f64::from(seconds),
            Event::SetPrice(arm, output) => {
                model.prices[arm] = Some(prices(output));
                router
                    .set_arm(ArmIndex::try_from(arm).unwrap(), settings(model.prices[arm]))
                    .unwrap();
            }
        }
        model.check(&router);
    }
    // All that can be known is told: nothing is left in flight.
    for id in 0..model.made.len() as u64 {
        let _ = router
            .observe(model.now, &Observation { id, cost: Some(0.0), ..Observation::default() });
    }
    for _ in 0..CAPACITY {
        let id = router.route(&Query::at(model.now)).unwrap().id;
        router
            .observe(model.now, &Observation { id, cost: Some(0.0), ..Observation::default() })
            .unwrap();
    }
    assert!(router.ledger().in_flight.abs() < 1e-12, "{:?}", router.ledger());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0xfeed),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_comes_counts_once_and_adds_up(events in prop::collection::vec(event(), 1..120)) {
        run(events);
    }
}

// ---- one thing at a time ----------------------------------------------------------------------

fn tokens_of(id: u64, input: f64, output: f64) -> Observation {
    let tokens = Some(Tokens { input, cached: 0.0, output });
    Observation { id, tokens, ..Observation::default() }
}

/// A router with a single arm.
fn single(prices: Option<Prices>) -> Router {
    let mut router = Router::new(config()).unwrap();
    let settings = ArmSettings { prices, ..ArmSettings::default() };
    router.add_arm(&ArmSpec { settings, ..ArmSpec::default() }).unwrap();
    router.publish(&[ArmIndex(0)], StartCost::NONE).unwrap();
    router
}

fn set_prices(router: &mut Router, prices: Option<Prices>) {
    router.set_arm(ArmIndex(0), ArmSettings { prices, ..ArmSettings::default() }).unwrap();
}

#[test]
fn a_decision_is_billed_at_the_prices_under_which_it_was_made() {
    let mut router = single(Some(prices(4.0)));
    let first = router.route(&Query::default()).unwrap().id;
    set_prices(&mut router, Some(prices(40.0)));
    let second = router.route(&Query::default()).unwrap().id;
    set_prices(&mut router, Some(prices(400.0)));
    router.observe(0.0, &tokens_of(second, 0.0, 1e3)).unwrap();
    assert!((router.ledger().billed - 40e-3).abs() < 1e-15);
    router.observe(0.0, &tokens_of(first, 0.0, 1e3)).unwrap();
    assert!((router.ledger().billed - 44e-3).abs() < 1e-15);
    // What is learnt is usage: it costs what it costs today.
    assert!((router.learner().stats()[0].cost.mean() - 0.4).abs() < 1e-12);
}

/// Prices that come after a decision do not bill it, nor do prices that had gone before it.
#[test]
fn prices_count_while_they_are_there() {
    let mut router = single(None);
    let unpriced = router.route(&Query::default()).unwrap().id;
    set_prices(&mut router, Some(prices(4.0)));
    let priced = router.route(&Query::default()).unwrap().id;
    set_prices(&mut router, None);
    let unpriced_again = router.route(&Query::default()).unwrap().id;
    for id in [unpriced, unpriced_again] {
        let error = router.observe(0.0, &tokens_of(id, 0.0, 1e3)).unwrap_err();
        assert!(matches!(error, Error::InvalidFeedback(_)), "{error}");
    }
    router.observe(0.0, &tokens_of(priced, 0.0, 1e3)).unwrap();
    assert!((router.ledger().billed - 4e-3).abs() < 1e-15);
    let with_cost = Observation { cost: Some(1e-3), ..tokens_of(unpriced, 0.0, 1e3) };
    router.observe(0.0, &with_cost).unwrap();
    assert!((router.ledger().billed - 5e-3).abs() < 1e-15);
}

/// A late bill and a refund reach the sums of money exactly, also through a restart.
#[test]
fn bills_are_replaced_and_corrected() {
    let mut router = single(None);
    let timeout = router.route(&Query::default()).unwrap().id;
    let answer = router.route(&Query::default()).unwrap().id;
    let unbilled = router.route(&Query::default()).unwrap().id;
    router.fail(0.0, timeout, FailureReason::Timeout, None, None).unwrap();
    let full = Observation { id: answer, reward: Some(1.0), cost: Some(0.25), tokens: None };
    router.observe(0.0, &full).unwrap();
    let late = Observation { id: timeout, cost: Some(0.5), ..Observation::default() };
    let mut router = Router::from_bytes(&router.to_bytes().unwrap()).unwrap();
    router.observe(0.0, &late).unwrap();
    assert_eq!(router.ledger().billed, 0.75);
    let again = router.observe(0.0, &late).unwrap_err();
    assert_eq!(again, Error::AlreadyObserved { id: timeout, kind: "cost" });
    router.correct(0.0, answer, 0.0).unwrap();
    router.correct(0.0, timeout, 1.0).unwrap();
    assert_eq!(router.ledger().billed, 1.0);
    let mut router = Router::from_bytes(&router.to_bytes().unwrap()).unwrap();
    router.correct(0.0, answer, 0.125).unwrap();
    assert_eq!(router.ledger().billed, 1.125);
    let error = router.correct(0.0, unbilled, 0.1).unwrap_err();
    let message = "this decision has no bill that could be corrected: observe its cost";
    assert_eq!(error.to_string(), message);
    assert_eq!((router.counters().corrected, router.counters().costs), (4, 2));
    // What a failure or a correction says is not learnt.
    assert_eq!(router.learner().stats()[0].cost.mean(), 0.25);
}

#[test]
fn age_ends_a_decision_just_after_its_limit() {
    let mut router = single(None);
    let at = 1.7e9;
    for _ in 0..3 {
        router.route(&Query::at(at)).unwrap();
    }
    let expected = router.learner().expected_cost(ArmIndex(0));
    let reward = |id| Observation { id, reward: Some(1.0), ..Observation::default() };
    router.observe(at + MAX_AGE, &reward(0)).unwrap();
    let late = (at + MAX_AGE).next_up();
    let error = router.observe(late, &reward(1)).unwrap_err();
    let message = "decision 1 has expired: only the last 8 decisions are kept open, for at most \
                   100 s; raise open_decisions or max_age if feedback is later than that";
    assert_eq!(error.to_string(), message);
    assert!(router.fail(late, 2, FailureReason::Error, None, None).is_err());
    assert!(router.release(late, 2).is_err());
    // They leave the table with the next query, and are written off then.
    assert_eq!((router.counters().evicted, router.arm(ArmIndex(0)).under_way), (0, 2));
    router.route(&Query::at(late)).unwrap();
    assert_eq!((router.counters().evicted, router.arm(ArmIndex(0)).under_way), (3, 1));
    assert!((router.ledger().written_off - 3.0 * expected).abs() < 1e-15);
    assert_eq!(router.counters().expired, 3);
}

/// A refused query makes no decision, and ends none.
#[test]
fn a_refused_query_evicts_nothing() {
    let mut router = single(None);
    for _ in 0..CAPACITY {
        router.route(&Query::at(1.0)).unwrap();
    }
    let nobody = Query { allowed: Some(vec![].into()), ..Query::at(1.0) };
    assert_eq!(router.route(&nobody), Err(Error::AllExcluded { live: 1 }));
    router
        .observe(1.0, &Observation { id: 0, cost: Some(1e-3), ..Observation::default() })
        .unwrap();
    router.route(&Query::at(1.0)).unwrap();
    assert_eq!(router.counters().evicted, 0);
}

#[test]
fn times_that_are_no_times_are_refused_and_change_nothing() {
    let mut router = router(config());
    router.route(&Query::at(50.0)).unwrap();
    let before = router.to_bytes().unwrap();
    let rule = "must be in seconds of Unix time, at most 1e11; milliseconds are not";
    for (now, shown) in [
        (f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
        (1.7e12, "1700000000000"),
        (f64::MAX, "179769313486231570"),
    ] {
        let observation = Observation { id: 0, reward: Some(1.0), ..Observation::default() };
        let errors = [
            router.route(&Query::at(now)).unwrap_err(),
            router.observe(now, &observation).unwrap_err(),
            router.observe_all(now, &[observation]).unwrap_err().1,
            router.observe_each(now, &[observation]).unwrap_err().1,
            router.fail(now, 0, FailureReason::Error, None, None).unwrap_err(),
            router.release(now, 0).unwrap_err(),
        ];
        for error in errors {
            let message = error.to_string();
            assert!(message.starts_with(&format!("now = {shown}")), "{message}");
            assert!(message.ends_with(rule), "{message}");
        }
    }
    assert!(router.to_bytes().unwrap() == before);
    // Time that runs backwards stands still.
    for now in [49.0, 0.0, -1.0, f64::MIN, f64::NEG_INFINITY] {
        router.route(&Query::at(now)).unwrap();
        assert_eq!(router.clock(), 50.0);
    }
    router.route(&Query::at(1e11)).unwrap();
    assert_eq!(router.clock(), 1e11);
}

#[test]
fn extreme_numbers_are_refused_or_borne() {
    let mut router = router(config());
    router.route(&Query::at(1.0)).unwrap();
    for id in [1, u64::MAX - 1, u64::MAX] {
        let observation = Observation { id, reward: Some(1.0), ..Observation::default() };
        assert!(router.observe(1.0, &observation).is_err());
        assert!(router.fail(1.0, id, FailureReason::Timeout, None, None).is_err());
        assert!(router.release(1.0, id).is_err());
    }
    let most = Tokens { input: 1e9, cached: 0.0, output: 1e9 };
    let observation = Observation { id: 0, tokens: Some(most), cost: Some(1e9), reward: None };
    router.observe(1.0, &observation).unwrap();
    for budget in [f64::MAX, f64::MIN_POSITIVE, 5e-324] {
        router.set_budget(budget).unwrap();
        for _ in 0..50 {
            let id = router.route(&Query::at(1.0)).unwrap().id;
            router.observe(1.0, &Observation { id, cost: Some(1e9), ..observation }).unwrap();
        }
    }
    for arm in [3, u32::MAX].map(ArmIndex) {
        assert!(router.set_arm(arm, ArmSettings::default()).is_err());
        assert!(router.retire_arm(arm).is_err());
        assert!(router.publish(&[arm], StartCost::NONE).is_err());
    }
    assert!(router.publish(&[], StartCost::NONE).is_err());
    for (usd, queries) in [(f64::NAN, 1.0), (-1.0, 1.0), (2e9, 1.0), (1.0, 0.5), (1.0, f64::NAN)] {
        assert!(router.publish(&[ArmIndex(0)], StartCost { usd, queries }).is_err());
    }
    let allowed = Some(vec![ArmIndex(u32::MAX)].into());
    assert!(router.route(&Query { allowed, ..Query::at(1.0) }).is_err());
    let bad_prior = Prior { reward: Some((0.5, u64::MAX)), ..Prior::default() };
    assert!(router.add_arm(&ArmSpec { prior: bad_prior, ..ArmSpec::default() }).is_err());
    Router::from_bytes(&router.to_bytes().unwrap()).unwrap();
}

/// A live arm that retires while its decisions are open: they are settled as ever.
#[test]
fn decisions_of_a_retired_arm_are_settled() {
    let mut router = single(Some(prices(4.0)));
    let ids: Vec<u64> = (0..4).map(|_| router.route(&Query::at(1.0)).unwrap().id).collect();
    router.retire_arm(ArmIndex(0)).unwrap();
    assert_eq!(router.route(&Query::at(2.0)), Err(Error::NoLiveArm));
    router.observe(2.0, &tokens_of(ids[0], 1e3, 0.0)).unwrap();
    router.fail(2.0, ids[1], FailureReason::Timeout, None, None).unwrap();
    router.release(2.0, ids[2]).unwrap();
    assert_eq!(router.arm(ArmIndex(0)).under_way, 1);
    // An age that ends while nothing is live counts too.
    assert_eq!(router.route(&Query::at(200.0)), Err(Error::NoLiveArm));
    assert_eq!((router.arm(ArmIndex(0)).under_way, router.counters().evicted), (0, 2));
    assert!(router.ledger().in_flight.abs() < 1e-15);
    assert!(router.set_arm(ArmIndex(0), ArmSettings::default()).is_err());
}

/// A start cost is paid off over the stage and counts as spent from then on.
#[test]
fn start_costs_are_paid_off_with_the_queries_of_the_stage() {
    let mut router = router(config());
    router.publish(&[0, 1].map(ArmIndex), StartCost { usd: 1.0, queries: 10.0 }).unwrap();
    for query in 1..=20 {
        let id = router.route(&Query::default()).unwrap().id;
        router
            .observe(0.0, &Observation { id, cost: Some(0.0), ..Observation::default() })
            .unwrap();
        let paid = 0.1 * f64::from(query.min(10));
        assert!((router.ledger().billed - paid).abs() < 1e-12, "{query}: {:?}", router.ledger());
    }
}

/// What is billed for a query that failed and does not say: only one that never ran is free.
#[test]
fn a_failure_that_says_nothing_is_billed_by_its_reason() {
    let expected = 2e-3;
    let prior = Prior { cost: Some((expected, 5)), ..Prior::default() };
    for (reason, billed, in_flight) in [
        (FailureReason::Timeout, expected, 0.0),
        (FailureReason::RateLimit, 0.0, 0.0),
        (FailureReason::Refusal, 0.0, expected),
        (FailureReason::Error, 0.0, 0.0),
    ] {
        let confidence = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
        let mut router = Router::new(RouterConfig::new(5e-3, confidence, 3)).unwrap();
        let arm = router.add_arm(&ArmSpec { prior, ..ArmSpec::default() }).unwrap();
        router.publish(&[arm], StartCost::NONE).unwrap();
        let id = router.route(&Query::at(1.0)).unwrap().id;
        assert_eq!(router.ledger().in_flight, expected);
        router.fail(1.0, id, reason, None, None).unwrap();
        let ledger = router.ledger();
        assert_eq!((ledger.billed, ledger.in_flight), (billed, in_flight), "{reason:?}");
        // One that says what it cost is billed that.
        let id = router.route(&Query::at(400.0)).unwrap().id;
        router.fail(400.0, id, reason, Some(7e-3), None).unwrap();
        assert_eq!(router.ledger().billed, billed + 7e-3, "{reason:?}");
    }
}
