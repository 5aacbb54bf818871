//! What a router in service is made of.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;
use stageroute_live::Live;

/// A router whose decisions name models by Python strings, so that naming one makes none.
pub(crate) type Served = Live<Py<PyString>>;

/// What the owner of a router knows beside it; shared, so that the interpreter is not needed for that.
pub(crate) type Facts = Arc<Py<PyAny>>;
