//! Where records stand.

/// Where a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Number of the record that begins here, from 1 on.
    pub seq: u64,
    /// Bytes of all records before it; its place in the ring is the remainder by the capacity.
    pub offset: u64,
}

impl Position {
    /// Where the first record of all begins.
    pub const START: Self = Self { seq: 1, offset: 0 };
}
