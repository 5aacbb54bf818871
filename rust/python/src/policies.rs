//! The baselines' kernels.

use std::sync::{Mutex, MutexGuard};

use numpy::PyReadonlyArray2;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use stageroute_baselines::{
    self as baselines, ContextConfig, DualMethod, Index, KnapsackConfig, LinUcbConfig, Outcome,
    Policy, Sharing,
};
use stageroute_core::{ArmIndex, Bounds, Confidence, Decision, Pacing, Prior};

use crate::config::{from_python, named};
use crate::convert::{Floats, arms, elements};
use crate::errors::{invalid, poisoned, to_py};

/// A fixed distribution for each stage.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct Mixture {
    pub(crate) inner: Mutex<baselines::Mixture>,
}

#[pymethods]
impl Mixture {
    #[new]
    fn new(arms: usize, seed: u64) -> Self {
        Self { inner: Mutex::new(baselines::Mixture::new(arms, seed)) }
    }

    /// Publish the live arms of the next stage and a probability for each candidate.
    #[allow(clippy::needless_pass_by_value)]
    fn publish(
        &self,
        py: Python<'_>,
        deployed: Vec<u32>,
        probabilities: Floats<'_>,
    ) -> PyResult<()> {
        let probabilities = elements(&probabilities);
        lock(&self.inner, py)?.publish(&arms(deployed), &probabilities).map_err(to_py)
    }

    /// The distribution of the stage, one number for each candidate.
    fn probabilities(&self, py: Python<'_>) -> PyResult<Vec<f64>> {
        Ok(lock(&self.inner, py)?.probabilities().to_vec())
    }

    /// Decide which arm serves the query of a row: (arm, probability, budget price).
    fn route(&self, py: Python<'_>, row: usize) -> PyResult<Routed> {
        route(&mut *lock(&self.inner, py)?, row)
    }

    /// Learn what the given arm brought on the query of a row.
    fn observe(
        &self,
        py: Python<'_>,
        row: usize,
        arm: u32,
        reward: f64,
        cost: f64,
    ) -> PyResult<()> {
        observe(&mut *lock(&self.inner, py)?, row, arm, Outcome { reward, cost })
    }
}

/// Arms by falling utility, each up to its cap.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct Greedy {
    pub(crate) inner: Mutex<baselines::Greedy>,
}

#[pymethods]
impl Greedy {
    #[new]
    #[allow(clippy::needless_pass_by_value)]
    fn new(confidence: &Bound<'_, PyAny>, throughput_cap: Floats<'_>, seed: u64) -> PyResult<Self> {
        let caps = elements(&throughput_cap);
        let greedy = baselines::Greedy::new(from_python::<Confidence>(confidence)?, &caps, seed);
        Ok(Self { inner: Mutex::new(greedy.map_err(to_py)?) })
    }

    /// Publish the live arms of the next stage.
    #[allow(clippy::needless_pass_by_value)]
    fn publish(&self, py: Python<'_>, deployed: Vec<u32>) -> PyResult<()> {
        lock(&self.inner, py)?.publish(&arms(deployed)).map_err(to_py)
    }

    /// Recompute the bounds for the next stage.
    fn refresh_bounds(&self, py: Python<'_>) -> PyResult<()> {
        lock(&self.inner, py)?.refresh_bounds();
        Ok(())
    }

    /// (`reward_ucb`, `cost_lcb`) of every arm.
    fn bounds(&self, py: Python<'_>) -> PyResult<(Vec<f64>, Vec<f64>)> {
        let greedy = lock(&self.inner, py)?;
        let bounds = greedy.learner().bounds();
        let column = |get: fn(&Bounds) -> f64| bounds.iter().map(get).collect();
        Ok((column(|b| b.reward_ucb), column(|b| b.cost_lcb)))
    }

    /// Decide which arm serves the query of a row: (arm, probability, budget price).
    fn route(&self, py: Python<'_>, row: usize) -> PyResult<Routed> {
        route(&mut *lock(&self.inner, py)?, row)
    }

    /// Learn what the given arm brought on the query of a row.
    fn observe(
        &self,
        py: Python<'_>,
        row: usize,
        arm: u32,
        reward: f64,
        cost: f64,
    ) -> PyResult<()> {
        observe(&mut *lock(&self.inner, py)?, row, arm, Outcome { reward, cost })
    }
}

/// A bandit index under a budget.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct IndexRouter {
    pub(crate) inner: Mutex<baselines::IndexRouter>,
}

#[pymethods]
impl IndexRouter {
    #[new]
    #[allow(clippy::needless_pass_by_value)]
    fn new(
        index: (String, f64),
        throughput_cap: Floats<'_>,
        priors: &Bound<'_, PyAny>,
        budget: f64,
        pacing: Option<(f64, f64)>,
        seed: u64,
    ) -> PyResult<Self> {
        let index = match (index.0.as_str(), index.1) {
            ("ucb1", _) => Index::Ucb1,
            ("kl-ucb", c) => Index::KlUcb { c },
            ("thompson", _) => Index::Thompson,
            ("epsilon-greedy", scale) => Index::EpsilonGreedy { scale },
            (name, _) => return Err(invalid(format!("index = {name:?}: there is no such index"))),
        };
        let priors: Vec<Prior> = from_python(priors)?;
        let pacing = pacing.map(|(horizon, burst)| Pacing { horizon, burst });
        let caps = elements(&throughput_cap);
        let router = baselines::IndexRouter::new(index, &caps, &priors, budget, pacing, seed);
        Ok(Self { inner: Mutex::new(router.map_err(to_py)?) })
    }

    /// (index, mean cost) of every arm as they stand.
    fn estimates(&self, py: Python<'_>) -> PyResult<(Vec<f64>, Vec<f64>)> {
        Ok(lock(&self.inner, py)?.estimates())
    }

    /// Publish the live arms of the next stage.
    #[allow(clippy::needless_pass_by_value)]
    fn publish(&self, py: Python<'_>, deployed: Vec<u32>) -> PyResult<()> {
        lock(&self.inner, py)?.publish(&arms(deployed)).map_err(to_py)
    }

    /// The budget's price in the last LP.
    fn budget_price(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(lock(&self.inner, py)?.budget_price())
    }

    /// How often the LP ended in each status: optimal, throttled, budget or cap infeasible.
    fn counts(&self, py: Python<'_>) -> PyResult<(u64, u64, u64, u64)> {
        let c = lock(&self.inner, py)?.counts();
        Ok((c.optimal, c.throttled, c.budget_infeasible, c.cap_infeasible))
    }

    /// Decide which arm serves the query of a row: (arm, probability, budget price).
    fn route(&self, py: Python<'_>, row: usize) -> PyResult<Routed> {
        route(&mut *lock(&self.inner, py)?, row)
    }

    /// Learn what the given arm brought on the query of a row.
    fn observe(
        &self,
        py: Python<'_>,
        row: usize,
        arm: u32,
        reward: f64,
        cost: f64,
    ) -> PyResult<()> {
        observe(&mut *lock(&self.inner, py)?, row, arm, Outcome { reward, cost })
    }
}

/// Prices of money and shares found by a primal-dual method.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct KnapsackRouter {
    pub(crate) inner: Mutex<baselines::KnapsackRouter>,
}

#[pymethods]
impl KnapsackRouter {
    #[new]
    #[allow(clippy::needless_pass_by_value, clippy::too_many_arguments)]
    fn new(
        method: &str,
        step: f64,
        confidence: &Bound<'_, PyAny>,
        throughput_cap: Floats<'_>,
        priors: &Bound<'_, PyAny>,
        budget: f64,
        horizon: u64,
        stage_queries: f64,
    ) -> PyResult<Self> {
        let methods = [
            ("multiplicative_weights", DualMethod::MultiplicativeWeights),
            ("gradient_descent", DualMethod::GradientDescent),
        ];
        let method = named("method", method, &methods)?;
        let config = KnapsackConfig { method, step, budget, horizon, stage_queries };
        let priors: Vec<Prior> = from_python(priors)?;
        let caps = elements(&throughput_cap);
        let router = baselines::KnapsackRouter::new(
            config,
            from_python::<Confidence>(confidence)?,
            &caps,
            &priors,
        );
        Ok(Self { inner: Mutex::new(router.map_err(to_py)?) })
    }

    /// Begin a stage; (value at the mean price of the last one, cost bound) of every arm.
    fn begin_stage(&self, py: Python<'_>) -> PyResult<(Vec<f64>, Vec<f64>)> {
        Ok(lock(&self.inner, py)?.begin_stage())
    }

    /// Publish the live arms of the stage.
    #[allow(clippy::needless_pass_by_value)]
    fn publish(&self, py: Python<'_>, deployed: Vec<u32>) -> PyResult<()> {
        lock(&self.inner, py)?.publish(&arms(deployed)).map_err(to_py)
    }

    /// Decide which arm serves the query of a row: (arm, probability, budget price).
    fn route(&self, py: Python<'_>, row: usize) -> PyResult<Routed> {
        route(&mut *lock(&self.inner, py)?, row)
    }

    /// Learn what the given arm brought on the query of a row.
    fn observe(
        &self,
        py: Python<'_>,
        row: usize,
        arm: u32,
        reward: f64,
        cost: f64,
    ) -> PyResult<()> {
        observe(&mut *lock(&self.inner, py)?, row, arm, Outcome { reward, cost })
    }
}

/// LinUCB with a budget pacer.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct LinUcb {
    pub(crate) inner: Mutex<baselines::LinUcb>,
}

#[pymethods]
impl LinUcb {
    #[new]
    #[allow(clippy::needless_pass_by_value, clippy::too_many_arguments)]
    fn new(
        width: f64,
        step: f64,
        features: PyReadonlyArray2<'_, f64>,
        throughput_cap: Floats<'_>,
        priors: &Bound<'_, PyAny>,
        budget: f64,
        horizon: u64,
    ) -> PyResult<Self> {
        let config = LinUcbConfig { width, step, budget, horizon };
        let d = features.as_array().ncols();
        let features = features.as_slice().map_err(|_| invalid("features must be C-contiguous"))?;
        let priors: Vec<Prior> = from_python(priors)?;
        let caps = elements(&throughput_cap);
        let linucb = baselines::LinUcb::new(config, features, d, &caps, &priors);
        Ok(Self { inner: Mutex::new(linucb.map_err(to_py)?) })
    }

    /// How often each row was asked about.
    fn seen(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        Ok(lock(&self.inner, py)?.seen().to_vec())
    }

    /// What each arm is worth on some rows, row by row, at the mean price of the last stage.
    #[allow(clippy::needless_pass_by_value)]
    fn values(&self, py: Python<'_>, rows: Vec<usize>) -> PyResult<Vec<f64>> {
        lock(&self.inner, py)?.values(&rows).map_err(to_py)
    }

    /// Publish the live arms of the next stage.
    #[allow(clippy::needless_pass_by_value)]
    fn publish(&self, py: Python<'_>, deployed: Vec<u32>) -> PyResult<()> {
        lock(&self.inner, py)?.publish(&arms(deployed)).map_err(to_py)
    }

    /// Decide which arm serves the query of a row: (arm, probability, budget price).
    fn route(&self, py: Python<'_>, row: usize) -> PyResult<Routed> {
        route(&mut *lock(&self.inner, py)?, row)
    }

    /// Learn what the given arm brought on the query of a row.
    fn observe(
        &self,
        py: Python<'_>,
        row: usize,
        arm: u32,
        reward: f64,
        cost: f64,
    ) -> PyResult<()> {
        observe(&mut *lock(&self.inner, py)?, row, arm, Outcome { reward, cost })
    }
}

/// `StageRoute` that routes by features of each query.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct ContextRouter {
    pub(crate) inner: Mutex<baselines::ContextRouter>,
}

#[pymethods]
impl ContextRouter {
    #[new]
    #[allow(clippy::needless_pass_by_value, clippy::too_many_arguments)]
    #[pyo3(signature = (features, throughput_cap, priors, *, width, budget, pacing, confidence,
                        prices, seed))]
    fn new(
        features: PyReadonlyArray2<'_, f64>,
        throughput_cap: Floats<'_>,
        priors: &Bound<'_, PyAny>,
        width: f64,
        budget: f64,
        pacing: Option<(f64, f64)>,
        confidence: &Bound<'_, PyAny>,
        prices: Option<(f64, f64, f64)>,
        seed: u64,
    ) -> PyResult<Self> {
        let sharing = prices.map_or(Sharing::Own, |(money_step, share_step, stage_queries)| {
            Sharing::Prices { money_step, share_step, stage_queries }
        });
        let pacing = pacing.map(|(horizon, burst)| Pacing { horizon, burst });
        let confidence = from_python::<Confidence>(confidence)?;
        let config = ContextConfig { sharing, width, budget, pacing, confidence };
        let d = features.as_array().ncols();
        let features = features.as_slice().map_err(|_| invalid("features must be C-contiguous"))?;
        let priors: Vec<Prior> = from_python(priors)?;
        let caps = elements(&throughput_cap);
        let router = baselines::ContextRouter::new(config, features, d, &caps, &priors, seed);
        Ok(Self { inner: Mutex::new(router.map_err(to_py)?) })
    }

    /// Begin a stage; (`reward_ucb`, `cost_lcb`) of every arm.
    fn begin_stage(&self, py: Python<'_>) -> PyResult<(Vec<f64>, Vec<f64>)> {
        let mut router = lock(&self.inner, py)?;
        router.begin_stage();
        let bounds = router.learner().bounds();
        let column = |get: fn(&Bounds) -> f64| bounds.iter().map(get).collect();
        Ok((column(|b| b.reward_ucb), column(|b| b.cost_lcb)))
    }

    /// Publish the live arms of the stage, and where the budget's price starts.
    #[allow(clippy::needless_pass_by_value)]
    fn publish(&self, py: Python<'_>, deployed: Vec<u32>, price: f64) -> PyResult<()> {
        lock(&self.inner, py)?.publish(&arms(deployed), price).map_err(to_py)
    }

    /// The budget's price for the last query.
    fn budget_price(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(lock(&self.inner, py)?.budget_price())
    }

    /// How often the LP ended in each status: optimal, throttled, budget or cap infeasible.
    fn counts(&self, py: Python<'_>) -> PyResult<(u64, u64, u64, u64)> {
        let c = lock(&self.inner, py)?.counts();
        Ok((c.optimal, c.throttled, c.budget_infeasible, c.cap_infeasible))
    }

    /// Decide which arm serves the query of a row: (arm, probability, budget price).
    fn route(&self, py: Python<'_>, row: usize) -> PyResult<Routed> {
        route(&mut *lock(&self.inner, py)?, row)
    }

    /// Learn what the given arm brought on the query of a row.
    fn observe(
        &self,
        py: Python<'_>,
        row: usize,
        arm: u32,
        reward: f64,
        cost: f64,
    ) -> PyResult<()> {
        observe(&mut *lock(&self.inner, py)?, row, arm, Outcome { reward, cost })
    }
}

fn lock<'a, T>(mutex: &'a Mutex<T>, py: Python<'_>) -> PyResult<MutexGuard<'a, T>> {
    mutex.lock_py_attached(py).map_err(|_| poisoned())
}

/// (arm, probability, budget price)
type Routed = (u32, f64, f64);

fn route(policy: &mut impl Policy, row: usize) -> PyResult<Routed> {
    let Decision { arm, probability, budget_price, .. } = policy.route(row).map_err(to_py)?;
    Ok((arm.0, probability, budget_price))
}

fn observe(policy: &mut impl Policy, row: usize, arm: u32, outcome: Outcome) -> PyResult<()> {
    // The baselines learn from row and arm alone; the rest of the decision is not used.
    let reasons = stageroute_core::Reasons::default();
    let arm = ArmIndex(arm);
    let decision = Decision { id: 0, arm, probability: 1.0, stage: 0, budget_price: 0.0, reasons };
    policy.observe(row, &decision, outcome).map_err(to_py)
}
