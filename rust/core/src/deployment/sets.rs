//! Which sets of arms may be live.

use crate::checks::{check, check_all};
use crate::error::Error;

/// By how much a limit may be exceeded: rounding of sums. Relative, since a limit in any unit but arms
/// is given as shares of it.
pub const LIMIT_TOLERANCE: f64 = 1e-9;

/// The sets of arms that may be live; they are never empty. Slices of arms have one entry for each arm.
#[derive(Debug, Clone, Copy)]
pub struct LiveSets<'a> {
    /// How many arms can be live at once.
    pub max_deployed: usize,
    /// How much the live arms may use of each further limit together; finite and not negative.
    pub most: &'a [f64],
    /// What each arm uses of each of these limits, limit after limit; finite and not negative.
    pub uses: &'a [f64],
    /// Arms that are in every set.
    pub pinned: &'a [bool],
    /// Arms that are in none.
    pub forbidden: &'a [bool],
    /// Number of each arm's provider.
    pub provider: &'a [usize],
    /// How many different providers a set must have.
    pub min_providers: usize,
}

impl LiveSets<'_> {
    /// Checks lengths and ranges for `arms` arms.
    pub(super) fn validate(&self, arms: usize) -> Result<(), Error> {
        let rule = "one for each arm";
        for (argument, actual, expected, rule) in [
            ("uses", self.uses.len(), arms * self.most.len(), "one for each arm and limit"),
            ("pinned", self.pinned.len(), arms, rule),
            ("forbidden", self.forbidden.len(), arms, rule),
            ("provider", self.provider.len(), arms, rule),
        ] {
            if actual != expected {
                return Err(Error::WrongLength { argument, actual, expected, rule });
            }
        }
        let slots = self.max_deployed as f64;
        check(slots >= 1.0, "max_deployed", slots, "must be at least 1")?;
        let is_amount = |value: f64| value.is_finite() && value >= 0.0;
        check_all("most", self.most, "must be finite and not negative", is_amount)?;
        check_all("uses", self.uses, "must be finite and not negative", is_amount)
    }

    /// What each arm uses of each limit, and how much of it there is.
    pub(super) fn limits(&self) -> impl Iterator<Item = (&[f64], f64)> {
        self.uses.chunks_exact(self.pinned.len()).zip(self.most.iter().copied())
    }

    /// How many arms one provider can have in a set, so that slots are left for the others asked for.
    pub(super) fn most_of_one_provider(&self) -> f64 {
        (self.max_deployed + 1).saturating_sub(self.min_providers) as f64
    }

    /// Whether a set would still keep the limits with one more arm.
    pub(super) fn has_room(&self, set: &[usize], arm: usize) -> bool {
        set.len() < self.max_deployed
            && self.limits().all(|(uses, most)| {
                let used: f64 = set.iter().map(|&arm| uses[arm]).sum();
                used + uses[arm] <= most + LIMIT_TOLERANCE
            })
    }

    /// Whether a set has fewer providers than it must have.
    pub(super) fn lacks_providers(&self, set: &[usize]) -> bool {
        if self.min_providers <= 1 {
            return false;
        }
        let is_first = |&place: &usize| self.brings_provider(&set[..place], set[place]);
        (0..set.len()).filter(is_first).count() < self.min_providers
    }

    /// Whether a set has no arm of this arm's provider.
    pub(super) fn brings_provider(&self, set: &[usize], arm: usize) -> bool {
        !set.iter().any(|&other| self.provider[other] == self.provider[arm])
    }
}
