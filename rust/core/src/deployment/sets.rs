//! Which sets of arms may be live.

use crate::checks::{check, check_all, check_lengths};
use crate::error::Error;
use crate::tolerances::LIMIT_TOLERANCE;

/// The sets of arms that may be live; they are never empty. Slices of arms have one entry for each arm, or
/// none at all where there is nothing to say.
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

/// A flag of an arm; false where there are no flags.
pub(super) fn is_set(flags: &[bool], arm: usize) -> bool {
    flags.get(arm).is_some_and(|&flag| flag)
}

impl LiveSets<'_> {
    /// Nothing limits the live set but its size.
    #[must_use]
    pub fn of_size(max_deployed: usize) -> Self {
        let (most, uses): (&[f64], &[f64]) = (&[], &[]);
        let (pinned, forbidden, provider): (&[bool], &[bool], &[usize]) = (&[], &[], &[]);
        Self { max_deployed, most, uses, pinned, forbidden, provider, min_providers: 1 }
    }

    /// Checks lengths and ranges for `arms` arms.
    pub(super) fn validate(&self, arms: usize) -> Result<(), Error> {
        let for_each = "one for each arm and limit";
        check_lengths("uses", self.uses.len(), arms * self.most.len(), for_each)?;
        for (argument, actual, is_needed) in [
            ("pinned", self.pinned.len(), false),
            ("forbidden", self.forbidden.len(), false),
            ("provider", self.provider.len(), self.min_providers > 1),
        ] {
            if actual > 0 || is_needed {
                check_lengths(argument, actual, arms, "one for each arm")?;
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
        let arms = self.uses.len().checked_div(self.most.len()).unwrap_or(0);
        self.uses.chunks_exact(arms.max(1)).zip(self.most.iter().copied())
    }

    /// How many arms one provider can have in a set, so that slots are left for the others asked for.
    pub(super) fn most_of_one_provider(&self) -> f64 {
        (self.max_deployed + 1).saturating_sub(self.min_providers) as f64
    }

    /// Whether a set, which names no arm twice, may be live.
    #[must_use]
    pub fn allows(&self, set: &[usize]) -> bool {
        let used = |uses: &[f64]| set.iter().map(|&arm| uses[arm]).sum::<f64>();
        let pinned = set.iter().filter(|&&arm| is_set(self.pinned, arm)).count();
        (1..=self.max_deployed).contains(&set.len())
            && !set.iter().any(|&arm| is_set(self.forbidden, arm))
            && self.limits().all(|(uses, most)| used(uses) <= most + LIMIT_TOLERANCE)
            && !self.lacks_providers(set)
            && pinned == self.pinned.iter().filter(|&&is_pinned| is_pinned).count()
    }

    /// Whether a set of allowed arms can only be too large.
    pub(super) fn limits_size_only(&self) -> bool {
        self.most.is_empty() && self.min_providers <= 1
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
