//! The one map from native errors to Python exceptions.

use std::path::Path;

use pyo3::exceptions::PyRuntimeError;
use pyo3::{PyErr, import_exception};
use stageroute_core::Error as Refused;
use stageroute_journal::Error as JournalFault;
use stageroute_live::Error;

import_exception!(stageroute.errors, AlreadyObservedError);
import_exception!(stageroute.errors, ExcludedError);
import_exception!(stageroute.errors, ExpiredDecisionError);
import_exception!(stageroute.errors, ForkedRouterError);
import_exception!(stageroute.errors, HardLimitError);
import_exception!(stageroute.errors, InvalidInputError);
import_exception!(stageroute.errors, JournalError);
import_exception!(stageroute.errors, JournalFullError);
import_exception!(stageroute.errors, ModelsDownError);
import_exception!(stageroute.errors, NoModelError);
import_exception!(stageroute.errors, RateLimitedError);
import_exception!(stageroute.errors, SnapshotCorruptError);
import_exception!(stageroute.errors, SnapshotMismatchError);
import_exception!(stageroute.errors, SnapshotVersionError);
import_exception!(stageroute.errors, SolverError);
import_exception!(stageroute.errors, UnknownDecisionError);
import_exception!(stageroute.errors, UnknownModelError);

/// The Python exception that stands for an error of any native crate.
#[cold]
pub(crate) fn to_py(error: impl Into<Error>) -> PyErr {
    let error = error.into();
    let message = error.to_string();
    match error {
        Error::Refused(error) => refused(&error, message),
        Error::Journal(error) => journal(&error, message),
        Error::UnknownModel { .. } => UnknownModelError::new_err(message),
        Error::TakenName { .. } => InvalidInputError::new_err(message),
        Error::WrongNames { .. } => SnapshotCorruptError::new_err(message),
        Error::Poisoned => poisoned(),
    }
}

/// The same for a journal's error that is about a file.
#[cold]
pub(crate) fn journal_to_py_at(path: &Path, error: &JournalFault) -> PyErr {
    journal(error, format!("{}: {error}", path.display()))
}

// Every variant is named in the next two, so that a new one is not forgotten.

fn refused(error: &Refused, message: String) -> PyErr {
    match error {
        Refused::InBatch { error, .. } => refused(error, message),
        Refused::UnknownDecision { .. } => UnknownDecisionError::new_err(message),
        Refused::ExpiredDecision { .. } => ExpiredDecisionError::new_err(message),
        Refused::AlreadyObserved { .. } => AlreadyObservedError::new_err(message),
        Refused::NoLiveArm => NoModelError::new_err(message),
        Refused::AtTrafficLimit { retry_after } => {
            RateLimitedError::new_err((message, *retry_after))
        }
        Refused::AtHardLimit { retry_after, .. } => {
            HardLimitError::new_err((message, *retry_after))
        }
        Refused::StartAboveLimit { .. } => HardLimitError::new_err((message, None::<f64>)),
        Refused::AllCooling { retry_after } => {
            ModelsDownError::new_err((message, Some(*retry_after)))
        }
        Refused::AllExcluded { .. } | Refused::TooLarge { .. } => ExcludedError::new_err(message),
        Refused::BadSnapshot(_) => SnapshotCorruptError::new_err(message),
        Refused::PivotLimit { .. }
        | Refused::SearchStopped { .. }
        | Refused::ContradictedSolver { .. } => SolverError::new_err(message),
        // Stopped by a signal handler, whose exception takes the place of this one.
        Refused::ReplayStopped { .. } => PyRuntimeError::new_err(message),
        Refused::InvalidNumber { .. }
        | Refused::InvalidElement { .. }
        | Refused::WrongLength { .. }
        | Refused::NoArms { .. }
        | Refused::TooManyArms
        | Refused::UnknownArm { .. }
        | Refused::DuplicateArm { .. }
        | Refused::RetiredArm { .. }
        | Refused::ActiveArm { .. }
        | Refused::WrongPricing { .. }
        | Refused::InvalidFeedback(_) => InvalidInputError::new_err(message),
    }
}

fn journal(error: &JournalFault, message: String) -> PyErr {
    use JournalFault as Fault;
    match error {
        Fault::Full { .. } => JournalFullError::new_err(message),
        Fault::TooLong { .. } | Fault::InvalidCapacity { .. } | Fault::InvalidPosition { .. } => {
            InvalidInputError::new_err(message)
        }
        Fault::NewerFormat { .. } => SnapshotVersionError::new_err(message),
        Fault::WrongIdentity => SnapshotMismatchError::new_err(message),
        Fault::NotATail
        | Fault::DamagedHeader
        | Fault::WrongSize { .. }
        | Fault::DamagedRecord { .. }
        | Fault::MalformedRecords { .. } => SnapshotCorruptError::new_err(message),
        Fault::Closed | Fault::Shortened | Fault::Io(_) => JournalError::new_err(message),
    }
}

/// An argument that no core type can hold.
#[cold]
pub(crate) fn invalid(message: impl Into<String>) -> PyErr {
    InvalidInputError::new_err(message.into())
}

/// A lock that a panicking thread left behind: the state may be half changed.
#[cold]
pub(crate) fn poisoned() -> PyErr {
    PyRuntimeError::new_err(Error::Poisoned.to_string())
}
