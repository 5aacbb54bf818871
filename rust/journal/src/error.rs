//! The one error type of the crate.

use std::io;
use std::ops::RangeInclusive;

use thiserror::Error as ThisError;

use crate::position::Position;

/// Everything that can go wrong. Nothing has changed, in memory or in the file, when one of these
/// is returned.
#[derive(Debug, ThisError)]
pub enum Error {
    /// Records that were not released yet leave no room for this one.
    #[error("the tail is full: its {capacity} bytes hold records that were not committed yet")]
    Full {
        /// Bytes of the ring.
        capacity: u64,
    },
    /// The journal was closed, here or because its router is gone.
    #[error("the journal is closed: it takes no further records")]
    Closed,
    /// Somebody has shortened the file while it was in use.
    #[error("the journal's tail was shortened while it was in use: it takes no further records")]
    Shortened,
    /// A record that no empty ring could take.
    #[error("a record of {len} bytes: a tail of {capacity} bytes takes at most {limit}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The longest that fits.
        limit: u64,
        /// Bytes of the ring.
        capacity: u64,
    },
    /// A ring too small to be of use, or too large to be mapped everywhere.
    #[error("capacity = {capacity}: must be in [{}, {}] bytes", allowed.start(), allowed.end())]
    InvalidCapacity {
        /// The capacity asked for.
        capacity: u64,
        /// The capacities that exist.
        allowed: RangeInclusive<u64>,
    },
    /// A position that no record of this tail can have.
    #[error("position (seq {}, offset {}): {rule}", position.seq, position.offset)]
    InvalidPosition {
        /// The position given.
        position: Position,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// The file starts with something else.
    #[error("this is no journal tail: it does not start as one")]
    NotATail,
    /// The file was written by a later release.
    #[error("this tail has format {found}; this release reads format {known}: upgrade stageroute")]
    NewerFormat {
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The header was changed after it was written.
    #[error("the header of this tail is damaged: its checksum does not fit")]
    DamagedHeader,
    /// The file was cut or extended.
    #[error("this tail has {actual} bytes; by its header it must have {expected}")]
    WrongSize {
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has.
        actual: u64,
    },
    /// The tail of another journal.
    #[error("this tail belongs to another journal: their identities differ")]
    WrongIdentity,
    /// A record that was appended does not read back as it was.
    #[error("record {seq} of this tail is damaged: its checksum does not fit")]
    DamagedRecord {
        /// Its number.
        seq: u64,
    },
    /// Bytes that are not records one after the other.
    #[error("these bytes are not a sequence of records: byte {at} starts none")]
    MalformedRecords {
        /// Where it goes wrong.
        at: usize,
    },
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}
