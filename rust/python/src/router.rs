//! The router's hot path, for `StageRouter` to derive from. Models, stages and files are the business
//! of [`Control`].

use std::borrow::Cow;
use std::sync::Arc;

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use stageroute_core::{
    Correct, Fail, Observation, Observe, ObserveMany, ObserveUsage, Release, RouterConfig,
};
use stageroute_live::Wishes;

use crate::arguments::{self, floats, optional};
use crate::config::{self, from_python};
use crate::control::Control;
use crate::convert::elements;
use crate::decision::{Decision, FeedbackBatch};
use crate::errors::{invalid, to_py};
use crate::shared::Shared;

/// Native half of `StageRouter`: statistics, routing LP, sampling, limits, health.
#[pyclass(frozen, subclass, module = "stageroute._core")]
pub(crate) struct Router {
    pub(crate) shared: Arc<Shared>,
}

#[pymethods]
impl Router {
    /// A router with these settings and no models; or, given its state, one that was.
    #[new]
    #[pyo3(signature = (settings, clock=None, *, log_capacity=0, state=None))]
    fn new(
        settings: &Bound<'_, PyAny>,
        clock: Option<Py<PyAny>>,
        log_capacity: usize,
        state: Option<&[u8]>,
    ) -> PyResult<Self> {
        let mut router = match state {
            Some(bytes) => stageroute_core::Router::from_bytes(bytes),
            None => stageroute_core::Router::new(from_python::<RouterConfig>(settings)?),
        }
        .map_err(to_py)?;
        router.set_log_capacity(log_capacity).map_err(to_py)?;
        Ok(Self { shared: Arc::new(Shared::new(router, clock)) })
    }

    /// What changes models and stages, and keeps the router.
    #[getter]
    fn _control(&self) -> PyResult<Control> {
        self.shared.birth.check()?;
        Ok(Control { shared: Arc::clone(&self.shared) })
    }

    /// Whether this process is a fork of the one in which it was made.
    #[getter]
    fn _is_inherited(&self) -> bool {
        self.shared.birth.is_inherited()
    }

    // What refers to the clock is counted once: while somebody else shares it, nothing is garbage.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if Arc::strong_count(&self.shared) == 1 {
            self.shared.traverse(&visit)?;
        }
        Ok(())
    }

    /// Decide which live model serves the next query.
    ///
    /// Parameters
    /// ----------
    /// allowed : collection of str, optional
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
    fn route(
        &self,
        py: Python<'_>,
        allowed: Option<&Bound<'_, PyAny>>,
        max_cost: Option<&Bound<'_, PyAny>>,
        tokens: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Decision> {
        let allowed = allowed.map(|names| arguments::names("allowed", names)).transpose()?;
        let max_cost = optional("max_cost", max_cost)?;
        let rule = "must be two numbers: of input tokens, and the most output tokens";
        let tokens = tokens
            .map(|tokens| arguments::numbers::<2>("tokens", tokens, 2, rule).map(Into::into))
            .transpose()?;
        let moment = self.shared.moment(py)?;
        let names: Option<Vec<&str>> =
            allowed.as_ref().map(|names| names.iter().map(|name| &**name).collect());
        let wishes = Wishes { allowed: names.as_deref(), max_cost, tokens };
        let mut live = self.shared.lock(py)?;
        if live.tell_if_due() {
            drop(live);
            self.shared.tell_due(py)?;
            live = self.shared.lock(py)?;
        }
        let decision = match live.route(moment, &wishes) {
            Ok(decision) => decision,
            Err(error) => return self.shared.end(py, live, Err(error)),
        };
        Ok(Decision {
            id: decision.id,
            model: live.names().label(decision.arm).clone_ref(py),
            probability: decision.probability,
            stage: decision.stage,
            budget_price: decision.budget_price,
            reasons: decision.reasons,
            origin: self.shared.origin,
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
    ///     without it. With its tokens the ratio of bill to list price is learnt, so that a change of
    ///     price still applies; a cost alone is billed, but teaches such a model nothing. It replaces
    ///     what a failure was only assumed to cost.
    /// tokens : Tokens or tuple of float, optional
    ///     What it used, in the order of `Tokens`: all input tokens, all output tokens, how many of the
    ///     input tokens were read from a cache, and so on. Part of its cost.
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
    fn observe(
        &self,
        decision_or_id: &Bound<'_, PyAny>,
        reward: Option<&Bound<'_, PyAny>>,
        cost: Option<&Bound<'_, PyAny>>,
        tokens: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = decision_or_id.py();
        if reward.is_none() && cost.is_none() && tokens.is_none() {
            return Err(invalid("observe needs a reward, a cost, or tokens; got none of them"));
        }
        let observation = Observation {
            id: self.shared.id_of(decision_or_id)?,
            reward: optional("reward", reward)?,
            cost: optional("cost", cost)?,
            tokens: None,
        };
        let usage = tokens.map(config::usage).transpose()?;
        let moment = self.shared.moment(py)?;
        let mut live = self.shared.lock(py)?;
        let now = live.time_of_feedback(moment).map_err(to_py)?;
        if let Some(usage) = usage.filter(|usage| *usage != usage.tokens().into()) {
            let report = Box::new((observation, usage));
            let answer = live.apply(&ObserveUsage { now, report }, b"");
            return self.shared.end(py, live, answer);
        }
        let tokens = usage.map(|usage| usage.tokens());
        let observation = Observation { tokens, ..observation };
        let answer = live.apply(&Observe { now, observation }, b"");
        self.shared.end(py, live, answer)
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
    fn observe_many(
        &self,
        ids: &Bound<'_, PyAny>,
        rewards: Option<&Bound<'_, PyAny>>,
        costs: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = arguments::all_or_none)] all_or_none: bool,
    ) -> PyResult<FeedbackBatch> {
        let py = ids.py();
        let ids = arguments::array::<u64>("ids", ids, "as_ids")?;
        let rewards = rewards.map(|array| floats("rewards", array)).transpose()?;
        let costs = costs.map(|array| floats("costs", array)).transpose()?;
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
        let moment = self.shared.moment(py)?;
        let (batch, has_news) = py.detach(|| {
            let mut live = self.shared.lock_detached()?;
            let now = live.time_of_feedback(moment).map_err(to_py)?;
            let observations = Cow::Owned(observations);
            let batch = ObserveMany { now, observations, all_or_none };
            let batch = live.apply(&batch, b"").map_err(to_py)?;
            Ok::<_, PyErr>((batch, live.router().has_events()))
        })?;
        if has_news {
            self.shared.news.tell(py)?;
        }
        Ok(batch.into())
    }

    /// Report that a query was not served.
    ///
    /// What a failure means for reward, bill and health is set by ``StageRouter(failures=...)``. By
    /// default a timeout or a cancelled query is billed as expected, a refusal is a reward of 0 whose
    /// cost is still to come, and the rest is free. Timeouts and errors lower the model's chance of
    /// an answer, and cool it down where they are in a row or more than half of its attempts;
    /// rate-limit answers teach how much its provider lets through; a cancelled or a bad request
    /// says nothing of it.
    ///
    /// Parameters
    /// ----------
    /// decision_or_id : Decision or int
    /// reason : {"timeout", "rate_limit", "refusal", "error", "cancelled", "bad_request"} or str
    ///     Or a name of ``StageRouter(failures=...)``.
    /// cost : float, optional
    ///     What was billed all the same, USD. Nothing is learnt from it.
    /// retry_after : float, optional
    ///     For how long the provider wants no traffic, seconds from now. Its latest word counts, up to
    ///     `Health.max_cooldown`.
    ///
    /// Raises
    /// ------
    /// InvalidInputError
    ///     If a value breaks its rule.
    /// UnknownDecisionError, ExpiredDecisionError, AlreadyObservedError
    ///     If the decision cannot take it, which is counted.
    #[pyo3(signature = (decision_or_id, reason, *, cost=None, retry_after=None))]
    fn fail(
        &self,
        decision_or_id: &Bound<'_, PyAny>,
        reason: &Bound<'_, PyAny>,
        cost: Option<&Bound<'_, PyAny>>,
        retry_after: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = decision_or_id.py();
        let id = self.shared.id_of(decision_or_id)?;
        let text = arguments::text("reason", reason, "must be the name of a reason")?;
        let cost = optional("cost", cost)?;
        let retry_after = optional("retry_after", retry_after)?;
        let moment = self.shared.moment(py)?;
        let mut live = self.shared.lock(py)?;
        let Some(reason) = live.router().config().reason(&text) else {
            let known: Vec<&str> =
                live.router().failures_by_reason().map(|(name, _)| name).collect();
            return Err(invalid(format!("reason = {:?}: must be one of {known:?}", &*text)));
        };
        let now = live.time(moment).map_err(to_py)?;
        let failure = Fail { now, id, reason, cost, retry_after };
        let answer = live.apply(&failure, b"");
        self.shared.end(py, live, answer)
    }

    /// Correct what a query was billed: a refund, or an invoice that says something else.
    ///
    /// Parameters
    /// ----------
    /// decision_or_id : Decision or int
    ///     One that is still kept (`open_decisions`, `max_age`) and whose cost is known.
    /// cost : float
    ///     What it was billed after all, USD; in [0, 1e9]. It replaces the bill before it in all sums
    ///     of money and for hard limits, which is counted; nothing is learnt of the model.
    ///
    /// Raises
    /// ------
    /// InvalidInputError
    ///     If the cost breaks its rule, or the decision has no bill yet: `observe` reports that.
    /// UnknownDecisionError, ExpiredDecisionError
    ///     If there is no such decision any more, which is counted.
    fn correct(&self, decision_or_id: &Bound<'_, PyAny>, cost: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = decision_or_id.py();
        let id = self.shared.id_of(decision_or_id)?;
        let cost = arguments::number("cost", cost)?;
        let moment = self.shared.moment(py)?;
        let mut live = self.shared.lock(py)?;
        let now = live.time_of_feedback(moment).map_err(to_py)?;
        let answer = live.apply(&Correct { now, id, cost }, b"");
        self.shared.end(py, live, answer)
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
    fn release(&self, decision_or_id: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, id) = (decision_or_id.py(), self.shared.id_of(decision_or_id)?);
        let moment = self.shared.moment(py)?;
        let mut live = self.shared.lock(py)?;
        let now = live.time_of_feedback(moment).map_err(to_py)?;
        let answer = live.apply(&Release { now, id }, b"");
        self.shared.end(py, live, answer)
    }
}
