//! What a router says of itself, as arrays and flat dicts.
//!
//! It is taken down while the router is locked, and made into Python objects when it no longer is: making
//! one may run the collector, hence a finaliser, which may call the router.

use numpy::{PyArray1, ToPyArray};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use stageroute_core::{
    ArmIndex, ArmState, ArmStats, Bounds, Counters, Ledger, Moments, Router, Tokens,
};

/// (`reward_ucb`, `cost_lcb`)
pub(crate) type BoundColumns<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

pub(crate) fn bounds<'py>(py: Python<'py>, bounds: &[Bounds]) -> BoundColumns<'py> {
    let column =
        |get: fn(&Bounds) -> f64| bounds.iter().map(get).collect::<Vec<f64>>().to_pyarray(py);
    (column(|b| b.reward_ucb), column(|b| b.cost_lcb))
}

/// What the next deployment is decided from.
pub(crate) struct Planning {
    arms: Vec<usize>,
    bounds: Vec<Bounds>,
    share: Vec<f64>,
    start_room: f64,
}

impl Planning {
    pub(crate) fn of(router: &Router, now: f64) -> Self {
        let arms: Vec<ArmIndex> = router.candidates(now).collect();
        let mut next = Vec::new();
        router.next_bounds(&mut next);
        Self {
            arms: arms.iter().map(|arm| arm.index()).collect(),
            bounds: arms.iter().map(|&arm| next[arm]).collect(),
            share: arms.iter().map(|&arm| router.planned_share(arm)).collect(),
            start_room: router.start_room(),
        }
    }

    pub(crate) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (reward_ucb, cost_lcb) = bounds(py, &self.bounds);
        let dict = PyDict::new(py);
        dict.set_item("arms", self.arms.to_pyarray(py))?;
        dict.set_item("reward_ucb", reward_ucb)?;
        dict.set_item("cost_lcb", cost_lcb)?;
        dict.set_item("share", self.share.to_pyarray(py))?;
        dict.set_item("start_room", self.start_room)?;
        Ok(dict)
    }
}

/// Everything known of an arm.
pub(crate) struct ArmView {
    state: ArmState,
    stats: ArmStats,
    bounds: Bounds,
    health: &'static str,
    changes: u64,
    tokens: Option<Tokens>,
}

impl ArmView {
    pub(crate) fn of(router: &Router, arm: ArmIndex, now: f64) -> Self {
        let (learner, state) = (router.learner(), router.arm(arm));
        let now = now.max(router.clock());
        let health = &state.health;
        let word = match () {
            () if health.is_paused(now) => "paused",
            () if health.is_closed() => "healthy",
            () if health.has_failed(now, router.health_config()) => "failed",
            () if health.is_cooling(now) => "cooling",
            () => "probing",
        };
        Self {
            state,
            stats: learner.stats()[arm],
            bounds: learner.bounds()[arm],
            health: word,
            changes: learner.changes(arm),
            tokens: state.expected_tokens,
        }
    }

    pub(crate) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let Self { state, stats, bounds, .. } = self;
        let dict = PyDict::new(py);
        dict.set_item("is_retired", state.is_retired)?;
        dict.set_item("reward_count", stats.reward.count())?;
        dict.set_item("cost_count", stats.cost.count())?;
        dict.set_item("reward_mean", mean(&stats.reward))?;
        dict.set_item("cost_mean", mean(&stats.cost))?;
        dict.set_item("reward_variance", stats.reward.variance())?;
        dict.set_item("cost_variance", stats.cost.variance())?;
        dict.set_item("reward_ucb", bounds.reward_ucb)?;
        dict.set_item("cost_lcb", bounds.cost_lcb)?;
        dict.set_item("throughput_share", state.share)?;
        dict.set_item("under_way", state.under_way)?;
        dict.set_item("health", self.health)?;
        dict.set_item("answer_chance", state.answer_chance)?;
        dict.set_item("changes", self.changes)?;
        dict.set_item("expected_tokens", self.tokens.map(|t| (t.input, t.output, t.cached)))?;
        Ok(dict)
    }
}

/// A mean, if anything is known.
fn mean(moments: &Moments) -> Option<f64> {
    (moments.weight() > 0.0).then(|| moments.mean())
}

/// What was done and spent so far.
pub(crate) struct CountersView {
    counters: Counters,
    failures: Vec<(String, u64)>,
    ledger: Ledger,
    paced_budget: f64,
    arrival_rate: f64,
}

impl CountersView {
    pub(crate) fn of(router: &Router) -> Self {
        let failures = router.failures_by_reason();
        Self {
            counters: router.counters(),
            failures: failures.map(|(name, count)| (name.to_owned(), count)).collect(),
            ledger: router.ledger(),
            paced_budget: router.paced_budget(),
            arrival_rate: router.arrival_rate(),
        }
    }

    pub(crate) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("queries", self.ledger.queries)?;
        for (name, count) in self.counters.named() {
            dict.set_item(name, count)?;
        }
        let failures = PyDict::new(py);
        for (name, count) in &self.failures {
            failures.set_item(name, count)?;
        }
        dict.set_item("failures", failures)?;
        dict.set_item("billed", self.ledger.billed)?;
        // A sum of what was added and taken away again: rounding may leave less than nothing.
        dict.set_item("in_flight", self.ledger.in_flight.max(0.0))?;
        dict.set_item("written_off", self.ledger.written_off)?;
        dict.set_item("paced_budget", self.paced_budget)?;
        dict.set_item("arrival_rate", self.arrival_rate)?;
        Ok(dict)
    }
}
