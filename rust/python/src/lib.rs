//! `stageroute._core`: the Python face of the native crates. It converts, calls and maps errors; it
//! computes nothing.

// Doc comments here are Python docstrings in numpy style, not rustdoc.
#![allow(clippy::doc_markdown)]

mod arguments;
mod clock;
mod config;
mod control;
mod convert;
mod decision;
mod deployment;
mod errors;
mod facts;
mod forks;
mod gate;
mod kernel;
mod log;
mod lp;
mod news;
mod replay;
mod router;
mod served;
mod shared;
mod signal;
mod tail;
mod views;

use pyo3::prelude::*;

/// Native core of `stageroute`; use it through the package.
#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("FACTS", facts::facts(module.py())?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("IS_UNOPTIMISED", env!("OPT_LEVEL") == "0")?;
    module.add_class::<lp::RoutingSolution>()?;
    module.add_function(wrap_pyfunction!(lp::solve_routing_lp, module)?)?;
    module.add_function(wrap_pyfunction!(deployment::solve_deployment, module)?)?;
    module.add_class::<decision::Decision>()?;
    module.add_class::<decision::FeedbackBatch>()?;
    module.add_class::<forks::Birth>()?;
    module.add_function(wrap_pyfunction!(forks::keep_for_ever, module)?)?;
    forks::note_forks(module)?;
    module.add_class::<router::Router>()?;
    module.add_class::<control::Control>()?;
    module.add_class::<signal::Signal>()?;
    module.add_function(wrap_pyfunction!(log::decisions_to_json, module)?)?;
    module.add_class::<tail::Tail>()?;
    module.add_class::<kernel::Kernel>()?;
    module.add_class::<replay::LateFeedback>()?;
    module.add_function(wrap_pyfunction!(replay::replay, module)?)?;
    Ok(())
}
