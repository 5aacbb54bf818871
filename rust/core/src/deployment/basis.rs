//! The basis of the relaxation: its columns and their inverse, dense, for the few rows there are.

use super::program::Fate;
use crate::tolerances::PIVOT_TOLERANCE;

/// A column of the basis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basic {
    Slack(usize),
    /// The column that an arm had with that fate; it is fixed at 0 when the arm has another by now.
    Arm(usize, Fate),
    /// The column of an arm that was dropped since.
    Gone,
}

/// Where a nonbasic column changes sides, if prices move along an edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Breakpoint {
    pub(super) step: f64,
    /// How much steeper D becomes there.
    pub(super) bend: f64,
    /// An arm, or the number of arms and a row.
    pub(super) column: usize,
}

#[derive(Debug)]
pub(super) struct Basis {
    pub(super) columns: Vec<Basic>,
    gains: Vec<f64>,
    /// The columns' entries and their inverse, row after row.
    entries: Vec<f64>,
    inverse: Vec<f64>,
    work: Vec<f64>,
    /// Pivots since the inverse was computed.
    pub(super) age: usize,
}

impl Basis {
    /// The basis of the slacks.
    pub(super) fn new(rows: usize) -> Self {
        let mut basis = Self {
            columns: vec![Basic::Gone; rows],
            gains: vec![0.0; rows],
            entries: vec![0.0; rows * rows],
            inverse: vec![0.0; rows * rows],
            work: vec![0.0; rows * rows],
            age: 0,
        };
        basis.take_slacks();
        basis
    }

    pub(super) fn take_slacks(&mut self) {
        let rows = self.rows();
        self.entries.fill(0.0);
        self.inverse.fill(0.0);
        self.gains.fill(0.0);
        for row in 0..rows {
            self.columns[row] = Basic::Slack(row);
            self.entries[row * rows + row] = 1.0;
            self.inverse[row * rows + row] = 1.0;
        }
        self.age = 0;
    }

    pub(super) fn rows(&self) -> usize {
        self.columns.len()
    }

    /// A row of the inverse.
    pub(super) fn inverse(&self, row: usize) -> &[f64] {
        let rows = self.rows();
        &self.inverse[row * rows..(row + 1) * rows]
    }

    /// Writes gains · inverse: the prices at which no basic column gains anything.
    pub(super) fn price_rows(&self, price: &mut [f64]) {
        price.fill(0.0);
        for (inverse, gain) in self.inverse.chunks_exact(self.rows()).zip(&self.gains) {
            for (price, entry) in price.iter_mut().zip(inverse) {
                *price += gain * entry;
            }
        }
    }

    /// Replaces a column; the inverse is not touched.
    pub(super) fn put(
        &mut self,
        row: usize,
        column: Basic,
        gain: f64,
        entries: impl Iterator<Item = f64>,
    ) {
        let rows = self.rows();
        self.columns[row] = column;
        self.gains[row] = gain;
        for (of, entry) in entries.enumerate().take(rows) {
            self.entries[of * rows + row] = entry;
        }
    }

    /// Brings the inverse up to date after the column of one row was replaced.
    pub(super) fn exchange(&mut self, row: usize) {
        let rows = self.rows();
        let Self { entries, inverse, .. } = self;
        let image = |inverse: &[f64], of: usize| -> f64 {
            (0..rows).map(|k| inverse[of * rows + k] * entries[k * rows + row]).sum()
        };
        let pivot = image(inverse, row);
        for other in (0..rows).filter(|&other| other != row) {
            let factor = image(inverse, other) / pivot;
            for k in 0..rows {
                inverse[other * rows + k] -= factor * inverse[row * rows + k];
            }
        }
        inverse[row * rows..(row + 1) * rows].iter_mut().for_each(|entry| *entry /= pivot);
        self.age += 1;
    }

    /// Computes the inverse from the columns; false if they are dependent.
    pub(super) fn invert(&mut self) -> bool {
        let rows = self.rows();
        let (work, inverse) = (&mut self.work, &mut self.inverse);
        work.copy_from_slice(&self.entries);
        inverse.fill(0.0);
        for row in 0..rows {
            inverse[row * rows + row] = 1.0;
        }
        for column in 0..rows {
            let size = |row: &usize| work[row * rows + column].abs();
            let largest = (column..rows).max_by(|a, b| size(a).total_cmp(&size(b)));
            let Some(chosen) = largest.filter(|row| size(row) > PIVOT_TOLERANCE) else {
                return false;
            };
            let pivot = work[chosen * rows + column];
            for matrix in [&mut *work, &mut *inverse] {
                for of in 0..rows {
                    matrix.swap(chosen * rows + of, column * rows + of);
                    matrix[column * rows + of] /= pivot;
                }
            }
            for row in (0..rows).filter(|&row| row != column) {
                let factor = work[row * rows + column];
                for matrix in [&mut *work, &mut *inverse] {
                    for of in 0..rows {
                        matrix[row * rows + of] -= factor * matrix[column * rows + of];
                    }
                }
            }
        }
        self.age = 0;
        true
    }
}
