//! A random life of a router with every feature on, as the commands that make it.

use std::borrow::Cow;

use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, AtLimit, ChangeTest, Command, Confidence, ConfidenceFamily,
    Correct, Drift, ExtendStage, Fail, FailureReason, Forgetting, HardLimit, NoteQuota,
    Observation, Observe, ObserveMany, Pacing, Period, Prices, Prior, Publish, Query, Release,
    RetireArm, ReviveArm, Router, RouterConfig, Sampler, SetArm, SetBudget, StartCost, Tokens,
    TrafficLimits,
};

/// Settings for one of several kinds of life: all ways to forget, with and without hard limits,
/// ages and stages by queries.
pub(crate) fn config(kind: u64) -> RouterConfig {
    let published = Confidence::new(ConfidenceFamily::Bernstein, 0.25, 0.02);
    let forgetting = match kind % 4 {
        0 => Forgetting::None,
        1 => Forgetting::PerQuery { factor: 0.97 },
        2 => Forgetting::PerStage { factor: 0.5 },
        _ => Forgetting::Window { stages: 2 },
    };
    let change_test =
        kind.is_multiple_of(3).then_some(ChangeTest { threshold: 5.0, ..ChangeTest::default() });
    let hard_limit = |usd, period| HardLimit { usd, period, at_limit: AtLimit::Cheapest };
    let limits = [hard_limit(2.0, Period::Hour), hard_limit(60.0, Period::Month)];
    let refuse = HardLimit { at_limit: AtLimit::Refuse, ..hard_limit(5.0, Period::Day) };
    RouterConfig {
        drift: Drift { forgetting, change_test },
        pacing: kind.is_multiple_of(2).then_some(Pacing { horizon: 50.0, burst: 2.0 }),
        open_decisions: 32,
        max_age: (!kind.is_multiple_of(5)).then_some(40.0),
        stage_queries: (kind % 2 == 1).then_some(100),
        redeploys_lost_slots: true,
        canary: (kind % 4 == 2).then_some(0.1),
        hard_limits: if kind % 3 == 1 { [&limits[..], &[refuse]].concat() } else { Vec::new() },
        log_capacity: 8,
        ..RouterConfig::new(2e-3, Confidence { growth: 0.5, ..published }, kind)
    }
}

/// A stream of commands that fit a router more or less: a few are nonsense, and are to be refused.
pub(crate) struct Life {
    world: Sampler,
    now: f64,
    has_limits: bool,
}

impl Life {
    pub(crate) fn new(kind: u64) -> Self {
        let has_limits = !config(kind).hard_limits.is_empty();
        let now = if kind.is_multiple_of(2) { 1.7e9 } else { 0.0 };
        Self { world: Sampler::new(kind), now, has_limits }
    }

    /// A whole number below `n`.
    fn below(&mut self, n: usize) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let choice = (self.world.unit() * n as f64) as usize;
        choice
    }

    fn chance(&mut self, p: f64) -> bool {
        self.world.unit() < p
    }

    fn maybe<T>(&mut self, p: f64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(p).then(|| value(self))
    }

    fn pass_time(&mut self) {
        self.now += match self.below(1_000) {
            0 => 3_600.0 * self.world.unit(),
            1 => 40.0 * 86_400.0 * self.world.unit(),
            2..4 => 80_000.0 * self.world.unit(),
            4..100 => 30.0 * self.world.unit(),
            100..500 => 0.5 * self.world.unit(),
            _ => 0.0,
        };
    }

    /// The time as it is told: now and then it runs backwards, or is not told at all.
    fn told(&mut self) -> f64 {
        match self.below(100) {
            0 => 0.0,
            1 => self.now - 100.0 * self.world.unit(),
            2 => -1.0,
            _ => self.now,
        }
    }

    fn settings(&mut self, is_priced: bool) -> ArmSettings {
        let price = |life: &mut Self| 10.0 * life.world.unit();
        let prices = is_priced.then(|| Prices {
            input: price(self),
            cached_input: price(self),
            output: 2.0 * price(self),
        });
        let limits = TrafficLimits {
            requests_per_minute: self.maybe(0.3, |life| (1.0 + 200.0 * life.world.unit()).floor()),
            tokens_per_minute: self.maybe(0.3, |life| 2e4 * (1.0 + 9.0 * life.world.unit())),
            concurrent: self.maybe(0.3, |life| 1 + life.below(8) as u64),
            burst_seconds: 3.0,
        };
        ArmSettings {
            throughput_cap: if self.chance(0.5) { 1.0 } else { 0.2 + 0.8 * self.world.unit() },
            prices,
            max_cost: (self.has_limits || self.chance(0.3)).then(|| 0.02 * self.world.unit()),
            max_tokens: self.maybe(0.3, |life| 1.0 + 1_000.0 * life.world.unit()),
            limits,
        }
    }

    fn spec(&mut self) -> ArmSpec {
        let is_priced = self.chance(0.5);
        let settings = self.settings(is_priced);
        let weight = self.below(3) as u64 * 4;
        let tokens = Tokens { input: 500.0, cached: 100.0, output: 200.0 };
        let prior = Prior {
            reward: self.maybe(0.5, |life| (life.world.unit(), weight)),
            cost: (!is_priced).then_some((2e-3, weight)),
            tokens: is_priced.then_some((tokens, weight)),
        };
        ArmSpec { settings, prior }
    }

    fn query(&mut self, router: &Router) -> Query<'static> {
        let arms = router.len();
        let allowed = self.maybe(0.15, |life| {
            Cow::Owned(ArmIndex::first(arms + 1).filter(|_| life.chance(0.5)).collect())
        });
        let max_cost = self.maybe(0.1, |life| 0.02 * life.world.unit());
        let tokens = self.maybe(0.2, |life| (600.0 * life.world.unit(), 600.0 * life.world.unit()));
        Query { now: self.told(), allowed, max_cost, tokens }
    }

    /// A decision, mostly a recent one; seldom one that was never made.
    fn id(&mut self, router: &Router) -> u64 {
        let made = router.ledger().queries;
        let back = if self.chance(0.9) { self.below(30) } else { self.below(80) } as u64;
        if self.chance(0.02) { made + back } else { made.saturating_sub(1 + back) }
    }

    fn observation(&mut self, router: &Router) -> Observation {
        let output = 600.0 * self.world.unit();
        let input = 600.0 * self.world.unit();
        let cached = input * self.world.unit();
        let reward = self.maybe(0.7, |life| life.world.unit());
        Observation {
            id: self.id(router),
            reward: if self.chance(0.01) { Some(1.5) } else { reward },
            cost: self.maybe(0.4, |life| 4e-3 * life.world.unit()),
            tokens: self.maybe(0.5, |_| Tokens { input, cached, output }),
        }
    }

    fn live_set(&mut self, router: &Router) -> Vec<ArmIndex> {
        let mut live: Vec<_> = router.candidates(0.0).filter(|_| self.chance(0.6)).collect();
        if self.chance(0.05) {
            live.push(ArmIndex::try_from(self.below(12)).unwrap());
        }
        live
    }

    /// The next command for this router.
    pub(crate) fn next(&mut self, router: &Router) -> Command<'static> {
        let arms = router.len();
        if arms < 3 {
            return Command::AddArm(self.spec());
        }
        if router.live().arms().is_empty() || (router.is_stage_due() && self.chance(0.5)) {
            let deployed = Cow::Owned(self.live_set(router));
            let start = StartCost { usd: 1e-3 * self.world.unit(), queries: 1_000.0 };
            return Command::Publish(Publish { deployed, start });
        }
        self.pass_time();
        let arm = ArmIndex::try_from(self.below(arms + 1)).unwrap();
        match self.below(1_000) {
            0..500 => Command::Route(self.query(router)),
            500..790 => {
                let observation = self.observation(router);
                Command::Observe(Observe { now: self.told(), observation })
            }
            790..850 => {
                let many = self.below(8);
                let observations = (0..many).map(|_| self.observation(router)).collect();
                let observations = Cow::Owned(observations);
                let all_or_none = self.chance(0.5);
                Command::ObserveMany(ObserveMany { now: self.told(), observations, all_or_none })
            }
            850..920 => {
                let reason = FailureReason::NAMES[self.below(4)].1;
                let cost = self.maybe(0.2, |life| 4e-3 * life.world.unit());
                let retry_after = self.maybe(0.3, |life| 60.0 * life.world.unit());
                let id = self.id(router);
                Command::Fail(Fail { now: self.told(), id, reason, cost, retry_after })
            }
            920..935 => {
                let id = self.id(router);
                Command::Correct(Correct { now: self.told(), id, cost: 2e-3 * self.world.unit() })
            }
            935..960 => {
                let id = self.id(router);
                Command::Release(Release { now: self.told(), id })
            }
            960..965 if arms < 10 => Command::AddArm(self.spec()),
            965..985 => {
                let known = router.learner().stats().get(arm.index());
                let is_priced =
                    known.is_some() && (router.learner().prices(arm).is_some() ^ self.chance(0.1));
                Command::SetArm(SetArm { arm, settings: self.settings(is_priced) })
            }
            985 if self.chance(0.5) => Command::ReviveArm(ReviveArm(arm)),
            986 if self.chance(0.5) => {
                let (left, reset) = (u32::from(self.chance(0.5)), 10.0 * self.world.unit());
                Command::NoteQuota(NoteQuota { now: self.told(), arm, left, reset })
            }
            985..987 => Command::RetireArm(RetireArm(arm)),
            987..990 => Command::SetBudget(SetBudget(4e-3 * self.world.unit())),
            990..997 => {
                let deployed = Cow::Owned(self.live_set(router));
                Command::Publish(Publish { deployed, start: StartCost::NONE })
            }
            997..998 => Command::Route(Query::at(f64::NAN)),
            _ => Command::ExtendStage(ExtendStage),
        }
    }
}
