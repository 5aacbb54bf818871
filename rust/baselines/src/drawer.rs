//! How a baseline draws and numbers its decisions.

use stageroute_core::{ArmIndex, Decision, Error, LiveArms, Reasons, Sampler};

/// Draws and numbers the decisions of a baseline, which needs no table of them.
#[derive(Debug, Clone)]
pub(crate) struct Drawer {
    pub(crate) sampler: Sampler,
    next: u64,
}

impl Drawer {
    pub(crate) fn new(seed: u64) -> Self {
        Self { sampler: Sampler::new(seed), next: 0 }
    }

    /// Draws one of the arms, with the probabilities of all candidates.
    pub(crate) fn draw(
        &mut self,
        arms: &[ArmIndex],
        p: &[f64],
        live: &LiveArms,
    ) -> Result<Decision, Error> {
        let arm = self.sampler.draw(arms, p).ok_or(Error::NoLiveArm)?;
        Ok(self.decide(arm, p[arm], 0.0, live))
    }

    /// The decision for an arm that has been chosen.
    pub(crate) fn decide(
        &mut self,
        arm: ArmIndex,
        probability: f64,
        price: f64,
        live: &LiveArms,
    ) -> Decision {
        let id = self.next;
        self.next += 1;
        let (stage, reasons) = (live.stage(), Reasons::default());
        Decision { id, arm, probability, stage, budget_price: price, reasons }
    }
}
