//! Upper bounds on what the sets of a node can reach.
//!
//! For any prices `y` of the rows, not negative where the row is not an equation, no point of the
//! relaxation exceeds
//!
//! ```text
//! D(y) = Σ y right + Σ max(0, gain − y a)        (weak duality; columns are between 0 and 1)
//! ```
//!
//! `dual_simplex.rs` looks for prices that make it small. The bound that counts is computed here, from
//! the prices and the data alone, so no error of the simplex can make it wrong.

use super::basis::{Basic, Basis, Breakpoint};
use super::program::{Fate, Program, select};
use crate::tolerances::BOUND_ROUNDING;

#[derive(Debug)]
pub(super) struct Relaxation {
    pub(super) program: Program,
    pub(super) fate: Vec<Fate>,
    pinned: Vec<usize>,
    /// Columns, gains and right-hand sides as the fates make them.
    pub(super) matrix: Vec<f64>,
    pub(super) gain: Vec<f64>,
    pub(super) right: Vec<f64>,
    offset: f64,
    pub(super) basis: Basis,
    /// Prices of the rows.
    pub(super) price: Vec<f64>,
    /// `gain − y a` of each arm.
    pub(super) reduced: Vec<f64>,
    pub(super) is_basic: Vec<bool>,
    pub(super) is_at_one: Vec<bool>,
    /// Right-hand sides less what columns at 1 use.
    pub(super) left: Vec<f64>,
    /// Values of the basic columns.
    pub(super) value: Vec<f64>,
    pub(super) along: Vec<f64>,
    pub(super) breakpoints: Vec<Breakpoint>,
}

impl Relaxation {
    /// The relaxation with all arms free, and the slacks as its basis.
    pub(super) fn new(program: Program) -> Self {
        let (arms, rows) = (program.arms.len(), program.rows());
        let sum = |(a, b): (&f64, &f64)| a + b;
        Self {
            fate: vec![Fate::Free; arms],
            pinned: Vec::with_capacity(arms),
            matrix: program.by_weight.iter().zip(&program.by_life).map(sum).collect(),
            gain: program.gain_by_weight.iter().zip(&program.gain_by_life).map(sum).collect(),
            right: program.right.clone(),
            offset: 0.0,
            basis: Basis::new(rows),
            price: vec![0.0; rows],
            reduced: vec![0.0; arms],
            is_basic: vec![false; arms],
            is_at_one: vec![false; arms],
            left: vec![0.0; rows],
            value: vec![0.0; rows],
            along: vec![0.0; arms],
            breakpoints: Vec::with_capacity(arms + rows),
            program,
        }
    }

    pub(super) fn arms(&self) -> usize {
        self.fate.len()
    }

    pub(super) fn fate(&self, arm: usize) -> Fate {
        self.fate[arm]
    }

    /// The pinned arms, in the order in which they were.
    pub(super) fn pinned(&self) -> &[usize] {
        &self.pinned
    }

    /// Decides on an arm, or takes a decision back. Pinned arms are freed last in, first out.
    pub(super) fn decide(&mut self, arm: usize, fate: Fate) {
        if self.fate[arm] == Fate::Pinned {
            self.pinned.pop();
        }
        if fate == Fate::Pinned {
            self.pinned.push(arm);
        }
        self.fate[arm] = fate;
        let (arms, program) = (self.arms(), &self.program);
        let life = f64::from(u8::from(fate != Fate::Pinned));
        for place in (arm..arms * self.right.len()).step_by(arms) {
            self.matrix[place] = program.by_weight[place] + life * program.by_life[place];
        }
        self.gain[arm] = program.gain_by_weight[arm] + life * program.gain_by_life[arm];
    }

    /// Drops the excluded arms for good; the others move up. Pinned arms stay so.
    pub(super) fn drop_excluded(&mut self) {
        let arms = self.arms();
        let kept: Vec<usize> = (0..arms).filter(|&arm| self.fate[arm] != Fate::Excluded).collect();
        let place = |arm: &usize| kept.binary_search(arm).ok();
        self.program.keep(&kept);
        self.matrix = select(&self.matrix, arms, &kept);
        self.gain = select(&self.gain, arms, &kept);
        self.fate = kept.iter().map(|&arm| self.fate[arm]).collect();
        self.pinned = self.pinned.iter().filter_map(place).collect();
        for column in &mut self.basis.columns {
            if let Basic::Arm(arm, fate) = *column {
                *column = place(&arm).map_or(Basic::Gone, |place| Basic::Arm(place, fate));
            }
        }
        for list in [&mut self.reduced, &mut self.along] {
            list.truncate(kept.len());
        }
        self.is_basic.truncate(kept.len());
        self.is_at_one.truncate(kept.len());
    }

    /// Whether the pinned arms alone exceed no limit.
    pub(super) fn has_room(&mut self) -> bool {
        self.take_off_pinned();
        let Program { is_equation, tolerance, .. } = &self.program;
        (0..self.right.len()).all(|row| is_equation[row] || self.right[row] >= -tolerance[row])
    }

    pub(super) fn take_off_pinned(&mut self) {
        let arms = self.arms();
        self.right.copy_from_slice(&self.program.right);
        self.offset = 0.0;
        for &arm in &self.pinned {
            for (row, right) in self.right.iter_mut().enumerate() {
                *right -= self.program.by_life[row * arms + arm];
            }
            self.offset += self.program.gain_by_life[arm];
        }
    }
}

// ---- what the last solve says -------------------------------------------------------------------

impl Relaxation {
    /// How far an arm is used, in \[0, 1\].
    pub(super) fn usage(&self, arm: usize) -> f64 {
        if !self.is_basic[arm] {
            return f64::from(u8::from(self.is_at_one[arm]));
        }
        let is_own = |column: &Basic| *column == Basic::Arm(arm, self.fate[arm]);
        self.basis.columns.iter().position(is_own).map_or(0.0, |row| self.value[row])
    }

    /// By how much the bound falls if a free arm is not live.
    pub(super) fn loss_without(&self, arm: usize) -> f64 {
        self.reduced[arm].max(0.0)
    }

    /// By how much the bound falls if a free arm is live for certain, with room for rounding.
    pub(super) fn loss_with(&self, arm: usize) -> f64 {
        let (arms, program) = (self.arms(), &self.program);
        let reduced = self.reduced[arm];
        let mut charge = -program.gain_by_life[arm];
        let mut size = self.gain[arm].abs();
        for (row, price) in self.price.iter().enumerate() {
            let place = row * arms + arm;
            charge += price * program.by_life[place];
            size += (price * self.matrix[place]).abs();
        }
        let loss = reduced.max(0.0) - (reduced + charge).max(0.0) + charge;
        loss - BOUND_ROUNDING * size
    }

    /// D at the present prices, from the data alone.
    pub(super) fn bound(&mut self) -> f64 {
        self.reduce_gains();
        self.rent()
    }

    /// D at the present prices and reduced gains, with room for rounding.
    pub(super) fn rent(&self) -> f64 {
        let rent: f64 = self.reduced.iter().map(|reduced| reduced.max(0.0)).sum();
        let (mut total, mut size) = (self.offset + rent, self.offset.abs() + rent);
        for (price, right) in self.price.iter().zip(&self.right) {
            total += price * right;
            size += (price * right).abs();
        }
        total + BOUND_ROUNDING * (1.0 + size)
    }

    /// `gain − y a` for each arm; minus infinity for excluded arms.
    pub(super) fn reduce_gains(&mut self) {
        let arms = self.arms();
        self.reduced.copy_from_slice(&self.gain);
        for (row, &price) in self.matrix.chunks_exact(arms).zip(&self.price) {
            if price != 0.0 {
                for (reduced, a) in self.reduced.iter_mut().zip(row) {
                    *reduced -= price * a;
                }
            }
        }
        for (reduced, fate) in self.reduced.iter_mut().zip(&self.fate) {
            if *fate == Fate::Excluded {
                *reduced = f64::NEG_INFINITY;
            }
        }
    }
}
