//! Records outside of a ring: the length of each as a little-endian `u32`, then its bytes, one
//! after the other, without padding.

use crate::error::Error;
use crate::format::{HEADER, checksum, record_size, u32_at, u64_at};

const PREFIX: usize = 4;

/// The records in these bytes, in order; an error ends them.
#[must_use]
pub fn iter(bytes: &[u8]) -> Records<'_> {
    Records { bytes, at: 0 }
}

/// See [`iter`].
#[derive(Debug, Clone)]
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return None;
        }
        let payload = rest.split_at_checked(PREFIX).and_then(|(prefix, rest)| {
            let len = usize::try_from(u32_at(prefix, 0)).ok()?;
            rest.get(..len)
        });
        let Some(payload) = payload else {
            let at = self.at;
            self.at = self.bytes.len();
            return Some(Err(Error::MalformedRecords { at }));
        };
        self.at += PREFIX + payload.len();
        Some(Ok(payload))
    }
}

/// How a scan of a ring ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Where no record of the expected number begins.
    Clean,
    /// At one that does not fit its checksum or the ring; it claims this many bytes.
    Torn(u64),
}

/// What was found in a stretch of a ring.
#[derive(Debug)]
pub(crate) struct Scan {
    /// In the encoding of this module.
    pub(crate) records: Vec<u8>,
    /// Number of the record that would follow.
    pub(crate) next_seq: u64,
    /// Bytes of the ring that they took.
    pub(crate) size: usize,
    pub(crate) end: End,
}

/// Takes records from a stretch of a ring for as long as they are valid and numbered from `seq`.
pub(crate) fn scan(ring: &[u8], seq: u64) -> Scan {
    let mut found = Scan { records: Vec::new(), next_seq: seq, size: 0, end: End::Clean };
    while let Some(rest) = ring.get(found.size..).filter(|rest| rest.len() >= HEADER) {
        let (crc, len, seq) = (u32_at(rest, 0), u32_at(rest, 4), u64_at(rest, 8));
        if seq != found.next_seq {
            break;
        }
        let claimed = record_size(len as usize);
        let size = usize::try_from(claimed).ok().filter(|&size| size <= rest.len());
        let payload = size.map(|_| &rest[HEADER..HEADER + len as usize]);
        let (Some(size), Some(payload)) =
            (size, payload.filter(|payload| checksum(len, seq, payload) == crc))
        else {
            found.end = End::Torn(claimed);
            break;
        };
        found.records.extend_from_slice(&len.to_le_bytes());
        found.records.extend_from_slice(payload);
        found.next_seq += 1;
        found.size += size;
    }
    found
}
