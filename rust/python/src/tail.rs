//! The journal's tail.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyList};
use stageroute_journal::{
    self as journal, Identity, Position, Signal, read_range, records as encoding,
};

use crate::errors::{journal_to_py_at, poisoned, to_py};
use crate::forks::Birth;
use crate::signal::wait;

/// (seq, offset) of a position.
pub(crate) type Place = (u64, u64);

/// What a tail misses, as (lost, cut, is stale).
type Missing = (u64, u64, bool);

/// Records that outlive the process, until they are committed to the journal's database.
///
/// Positions are tuples ``(seq, offset)``: number of the record that begins there, from 1 on, and
/// bytes of all records before it.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct Tail {
    /// Shared, so that a router can append to it without Python.
    pub(crate) ring: Arc<Mutex<journal::Tail>>,
    half_full: Arc<Signal>,
    birth: Birth,
}

impl Tail {
    fn new(tail: journal::Tail) -> Self {
        let half_full = tail.half_full();
        Self { ring: Arc::new(Mutex::new(tail)), half_full, birth: Birth::now() }
    }

    #[inline]
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, journal::Tail>> {
        self.birth.check()?;
        self.ring.lock_py_attached(py).map_err(|_| poisoned())
    }
}

#[pymethods]
impl Tail {
    /// Make an empty tail, in place of any file of that name.
    #[staticmethod]
    #[allow(clippy::needless_pass_by_value)]
    fn create(
        py: Python<'_>,
        path: PathBuf,
        capacity: u64,
        identity: Identity,
        start: Place,
    ) -> PyResult<Self> {
        py.detach(|| journal::Tail::create(&path, capacity, identity, position(start)))
            .map(Self::new)
            .map_err(|error| journal_to_py_at(&path, &error))
    }

    /// Open a tail and read back every record from a position on; nothing changes before `begin`.
    ///
    /// Returns
    /// -------
    /// tuple of Tail, bytes, tuple, tuple
    ///     The tail; the records, for `split`; where they end; how many records behind them are
    ///     lost, at least, how many of those are there, but behind another one that is not, and
    ///     whether the file is older than what was committed.
    #[staticmethod]
    #[allow(clippy::needless_pass_by_value)]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        identity: Identity,
        committed: Place,
    ) -> PyResult<(Self, Bound<'_, PyBytes>, Place, Missing)> {
        let (tail, found) = py
            .detach(|| journal::Tail::open(&path, identity, position(committed)))
            .map_err(|error| journal_to_py_at(&path, &error))?;
        let end = (found.end.seq, found.end.offset);
        let records = PyBytes::new(py, &found.records);
        Ok((Self::new(tail), records, end, (found.lost, found.cut, found.is_stale)))
    }

    /// Append from this position on, in place of what the ring holds, which was stored elsewhere.
    fn begin(&self, py: Python<'_>, start: Place) -> PyResult<()> {
        self.lock(py)?.begin(position(start)).map_err(to_py)
    }

    /// Read the records between two positions back from the file, for `split`.
    #[staticmethod]
    #[allow(clippy::needless_pass_by_value)]
    fn read_range(
        py: Python<'_>,
        path: PathBuf,
        start: Place,
        end: Place,
    ) -> PyResult<Bound<'_, PyBytes>> {
        py.detach(|| read_range(&path, position(start), position(end)))
            .map(|bytes| PyBytes::new(py, &bytes))
            .map_err(|error| journal_to_py_at(&path, &error))
    }

    /// List the records in bytes that hold them one after the other.
    ///
    /// Each is its length as a little-endian 32-bit number, then its bytes.
    #[staticmethod]
    fn split<'py>(py: Python<'py>, records: &[u8]) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for record in encoding::iter(records) {
            list.append(PyBytes::new(py, record.map_err(to_py)?))?;
        }
        Ok(list)
    }

    /// Bytes of the ring.
    #[getter]
    fn capacity(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.capacity())
    }

    /// Bytes that records take which were not released.
    #[getter]
    fn pending(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.pending())
    }

    /// Where the next record will begin.
    fn head(&self, py: Python<'_>) -> PyResult<Place> {
        let Position { seq, offset } = self.lock(py)?.head();
        Ok((seq, offset))
    }

    /// Whether a record of that many bytes can be appended now.
    fn has_room(&self, py: Python<'_>, length: usize) -> PyResult<bool> {
        Ok(self.lock(py)?.has_room(length))
    }

    /// Append a record and return its number; once it returns, the record outlives the process.
    ///
    /// Raises
    /// ------
    /// JournalFullError
    ///     If records that were not committed yet leave no room.
    /// JournalError
    ///     If the journal is closed. Nothing was appended when an error is raised.
    fn append(&self, py: Python<'_>, payload: &[u8]) -> PyResult<u64> {
        self.lock(py)?.append(payload).map_err(to_py)
    }

    /// Free the room of all records before a position.
    fn release(&self, py: Python<'_>, committed: Place) -> PyResult<()> {
        self.lock(py)?.release(position(committed)).map_err(to_py)
    }

    /// Take no further record, since another process may open the tail from now on.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.lock(py)?.close();
        Ok(())
    }

    /// Wait until half of the ring is in use or `wake` is called; False after the timeout.
    fn wait(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        self.birth.check()?;
        wait(py, &self.half_full, Some(seconds))
    }

    /// End the `wait` that is under way, or else the next one; nobody waits in a fork.
    fn wake(&self) {
        if !self.birth.is_inherited() {
            self.half_full.raise();
        }
    }
}

fn position((seq, offset): Place) -> Position {
    Position { seq, offset }
}
