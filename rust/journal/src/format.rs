//! What stands where in the file of a tail.
//!
//! All numbers are little-endian. First a page:
//!
//! | bytes | meaning |
//! |---|---|
//! | 0–8 | magic; its line ending shows a transfer as text |
//! | 8–12 | format |
//! | 12–16 | CRC-32 of bytes 0–12 and 16–44 |
//! | 16–24 | capacity: bytes of the ring, a power of two |
//! | 24–40 | identity: random, shared with what the records are committed to |
//! | 40–44 | session: random, not 0, another one each time that the tail is opened |
//! | 64–72 | seq of the first record that was not released |
//! | 72–80 | seq of the next record |
//!
//! Then the ring. A record is a header of two words and its payload, padded to 8 bytes:
//!
//! | bytes | meaning |
//! |---|---|
//! | 0–4 | CRC-32, from the session on, of bytes 4–16 and the payload |
//! | 4–8 | length of the payload |
//! | 8–16 | seq, from 1 on |
//! | 16– | payload |
//!
//! Where the next record will begin, the seq is 0: what an earlier lap left there is never taken
//! for a record. Nor is what an earlier session left: its checksum begins elsewhere. So a ring holds
//! records of one session only, and what ends them otherwise than by a seq of 0 is damage.
//!
//! Format 1 had no session (as if it were 0) and no number of the next record.

use crc32fast::Hasher;

use crate::error::Error;

/// Random bytes that a tail shares with the journal that it belongs to.
pub type Identity = [u8; 16];

pub(crate) const MAGIC: [u8; 8] = *b"srtail\r\n";
pub(crate) const FORMAT: u32 = 2;
/// Bytes before the ring.
pub(crate) const PAGE: usize = 4096;
/// Where the page notes what was released.
pub(crate) const RELEASED: usize = 64;
/// Where it notes the number of the next record.
pub(crate) const NEXT: usize = 72;
/// Bytes of a record before its payload.
pub(crate) const HEADER: usize = 16;
/// Bytes of a word; every record begins at a multiple of it.
pub(crate) const WORD: usize = 8;

/// Bytes that a payload of `len` bytes takes in the ring.
#[inline]
pub(crate) fn record_size(len: usize) -> u64 {
    HEADER as u64 + (len as u64).next_multiple_of(WORD as u64)
}

/// The checksum of a record.
#[inline]
pub(crate) fn checksum(session: u32, len: u32, seq: u64, payload: &[u8]) -> u32 {
    let mut words = [0; 12];
    words[..4].copy_from_slice(&len.to_le_bytes());
    words[4..].copy_from_slice(&seq.to_le_bytes());
    let mut hasher = Hasher::new_with_initial(session);
    hasher.update(&words);
    hasher.update(payload);
    hasher.finalize()
}

/// The number at a place; the bytes are there.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// The same for a word.
#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; WORD];
    word.copy_from_slice(&bytes[at..at + WORD]);
    u64::from_le_bytes(word)
}

/// The part of the first page that stays as it is for a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileHeader {
    pub(crate) capacity: u64,
    pub(crate) identity: Identity,
    /// 0 for a file of format 1.
    pub(crate) session: u32,
}

/// What the first page says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub(crate) header: FileHeader,
    /// Number of the first record that was not released.
    pub(crate) released: u64,
    /// Number of the next record; `None` where format 1 does not say.
    pub(crate) next: Option<u64>,
}

impl FileHeader {
    /// The first page of a tail without records.
    pub(crate) fn encode(&self, seq: u64) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        page[..8].copy_from_slice(&MAGIC);
        page[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        page[16..24].copy_from_slice(&self.capacity.to_le_bytes());
        page[24..40].copy_from_slice(&self.identity);
        page[40..44].copy_from_slice(&self.session.to_le_bytes());
        let crc = header_checksum(&page, FORMAT);
        page[12..16].copy_from_slice(&crc.to_le_bytes());
        for note in [RELEASED, NEXT] {
            page[note..note + WORD].copy_from_slice(&seq.to_le_bytes());
        }
        page
    }
}

impl Page {
    /// Reads the first bytes (at most a page of them) of a file of `size` bytes.
    pub(crate) fn decode(page: &[u8], size: u64) -> Result<Self, Error> {
        if page.len() < MAGIC.len() || page[..8] != MAGIC {
            return Err(Error::NotATail);
        }
        if page.len() < PAGE {
            return Err(Error::WrongSize { expected: PAGE as u64, actual: size });
        }
        // Before the checksum: a later format may keep it elsewhere.
        let format = u32_at(page, 8);
        if format > FORMAT {
            return Err(Error::NewerFormat { found: format, known: FORMAT });
        }
        if u32_at(page, 12) != header_checksum(page, format) {
            return Err(Error::DamagedHeader);
        }
        let capacity = u64_at(page, 16);
        let expected = PAGE as u64 + capacity;
        if size != expected {
            return Err(Error::WrongSize { expected, actual: size });
        }
        let mut identity = Identity::default();
        identity.copy_from_slice(&page[24..40]);
        let is_first = format == 1;
        let session = if is_first { 0 } else { u32_at(page, 40) };
        Ok(Self {
            header: FileHeader { capacity, identity, session },
            released: u64_at(page, RELEASED),
            next: (!is_first).then(|| u64_at(page, NEXT)),
        })
    }
}

fn header_checksum(page: &[u8], format: u32) -> u32 {
    let end = if format == 1 { 40 } else { 44 };
    let mut hasher = Hasher::new();
    hasher.update(&page[..12]);
    hasher.update(&page[16..end]);
    hasher.finalize()
}
