//! Settings from Python: by their names in the core, from dicts. The Python side has checked what a
//! user can get wrong; what the core cannot read is an error all the same.

use pyo3::prelude::*;
use pythonize::depythonize;
use serde::de::DeserializeOwned;
use stageroute_core::Usage;

use crate::arguments;
use crate::errors::invalid;

/// Settings of the core from a dict of the same names.
pub(crate) fn from_python<T: DeserializeOwned>(settings: &Bound<'_, PyAny>) -> PyResult<T> {
    depythonize(settings).map_err(|error| invalid(format!("settings: {error}")))
}

/// Tokens in the order of Python's `Tokens`, of which all after the first two may be left out.
#[inline]
pub(crate) fn usage(value: &Bound<'_, PyAny>) -> PyResult<Usage> {
    let rule = "must be Tokens: input, output and, if any, cached, cache_written, reasoning, \
                audio_input and audio_output tokens";
    let [input, output, cached, cache_written, reasoning, audio_input, audio_output] =
        arguments::numbers("tokens", value, 2, rule)?;
    Ok(Usage { input, output, cached, cache_written, audio_input, reasoning, audio_output })
}
