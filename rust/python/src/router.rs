//! The router's hot path. Names and stages belong to the Python class that derives from this one.

use std::sync::{Mutex, MutexGuard};

use numpy::{AllowTypeChange, PyArray1, PyArrayLike1, ToPyArray};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyString};
use stageroute_core::{
    self as core, ArmStats, Bounds, Error, Moments, Observation, Outcome, Pacing, Policy,
    RouterConfig,
};

use crate::convert::{ConfidenceSettings, Floats, elements};
use crate::errors::{invalid, poisoned, to_py, to_py_at};

/// One routing decision.
///
/// Attributes
/// ----------
/// id : int
///     Names the decision in ``observe``; consecutive from 0.
/// model : str
///     The model that should serve the query.
/// probability : float
///     The probability with which it was drawn, in (0, 1].
/// stage : int
///     The stage in which it was made, from 1.
/// budget_price : float
///     Dual price of the budget in the LP behind it, reward per USD; infinite when the (paced)
///     budget could not be met.
#[pyclass(frozen, get_all, module = "stageroute", freelist = 64)]
pub(crate) struct Decision {
    id: u64,
    model: Py<PyString>,
    probability: f64,
    stage: u64,
    budget_price: f64,
}

#[pymethods]
impl Decision {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let model = self.model.bind(py).to_str()?;
        let Self { id, probability, stage, .. } = self;
        Ok(format!(
            "Decision(id={id}, model={model:?}, probability={probability:.6}, stage={stage})"
        ))
    }
}

/// The id of a decision, given as itself or by its id.
struct DecisionId(u64);

// By hand: the derived form builds an exception before it tries the second variant.
impl<'py> FromPyObject<'_, 'py> for DecisionId {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(decision) = object.cast_exact::<Decision>() {
            return Ok(Self(decision.get().id));
        }
        object.extract().map(Self)
    }
}

/// The core router, with the name of each of its arms.
pub(crate) struct State {
    router: core::Router,
    names: Vec<Py<PyString>>,
}

impl Policy for State {
    fn route(&mut self) -> Result<core::Decision, Error> {
        self.router.route()
    }

    fn observe(&mut self, decision: &core::Decision, outcome: Outcome) -> Result<(), Error> {
        Policy::observe(&mut self.router, decision, outcome)
    }
}

/// Native half of `StageRouter`: statistics, routing LP, sampling.
#[pyclass(frozen, subclass, module = "stageroute._core")]
pub(crate) struct Router {
    pub(crate) state: Mutex<State>,
}

impl Router {
    #[inline]
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        self.state.lock_py_attached(py).map_err(|_| poisoned())
    }
}

#[pymethods]
impl Router {
    #[new]
    #[pyo3(signature = (*, budget, confidence, pacing_horizon, open_decisions, stage_queries, seed))]
    fn new(
        budget: f64,
        confidence: ConfidenceSettings,
        pacing_horizon: Option<f64>,
        open_decisions: usize,
        stage_queries: Option<u64>,
        seed: u64,
    ) -> PyResult<Self> {
        let config = RouterConfig {
            budget,
            confidence: confidence.try_into()?,
            pacing: pacing_horizon.map(|horizon| Pacing { horizon }),
            open_decisions,
            stage_queries,
            seed,
        };
        let router = core::Router::new(&config).map_err(|error| to_py(&error))?;
        Ok(Self { state: Mutex::new(State { router, names: Vec::new() }) })
    }

    /// Decide which live model serves the next query.
    ///
    /// When stages are counted in queries and the current one is over, the next set is deployed
    /// first.
    ///
    /// Returns
    /// -------
    /// Decision
    ///     Report what it brought with ``observe``.
    ///
    /// Raises
    /// ------
    /// NoModelError
    ///     If no model is live.
    /// SolverError
    ///     If a solver stopped without a proven answer.
    #[inline]
    fn route(slf: &Bound<'_, Self>) -> PyResult<Decision> {
        let py = slf.py();
        let mut state = slf.get().lock(py)?;
        if state.router.is_stage_due() {
            drop(state);
            slf.call_method0("advance_stage_if_due")?;
            state = slf.get().lock(py)?;
        }
        let decision = state.router.route().map_err(|error| to_py(&error))?;
        Ok(Decision {
            id: decision.id,
            model: state.names[decision.arm].clone_ref(py),
            probability: decision.probability,
            stage: decision.stage,
            budget_price: decision.budget_price,
        })
    }

    /// Report the reward, the cost, or both, of a decision; each once, in any order, any time.
    ///
    /// Parameters
    /// ----------
    /// decision_or_id : Decision or int
    ///     What ``route`` returned, or its ``id``.
    /// reward : float, optional
    ///     Quality of the answer, in [0, 1].
    /// cost : float, optional
    ///     What the query was billed, USD; in [0, 1e9].
    ///
    /// Raises
    /// ------
    /// InvalidInputError
    ///     If neither is given or a value breaks its rule.
    /// UnknownDecisionError, ExpiredDecisionError, AlreadyObservedError
    ///     If the decision cannot take it. Nothing is counted when an error is raised.
    #[pyo3(signature = (decision_or_id, *, reward=None, cost=None))]
    #[inline]
    #[allow(clippy::needless_pass_by_value)]
    fn observe(
        &self,
        py: Python<'_>,
        decision_or_id: DecisionId,
        reward: Option<f64>,
        cost: Option<f64>,
    ) -> PyResult<()> {
        if reward.is_none() && cost.is_none() {
            return Err(invalid("observe needs a reward, a cost, or both; got neither"));
        }
        let observation = Observation { id: decision_or_id.0, reward, cost };
        self.lock(py)?.router.observe(observation).map_err(|error| to_py(&error))
    }

    /// Report a batch, all or none, without holding the interpreter.
    ///
    /// Parameters
    /// ----------
    /// ids : array_like of int, shape (n,)
    ///     Decision ids.
    /// rewards, costs : array_like of float, shape (n,), optional
    ///     One for each id. What is known for some ids only goes into a batch of its own.
    ///
    /// Raises
    /// ------
    /// InvalidInputError, UnknownDecisionError, ExpiredDecisionError, AlreadyObservedError
    ///     Named for the first bad element. Nothing is counted when an error is raised.
    #[pyo3(signature = (ids, *, rewards=None, costs=None))]
    #[allow(clippy::needless_pass_by_value)]
    fn observe_many(
        &self,
        py: Python<'_>,
        ids: PyArrayLike1<'_, u64, AllowTypeChange>,
        rewards: Option<Floats<'_>>,
        costs: Option<Floats<'_>>,
    ) -> PyResult<()> {
        let ids = elements(&ids);
        let rewards = rewards.as_ref().map(|array| elements(array));
        let costs = costs.as_ref().map(|array| elements(array));
        if rewards.is_none() && costs.is_none() {
            return Err(invalid("observe_many needs rewards, costs, or both; got neither"));
        }
        for (argument, values) in [("rewards", &rewards), ("costs", &costs)] {
            if let Some(values) = values.as_ref().filter(|values| values.len() != ids.len()) {
                let (actual, expected) = (values.len(), ids.len());
                return Err(invalid(format!(
                    "{argument} has {actual} elements; it must have {expected}, one for each id"
                )));
            }
        }
        let observations: Vec<Observation> = (0..ids.len())
            .map(|k| Observation {
                id: ids[k],
                reward: rewards.as_ref().map(|values| values[k]),
                cost: costs.as_ref().map(|values| values[k]),
            })
            .collect();
        py.detach(|| {
            let mut state = self.state.lock().map_err(|_| poisoned())?;
            state.router.observe_many(&observations).map_err(to_py_at)
        })
    }

    fn _add_arm(
        &self,
        name: &Bound<'_, PyString>,
        throughput_cap: f64,
        cost_prior: Option<(f64, u64)>,
    ) -> PyResult<usize> {
        let mut prior = ArmStats::default();
        if let Some((mean, weight)) = cost_prior {
            prior.cost = Moments::prior(mean, weight);
        }
        let mut state = self.lock(name.py())?;
        let arm = state.router.add_arm(throughput_cap, prior).map_err(|error| to_py(&error))?;
        state.names.push(name.clone().unbind());
        Ok(arm)
    }

    fn _retire_arm(&self, py: Python<'_>, arm: usize) -> PyResult<()> {
        self.lock(py)?.router.retire_arm(arm).map_err(|error| to_py(&error))
    }

    #[allow(clippy::needless_pass_by_value)]
    fn _publish(&self, py: Python<'_>, deployed: Vec<usize>) -> PyResult<u64> {
        let mut state = self.lock(py)?;
        let plan = state.router.publish(&deployed).map_err(|error| to_py(&error))?;
        Ok(plan.stage())
    }

    fn _refresh_bounds(&self, py: Python<'_>) -> PyResult<()> {
        self.lock(py)?.router.refresh_bounds();
        Ok(())
    }

    fn _extend_stage(&self, py: Python<'_>) -> PyResult<()> {
        self.lock(py)?.router.extend_stage();
        Ok(())
    }

    fn _is_stage_due(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py)?.router.is_stage_due())
    }

    /// (stage, live arms)
    fn _plan(&self, py: Python<'_>) -> PyResult<(u64, Vec<usize>)> {
        let state = self.lock(py)?;
        Ok((state.router.plan().stage(), state.router.plan().arms().to_vec()))
    }

    /// (`reward_ucb`, `cost_lcb`), one entry for each arm.
    #[allow(clippy::type_complexity)]
    fn _bounds<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>)> {
        let state = self.lock(py)?;
        let bounds = state.router.learner().bounds();
        let column =
            |get: fn(&Bounds) -> f64| bounds.iter().map(get).collect::<Vec<f64>>().to_pyarray(py);
        Ok((column(|b| b.reward_ucb), column(|b| b.cost_lcb)))
    }

    /// Statistics of every arm: a dict of arrays.
    #[allow(clippy::type_complexity)]
    fn _statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.lock(py)?;
        let stats = state.router.learner().stats();
        let columns = PyDict::new(py);
        let floats: [(&str, fn(&ArmStats) -> f64); 4] = [
            ("reward_mean", |s| s.reward.mean()),
            ("reward_variance", |s| s.reward.variance()),
            ("cost_mean", |s| s.cost.mean()),
            ("cost_variance", |s| s.cost.variance()),
        ];
        for (name, get) in floats {
            columns.set_item(name, stats.iter().map(get).collect::<Vec<f64>>().to_pyarray(py))?;
        }
        let counts: [(&str, fn(&ArmStats) -> u64); 2] =
            [("reward_count", |s| s.reward.count()), ("cost_count", |s| s.cost.count())];
        for (name, get) in counts {
            columns.set_item(name, stats.iter().map(get).collect::<Vec<u64>>().to_pyarray(py))?;
        }
        Ok(columns)
    }

    /// What was done and spent so far: a flat dict.
    fn _counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.lock(py)?;
        let router = &state.router;
        let (counters, ledger) = (router.counters(), router.ledger());
        let dict = PyDict::new(py);
        dict.set_item("queries", ledger.queries)?;
        dict.set_item("optimal", counters.optimal)?;
        dict.set_item("throttled", counters.throttled)?;
        dict.set_item("budget_infeasible", counters.budget_infeasible)?;
        dict.set_item("cap_infeasible", counters.cap_infeasible)?;
        dict.set_item("rewards", counters.rewards)?;
        dict.set_item("costs", counters.costs)?;
        dict.set_item("billed", ledger.billed)?;
        dict.set_item("in_flight", ledger.in_flight)?;
        dict.set_item("paced_budget", router.paced_budget())?;
        Ok(dict)
    }
}
