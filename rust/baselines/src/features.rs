//! What is known of each query before it is answered.

use stageroute_core::Error;
use stageroute_core::checks::{check, check_all, check_lengths};

/// Features of every row of a table, row-major.
#[derive(Debug, Clone)]
pub struct Features {
    values: Vec<f64>,
    d: usize,
}

impl Features {
    /// Wraps features of d numbers for each row.
    ///
    /// # Errors
    /// [`Error::InvalidElement`] for a feature that is not finite, [`Error::WrongLength`] unless
    /// there are whole rows of d.
    pub fn new(values: &[f64], d: usize) -> Result<Self, Error> {
        check_all("features", values, "must be finite", f64::is_finite)?;
        check(d > 0, "dimension", d as f64, "must be at least 1")?;
        check_lengths("features", values.len(), values.len() / d * d, "d for each row")?;
        Ok(Self { values: values.to_vec(), d })
    }

    /// Features that a baseline needs.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if there are none.
    pub(crate) fn given(features: Option<Self>) -> Result<Self, Error> {
        let (argument, rule) = ("features", "d for each row");
        features.ok_or(Error::WrongLength { argument, actual: 0, expected: 1, rule })
    }

    /// Numbers in each row.
    pub(crate) fn dimension(&self) -> usize {
        self.d
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.d
    }

    /// # Errors
    /// [`Error::InvalidNumber`] for a row out of range.
    pub(crate) fn row(&self, row: usize) -> Result<&[f64], Error> {
        let (argument, rule) = ("row", "must be a row of the features");
        check(row < self.rows(), argument, row as f64, rule)?;
        Ok(&self.values[row * self.d..(row + 1) * self.d])
    }
}
