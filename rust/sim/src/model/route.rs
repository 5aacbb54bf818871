//! Which answers to a query can be right.

use stageroute_core::lp::Status;
use stageroute_core::{
    ArmIndex, AtLimit, Decision, Error, Prices, Query, Reasons, Router, StartCost, Tokens,
};

use super::money::nano;
use super::traffic::Verdict;
use super::{Entry, Kind, Model};
use crate::broken::{Checked, ensure};

/// What a query finds of one live arm.
#[derive(Debug, Clone, Copy)]
struct View {
    arm: ArmIndex,
    is_wanted: bool,
    is_up: bool,
    /// Cooling, and without an answer of late, so that it is left alone even in a panic; `None` if
    /// that is too close to call.
    is_silent: Option<bool>,
    traffic: Verdict,
    reservation: i64,
    tokens: f64,
    has_money: bool,
}

/// What a query finds of the live set.
struct Survey {
    views: Vec<View>,
    wanted: usize,
    cooling: usize,
}

impl Survey {
    fn any(&self, is_so: impl Fn(&View) -> bool) -> bool {
        self.views.iter().any(|view| view.is_wanted && is_so(view))
    }
}

impl Model {
    /// Checks what a query was answered, and opens the decision.
    pub(crate) fn route(
        &mut self,
        query: &Query<'_>,
        answer: &Result<Decision, Error>,
        router: &Router,
    ) -> Checked {
        let kind = answer.as_ref().err().map(Kind::of);
        let is_input = !self.is_query(query) || self.tell(query.now).is_err();
        ensure!(
            (kind == Some(Kind::Input)) == is_input,
            "{query:?} was answered {answer:?}; bad: {is_input}"
        );
        if is_input {
            return Ok(());
        }
        self.evict_aged();
        ensure!(
            (kind == Some(Kind::NoLiveArm)) == self.live.is_empty(),
            "live: {:?}, but {answer:?}",
            self.live
        );
        if self.live.is_empty() {
            self.require_stage();
            return Ok(());
        }
        self.money.advance(self.wall());
        let survey = self.survey(query, router);
        match answer {
            Ok(decision) => {
                self.check_decision(decision, &survey, router)?;
                self.open(decision, &survey, router);
            }
            Err(error) => self.check_refusal(error, &survey)?,
        }
        self.check_money(router)
    }

    fn is_query(&self, query: &Query<'_>) -> bool {
        let is_amount = |x: f64| x.is_finite() && x >= 0.0;
        query.max_cost.is_none_or(is_amount)
            && query.tokens.is_none_or(|(input, output)| is_amount(input) && is_amount(output))
            && query.allowed.iter().flat_map(|all| all.iter()).all(|a| a.index() < self.arms.len())
    }

    fn survey(&mut self, query: &Query<'_>, router: &Router) -> Survey {
        let live = std::mem::take(&mut self.live);
        let views: Vec<View> = live.iter().map(|&arm| self.view(arm, query, router)).collect();
        self.live = live;
        let wanted = views.iter().filter(|view| view.is_wanted).count();
        let cooling = views.iter().filter(|view| view.is_wanted && !view.is_up).count();
        Survey { views, wanted, cooling }
    }

    fn view(&mut self, index: ArmIndex, query: &Query<'_>, router: &Router) -> View {
        let (now, config) = (self.clock, &self.config.health);
        let arm = &mut self.arms[index];
        let prices = arm.settings.prices;
        let at_prices = query.tokens.zip(prices).map(|((input, output), prices)| {
            let bill = |cached| nano(prices.bill(&Tokens { input, cached, output }));
            bill(0.0).max(bill(input))
        });
        let reservation = at_prices.unwrap_or_else(|| nano(arm.settings.max_cost.unwrap_or(0.0)));
        let largest = arm.traffic.largest_query();
        let learner = router.learner();
        let tokens = match (query.tokens, arm.settings.max_tokens) {
            _ if !arm.traffic.limits_tokens() => 0.0,
            (Some((input, output)), _) => input + output,
            (None, Some(tokens)) => tokens,
            (None, None) => {
                let expected = learner.expected_tokens(index);
                expected.map_or(0.0, |tokens| tokens.input + tokens.output).min(largest)
            }
        };
        let knows_worst = arm.settings.max_cost.is_some() || at_prices.is_some();
        let is_cheap = query.max_cost.is_none_or(|most| {
            if knows_worst {
                reservation <= nano(most)
            } else {
                learner.expected_cost(index) <= most
            }
        });
        let is_free = match prices {
            Some(Prices { input, cached_input, output }) => {
                input == 0.0 && cached_input == 0.0 && output == 0.0
            }
            None => arm.settings.max_cost == Some(0.0) || learner.expected_cost(index) <= 0.0,
        };
        let is_cheap = is_cheap && (is_free || self.config.budget > 0.0);
        let is_allowed = query.allowed.as_ref().is_none_or(|allowed| allowed.contains(&index));
        let is_silent = if arm.health.is_paused(now) {
            Some(true)
        } else {
            arm.health.answers_at_times(now, config).map(|answers| !answers)
        };
        View {
            arm: index,
            is_wanted: is_allowed && is_cheap && tokens <= largest,
            is_up: arm.health.is_up(now, config),
            is_silent,
            traffic: arm.traffic.verdict(tokens, now),
            reservation,
            tokens,
            has_money: self.money.fits(reservation, None),
        }
    }

    fn check_decision(&mut self, decision: &Decision, survey: &Survey, router: &Router) -> Checked {
        let Decision { id, arm, probability, stage, reasons, .. } = *decision;
        ensure!(id == self.entries.len() as u64, "id {id} after {} decisions", self.entries.len());
        ensure!(stage == self.stage, "stage {stage} in stage {}", self.stage);
        ensure!(probability > 0.0 && probability <= 1.0 + 1e-9, "{decision:?}");
        let Some(view) = survey.views.iter().find(|view| view.arm == arm) else {
            return Err(crate::broken::Broken(format!(
                "{decision:?}, but live are {:?}",
                self.live
            )));
        };
        ensure!(view.is_wanted, "{decision:?} is not what was asked for: {view:?}");
        ensure!(
            view.traffic != Verdict::MustNot,
            "{decision:?} is above a limit: {view:?} {:?}",
            self.arms[arm].traffic
        );
        ensure!(view.has_money, "{decision:?} is above a hard limit: {view:?} {:?}", self.money);
        self.check_panic(view, survey, router)?;
        self.check_reasons(decision, survey)?;
        if reasons.bits() & !Reasons::PROBE.bits() == 0 {
            check_shares(decision, router)?;
        }
        Ok(())
    }

    /// An arm that is cooling serves only where most are, and answers at times.
    fn check_panic(&mut self, view: &View, survey: &Survey, router: &Router) -> Checked {
        let panicked = router.counters().panicked - self.counters.panicked;
        self.counters.panicked += panicked;
        let most = self.config.health.tolerance.panic_threshold * survey.wanted as f64;
        let may_panic = survey.cooling as f64 > most;
        ensure!(panicked == 0 || may_panic, "a panic with {} of {}", survey.cooling, survey.wanted);
        let serves = |each: &View| {
            let is_free = each.traffic == Verdict::Must && each.has_money;
            is_free && !each.is_up && each.is_silent == Some(false)
        };
        let must_panic = may_panic && survey.any(serves) && !self.money.has_jumped;
        ensure!(
            panicked == 1 || !must_panic,
            "no panic with {} of {}",
            survey.cooling,
            survey.wanted
        );
        let serves_in_panic = panicked == 1 && view.is_silent != Some(true);
        ensure!(view.is_up || serves_in_panic, "{view:?} is cooling: {:?}", self.arms[view.arm]);
        Ok(())
    }

    fn check_reasons(&self, decision: &Decision, survey: &Survey) -> Checked {
        let reasons = decision.reasons;
        let is_excluded = survey.wanted < survey.views.len();
        let is_probe = self.arms[decision.arm].health.level > 0;
        let may_lack_traffic = survey.any(|view| view.traffic != Verdict::Must);
        let may_lack_money = survey.any(|view| !view.has_money) || self.money.has_jumped;
        let is_right = reasons.contains(Reasons::EXCLUDED) == is_excluded
            && reasons.contains(Reasons::PROBE) == is_probe
            && (!reasons.contains(Reasons::COOLING) || survey.cooling > 0)
            && (!reasons.contains(Reasons::TRAFFIC_LIMIT) || may_lack_traffic)
            && (!reasons.contains(Reasons::HARD_LIMIT) || may_lack_money);
        ensure!(is_right, "{decision:?} of {:?}", survey.views);
        Ok(())
    }

    /// A query is refused only where no arm can serve it, and for what stands in the way.
    fn check_refusal(&mut self, error: &Error, survey: &Survey) -> Checked {
        let kind = Kind::of(error);
        let count = match kind {
            Kind::Traffic => &mut self.counters.refused_traffic,
            Kind::Cooling => &mut self.counters.refused_cooling,
            Kind::HardLimit => &mut self.counters.refused_hard_limit,
            Kind::Excluded => &mut self.counters.refused_excluded,
            _ => return Err(crate::broken::Broken(format!("{error}: {:?}", survey.views))),
        };
        *count += 1;
        let money_is_known = !self.money.has_jumped;
        let is_right = match kind {
            Kind::Traffic => survey.any(|view| view.traffic != Verdict::Must),
            Kind::Cooling => survey.cooling > 0,
            Kind::HardLimit => survey.any(|view| !view.has_money) || !money_is_known,
            _ => survey.wanted == 0,
        };
        ensure!(is_right, "{error}: {:?}", survey.views);
        // Another arm that is too expensive for a limit that refuses may be in the way.
        let is_free = |view: &View| view.is_up && view.traffic == Verdict::Must && view.has_money;
        let refuses =
            |view: &View| view.is_up && !self.money.fits(view.reservation, Some(AtLimit::Refuse));
        let must_serve = survey.any(is_free) && !survey.any(refuses) && money_is_known;
        ensure!(!must_serve, "{error}, but an arm is free: {:?}", survey.views);
        Ok(())
    }

    fn open(&mut self, decision: &Decision, survey: &Survey, router: &Router) {
        let Some(view) = survey.views.iter().find(|view| view.arm == decision.arm) else { return };
        let now = self.clock;
        let expected = router.learner().expected_cost(view.arm);
        let arm = &mut self.arms[view.arm];
        self.entries.push(Entry {
            arm: view.arm,
            prices: arm.settings.prices,
            expected,
            reservation: (!self.money.is_off()).then_some(view.reservation),
            tokens: view.tokens,
            at: now,
            wall: now + self.offset,
            bill: None,
            is_estimate: false,
            has_reward: false,
            has_failed: false,
            is_released: false,
        });
        arm.traffic.send(decision.id, view.tokens, now);
        arm.health.send(now);
        self.money.reserve(view.reservation);
        self.ledger.queries += 1;
        self.ledger.in_flight += expected;
        let StartCost { usd, queries } = &mut self.owed;
        let part = queries.min(*usd);
        *usd -= part;
        self.ledger.billed += part;
        self.keep_within_capacity();
    }
}

/// What was drawn over the whole live set was drawn from a distribution that keeps to the caps.
fn check_shares(decision: &Decision, router: &Router) -> Checked {
    let Some(lp) = router.lp() else { return Ok(()) };
    let (p, caps) = (lp.probabilities(), lp.problem().cap);
    let sum: f64 = p.iter().sum();
    let is_capped = lp.status() == Status::CapInfeasible
        || p.iter().zip(caps).all(|(p, cap)| *p <= cap * (1.0 + 1e-9));
    let slot = router.live().slot(decision.arm);
    let is_drawn = slot.is_some_and(|slot| p[slot] == decision.probability);
    ensure!(
        (sum - 1.0).abs() < 1e-9 && is_capped && is_drawn,
        "{decision:?} of {p:?}, caps {caps:?}"
    );
    Ok(())
}
