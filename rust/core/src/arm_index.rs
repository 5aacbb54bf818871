//! The number by which an arm is known.

use std::fmt;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// An arm, by its number: candidates are numbered from 0 in the order in which they come. It indexes
/// whatever has one entry for each candidate; a *slot*, a position among the live arms, is a `usize`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ArmIndex(pub u32);

impl ArmIndex {
    /// The first `count` arms.
    pub fn first(count: usize) -> impl Iterator<Item = Self> + Clone {
        (0..=u32::MAX).map(Self).take(count)
    }

    /// The place of the arm in a list of all candidates.
    #[must_use]
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ArmIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> Index<ArmIndex> for [T] {
    type Output = T;

    #[inline]
    fn index(&self, arm: ArmIndex) -> &T {
        &self[arm.index()]
    }
}

impl<T> IndexMut<ArmIndex> for [T] {
    #[inline]
    fn index_mut(&mut self, arm: ArmIndex) -> &mut T {
        &mut self[arm.index()]
    }
}

impl<T> Index<ArmIndex> for Vec<T> {
    type Output = T;

    #[inline]
    fn index(&self, arm: ArmIndex) -> &T {
        &self.as_slice()[arm.index()]
    }
}

impl<T> IndexMut<ArmIndex> for Vec<T> {
    #[inline]
    fn index_mut(&mut self, arm: ArmIndex) -> &mut T {
        &mut self.as_mut_slice()[arm.index()]
    }
}
