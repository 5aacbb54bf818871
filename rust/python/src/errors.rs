//! The one map from native errors to Python exceptions.

use std::path::Path;

use pyo3::exceptions::PyRuntimeError;
use pyo3::{PyErr, import_exception};
use stageroute_core::Error;
use stageroute_journal::Error as JournalFault;

import_exception!(stageroute.errors, AlreadyObservedError);
import_exception!(stageroute.errors, ExcludedError);
import_exception!(stageroute.errors, ExpiredDecisionError);
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

/// The Python exception that stands for a core error.
#[cold]
pub(crate) fn to_py(error: &Error) -> PyErr {
    with_message(error, error.to_string())
}

/// The same for one element of a batch.
#[cold]
pub(crate) fn to_py_at((index, error): (usize, Error)) -> PyErr {
    with_message(&error, format!("element {index}: {error}; nothing of the batch was counted"))
}

fn with_message(error: &Error, message: String) -> PyErr {
    match error {
        Error::UnknownDecision { .. } => UnknownDecisionError::new_err(message),
        Error::ExpiredDecision { .. } => ExpiredDecisionError::new_err(message),
        Error::AlreadyObserved { .. } => AlreadyObservedError::new_err(message),
        Error::NoLiveArm => NoModelError::new_err(message),
        Error::AtTrafficLimit { retry_after } => RateLimitedError::new_err((message, *retry_after)),
        Error::AtHardLimit { retry_after, .. } => HardLimitError::new_err((message, *retry_after)),
        Error::AllCooling { retry_after } => {
            ModelsDownError::new_err((message, Some(*retry_after)))
        }
        Error::AllExcluded { .. } => ExcludedError::new_err(message),
        Error::BadSnapshot(_) => SnapshotCorruptError::new_err(message),
        Error::PivotLimit { .. } | Error::SearchStopped { .. } | Error::NoMixture { .. } => {
            SolverError::new_err(message)
        }
        _ => InvalidInputError::new_err(message),
    }
}

/// The Python exception that stands for a journal's error.
#[cold]
pub(crate) fn journal_to_py(error: &JournalFault) -> PyErr {
    journal_with_message(error, error.to_string())
}

/// The same for an error that is about a file.
#[cold]
pub(crate) fn journal_to_py_at(path: &Path, error: &JournalFault) -> PyErr {
    journal_with_message(error, format!("{}: {error}", path.display()))
}

fn journal_with_message(error: &JournalFault, message: String) -> PyErr {
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
        _ => JournalError::new_err(message),
    }
}

/// An argument that no core type can hold.
#[cold]
pub(crate) fn invalid(message: impl Into<String>) -> PyErr {
    InvalidInputError::new_err(message.into())
}

/// A name that no model of a router has.
#[cold]
pub(crate) fn unknown_model<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> PyErr {
    let mut known: Vec<&str> = known.map(String::as_str).collect();
    known.sort_unstable();
    let known = known.join(", ");
    UnknownModelError::new_err(format!("{name:?}: no such model; this router knows {known}"))
}

/// A lock that a panicking thread left behind: the state may be half changed.
#[cold]
pub(crate) fn poisoned() -> PyErr {
    PyRuntimeError::new_err("an earlier call panicked inside this object; discard it")
}
