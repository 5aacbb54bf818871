//! Conversions that more than one class needs.

use std::borrow::Cow;

use numpy::{AllowTypeChange, PyArrayLike1, PyReadonlyArray1};
use stageroute_core::ArmIndex;

/// A one-dimensional float array, borrowed where it is one already.
pub(crate) type Floats<'py> = PyArrayLike1<'py, f64, AllowTypeChange>;

/// The elements of an array argument: borrowed where they are contiguous, else copied.
pub(crate) fn elements<'a, T: numpy::Element + Copy>(
    array: &'a PyReadonlyArray1<'_, T>,
) -> Cow<'a, [T]> {
    match array.as_slice() {
        Ok(slice) => Cow::Borrowed(slice),
        Err(_) => Cow::Owned(array.as_array().to_vec()),
    }
}

/// Arms by their numbers.
pub(crate) fn arms(numbers: Vec<u32>) -> Vec<ArmIndex> {
    numbers.into_iter().map(ArmIndex).collect()
}
