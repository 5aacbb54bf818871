//! The one error type of the crate.

use thiserror::Error as ThisError;

/// Everything that can go wrong. No state has changed when one of these is returned, but for the
/// counters that [`stageroute_core::Error`] speaks of.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The router refused the call.
    #[error(transparent)]
    Refused(#[from] stageroute_core::Error),
    /// The journal did not take the call, so that it was not done.
    #[error(transparent)]
    Journal(#[from] stageroute_journal::Error),
    /// A name that no model has.
    #[error("name = '{name}': no such model; this router knows {known}")]
    UnknownModel {
        /// The name given.
        name: String,
        /// The names that there are, in the order in which they were added.
        known: String,
    },
    /// A new model by the name of an old one.
    #[error("name = '{name}': this router has a model of that name already")]
    TakenName {
        /// The name.
        name: String,
    },
    /// Names and arms that do not fit together.
    #[error("the snapshot does not hold a router: {names} names for {arms} arms")]
    WrongNames {
        /// How many names.
        names: usize,
        /// How many arms.
        arms: usize,
    },
    /// A lock that a panicking thread left behind: the state may be half changed.
    #[error("an earlier call panicked inside this object; discard it")]
    Poisoned,
}

impl Error {
    /// For a lock that a panicking thread left behind.
    #[cold]
    #[must_use]
    pub fn poisoned<T>(_: T) -> Self {
        Self::Poisoned
    }
}
