//! What was done so far, in numbers.

use serde::{Deserialize, Serialize};

use super::config::MOST_OTHER_FAILURES;
use super::effects::FailureReason;

/// A field of [`Counters`]: one count, or one for each reason.
trait Count {
    fn counts(&self) -> &[u64];
}

impl Count for u64 {
    fn counts(&self) -> &[u64] {
        std::slice::from_ref(self)
    }
}

impl<const N: usize> Count for [u64; N] {
    fn counts(&self) -> &[u64] {
        self
    }
}

/// Declares the counters: the struct, and what has to go through all of its fields.
macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident: $type:ty),* $(,)?) => {
        /// What the router has done so far. The first five sum to the decisions made.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Counters {
            $($(#[$meta])* pub $name: $type,)*
        }

        impl Counters {
            /// Every field, by its name.
            fn fields(&self) -> impl Iterator<Item = (&'static str, &[u64])> {
                [$((stringify!($name), self.$name.counts())),*].into_iter()
            }
        }
    };
}

counters! {
    /// Decisions from an optimal LP over the whole live set.
    optimal: u64,
    /// Decisions for which the paced budget could not be met although the budget itself could: the
    /// cheapest mixture serves until earlier overspend is corrected.
    throttled: u64,
    /// Decisions for which no mixture meets the budget, even on optimistic costs.
    budget_infeasible: u64,
    /// Decisions for which the live caps sum to less than 1.
    cap_infeasible: u64,
    /// Decisions over a part of the live set, whatever kept the others out.
    restricted: u64,
    /// Of those, the ones that the arms left could not serve as they should: no mixture of them meets
    /// the budget, or their caps sum to less than 1.
    #[serde(skip)]
    restricted_infeasible: u64,
    /// Queries refused because every arm that could have served was at a traffic limit, …
    refused_traffic: u64,
    /// … was cooling down, …
    refused_cooling: u64,
    /// … would have broken a hard limit, …
    refused_hard_limit: u64,
    /// … or was excluded by the query itself.
    refused_excluded: u64,
    /// Rewards counted.
    rewards: u64,
    /// Costs counted.
    costs: u64,
    /// Costs of priced arms that came without tokens: billed, but nothing was learnt from them.
    costs_without_tokens: u64,
    /// Bills above what was reserved for them, so that hard limits could not foresee them.
    above_reservation: u64,
    /// Bills that took the place of an estimate or of an earlier bill.
    #[serde(skip)]
    corrected: u64,
    /// Feedback refused because it had come before, …
    repeated: u64,
    /// … because the decision was never made, …
    unknown: u64,
    /// … or because it had been evicted.
    expired: u64,
    /// Decisions evicted before their cost was known.
    evicted: u64,
    /// Failures, in the order of [`FailureReason::NAMES`].
    failures: [u64; FailureReason::NAMES.len()],
    /// Failures for other reasons, in the order of [`super::RouterConfig::other_failures`].
    #[serde(skip)]
    other_failures: [u64; MOST_OTHER_FAILURES],
    /// Cool-downs started.
    cooldowns: u64,
    /// Decisions for which arms that were cooling down were taken in again, since most were.
    #[serde(skip)]
    panicked: u64,
    /// Jumps of the wall clock that were noticed.
    #[serde(skip)]
    clock_steps: u64,
}

impl Counters {
    /// Every single count, by its name. Failures are not among them:
    /// [`super::Router::failures_by_reason`].
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.fields().filter_map(|(name, counts)| match counts {
            [count] => Some((name, *count)),
            _ => None,
        })
    }

    /// Counts a failure.
    pub(super) fn count_failure(&mut self, reason: FailureReason) {
        match reason {
            FailureReason::Timeout => self.failures[0] += 1,
            FailureReason::RateLimit => self.failures[1] += 1,
            FailureReason::Refusal => self.failures[2] += 1,
            FailureReason::Error => self.failures[3] += 1,
            FailureReason::Other(place) => self.other_failures[usize::from(place)] += 1,
        }
    }

    /// Decisions made.
    pub(super) fn decided(&self) -> u64 {
        let whole = self.optimal + self.throttled + self.budget_infeasible + self.cap_infeasible;
        whole + self.restricted
    }

    /// The largest of all counts.
    pub(super) fn largest(&self) -> u64 {
        self.fields().flat_map(|(_, counts)| counts).copied().fold(0, u64::max)
    }
}
