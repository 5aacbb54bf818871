//! Settings as the Python side hands them over: plain dicts and tuples, already checked there for
//! what a user can get wrong; names that are not known here are errors all the same.

use pyo3::prelude::*;
use stageroute_core::{
    ArmSettings, ArmSpec, AtLimit, ChangeTest, Charge, Drift, FailureEffect, FailureReason,
    Forgetting, HardLimit, HealthConfig, Pacing, Period, Prices, Prior, RouterConfig, Strike,
    Tokens, TrafficLimits,
};

use crate::convert::ConfidenceSettings;
use crate::errors::invalid;

/// The value that has a name in a table of names.
pub(crate) fn named<T: Copy>(
    argument: &str,
    name: &str,
    names: &[(&'static str, T)],
) -> PyResult<T> {
    names.iter().find(|(known, _)| *known == name).map(|&(_, value)| value).ok_or_else(|| {
        let known: Vec<&str> = names.iter().map(|(known, _)| *known).collect();
        invalid(format!("{argument} = {name:?}: must be one of {known:?}"))
    })
}

/// Tokens as (input, output, cached).
#[derive(FromPyObject)]
pub(crate) struct TokensTuple(f64, f64, f64);

impl From<TokensTuple> for Tokens {
    fn from(TokensTuple(input, output, cached): TokensTuple) -> Self {
        Self { input, cached, output }
    }
}

/// Everything a router is made with.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct RouterSettings {
    budget: f64,
    confidence: ConfidenceSettings,
    forgetting: Option<(String, f64)>,
    change_test: Option<(f64, f64, u64)>,
    pacing: Option<(f64, f64)>,
    open_decisions: usize,
    max_age: Option<f64>,
    stage_queries: Option<u64>,
    redeploys_lost_slots: bool,
    /// USD, period, at the limit
    hard_limits: Vec<(f64, String, String)>,
    /// reward, charge, strike; one for each reason
    failures: Vec<(Option<f64>, String, String)>,
    /// failures in a row, cool-down, longest cool-down, cool-downs until failed
    health: (u32, f64, f64, u32),
    pub(crate) log_capacity: usize,
    seed: u64,
}

impl TryFrom<RouterSettings> for RouterConfig {
    type Error = PyErr;

    fn try_from(settings: RouterSettings) -> PyResult<Self> {
        let forgetting = settings.forgetting.map_or(Ok(Forgetting::None), |(kind, value)| {
            Ok(match kind.as_str() {
                "query" => Forgetting::PerQuery { factor: value },
                "stage" => Forgetting::PerStage { factor: value },
                // A whole number of stages, checked by the Python side.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                "window" => Forgetting::Window { stages: value as u32 },
                _ => return Err(invalid(format!("forgetting = {kind:?}: unknown"))),
            })
        })?;
        let change_test = settings.change_test.map(|(threshold, slack, min_samples)| ChangeTest {
            threshold,
            slack,
            min_samples,
        });
        let at_limit = [("cheapest", AtLimit::Cheapest), ("refuse", AtLimit::Refuse)];
        let hard_limits = settings.hard_limits.into_iter().map(|(usd, period, at)| {
            let period = named("per", &period, &Period::NAMES)?;
            Ok(HardLimit { usd, period, at_limit: named("at_limit", &at, &at_limit)? })
        });
        let mut failures = FailureReason::DEFAULT_EFFECTS;
        for (effect, (reward, charge, strike)) in failures.iter_mut().zip(settings.failures) {
            *effect = failure_effect(reward, &charge, &strike)?;
        }
        let (failures_in_a_row, cooldown, max_cooldown, failed_after) = settings.health;
        Ok(Self {
            drift: Drift { forgetting, change_test },
            pacing: settings.pacing.map(|(horizon, burst)| Pacing { horizon, burst }),
            open_decisions: settings.open_decisions,
            max_age: settings.max_age,
            stage_queries: settings.stage_queries,
            redeploys_lost_slots: settings.redeploys_lost_slots,
            hard_limits: hard_limits.collect::<PyResult<_>>()?,
            failures,
            health: HealthConfig {
                failures: failures_in_a_row,
                cooldown,
                max_cooldown,
                failed_after,
            },
            log_capacity: settings.log_capacity,
            ..Self::new(settings.budget, settings.confidence.try_into()?, settings.seed)
        })
    }
}

fn failure_effect(reward: Option<f64>, charge: &str, strike: &str) -> PyResult<FailureEffect> {
    let charges =
        [("nothing", Charge::Nothing), ("expected", Charge::Expected), ("open", Charge::Open)];
    let strikes =
        [("none", Strike::None), ("failure", Strike::Failure), ("cool_down", Strike::CoolDown)];
    let charge = named("charge", charge, &charges)?;
    Ok(FailureEffect { reward, charge, strike: named("strike", strike, &strikes)? })
}

/// What can be changed of an arm.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct ArmDict {
    throughput_cap: f64,
    /// input, output, cached input
    prices: Option<(f64, f64, f64)>,
    max_cost: Option<f64>,
    max_tokens: Option<f64>,
    requests_per_minute: Option<f64>,
    tokens_per_minute: Option<f64>,
    concurrent: Option<u64>,
    burst_seconds: f64,
}

impl From<ArmDict> for ArmSettings {
    fn from(dict: ArmDict) -> Self {
        Self {
            throughput_cap: dict.throughput_cap,
            prices: dict.prices.map(|(input, output, cached_input)| Prices {
                input,
                cached_input,
                output,
            }),
            max_cost: dict.max_cost,
            max_tokens: dict.max_tokens,
            limits: TrafficLimits {
                requests_per_minute: dict.requests_per_minute,
                tokens_per_minute: dict.tokens_per_minute,
                concurrent: dict.concurrent,
                burst_seconds: dict.burst_seconds,
            },
        }
    }
}

/// What is known of an arm beforehand; each with its weight.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct PriorDict {
    reward: Option<(f64, u64)>,
    cost: Option<(f64, u64)>,
    tokens: Option<(TokensTuple, u64)>,
}

impl From<PriorDict> for Prior {
    fn from(dict: PriorDict) -> Self {
        let PriorDict { reward, cost, tokens } = dict;
        let tokens = tokens.map(|(tokens, weight)| (tokens.into(), weight));
        Self { reward, cost, tokens }
    }
}

impl PriorDict {
    pub(crate) fn with(self, settings: ArmSettings) -> ArmSpec {
        ArmSpec { settings, prior: self.into() }
    }
}
