//! Arms that come, change and go.

use super::Router;
use super::arm::{Arm, ArmSettings, ArmSpec};
use super::events::Event;
use super::terms::Terms;
use crate::answers::Answers;
use crate::arm_index::ArmIndex;
use crate::error::Error;
use crate::health::Health;
use crate::live_arms::LiveArms;
use crate::money::Nanodollars;
use crate::throughput::Traffic;

impl Router {
    /// Adds a candidate and returns its index. It is live from the first stage that names it.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the setting that breaks its rule.
    pub fn add_arm(&mut self, spec: &ArmSpec) -> Result<ArmIndex, Error> {
        self.add_arm_on(spec, None)
    }

    /// The same with terms.
    ///
    /// # Errors
    /// As [`Router::add_arm`].
    pub fn add_model(&mut self, spec: &ArmSpec, terms: &Terms) -> Result<ArmIndex, Error> {
        terms.validate()?;
        self.add_arm_on(spec, Some(terms))
    }

    fn add_arm_on(&mut self, spec: &ArmSpec, terms: Option<&Terms>) -> Result<ArmIndex, Error> {
        let settings = spec.settings;
        settings.validate(!self.guard.is_off(), terms)?;
        let traffic = Traffic::new(settings.limits, self.clock)?;
        let arm = self.learner.add_arm(&spec.prior, settings.prices)?;
        let canary = self.config.canary.filter(|_| self.live.stage() > 0);
        let believed = self.learner.stats()[arm].reward.count();
        self.arms.push(Arm {
            settings,
            reservation: Nanodollars::from_usd(settings.max_cost.unwrap_or(0.0)),
            share: settings.throughput_cap.min(canary.unwrap_or(1.0)),
            prices: settings.prices.into_iter().collect(),
            tariffs: settings.prices.iter().map(|_| terms?.tariff.clone()).collect(),
            terms: terms.cloned().map(Box::new),
            traffic,
            health: Health::default(),
            is_retired: false,
            answers: Answers::default(),
            markup: None,
            scopes: Vec::new(),
            counts_tokens: false,
            limiter: None,
            known_before: canary.map(|_| believed),
        });
        self.gates.unproven |= canary.is_some();
        debug_assert_eq!(self.learner.len(), self.arms.len(), "both know the same arms");
        self.join_scopes(arm, &[]);
        self.require_stage();
        Ok(arm)
    }

    /// Changes an arm's settings from the next query on. Decisions already made are billed at the
    /// prices under which they were made.
    ///
    /// # Errors
    /// As [`Router::add_arm`], and [`Error::UnknownArm`] or [`Error::RetiredArm`].
    pub fn set_arm(&mut self, arm: ArmIndex, settings: ArmSettings) -> Result<(), Error> {
        self.set_arm_on(arm, settings, None)
    }

    /// The same with terms.
    ///
    /// # Errors
    /// As [`Router::set_arm`].
    pub fn set_model(
        &mut self,
        arm: ArmIndex,
        settings: ArmSettings,
        terms: &Terms,
    ) -> Result<(), Error> {
        terms.validate()?;
        self.set_arm_on(arm, settings, Some(terms))
    }

    fn set_arm_on(
        &mut self,
        arm: ArmIndex,
        settings: ArmSettings,
        terms: Option<&Terms>,
    ) -> Result<(), Error> {
        self.check_candidate("arm", arm)?;
        settings.validate(!self.guard.is_off(), terms)?;
        let tariff = terms.and_then(|terms| terms.tariff.as_ref());
        let state = &self.arms[arm];
        if settings.prices != state.settings.prices || tariff != state.tariff() {
            self.learner.set_prices(arm, settings.prices)?;
            self.arms[arm].push_prices(settings.prices, tariff);
        }
        let proven = self.proven_share(arm);
        let state = &mut self.arms[arm];
        if settings.limits != state.settings.limits {
            state.traffic.set_limits(settings.limits, self.clock)?;
        }
        state.settings = settings;
        state.terms = terms.cloned().map(Box::new);
        state.reservation = Nanodollars::from_usd(settings.max_cost.unwrap_or(0.0));
        state.share = settings.throughput_cap.min(proven);
        self.shares_due = f64::NEG_INFINITY;
        debug_assert_eq!(self.learner.prices(arm), settings.prices, "both know the same prices");
        let scopes = std::mem::take(&mut self.scopes);
        self.scopes.clone_from(&scopes);
        self.join_scopes(arm, &scopes);
        if self.live.slot(arm).is_some() {
            self.load_lp();
            self.update_gates();
        }
        Ok(())
    }

    /// Retires an arm: it leaves the live set at once, and feedback for its earlier decisions still
    /// counts.
    ///
    /// # Errors
    /// [`Error::UnknownArm`] or [`Error::RetiredArm`].
    pub fn retire_arm(&mut self, arm: ArmIndex) -> Result<(), Error> {
        self.check_candidate("arm", arm)?;
        self.arms[arm].is_retired = true;
        self.note(Event::Retired { arm });
        if self.live.slot(arm).is_some() {
            let left: Vec<ArmIndex> =
                self.live.arms().iter().copied().filter(|&live| live != arm).collect();
            self.install(LiveArms::new(self.live.stage(), &left, self.arms.len())?);
            self.has_lost_slot = true;
            self.require_stage();
        }
        debug_assert!(self.live.slot(arm).is_none(), "arm {arm} is still live");
        Ok(())
    }

    /// Makes a retired arm a candidate again, with all that was learnt of it.
    ///
    /// # Errors
    /// [`Error::UnknownArm`] or [`Error::ActiveArm`]; [`Error::InvalidNumber`] if hard limits that came
    /// meanwhile need its `max_cost`.
    pub fn revive_arm(&mut self, arm: ArmIndex) -> Result<(), Error> {
        match self.arms.get(arm.index()) {
            None => return Err(Error::UnknownArm { argument: "arm", arm, arms: self.arms.len() }),
            Some(state) if !state.is_retired => {
                return Err(Error::ActiveArm { argument: "arm", arm });
            }
            Some(state) => state.settings.validate(!self.guard.is_off(), state.terms.as_deref())?,
        }
        self.arms[arm].is_retired = false;
        self.note(Event::Revived { arm });
        self.require_stage();
        Ok(())
    }

    /// Makes the next stage due where nothing is live though something could be.
    pub(super) fn require_stage(&mut self) {
        if self.stage_end != Some(0) && self.is_idle() {
            self.stage_end = Some(0);
        }
    }

    /// Whether nothing is live any more, though something could be.
    pub(super) fn is_idle(&self) -> bool {
        let was_live = self.live.stage() > 0;
        was_live && self.live.arms().is_empty() && self.candidates(self.clock).next().is_some()
    }

    /// The arms that a live set may name and should at `now`: neither retired nor failed. A router that
    /// has nothing to look at a clock for does not know the time by itself.
    pub fn candidates(&self, now: f64) -> impl Iterator<Item = ArmIndex> {
        let (now, config) = (now.max(self.clock), &self.config.health);
        let is_up = move |arm: &Arm| !arm.is_retired && !arm.health.has_failed(now, config);
        let arms = ArmIndex::first(self.arms.len()).zip(&self.arms);
        arms.filter(move |(_, arm)| is_up(arm)).map(|(index, _)| index)
    }

    /// The cap that an arm should be planned with: what its limits leave of its throughput cap at
    /// the present arrival rate, and what it has proved itself worthy of.
    ///
    /// # Panics
    /// If there is no such arm.
    #[must_use]
    pub fn planned_share(&self, arm: ArmIndex) -> f64 {
        let state = &self.arms[arm];
        let Arm { settings, traffic, limiter, .. } = state;
        let expected = state.expected_tokens(&self.learner, arm).map(|t| t.input + t.output);
        let tokens = expected.or(settings.max_tokens).unwrap_or(0.0);
        let let_through =
            limiter.as_ref().map_or(f64::INFINITY, |limiter| limiter.per_minute(self.clock));
        let rate = self.rate.per_second(self.clock);
        let share = traffic.share(settings.throughput_cap, rate, tokens, let_through);
        self.share_of_scopes(arm, share.min(self.proven_share(arm)), rate, tokens)
    }

    pub(super) fn check_candidate(
        &self,
        argument: &'static str,
        arm: ArmIndex,
    ) -> Result<(), Error> {
        match self.arms.get(arm.index()) {
            None => Err(Error::UnknownArm { argument, arm, arms: self.arms.len() }),
            Some(Arm { is_retired: true, .. }) => Err(Error::RetiredArm { argument, arm }),
            Some(_) => Ok(()),
        }
    }
}
