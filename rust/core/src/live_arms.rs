//! The live set of one stage.

use serde::{Deserialize, Serialize};

use crate::arm_index::ArmIndex;
use crate::error::Error;

/// In the place of a slot: the arm is not live.
const NOT_LIVE: u32 = u32::MAX;

/// Which arms are live during one stage. Immutable: a stage boundary publishes a new one whole.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LiveArms {
    stage: u64,
    arms: Box<[ArmIndex]>,
    /// For each candidate its slot, or [`NOT_LIVE`]. Not in bytes: it follows from the arms.
    #[serde(skip)]
    slots: Box<[u32]>,
}

impl PartialEq for LiveArms {
    fn eq(&self, other: &Self) -> bool {
        (self.stage, &self.arms) == (other.stage, &other.arms)
    }
}

impl LiveArms {
    /// Those of `arms`, which are put in ascending order.
    ///
    /// # Errors
    /// [`Error::UnknownArm`] or [`Error::DuplicateArm`] if they are not distinct indices below
    /// `candidates`.
    pub fn new(stage: u64, arms: &[ArmIndex], candidates: usize) -> Result<Self, Error> {
        let argument = "deployed";
        let mut sorted: Box<[ArmIndex]> = arms.into();
        sorted.sort_unstable();
        if let Some(&arm) = sorted.last().filter(|&&arm| arm.index() >= candidates) {
            return Err(Error::UnknownArm { argument, arm, arms: candidates });
        }
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::DuplicateArm { argument, arm: pair[0] });
        }
        let mut slots = vec![NOT_LIVE; candidates].into_boxed_slice();
        for (slot, &arm) in (0..).zip(&sorted) {
            slots[arm] = slot;
        }
        Ok(Self { stage, arms: sorted, slots })
    }

    /// Number of the stage; 0 before the first.
    #[must_use]
    pub fn stage(&self) -> u64 {
        self.stage
    }

    /// The live arms, ascending. A *slot* is a position in this list.
    #[must_use]
    pub fn arms(&self) -> &[ArmIndex] {
        &self.arms
    }

    /// The slot of an arm, if it is live.
    #[must_use]
    #[inline]
    pub fn slot(&self, arm: ArmIndex) -> Option<usize> {
        match self.slots.get(arm.index()) {
            Some(&slot) if slot != NOT_LIVE => Some(slot as usize),
            _ => None,
        }
    }
}
