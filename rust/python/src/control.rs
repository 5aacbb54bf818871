//! A router's models, stages and state, for the parts of `StageRouter` that see to them.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyString};
use stageroute_core::{
    AddModel, ArmIndex, ArmSettings, ArmSpec, Call, ChangeBudget, Configure, EndCooldown,
    ExtendStage, NoteQuota, Prior, Publish, RetireArm, ReviveArm, Room, RouterConfig, SetModel,
    StartCost, Terms,
};
use stageroute_live::Error;

use crate::arguments;
use crate::config::from_python;
use crate::convert::arms;
use crate::errors::{poisoned, to_py};
use crate::log;
use crate::news::Told;
use crate::served::Served;
use crate::shared::Shared;
use crate::signal::Signal;
use crate::tail::{Place, Tail};
use crate::views::{self, ArmView, CountersView, Planning};

/// Where the journal stands, the facts, and the state of the core.
type Snapshot<'py> = (Option<Place>, Option<Py<PyAny>>, Bound<'py, PyBytes>);

/// What changes a router's models and stages, keeps it, and reads it; models are arms by number here.
///
/// A note is what the caller has to say of a change: it is journaled with it, and comes back when
/// the change is repeated. The caller's facts after a change are given with it, and replace those
/// before in the same instant.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
}

impl Control {
    /// Does a call; it and what it changes of the facts are done together, or neither is.
    fn apply<C: Call>(&self, py: Python<'_>, call: &C, change: Change) -> PyResult<C::Answer> {
        self.change(py, change, |live, note| live.apply(call, note))
    }

    /// Does a call that changes nothing of the facts.
    fn plain<C: Call>(&self, py: Python<'_>, call: &C) -> PyResult<C::Answer> {
        let mut live = self.shared.lock(py)?;
        let answer = live.apply(call, b"");
        self.shared.end(py, live, answer)
    }

    fn change<T>(
        &self,
        py: Python<'_>,
        Change(note, facts): Change,
        call: impl FnOnce(&mut Served, &[u8]) -> Result<T, Error>,
    ) -> PyResult<T> {
        let mut live = self.shared.lock(py)?;
        let answer = call(&mut live, &note).map_err(to_py)?;
        let facts = Arc::new(facts);
        let old = self.shared.replace_facts(Arc::clone(&facts));
        self.shared.news.note_change(&mut live, old.clone(), facts);
        let has_news = live.router().keeps_events();
        drop(live);
        drop(old);
        if has_news {
            self.shared.news.tell(py)?;
        }
        Ok(answer)
    }
}

/// What a call changes of the facts: a note of it, and the facts after it.
#[derive(FromPyObject)]
pub(crate) struct Change(PyBackedBytes, Py<PyAny>);

#[pymethods]
impl Control {
    /// Add a model; its arm is the number of those before it.
    fn add_arm(
        &self,
        name: &Bound<'_, PyString>,
        settings: &Bound<'_, PyAny>,
        terms: &Bound<'_, PyAny>,
        prior: &Bound<'_, PyAny>,
        change: Change,
    ) -> PyResult<()> {
        let spec = ArmSpec {
            settings: from_python::<ArmSettings>(settings)?,
            prior: from_python::<Prior>(prior)?,
        };
        let spec = AddModel(Box::new((spec, from_python::<Terms>(terms)?)));
        let (text, label) = (name.to_str()?, name.clone().unbind());
        self.change(name.py(), change, |live, note| live.add_model(text, label, &spec, note))
    }

    /// Replace a model's settings.
    fn set_arm(
        &self,
        arm: u32,
        settings: &Bound<'_, PyAny>,
        terms: &Bound<'_, PyAny>,
        change: Change,
    ) -> PyResult<()> {
        let to = Box::new((from_python(settings)?, from_python(terms)?));
        self.apply(settings.py(), &SetModel { arm: ArmIndex(arm), to }, change)
    }

    /// Bring a retired model back.
    fn revive_arm(&self, py: Python<'_>, arm: u32) -> PyResult<()> {
        self.plain(py, &ReviveArm(ArmIndex(arm)))
    }

    /// Retire a model.
    fn retire_arm(&self, py: Python<'_>, arm: u32) -> PyResult<()> {
        self.plain(py, &RetireArm(ArmIndex(arm)))
    }

    /// End a model's cool-down.
    fn end_cooldown(&self, py: Python<'_>, arm: u32) -> PyResult<()> {
        let moment = self.shared.moment(py)?;
        let mut live = self.shared.lock(py)?;
        let now = live.time(moment).map_err(to_py)?;
        let answer = live.apply(&EndCooldown { now, arm: ArmIndex(arm) }, b"");
        self.shared.end(py, live, answer)
    }

    /// Note how many queries a model's provider will still take within some seconds.
    fn note_quota(&self, py: Python<'_>, arm: u32, left: u32, reset: f64) -> PyResult<()> {
        let moment = self.shared.moment(py)?;
        let mut live = self.shared.lock(py)?;
        let now = live.time(moment).map_err(to_py)?;
        let answer = live.apply(&NoteQuota { now, arm: ArmIndex(arm), left, reset }, b"");
        self.shared.end(py, live, answer)
    }

    /// Replace the settings; the confidence is kept where it is told to be, as it was resolved then.
    fn configure(
        &self,
        settings: &Bound<'_, PyAny>,
        keeps_confidence: bool,
        change: Change,
    ) -> PyResult<()> {
        let mut config: RouterConfig = from_python(settings)?;
        self.change(settings.py(), change, |live, note| {
            if keeps_confidence {
                config.confidence = live.router().config().confidence;
            }
            live.apply(&Configure(Box::new(config)), note)
        })
    }

    /// Replace the average budget, USD per query.
    fn set_budget(&self, py: Python<'_>, budget: f64, carry: bool, change: Change) -> PyResult<()> {
        self.apply(py, &ChangeBudget { budget, carry }, change)
    }

    /// End the stage and begin the next one with this live set.
    fn publish(
        &self,
        py: Python<'_>,
        deployed: Vec<u32>,
        start_cost: f64,
        stage_queries: f64,
        change: Change,
    ) -> PyResult<()> {
        let start = StartCost { usd: start_cost, queries: stage_queries };
        self.apply(py, &Publish { deployed: arms(deployed).into(), start }, change)
    }

    /// Prolong the stage by another stage's queries.
    fn extend_stage(&self, py: Python<'_>, change: Change) -> PyResult<()> {
        self.apply(py, &ExtendStage, change)
    }

    /// Whether the next stage should be published.
    fn is_stage_due(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.shared.lock(py)?.router().is_stage_due())
    }

    /// Raised once whenever a query, or `tell_if_due`, finds the stage over.
    #[getter]
    fn due(&self, py: Python<'_>) -> PyResult<Signal> {
        Ok(Signal::over(self.shared.lock(py)?.due()))
    }

    /// Have it known if the stage is over and that is not known yet.
    fn tell_if_due(&self, py: Python<'_>) -> PyResult<()> {
        if self.shared.lock(py)?.tell_if_due() { self.shared.tell_due(py) } else { Ok(()) }
    }

    /// Have the very query that finds the stage over call this before it goes on.
    fn call_when_due(&self, py: Python<'_>, callback: Py<PyAny>) {
        self.shared.on_due.get_or_init(py, || callback);
    }

    /// Keep news from now on, and call this whenever there are some.
    fn call_on_news(&self, py: Python<'_>, callback: Py<PyAny>) -> PyResult<()> {
        self.shared.news.on_news.get_or_init(py, || callback);
        self.shared.lock(py)?.keep_events(true);
        Ok(())
    }

    /// Take all news away, the first one first: kind, time, model, and what there is to be said of it.
    fn take_news<'py>(&self, py: Python<'py>) -> PyResult<Vec<Told<'py>>> {
        let taken = self.shared.news.take(py, &mut *self.shared.lock(py)?);
        taken.into_iter().map(|news| news.tell(py)).collect()
    }

    /// From now on, append every call to a journal's tail before it is done.
    fn attach_journal(&self, py: Python<'_>, tail: &Tail) -> PyResult<()> {
        self.shared.lock(py)?.attach_journal(Arc::clone(&tail.ring));
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

    /// Where the journal stands, (seq, offset), and the facts and the whole state of the core there.
    ///
    /// The router is locked while its state is copied, not while that is encoded.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Snapshot<'py>> {
        let (head, facts, bytes) = py.detach(|| {
            let decisions = self.shared.lock_detached()?.router().config().open_decisions;
            let room = Room::new(decisions);
            let live = self.shared.lock_detached()?;
            let (head, copy) = live.copy(room).map_err(to_py)?;
            let facts = self.shared.facts()?;
            drop(live);
            Ok::<_, PyErr>((head, facts, copy.to_bytes().map_err(to_py)?))
        })?;
        let head = head.map(|head| (head.seq, head.offset));
        Ok((head, facts.map(|facts| facts.clone_ref(py)), PyBytes::new(py, &bytes)))
    }

    /// What the owner knows beside the core, as it fits the core now.
    fn facts(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.shared.facts()?.map(|facts| facts.clone_ref(py)))
    }

    /// Begin with these facts, or go on with them after a record was repeated.
    fn set_facts(&self, py: Python<'_>, facts: Py<PyAny>) -> PyResult<()> {
        let live = self.shared.lock(py)?;
        let old = self.shared.replace_facts(Arc::new(facts));
        drop(live);
        drop(old);
        Ok(())
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

    /// How many arms there are.
    fn num_arms(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.shared.lock(py)?.router().len())
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
        let planning = Planning::of(live.router(), now);
        drop(live);
        planning.to_dict(py)
    }

    /// Everything known of an arm: a flat dict.
    fn arm_state<'py>(&self, py: Python<'py>, arm: u32) -> PyResult<Bound<'py, PyDict>> {
        let moment = self.shared.moment(py)?;
        let mut live = self.shared.lock(py)?;
        let now = live.time(moment).map_err(to_py)?;
        let view = ArmView::of(live.router(), ArmIndex(arm), now);
        drop(live);
        view.to_dict(py)
    }

    /// (`reward_ucb`, `cost_lcb`), one entry for each arm.
    fn bounds<'py>(&self, py: Python<'py>) -> PyResult<views::BoundColumns<'py>> {
        let bounds = self.shared.lock(py)?.router().learner().bounds().to_vec();
        Ok(views::bounds(py, &bounds))
    }

    /// What was done and spent so far: a flat dict.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = CountersView::of(self.shared.lock(py)?.router());
        counters.to_dict(py)
    }

    /// (USD, period, committed, end of the window) of each hard limit.
    fn limits(&self, py: Python<'_>) -> PyResult<Vec<(f64, &'static str, f64, f64)>> {
        let live = self.shared.lock(py)?;
        let limits = live.router().limits();
        Ok(limits.map(|s| (s.limit.usd, s.limit.period.as_str(), s.committed, s.ends)).collect())
    }

    /// Take the decision log away: a dict of arrays, and how many decisions were dropped. It is given
    /// again until `forget_log`, so that an interrupt loses nothing of it.
    fn drain_log<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let taken = || self.shared.log.lock_py_attached(py).map_err(|_| poisoned());
        let mut batch = std::mem::take(&mut *taken()?);
        if batch.is_empty() {
            self.shared.lock(py)?.drain_log(&mut batch);
        }
        let columns = log::columns(py, &batch);
        *taken()? = batch;
        columns
    }

    /// What was taken of the decision log has been kept.
    fn forget_log(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.log.lock_py_attached(py).map_err(|_| poisoned())?.clear();
        Ok(())
    }
}
