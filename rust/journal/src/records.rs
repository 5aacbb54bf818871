//! Records outside of a ring: the length of each as a little-endian `u32`, then its bytes, one
//! after the other, without padding.

use crate::error::Error;
use crate::format::{HEADER, WORD, checksum, record_size, u32_at, u64_at};

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

/// What was found in a stretch of a ring.
#[derive(Debug)]
pub(crate) struct Scan {
    /// In the encoding of this module.
    pub(crate) records: Vec<u8>,
    /// Number of the record that would follow.
    pub(crate) next_seq: u64,
    /// Bytes of the ring that they took.
    pub(crate) size: usize,
    /// Whether something stands where the next record would begin.
    pub(crate) is_damaged: bool,
}

/// Takes records from a stretch of a ring for as long as they are valid and numbered from `seq`.
pub(crate) fn scan(ring: &[u8], session: u32, seq: u64) -> Scan {
    let mut found = Scan { records: Vec::new(), next_seq: seq, size: 0, is_damaged: false };
    while let Some(rest) = ring.get(found.size..).filter(|rest| rest.len() >= HEADER) {
        let number = u64_at(rest, 8);
        let is_next = number == found.next_seq;
        let payload = is_next.then(|| valid(rest, session, number)).flatten();
        let Some(payload) = payload else {
            found.is_damaged = number != 0;
            break;
        };
        found.records.extend_from_slice(&rest[4..8]);
        found.records.extend_from_slice(payload);
        found.next_seq += 1;
        found.size += HEADER + payload.len().next_multiple_of(WORD);
    }
    found
}

/// How many valid records of a session stand somewhere in a stretch of a ring behind the one with
/// the number `seq`, and the number of the last of them.
pub(crate) fn valid_behind(ring: &[u8], session: u32, seq: u64) -> (u64, Option<u64>) {
    let most = (ring.len() / HEADER) as u64;
    (0..ring.len().saturating_sub(HEADER))
        .step_by(WORD)
        .filter_map(|at| {
            let number = u64_at(ring, at + WORD);
            let is_near = number.checked_sub(seq).is_some_and(|ahead| 0 < ahead && ahead <= most);
            (is_near && valid(&ring[at..], session, number).is_some()).then_some(number)
        })
        .fold((0, None), |(count, last), number| (count + 1, last.max(Some(number))))
}

/// The payload of the record that begins here, if it is as it was when it got this number.
fn valid(bytes: &[u8], session: u32, seq: u64) -> Option<&[u8]> {
    let (crc, len) = (u32_at(bytes, 0), u32_at(bytes, 4));
    let size = usize::try_from(record_size(len as usize)).ok()?;
    let payload = bytes.get(..size)?.get(HEADER..HEADER + len as usize)?;
    (checksum(session, len, seq, payload) == crc).then_some(payload)
}
