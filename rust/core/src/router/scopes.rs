//! The router and what its arms share.

use super::Router;
use super::arm::{Arm, Membership, Need};
use super::scope::{Scope, ScopeConfig};
use crate::arm_index::ArmIndex;
use crate::checks::sound;
use crate::decisions::OpenDecision;
use crate::error::Error;
use crate::money::Nanodollars;
use crate::window::History;

impl Router {
    /// Makes scopes of a configuration, from those before it.
    pub(super) fn scopes_of(&self, configs: &[ScopeConfig]) -> Result<Vec<Scope>, Error> {
        let known =
            |config: &ScopeConfig| self.scopes.iter().find(|scope| scope.config.key == config.key);
        let next = |config: &ScopeConfig| match known(config) {
            Some(scope) => scope.succeed(config, self.clock, self.wall_clock()),
            None => Scope::new(config, self.clock),
        };
        configs.iter().map(next).collect()
    }

    /// Replaces the scopes, and finds out anew which arms belong to them.
    pub(super) fn set_scopes(&mut self, scopes: Vec<Scope>) {
        let old = std::mem::replace(&mut self.scopes, scopes);
        for arm in ArmIndex::first(self.arms.len()) {
            self.join_scopes(arm, &old);
        }
    }

    /// Notes the scopes that an arm belongs to; what it was sent before it joined does not count there.
    pub(super) fn join_scopes(&mut self, arm: ArmIndex, old: &[Scope]) {
        let Self { scopes, arms, ledger, .. } = self;
        let state = &mut arms[arm];
        let keys = state.terms.as_ref().map_or(&[][..], |terms| &terms.scopes);
        let before = std::mem::take(&mut state.scopes);
        let was_in = |key: u64| before.iter().find(|part| old[part.place].config.key == key);
        let parts = scopes.iter().enumerate().filter(|(_, scope)| keys.contains(&scope.config.key));
        state.scopes = parts
            .map(|(place, scope)| Membership {
                place,
                since: was_in(scope.config.key).map_or(ledger.queries, |part| part.since),
            })
            .collect();
        let counts = |part: &Membership| scopes[part.place].traffic.limits_tokens();
        state.counts_tokens = state.traffic.limits_tokens() || state.scopes.iter().any(counts);
    }

    /// Scopes as they are kept: with what their bytes do not hold.
    pub(super) fn scope_histories(&self) -> Vec<Vec<History>> {
        self.scopes.iter().map(|scope| scope.guard.histories()).collect()
    }

    /// Puts back what was kept.
    pub(super) fn restore_scopes(
        &mut self,
        mut scopes: Vec<Scope>,
        histories: &[Vec<History>],
    ) -> Result<(), Error> {
        for (scope, known) in scopes.iter_mut().zip(histories) {
            scope.config.validate()?;
            scope.guard.set_calendars(&scope.config.calendars);
            scope.guard.check_soundness(&scope.config.hard_limits, &scope.config.calendars)?;
            scope.traffic.check_soundness(scope.config.limits, self.clock)?;
            let decisions = &self.decisions;
            scope.guard.set_histories(known, |start| decisions.first_since(start));
        }
        let places = scopes.len();
        let are_known = |arm: &Arm| arm.scopes.iter().all(|part| part.place < places);
        sound(self.arms.iter().all(are_known), "the scopes of an arm")?;
        self.config.scopes = scopes.iter().map(|scope| scope.config.clone()).collect();
        self.scopes = scopes;
        Ok(())
    }

    /// Takes the time of a query to all scopes.
    #[cold]
    pub(super) fn begin_in_scopes(&mut self, now: f64) {
        let (offset, next) = (self.clock_offset, self.ledger.queries);
        self.scopes.iter_mut().for_each(|scope| scope.begin(now, offset, next));
    }

    pub(super) fn jump_in_scopes(&mut self, offset: f64) {
        let (now, jump) = (self.clock, (self.clock_offset, offset));
        let next = self.ledger.queries;
        self.scopes.iter_mut().for_each(|scope| scope.guard.jump(now, jump, next));
    }

    /// Counts a decision in the scopes of its arm.
    #[cold]
    pub(super) fn reserve_in_scopes(&mut self, arm: ArmIndex, need: Need) {
        let expected = self.learner.expected_cost(arm);
        for part in &self.arms[arm].scopes {
            let scope = &mut self.scopes[part.place];
            scope.guard.reserve(need.reservation);
            scope.traffic.take(need.tokens);
            // Nothing limits how many are under way.
            scope.traffic.forget();
            scope.saved -= expected;
        }
    }

    /// Puts a bill where `reserved` is held, and `expected` was spent.
    #[cold]
    pub(super) fn bill_in_scopes(
        &mut self,
        id: u64,
        arm: ArmIndex,
        reserved: Nanodollars,
        expected: f64,
        usd: f64,
    ) {
        for part in self.arms[arm].scopes.iter().filter(|part| id >= part.since) {
            let scope = &mut self.scopes[part.place];
            scope.guard.bill(id, reserved, Nanodollars::from_usd(usd));
            scope.saved += expected - usd;
        }
    }

    /// Puts what was used in the place of what was taken for a query.
    pub(super) fn settle_tokens(&mut self, id: u64, open: &OpenDecision, used: f64, now: f64) {
        let arm = &mut self.arms[open.arm];
        arm.traffic.settle(open.at, open.tokens, used, now);
        for part in arm.scopes.iter().filter(|part| id >= part.since) {
            self.scopes[part.place].traffic.settle(open.at, open.tokens, used, now);
        }
    }

    /// What starting these arms costs in each scope, if all of them have room for it.
    pub(super) fn start_in_scopes(&self, deployed: &[ArmIndex]) -> Result<Vec<Nanodollars>, Error> {
        let mut sums = vec![0.0; self.scopes.len()];
        for &arm in deployed.iter().filter(|&&arm| self.live.slot(arm).is_none()) {
            let state = &self.arms[arm];
            let usd = state.terms.as_ref().map_or(0.0, |terms| terms.start_cost);
            state.scopes.iter().for_each(|part| sums[part.place] += usd);
        }
        for (scope, &usd) in self.scopes.iter().zip(&sums) {
            if let Some((limit, left)) = scope.guard.tightest(self.wall_clock())
                && Nanodollars::from_usd(usd) > left
            {
                let (period, left) = (limit.period.as_str(), left.to_usd());
                return Err(Error::StartAboveLimit { usd, limit: limit.usd, period, left });
            }
        }
        Ok(sums.into_iter().map(Nanodollars::from_usd).collect())
    }

    pub(super) fn pay_in_scopes(&mut self, sums: &[Nanodollars]) {
        for (scope, &sum) in self.scopes.iter_mut().zip(sums) {
            scope.guard.pay_undated(sum);
        }
    }

    /// The share that scopes leave of an arm's.
    pub(super) fn share_of_scopes(&self, arm: ArmIndex, share: f64, rate: f64, tokens: f64) -> f64 {
        let parts = self.arms[arm].scopes.iter().map(|part| &self.scopes[part.place].traffic);
        parts.fold(share, |share, traffic| traffic.share(share, rate, tokens, f64::INFINITY))
    }
}
