//! A router's models, stages and state, for the parts of `StageRouter` that see to them.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyString};
use stageroute_core::{
    ArmIndex, ArmSettings, ArmSpec, Call, Configure, EndCooldown, ExtendStage, Prior, Publish,
    RetireArm, RouterConfig, SetArm, SetBudget, StartCost,
};

use crate::arguments;
use crate::config::from_python;
use crate::convert::arms;
use crate::errors::{poisoned, to_py};
use crate::shared::Shared;
use crate::signal::Signal;
use crate::tail::{Place, Tail};
use crate::{log, views};

/// What changes a router's models and stages, keeps it, and reads it; models are arms by number here.
///
/// A note is what the caller has to say of a change: it is journaled with it, and comes back when
/// the change is repeated.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
}

impl Control {
    fn apply<C: Call>(&self, py: Python<'_>, call: &C, note: &[u8]) -> PyResult<C::Answer> {
        self.shared.lock(py)?.apply(call, note).map_err(to_py)
    }
}

#[pymethods]
impl Control {
    /// Add a model; its arm is the number of those before it.
    fn add_arm(
        &self,
        name: &Bound<'_, PyString>,
        settings: &Bound<'_, PyAny>,
        prior: &Bound<'_, PyAny>,
        note: &[u8],
    ) -> PyResult<()> {
        let spec = ArmSpec {
            settings: from_python::<ArmSettings>(settings)?,
            prior: from_python::<Prior>(prior)?,
        };
        let (text, label) = (name.to_str()?, name.clone().unbind());
        self.shared.lock(name.py())?.add_model(text, label, &spec, note).map_err(to_py)
    }

    /// Replace a model's settings.
    fn set_arm(&self, arm: u32, settings: &Bound<'_, PyAny>, note: &[u8]) -> PyResult<()> {
        let py = settings.py();
        self.apply(py, &SetArm { arm: ArmIndex(arm), settings: from_python(settings)? }, note)
    }

    /// Retire a model for good.
    fn retire_arm(&self, py: Python<'_>, arm: u32) -> PyResult<()> {
        self.apply(py, &RetireArm(ArmIndex(arm)), b"")
    }

    /// End a model's cool-down.
    fn end_cooldown(&self, py: Python<'_>, arm: u32) -> PyResult<()> {
        let moment = self.shared.moment(py)?;
        let mut live = self.shared.lock(py)?;
        let now = live.time(moment).map_err(to_py)?;
        live.apply(&EndCooldown { now, arm: ArmIndex(arm) }, b"").map_err(to_py)
    }

    /// Replace the settings; the confidence is kept where it is told to be, as it was resolved then.
    fn configure(
        &self,
        settings: &Bound<'_, PyAny>,
        keeps_confidence: bool,
        note: &[u8],
    ) -> PyResult<()> {
        let mut config: RouterConfig = from_python(settings)?;
        let mut live = self.shared.lock(settings.py())?;
        if keeps_confidence {
            config.confidence = live.router().config().confidence;
        }
        live.apply(&Configure(Box::new(config)), note).map_err(to_py)
    }

    /// Replace the average budget, USD per query.
    fn set_budget(&self, py: Python<'_>, budget: f64, note: &[u8]) -> PyResult<()> {
        self.apply(py, &SetBudget(budget), note)
    }

    /// End the stage and begin the next one with this live set.
    fn publish(
        &self,
        py: Python<'_>,
        deployed: Vec<u32>,
        start_cost: f64,
        stage_queries: f64,
        note: &[u8],
    ) -> PyResult<()> {
        let start = StartCost { usd: start_cost, queries: stage_queries };
        self.apply(py, &Publish { deployed: arms(deployed).into(), start }, note)
    }

    /// Prolong the stage by another stage's queries.
    fn extend_stage(&self, py: Python<'_>, note: &[u8]) -> PyResult<()> {
        self.apply(py, &ExtendStage, note)
    }

    /// Whether the next stage should be published.
    fn is_stage_due(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.shared.lock(py)?.router().is_stage_due())
    }

    /// Raised once whenever a query, or `tell_if_due`, finds the stage over.
    #[getter]
    fn due(&self, py: Python<'_>) -> PyResult<Signal> {
        Ok(Signal(self.shared.lock(py)?.due()))
    }

    /// Have it known if the stage is over and that is not known yet.
    fn tell_if_due(&self, py: Python<'_>) -> PyResult<()> {
        if self.shared.lock(py)?.tell_if_due() { self.shared.tell_due(py) } else { Ok(()) }
    }

    /// Have the very query that finds the stage over call this before it goes on.
    fn call_when_due(&self, py: Python<'_>, callback: Py<PyAny>) {
        self.shared.on_due.get_or_init(py, || callback);
    }

    /// From now on, append every call to a journal's tail before it is done.
    fn attach_journal(&self, py: Python<'_>, tail: &Tail) -> PyResult<()> {
        self.shared.lock(py)?.attach_journal(Arc::clone(&tail.tail));
        Ok(())
    }

    /// Do what a record of the journal says, once more, and return its note; None if the router
    /// refused it, as it did the first time.
    fn repeat<'py>(&self, py: Python<'py>, record: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let mut live = self.shared.lock(py)?;
        let note = live.repeat(record).map_err(to_py)?;
        self.shared.inherit(&live);
        Ok(note.map(|note| PyBytes::new(py, note)))
    }

    /// Where the journal stands, (seq, offset), and the whole state of the core there.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<(Option<Place>, Bound<'py, PyBytes>)> {
        let (head, bytes) = self.shared.lock(py)?.snapshot().map_err(to_py)?;
        Ok((head.map(|head| (head.seq, head.offset)), PyBytes::new(py, &bytes)))
    }

    /// Name the arms that came with a restored state or a repeated record, in their order.
    #[allow(clippy::needless_pass_by_value)]
    fn name_arms(&self, py: Python<'_>, names: Vec<Bound<'_, PyString>>) -> PyResult<()> {
        let texts: Vec<PyBackedStr> =
            names.iter().map(|name| name.extract()).collect::<PyResult<_>>()?;
        let labels = names.into_iter().map(Bound::unbind);
        self.shared.lock(py)?.name_arms(texts.iter().zip(labels)).map_err(to_py)
    }

    /// The arm of a name.
    fn arm(&self, name: &Bound<'_, PyAny>) -> PyResult<u32> {
        let text = arguments::name("name", name)?;
        self.shared.lock(name.py())?.names().find(&text).map(|arm| arm.0).map_err(to_py)
    }

    /// Whether there is a model of that name.
    fn has(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        Ok(self.shared.lock(py)?.names().get(name).is_some())
    }

    /// Whether a model has retired.
    fn is_retired(&self, py: Python<'_>, arm: u32) -> PyResult<bool> {
        Ok(self.shared.lock(py)?.router().arm(ArmIndex(arm)).is_retired)
    }

    /// (stage, live arms)
    fn live(&self, py: Python<'_>) -> PyResult<(u64, Vec<usize>)> {
        let live = self.shared.lock(py)?;
        let live = live.router().live();
        Ok((live.stage(), live.arms().iter().map(|arm| arm.index()).collect()))
    }

    /// What the next deployment is decided from: a dict of arrays, one entry for each candidate.
    fn planning<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let moment = self.shared.moment(py)?;
        let mut live = self.shared.lock(py)?;
        let now = live.time(moment).map_err(to_py)?;
        views::planning(py, live.router(), now)
    }

    /// Everything known of an arm: a flat dict.
    fn arm_state<'py>(&self, py: Python<'py>, arm: u32) -> PyResult<Bound<'py, PyDict>> {
        let moment = self.shared.moment(py)?;
        let mut live = self.shared.lock(py)?;
        let now = live.time(moment).map_err(to_py)?;
        views::arm(py, live.router(), ArmIndex(arm), now)
    }

    /// (`reward_ucb`, `cost_lcb`), one entry for each arm.
    fn bounds<'py>(&self, py: Python<'py>) -> PyResult<views::BoundColumns<'py>> {
        Ok(views::bounds(py, self.shared.lock(py)?.router().learner().bounds()))
    }

    /// What was done and spent so far: a flat dict.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        views::counters(py, self.shared.lock(py)?.router())
    }

    /// (USD, period, committed, end of the window) of each hard limit.
    fn limits(&self, py: Python<'_>) -> PyResult<Vec<(f64, &'static str, f64, f64)>> {
        let live = self.shared.lock(py)?;
        let limits = live.router().limits();
        Ok(limits.map(|s| (s.limit.usd, s.limit.period.as_str(), s.committed, s.ends)).collect())
    }

    /// Take the decision log away: a dict of arrays, and how many decisions were dropped.
    fn drain_log<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut batch = self.shared.log.lock_py_attached(py).map_err(|_| poisoned())?;
        self.shared.lock(py)?.drain_log(&mut batch);
        log::columns(py, &batch)
    }
}
