//! What is to be told of a router: events of its core, and changes of its owner's facts, in one order.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};
use stageroute_core::{ArmIndex, Event, Noted, Refusal};

use crate::served::{Facts, Served};

/// One piece of news.
enum Item {
    Event(Noted),
    /// The facts before a change, and those after it.
    Change(f64, Option<Facts>, Facts),
}

/// Kind, time, model and what there is to be said of it.
pub(crate) type Told<'py> = (&'static str, f64, Option<Py<PyString>>, Bound<'py, PyDict>);

/// News that nobody has taken away yet, and what is called when there are some.
pub(crate) struct News {
    items: Mutex<Vec<Item>>,
    pub(crate) on_news: PyOnceLock<Py<PyAny>>,
}

impl News {
    pub(crate) fn new() -> Self {
        Self { items: Mutex::default(), on_news: PyOnceLock::new() }
    }

    /// Takes over the events of a router that is locked, in their order.
    fn collect(&self, live: &mut Served) -> MutexGuard<'_, Vec<Item>> {
        // A list is never half changed.
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.extend(live.drain_events().into_iter().map(Item::Event));
        items
    }

    /// Notes a change of the facts of a router that is locked.
    pub(crate) fn note_change(&self, live: &mut Served, before: Option<Facts>, after: Facts) {
        if live.router().keeps_events() {
            let at = live.router().wall_clock();
            self.collect(live).push(Item::Change(at, before, after));
        }
    }

    /// Takes everything away, the first one first. Python objects are made by [`Taken::tell`], when the
    /// router is no longer locked.
    pub(crate) fn take(&self, py: Python<'_>, live: &mut Served) -> Vec<Taken> {
        let items = std::mem::take(&mut *self.collect(live));
        let label = |item: &Item| match item {
            Item::Event(noted) => {
                arm_of(noted.event).map(|arm| live.names().label(arm).clone_ref(py))
            }
            Item::Change(..) => None,
        };
        items.into_iter().map(|item| Taken { label: label(&item), item }).collect()
    }

    /// Has it known that there is news. Only an interrupt fails here, as it may after any call.
    #[cold]
    pub(crate) fn tell(&self, py: Python<'_>) -> PyResult<()> {
        self.on_news.get(py).map_or(Ok(()), |on_news| on_news.call0(py).map(drop))
    }
}

/// News that was taken away, with the name of its model.
pub(crate) struct Taken {
    item: Item,
    label: Option<Py<PyString>>,
}

impl Taken {
    pub(crate) fn tell(self, py: Python<'_>) -> PyResult<Told<'_>> {
        let details = PyDict::new(py);
        let (kind, at) = match self.item {
            Item::Event(Noted { at, event }) => (describe(event, &details)?, at),
            Item::Change(at, before, after) => {
                details.set_item("before", before.map(|facts| facts.clone_ref(py)))?;
                details.set_item("after", after.clone_ref(py))?;
                ("change", at)
            }
        };
        Ok((kind, at, self.label, details))
    }
}

fn arm_of(event: Event) -> Option<ArmIndex> {
    match event {
        Event::CooledDown { arm, .. }
        | Event::Recovered { arm }
        | Event::LearntLimit { arm, .. }
        | Event::Retired { arm }
        | Event::Revived { arm } => Some(arm),
        Event::Refused { .. } | Event::SteppedClock { .. } => None,
    }
}

fn describe(event: Event, details: &Bound<'_, PyDict>) -> PyResult<&'static str> {
    Ok(match event {
        Event::CooledDown { seconds, .. } => {
            details.set_item("seconds", seconds)?;
            "cooldown"
        }
        Event::Recovered { .. } => "recovered",
        Event::LearntLimit { per_minute, .. } => {
            details.set_item("requests_per_minute", per_minute)?;
            "limit_learnt"
        }
        Event::Refused { why, count } => {
            let reason = match why {
                Refusal::Traffic => "traffic_limit",
                Refusal::Cooling => "cooling",
                Refusal::HardLimit => "hard_limit",
                Refusal::Excluded => "excluded",
            };
            details.set_item("reason", reason)?;
            details.set_item("count", count)?;
            "refused"
        }
        Event::SteppedClock { seconds } => {
            details.set_item("seconds", seconds)?;
            "clock_step"
        }
        Event::Retired { .. } => "model_retired",
        Event::Revived { .. } => "model_resumed",
    })
}
