//! Arguments from Python: what a value is taken as, or an `InvalidInputError` that names both.

use numpy::{Element, PyReadonlyArray1};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyFloat, PyInt, PyString, PyTuple};

use crate::errors::invalid;

/// A message shows no more of a value than that, in characters.
const MOST_SHOWN: usize = 200;

const NUMBER_RULE: &str = "must be a number";

/// A number of any kind, `Decimal` too, but no truth value and no text.
#[inline]
pub(crate) fn number(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    match value.cast_exact::<PyFloat>() {
        Ok(float) => Ok(float.value()),
        Err(_) => convert(argument, value, NUMBER_RULE),
    }
}

/// A number that may be missing.
#[inline]
pub(crate) fn optional(argument: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<f64>> {
    value.map(|value| number(argument, value)).transpose()
}

/// The number of a decision.
#[inline]
pub(crate) fn id(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    convert(argument, value, "must be a Decision or its id, a whole number in [0, 2**64)")
}

fn convert<'py, T>(argument: &str, value: &Bound<'py, PyAny>, rule: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    let py = value.py();
    // Truth values and text of numpy are numbers to Python, and a mistake as one here.
    let ok = value.is_exact_instance_of::<PyInt>()
        || !(value.get_type().name()?.to_str()?.starts_with("bool")
            || value.is_instance_of::<PyString>());
    match value.extract() {
        Ok(number) if ok => Ok(number),
        // An interrupt, say, while the object was asked for its value.
        Err(error) if !error.is_instance_of::<PyException>(py) => Err(error),
        _ => Err(refused(argument, value, rule)),
    }
}

/// The numbers of a sequence of `least` to `N`; those that are not there are 0.
#[inline]
pub(crate) fn numbers<const N: usize>(
    argument: &str,
    value: &Bound<'_, PyAny>,
    least: usize,
    rule: &str,
) -> PyResult<[f64; N]> {
    let tuple = match value.cast::<PyTuple>() {
        Ok(tuple) => tuple.clone(),
        Err(_) => value
            .py()
            .get_type::<PyTuple>()
            .call1((value,))
            .and_then(|tuple| Ok(tuple.cast_into()?))
            .map_err(|_| refused(argument, value, rule))?,
    };
    if !(least..=N).contains(&tuple.len()) {
        return Err(refused(argument, value, rule));
    }
    let mut numbers = [0.0; N];
    for (number, item) in numbers.iter_mut().zip(&tuple) {
        *number = self::number(argument, &item)?;
    }
    Ok(numbers)
}

/// The name of a model.
pub(crate) fn name(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<PyBackedStr> {
    text(argument, value, "must be the name of a model")
}

/// Text that UTF-8 can hold.
pub(crate) fn text(argument: &str, value: &Bound<'_, PyAny>, rule: &str) -> PyResult<PyBackedStr> {
    value.extract().map_err(|_| refused(argument, value, rule))
}

/// Names of models, in a collection of any kind.
pub(crate) fn names(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<PyBackedStr>> {
    let rule = "must be names of models, such as a list of them";
    let is_text = value.is_instance_of::<PyString>();
    let items = if is_text { None } else { value.try_iter().ok() };
    let items = items.ok_or_else(|| refused(argument, value, rule))?;
    items.map(|item| name(argument, &item?)).collect()
}

/// `all_or_none` of a batch.
pub(crate) fn all_or_none(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.extract().map_err(|_| refused("all_or_none", value, "must be True or False"))
}

/// A one-dimensional array: itself where it is one of these elements, else what
/// `stageroute.checks` makes of it.
pub(crate) fn array<'py, T: Element>(
    argument: &str,
    value: &Bound<'py, PyAny>,
    make: &str,
) -> PyResult<PyReadonlyArray1<'py, T>> {
    if let Ok(array) = value.extract() {
        return Ok(array);
    }
    let made = value.py().import("stageroute.checks")?.call_method1(make, (argument, value))?;
    made.extract()
}

/// A one-dimensional array of floats.
pub(crate) fn floats<'py>(
    argument: &str,
    value: &Bound<'py, PyAny>,
) -> PyResult<PyReadonlyArray1<'py, f64>> {
    array(argument, value, "as_floats")
}

/// The error of an argument that breaks its rule.
#[cold]
pub(crate) fn refused(argument: &str, value: &Bound<'_, PyAny>, rule: &str) -> PyErr {
    let shown = match value.repr() {
        Ok(text) => text.to_string_lossy().into_owned(),
        // Such as an int of more digits than Python writes down.
        Err(_) => format!("<{}>", value.get_type()),
    };
    let cut: String = shown.chars().take(MOST_SHOWN).collect();
    let more = if cut.len() < shown.len() { "…" } else { "" };
    invalid(format!("{argument} = {cut}{more}: {rule}"))
}
