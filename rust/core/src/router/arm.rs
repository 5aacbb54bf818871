//! One candidate: what was set of it, what it stands at, and what a query would take of it.

use serde::{Deserialize, Serialize};

use super::terms::{Terms, most_of};
use crate::answers::Answers;
use crate::arm_index::ArmIndex;
use crate::checks::{BILL_RULE, CAP_RULE, check, is_bill, is_cap};
use crate::decision::Query;
use crate::error::Error;
use crate::health::Health;
use crate::learner::Learner;
use crate::limiter::Limiter;
use crate::money::Nanodollars;
use crate::prior::Prior;
use crate::tariff::{Tariff, Usage};
use crate::throughput::{Traffic, TrafficLimits, seconds_until};
use crate::usage::{CostFeedback, Prices, Tokens};

/// Weight of a new bill in the mean of what is billed against what prices say.
const MARKUP_WEIGHT: f64 = 0.05;

/// What can be changed of an arm at any time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmSettings {
    /// Largest share of the traffic, in (0, 1].
    pub throughput_cap: f64,
    /// Prices per million tokens: with them, usage is learnt in tokens; without, costs in USD.
    pub prices: Option<Prices>,
    /// The most that one query can cost, USD; hard limits need it.
    pub max_cost: Option<f64>,
    /// The most tokens, input and output together, that one query can take.
    pub max_tokens: Option<f64>,
    /// Other limits.
    pub limits: TrafficLimits,
}

impl Default for ArmSettings {
    fn default() -> Self {
        Self {
            throughput_cap: 1.0,
            prices: None,
            max_cost: None,
            max_tokens: None,
            limits: TrafficLimits::default(),
        }
    }
}

impl ArmSettings {
    pub(super) fn validate(
        &self,
        has_hard_limits: bool,
        terms: Option<&Terms>,
    ) -> Result<(), Error> {
        let cap = self.throughput_cap;
        check(is_cap(cap), "throughput_cap", cap, CAP_RULE)?;
        if let Some(max_cost) = self.max_cost {
            check(is_bill(max_cost), "max_cost", max_cost, BILL_RULE)?;
        }
        let rule = "must be given where there are hard limits: they have to foresee the worst";
        check(self.max_cost.is_some() || !has_hard_limits, "max_cost", f64::NAN, rule)?;
        if let Some(tokens) = self.max_tokens {
            let rule = "must be finite and at least 1";
            check(tokens.is_finite() && tokens >= 1.0, "max_tokens", tokens, rule)?;
        }
        self.limits.validate()?;
        let tokens = self.max_tokens.unwrap_or(0.0);
        if terms.is_some() {
            let most = self.limits.tokens_per_minute.unwrap_or(f64::INFINITY);
            let rule = "a query of that size would never fit: at most tokens_per_minute; raise \
                        tokens_per_minute, or lower max_tokens or context_window";
            return check(tokens <= most, "max_tokens", tokens, rule);
        }
        let rule = "a query of that size would never fit: at most tokens_per_minute x burst_seconds \
                    / 60 may come at once; raise burst_seconds or tokens_per_minute";
        check(tokens <= self.limits.largest_burst(), "max_tokens", tokens, rule)
    }
}

/// A new arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmSpec {
    /// What can be changed later.
    pub settings: ArmSettings,
    /// What is known of it beforehand.
    pub prior: Prior,
}

/// One candidate, as far as the learner does not know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Arm {
    pub(super) settings: ArmSettings,
    /// What a query reserves if nothing more is known of it than `max_cost`.
    pub(super) reservation: Nanodollars,
    /// The cap that the LP gets: the throughput cap, or what other limits leave of it.
    pub(super) share: f64,
    /// All prices it has had; a decision is billed at those under which it was made.
    pub(super) prices: Vec<Prices>,
    pub(super) traffic: Traffic,
    pub(super) health: Health,
    pub(super) is_retired: bool,
    #[serde(skip)]
    pub(super) answers: Answers,
    /// Of each of `prices`, what its list says beyond them.
    #[serde(skip)]
    pub(super) tariffs: Vec<Option<Tariff>>,
    #[serde(skip)]
    pub(super) terms: Option<Box<Terms>>,
    #[serde(skip)]
    pub(super) scopes: Vec<Membership>,
    /// Whether it matters how many tokens a query has.
    #[serde(skip)]
    pub(super) counts_tokens: bool,
    /// How many times the tokens that were used are learnt, because more was billed for them than prices
    /// say: a running mean, where that was ever so.
    #[serde(skip)]
    pub(super) markup: Option<f64>,
    /// Kept while the provider refuses queries for too much traffic now and then.
    #[serde(skip)]
    pub(super) limiter: Option<Box<Limiter>>,
    /// Of a newcomer: how many rewards it was taken to have had before it came.
    #[serde(skip)]
    pub(super) known_before: Option<u64>,
}

/// What a router says of one arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmState {
    /// The cap that the LP gets.
    pub share: f64,
    /// Queries under way.
    pub under_way: u64,
    /// Its breaker.
    pub health: Health,
    /// Chance of an answer, in (0, 1].
    pub answer_chance: f64,
    /// What the mean query uses, for an arm with prices, as far as that is known.
    pub expected_tokens: Option<Tokens>,
    /// Whether it has retired.
    pub is_retired: bool,
}

/// An arm's part in a scope: its place, and the first decision that counts there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Membership {
    pub(super) place: usize,
    pub(super) since: u64,
}

/// What a query would take of one arm.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Need {
    /// Held by hard limits until the bill.
    pub(super) reservation: Nanodollars,
    /// Taken from the token bucket.
    pub(super) tokens: f64,
}

impl Arm {
    /// Whether something is known against it, so that each decision has to look at it.
    pub(super) fn is_troubled(&self) -> bool {
        let Self { health, answers, limiter, .. } = self;
        !health.is_closed() || health.has_pause() || !answers.is_clean() || limiter.is_some()
    }

    /// What a usage is billed at the list of a decision, if there is one.
    pub(super) fn list_bill(&self, version: u32, usage: &Usage) -> Option<f64> {
        let at = (version as usize).wrapping_sub(1);
        match self.tariffs.get(at) {
            Some(Some(tariff)) => Some(tariff.bill(usage)),
            _ => self.prices.get(at).map(|prices| prices.bill(&usage.tokens())),
        }
    }

    /// Takes new prices, for decisions from now on.
    pub(super) fn push_prices(&mut self, prices: Option<Prices>, tariff: Option<&Tariff>) {
        if let Some(prices) = prices {
            self.tariffs.resize(self.prices.len(), None);
            self.prices.push(prices);
            self.tariffs.push(tariff.cloned());
        }
    }

    /// What its list says beyond its prices now.
    pub(super) fn tariff(&self) -> Option<&Tariff> {
        self.terms.as_ref().and_then(|terms| terms.tariff.as_ref())
    }

    /// Notes by how much the usage that is to be learnt differs from the tokens that were used.
    pub(super) fn learn_markup(
        &mut self,
        worth: Option<Tokens>,
        used: f64,
    ) -> Option<CostFeedback> {
        let worth = worth?;
        let times = (worth.input + worth.output) / used;
        if times.is_finite() && (times != 1.0 || self.markup.is_some()) {
            let mean = self.markup.unwrap_or(times);
            self.markup = Some(mean + MARKUP_WEIGHT * (times - mean));
        }
        Some(CostFeedback::Tokens(worth))
    }

    /// What the mean query uses, as far as that is known.
    pub(super) fn expected_tokens(&self, learner: &Learner, arm: ArmIndex) -> Option<Tokens> {
        let learnt = learner.expected_tokens(arm);
        let Some(times) = self.markup.filter(|&times| times > 0.0) else { return learnt };
        learnt.map(|Tokens { input, cached, output }| Tokens {
            input: input / times,
            cached: cached / times,
            output: output / times,
        })
    }

    /// Whether it costs nothing, as far as that is known.
    #[cold]
    pub(super) fn is_free(&self, learner: &Learner, arm: ArmIndex) -> bool {
        match self.settings.prices {
            Some(prices) => prices.are_free(),
            None => self.settings.max_cost == Some(0.0) || learner.expected_cost(arm) <= 0.0,
        }
    }

    /// Whether its limits and its provider's let one more query through, which takes `tokens`.
    #[inline]
    pub(super) fn admits_traffic(&mut self, tokens: f64, now: f64) -> bool {
        self.traffic.admits(tokens, now) && (self.limiter.is_none() || self.provider_admits(now))
    }

    #[cold]
    fn provider_admits(&mut self, now: f64) -> bool {
        self.limiter.as_mut().is_none_or(|limiter| limiter.admits(now))
    }

    /// Seconds until they do.
    pub(super) fn traffic_wait(&mut self, tokens: f64, now: f64) -> f64 {
        let opens = self.limiter.as_mut().map_or(now, |limiter| limiter.opens(now));
        // A query under way may end at any time: when, nobody knows.
        let opens = if self.traffic.is_full() { f64::INFINITY } else { opens };
        self.traffic.wait(tokens, now).max(seconds_until(opens, now))
    }

    /// What a query would take of this arm.
    #[inline]
    pub(super) fn need(&self, query: &Query<'_>, learner: &Learner, arm: ArmIndex) -> Need {
        let reservation = match (query.tokens, self.settings.prices) {
            (Some((input, output)), Some(prices)) => Nanodollars::from_usd(match &self.terms {
                None => most_of(&prices, input, output),
                Some(terms) => terms.most(&prices, input, output),
            }),
            _ => self.reservation,
        };
        let tokens = match (query.tokens, self.settings.max_tokens) {
            _ if !self.counts_tokens => 0.0,
            (Some((input, output)), _) => input + output,
            (None, Some(tokens)) => tokens,
            (None, None) => {
                let expected = self.expected_tokens(learner, arm);
                let tokens = expected.map_or(0.0, |tokens| tokens.input + tokens.output);
                tokens.min(self.traffic.largest_burst())
            }
        };
        Need { reservation, tokens }
    }

    /// The most tokens, input and output together, that a query may have.
    pub(super) fn largest_query(&self) -> f64 {
        match &self.terms {
            None if self.traffic.limits_tokens() => self.traffic.largest_burst(),
            None => f64::INFINITY,
            Some(terms) => {
                terms.largest_query.unwrap_or(f64::INFINITY).min(self.traffic.largest_query())
            }
        }
    }

    /// Whether a query itself leaves this arm in.
    #[inline]
    pub(super) fn satisfies(
        &self,
        query: &Query<'_>,
        need: Need,
        learner: &Learner,
        arm: ArmIndex,
    ) -> bool {
        query.allowed.as_ref().is_none_or(|allowed| allowed.contains(&arm))
            && query.tokens.is_none_or(|(input, output)| input + output <= self.largest_query())
            && need.tokens <= self.traffic.largest_query()
            && query
                .max_cost
                .is_none_or(|most| self.is_cheap_enough(most, query, need, learner, arm))
    }

    fn is_cheap_enough(
        &self,
        most: f64,
        query: &Query<'_>,
        need: Need,
        learner: &Learner,
        arm: ArmIndex,
    ) -> bool {
        let knows_worst = self.settings.max_cost.is_some()
            || (query.tokens.is_some() && self.settings.prices.is_some());
        if knows_worst {
            need.reservation <= Nanodollars::from_usd(most)
        } else {
            learner.expected_cost(arm) <= most
        }
    }
}
