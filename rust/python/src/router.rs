//! The router's hot path. Names, stages and files belong to the Python class that derives from this
//! one.
//!
//! Every call that changes the state is a [`Command`]: it is appended to the journal, if there is
//! one, and then done. Both happen under the router's lock, so the journal has the commands in the
//! order in which they took effect.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use numpy::{AllowTypeChange, PyArrayLike1};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyString};
use stageroute_baselines::{Outcome, Policy};
use stageroute_core::{
    self as core, ArmIndex, Command, Error, FailureReason, Observation, Query, StartCost, Tokens,
};

use crate::clock::{Clock, system_time};
use crate::config::{ArmDict, PriorDict, RouterSettings, TokensTuple, named};
use crate::convert::{Floats, arms, elements};
use crate::decision::{Decision, DecisionId, FeedbackBatch};
use crate::errors::{invalid, journal_to_py, poisoned, to_py, to_py_at, unknown_model};
use crate::tail::Tail;
use crate::{log, views};

/// Where a journal stands: (seq, offset).
type Position = (u64, u64);

/// The core router, with the name of each of its arms.
pub(crate) struct State {
    pub(crate) router: core::Router,
    pub(crate) names: Vec<Py<PyString>>,
    arms: HashMap<String, ArmIndex>,
    /// Whether somebody has been told that the stage is due.
    is_due_told: bool,
    journal: Option<Arc<Mutex<stageroute_journal::Tail>>>,
    /// The record that is being written.
    record: Vec<u8>,
}

impl Policy for State {
    fn route(&mut self, row: usize) -> Result<core::Decision, Error> {
        Policy::route(&mut self.router, row)
    }

    fn observe(
        &mut self,
        row: usize,
        decision: &core::Decision,
        outcome: Outcome,
    ) -> Result<(), Error> {
        Policy::observe(&mut self.router, row, decision, outcome)
    }
}

impl State {
    fn new(router: core::Router) -> Self {
        Self {
            router,
            names: Vec::new(),
            arms: HashMap::new(),
            is_due_told: false,
            journal: None,
            record: Vec::new(),
        }
    }

    #[inline]
    pub(crate) fn is_journaled(&self) -> bool {
        self.journal.is_some()
    }

    /// Writes a command that is about to be done to the journal, with what the Python side has to
    /// say of it. When there is no room for it, it must not be done.
    #[inline]
    fn record(&mut self, command: &Command<'_>, note: &[u8]) -> PyResult<()> {
        let Some(journal) = &self.journal else { return Ok(()) };
        self.record.clear();
        command.encode(&mut self.record);
        self.record.extend_from_slice(note);
        let mut tail = journal.lock().map_err(|_| poisoned())?;
        tail.append(&self.record).map(drop).map_err(|error| journal_to_py(&error))
    }

    fn command(&mut self, command: &Command<'_>, note: &[u8]) -> PyResult<()> {
        self.record(command, note)?;
        command.apply(&mut self.router).map_err(|error| to_py(&error))
    }

    /// The time of a query: what a callable clock said, or the system's where it matters.
    #[inline]
    fn time_to_route(&self, asked: Option<f64>) -> f64 {
        match asked {
            Some(now) => now,
            None if self.router.needs_clock_to_route() => system_time(),
            None => 0.0,
        }
    }

    /// The same for feedback.
    #[inline]
    fn time_to_observe(&self, asked: Option<f64>) -> f64 {
        match asked {
            Some(now) => now,
            None if self.router.needs_clock_to_observe() => system_time(),
            None => 0.0,
        }
    }

    fn find(&self, name: &Bound<'_, PyString>) -> PyResult<ArmIndex> {
        let text = name.to_str()?;
        self.arms.get(text).copied().ok_or_else(|| unknown_model(text, self.arms.keys()))
    }

    fn add_name(&mut self, name: &Bound<'_, PyString>) -> PyResult<()> {
        let arm = ArmIndex::try_from(self.names.len()).map_err(|error| to_py(&error))?;
        self.arms.insert(name.to_str()?.to_owned(), arm);
        self.names.push(name.clone().unbind());
        Ok(())
    }
}

/// Native half of `StageRouter`: statistics, routing LP, sampling, limits, health.
#[pyclass(frozen, subclass, module = "stageroute._core")]
pub(crate) struct Router {
    pub(crate) state: Mutex<State>,
    clock: Clock,
    /// Memory that the log is exchanged with.
    log: Mutex<core::LogBatch>,
}

impl Router {
    #[inline]
    pub(crate) fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        self.state.lock_py_attached(py).map_err(|_| poisoned())
    }

    /// Journals a command and does it.
    fn command(&self, py: Python<'_>, command: &Command<'_>, note: &[u8]) -> PyResult<()> {
        self.lock(py)?.command(command, note)
    }

    /// The same for one that ends or prolongs a stage: when the stage is due once more, or still,
    /// somebody is told again.
    fn end_stage(&self, py: Python<'_>, command: &Command<'_>, note: &[u8]) -> PyResult<()> {
        let mut state = self.lock(py)?;
        state.is_due_told = false;
        state.command(command, note)
    }

    fn with(router: core::Router, clock: Option<Py<PyAny>>) -> Self {
        let log = Mutex::new(core::LogBatch::default());
        let clock = clock.map_or(Clock::System, Clock::Callable);
        Self { state: Mutex::new(State::new(router)), clock, log }
    }
}

#[pymethods]
impl Router {
    #[new]
    #[pyo3(signature = (settings, clock, state=None))]
    fn new(
        settings: RouterSettings,
        clock: Option<Py<PyAny>>,
        state: Option<&[u8]>,
    ) -> PyResult<Self> {
        let router = match state {
            Some(bytes) => core::Router::from_bytes(bytes).and_then(|mut router| {
                router.set_log_capacity(settings.log_capacity)?;
                Ok(router)
            }),
            None => core::Router::new(settings.try_into()?),
        };
        Ok(Self::with(router.map_err(|error| to_py(&error))?, clock))
    }

    /// Decide which live model serves the next query.
    ///
    /// Parameters
    /// ----------
    /// allowed : sequence of str, optional
    ///     The models that may serve this query (context length, region, modality); all by default.
    /// max_cost : float, optional
    ///     The most that this query may cost, USD. A model is left out if the most it can cost is
    ///     known (`Model.max_cost`, or prices and `tokens`) and above that; where it is not known,
    ///     if what it is expected to cost is.
    /// tokens : (float, float), optional
    ///     Its number of input tokens, and the largest number of output tokens. Hard limits and
    ///     limits in tokens then reserve what this query can really take.
    ///
    /// Returns
    /// -------
    /// Decision
    ///     Report what it brought with `observe` or `fail`.
    ///
    /// Raises
    /// ------
    /// NoModelError
    ///     If no model is live.
    /// RateLimitedError, ModelsDownError, HardLimitError, ExcludedError
    ///     If no live model may serve this query: every one is at a throughput limit, cooling down,
    ///     could break a hard limit, or is excluded by the arguments. The first three have a
    ///     ``retry_after`` in seconds, where that is known.
    /// UnknownModelError, InvalidInputError
    ///     If an argument breaks its rule.
    /// JournalFullError
    ///     If the journal's disk cannot keep up; nothing was decided.
    /// SolverError
    ///     If a solver stopped without a proven answer.
    ///
    /// Notes
    /// -----
    /// A call that finds the stage over makes it known to the stage controller and goes on; with
    /// ``controller="inline"`` it deploys the next stage first.
    #[pyo3(signature = (*, allowed=None, max_cost=None, tokens=None))]
    #[inline]
    #[allow(clippy::needless_pass_by_value)]
    fn route(
        slf: &Bound<'_, Self>,
        allowed: Option<Vec<Bound<'_, PyString>>>,
        max_cost: Option<f64>,
        tokens: Option<(f64, f64)>,
    ) -> PyResult<Decision> {
        let (py, this) = (slf.py(), slf.get());
        let asked = this.clock.ask(py)?;
        let mut state = this.lock(py)?;
        if state.router.is_stage_due() && !state.is_due_told {
            state.is_due_told = true;
            drop(state);
            let told = slf.call_method0("_on_stage_due");
            state = this.lock(py)?;
            if let Err(error) = told {
                state.is_due_told = false;
                return Err(error);
            }
        }
        let allowed = match &allowed {
            None => None,
            Some(names) => {
                let arms = names.iter().map(|name| state.find(name));
                Some(Cow::Owned(arms.collect::<PyResult<Vec<ArmIndex>>>()?))
            }
        };
        let query = Query { now: state.time_to_route(asked), allowed, max_cost, tokens };
        if state.is_journaled() {
            state.record(&Command::Route(query.clone()), b"")?;
        }
        let decision = state.router.route(&query).map_err(|error| to_py(&error))?;
        Ok(Decision {
            id: decision.id,
            model: state.names[decision.arm].clone_ref(py),
            probability: decision.probability,
            stage: decision.stage,
            budget_price: decision.budget_price,
            reasons: decision.reasons,
        })
    }

    /// Report the reward, the cost, or both, of a decision; each once, in any order, any time.
    ///
    /// Parameters
    /// ----------
    /// decision_or_id : Decision or int
    ///     What `route` returned, or its ``id``.
    /// reward : float, optional
    ///     Quality of the answer, in [0, 1].
    /// cost : float, optional
    ///     What the query was billed, USD; in [0, 1e9]. A model with prices is billed by its tokens
    ///     without it; a cost alone is billed, but teaches such a model nothing.
    /// tokens : Tokens or (float, float, float), optional
    ///     What it used: all input tokens, output tokens, and how many of the input tokens were read
    ///     from a cache. Part of its cost.
    ///
    /// Raises
    /// ------
    /// InvalidInputError
    ///     If none is given or a value breaks its rule.
    /// UnknownDecisionError, ExpiredDecisionError, AlreadyObservedError
    ///     If the decision cannot take it, which is counted. Nothing else changes when an error is
    ///     raised.
    #[pyo3(signature = (decision_or_id, *, reward=None, cost=None, tokens=None))]
    #[inline]
    #[allow(clippy::needless_pass_by_value)]
    fn observe(
        &self,
        py: Python<'_>,
        decision_or_id: DecisionId,
        reward: Option<f64>,
        cost: Option<f64>,
        tokens: Option<TokensTuple>,
    ) -> PyResult<()> {
        if reward.is_none() && cost.is_none() && tokens.is_none() {
            return Err(invalid("observe needs a reward, a cost, or tokens; got none of them"));
        }
        let tokens = tokens.map(Tokens::from);
        let observation = Observation { id: decision_or_id.0, reward, cost, tokens };
        let asked = self.clock.ask(py)?;
        let mut state = self.lock(py)?;
        let now = state.time_to_observe(asked);
        state.record(&Command::Observe { now, observation }, b"")?;
        state.router.observe(now, &observation).map_err(|error| to_py(&error))
    }

    /// Report a batch without holding the interpreter.
    ///
    /// Parameters
    /// ----------
    /// ids : array_like of int, shape (n,)
    ///     Decision ids.
    /// rewards, costs : array_like of float, shape (n,), optional
    ///     One for each id. What is known for some ids only goes into a batch of its own.
    /// all_or_none : bool, default True
    ///     Whether an id that cannot take its feedback refuses the whole batch, or is only counted
    ///     as such, which suits a queue that delivers some messages twice or late.
    ///
    /// Returns
    /// -------
    /// FeedbackBatch
    ///     How many were counted, repeated, unknown, expired.
    ///
    /// Raises
    /// ------
    /// InvalidInputError, UnknownDecisionError, ExpiredDecisionError, AlreadyObservedError
    ///     Named for the first bad element; the last three with `all_or_none` only. Nothing of the
    ///     batch is counted when an error is raised.
    #[pyo3(signature = (ids, *, rewards=None, costs=None, all_or_none=true))]
    #[allow(clippy::needless_pass_by_value)]
    fn observe_many(
        &self,
        py: Python<'_>,
        ids: PyArrayLike1<'_, u64, AllowTypeChange>,
        rewards: Option<Floats<'_>>,
        costs: Option<Floats<'_>>,
        all_or_none: bool,
    ) -> PyResult<FeedbackBatch> {
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
                tokens: None,
            })
            .collect();
        let asked = self.clock.ask(py)?;
        let batch = py.detach(|| {
            let mut state = self.state.lock().map_err(|_| poisoned())?;
            let now = state.time_to_observe(asked);
            let command = Command::ObserveMany {
                now,
                observations: Cow::Borrowed(&observations),
                all_or_none,
            };
            state.record(&command, b"")?;
            if all_or_none {
                let counted = observations.len() as u64;
                let result = state.router.observe_all(now, &observations);
                result.map(|()| core::Batch { counted, ..core::Batch::default() }).map_err(to_py_at)
            } else {
                state.router.observe_each(now, &observations).map_err(to_py_at)
            }
        })?;
        Ok(batch.into())
    }

    /// Report that a query was not served.
    ///
    /// What a failure means for reward, bill and health is set by ``StageRouter(failures=...)``. By
    /// default a timeout is billed as expected, a refusal is a reward of 0 whose cost is still to
    /// come, and the rest is free; timeouts and errors in a row cool a model down, a rate-limit
    /// answer does at once.
    ///
    /// Parameters
    /// ----------
    /// decision_or_id : Decision or int
    /// reason : {"timeout", "rate_limit", "refusal", "error"}
    /// cost : float, optional
    ///     What was billed all the same, USD. Nothing is learnt from it.
    /// retry_after : float, optional
    ///     For how long the provider wants no traffic, seconds.
    ///
    /// Raises
    /// ------
    /// InvalidInputError
    ///     If a value breaks its rule.
    /// UnknownDecisionError, ExpiredDecisionError, AlreadyObservedError
    ///     If the decision cannot take it, which is counted.
    #[pyo3(signature = (decision_or_id, reason, *, cost=None, retry_after=None))]
    #[allow(clippy::needless_pass_by_value)]
    fn fail(
        &self,
        py: Python<'_>,
        decision_or_id: DecisionId,
        reason: &str,
        cost: Option<f64>,
        retry_after: Option<f64>,
    ) -> PyResult<()> {
        let reason = named("reason", reason, &FailureReason::NAMES)?;
        let now = self.clock.ask(py)?.unwrap_or_else(system_time);
        let id = decision_or_id.0;
        let mut state = self.lock(py)?;
        state.record(&Command::Fail { now, id, reason, cost, retry_after }, b"")?;
        state.router.fail(now, id, reason, cost, retry_after).map_err(|error| to_py(&error))
    }

    /// Report that the answer is complete, so that the query no longer counts as under way.
    ///
    /// Needed only where reward and cost come much later than the answer and the model has a limit
    /// on concurrent requests: the first observation of a decision, or its failure, says the same.
    ///
    /// Parameters
    /// ----------
    /// decision_or_id : Decision or int
    ///
    /// Raises
    /// ------
    /// UnknownDecisionError, ExpiredDecisionError
    ///     If there is no such open decision, which is counted.
    #[allow(clippy::needless_pass_by_value)]
    fn release(&self, py: Python<'_>, decision_or_id: DecisionId) -> PyResult<()> {
        let asked = self.clock.ask(py)?;
        let mut state = self.lock(py)?;
        let (now, id) = (state.time_to_observe(asked), decision_or_id.0);
        state.record(&Command::Release { now, id }, b"")?;
        state.router.release(now, id).map_err(|error| to_py(&error))
    }

    fn _add_arm(
        &self,
        name: &Bound<'_, PyString>,
        settings: ArmDict,
        prior: PriorDict,
        note: &[u8],
    ) -> PyResult<()> {
        let mut state = self.lock(name.py())?;
        let spec = prior.with(settings.into());
        state.record(&Command::AddArm(spec), note)?;
        state.router.add_arm(&spec).map_err(|error| to_py(&error))?;
        state.add_name(name)
    }

    fn _set_arm(&self, py: Python<'_>, arm: u32, settings: ArmDict, note: &[u8]) -> PyResult<()> {
        self.command(py, &Command::SetArm { arm: ArmIndex(arm), settings: settings.into() }, note)
    }

    fn _retire_arm(&self, py: Python<'_>, arm: u32) -> PyResult<()> {
        self.command(py, &Command::RetireArm(ArmIndex(arm)), b"")
    }

    fn _set_budget(&self, py: Python<'_>, budget: f64, note: &[u8]) -> PyResult<()> {
        self.command(py, &Command::SetBudget(budget), note)
    }

    fn _publish(
        &self,
        py: Python<'_>,
        deployed: Vec<u32>,
        start_cost: f64,
        stage_queries: f64,
        note: &[u8],
    ) -> PyResult<()> {
        let start = StartCost { usd: start_cost, queries: stage_queries };
        self.end_stage(py, &Command::Publish { deployed: arms(deployed).into(), start }, note)
    }

    fn _extend_stage(&self, py: Python<'_>, note: &[u8]) -> PyResult<()> {
        self.end_stage(py, &Command::ExtendStage, note)
    }

    /// From now on, every command is appended to a journal's tail before it is done.
    fn _attach_journal(&self, py: Python<'_>, tail: &Tail) -> PyResult<()> {
        self.lock(py)?.journal = Some(Arc::clone(&tail.tail));
        Ok(())
    }

    /// Does what a record of the journal says, once more, and returns its note; None if the router
    /// refused the command, as it did the first time.
    fn _replay<'py>(
        &self,
        py: Python<'py>,
        record: &[u8],
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let (command, note) = Command::decode(record).map_err(|error| to_py(&error))?;
        let is_done = command.apply(&mut self.lock(py)?.router).is_ok();
        Ok(is_done.then(|| PyBytes::new(py, note)))
    }

    /// Where the journal stands, (seq, offset), and the whole state of the core there.
    fn _snapshot<'py>(&self, py: Python<'py>) -> PyResult<(Option<Position>, Bound<'py, PyBytes>)> {
        let state = self.lock(py)?;
        let head = match &state.journal {
            None => None,
            Some(journal) => {
                let head = journal.lock().map_err(|_| poisoned())?.head();
                Some((head.seq, head.offset))
            }
        };
        let bytes = state.router.to_bytes().map_err(|error| to_py(&error))?;
        Ok((head, PyBytes::new(py, &bytes)))
    }

    fn _is_stage_due(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py)?.router.is_stage_due())
    }

    /// Names arms that were added by a restored state or a replayed command, in their order.
    #[allow(clippy::needless_pass_by_value)]
    fn _name_arms(&self, py: Python<'_>, names: Vec<Bound<'_, PyString>>) -> PyResult<()> {
        let mut state = self.lock(py)?;
        names.iter().try_for_each(|name| state.add_name(name))
    }

    /// (stage, live arms)
    fn _plan(&self, py: Python<'_>) -> PyResult<(u64, Vec<usize>)> {
        let state = self.lock(py)?;
        Ok((
            state.router.plan().stage(),
            state.router.plan().arms().iter().map(|arm| arm.index()).collect(),
        ))
    }

    /// What the next deployment is decided from: a dict of arrays, one entry for each candidate.
    fn _planning<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        views::planning(py, &self.lock(py)?.router)
    }

    /// Everything known of an arm: a flat dict.
    fn _arm_state<'py>(&self, py: Python<'py>, arm: u32) -> PyResult<Bound<'py, PyDict>> {
        let now = self.clock.ask(py)?.unwrap_or_else(system_time);
        views::arm(py, &self.lock(py)?.router, ArmIndex(arm), now)
    }

    /// (`reward_ucb`, `cost_lcb`), one entry for each arm.
    fn _bounds<'py>(&self, py: Python<'py>) -> PyResult<views::BoundColumns<'py>> {
        Ok(views::bounds(py, self.lock(py)?.router.learner().bounds()))
    }

    /// What was done and spent so far: a flat dict.
    fn _counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        views::counters(py, &self.lock(py)?.router)
    }

    /// (USD, period, committed, end of the window) of each hard limit.
    fn _limits(&self, py: Python<'_>) -> PyResult<Vec<(f64, &'static str, f64, f64)>> {
        let state = self.lock(py)?;
        let limits = state.router.limits();
        Ok(limits.map(|s| (s.limit.usd, s.limit.period.as_str(), s.committed, s.ends)).collect())
    }

    /// Takes the decision log away: a dict of arrays, and how many decisions were dropped.
    fn _drain_log<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut batch = self.log.lock_py_attached(py).map_err(|_| poisoned())?;
        self.lock(py)?.router.drain_log(&mut batch);
        log::columns(py, &batch)
    }
}
