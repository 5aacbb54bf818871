//! Settings from Python: by their names in the core, from dicts. The Python side has checked what a
//! user can get wrong; what the core cannot read is an error all the same.

use pyo3::prelude::*;
use pythonize::depythonize;
use serde::de::DeserializeOwned;
use stageroute_core::Tokens;

use crate::arguments;
use crate::errors::invalid;

/// Settings of the core from a dict of the same names.
pub(crate) fn from_python<T: DeserializeOwned>(settings: &Bound<'_, PyAny>) -> PyResult<T> {
    depythonize(settings).map_err(|error| invalid(format!("settings: {error}")))
}

/// Tokens as (input, output, cached), the last of which may be left out.
#[inline]
pub(crate) fn tokens(value: &Bound<'_, PyAny>) -> PyResult<Tokens> {
    let rule = "must be Tokens: input, output and, if any, cached input tokens";
    let [input, output, cached] = arguments::numbers("tokens", value, 2, rule)?;
    Ok(Tokens { input, cached, output })
}
