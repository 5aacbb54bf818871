//! What stands where in the file of a tail.
//!
//! All numbers are little-endian. First a page:
//!
//! | bytes | meaning |
//! |---|---|
//! | 0–8 | magic; its line ending shows a transfer as text |
//! | 8–12 | format |
//! | 12–16 | CRC-32 of bytes 0–12 and 16–40 |
//! | 16–24 | capacity: bytes of the ring, a power of two |
//! | 24–40 | identity: random, shared with what the records are committed to |
//! | 64–72 | seq of the first record that was not released |
//!
//! Then the ring. A record is a header of two words and its payload, padded to 8 bytes:
//!
//! | bytes | meaning |
//! |---|---|
//! | 0–4 | CRC-32 of bytes 4–16 and the payload |
//! | 4–8 | length of the payload |
//! | 8–16 | seq, from 1 on |
//! | 16– | payload |
//!
//! Where the next record will begin, the seq is 0: what an earlier lap left there is never taken
//! for a record.

use crc32fast::Hasher;

use crate::error::Error;

/// Random bytes that a tail shares with the journal that it belongs to.
pub type Identity = [u8; 16];

pub(crate) const MAGIC: [u8; 8] = *b"srtail\r\n";
pub(crate) const FORMAT: u32 = 1;
/// Bytes before the ring.
pub(crate) const PAGE: usize = 4096;
/// Where the page notes what was released.
pub(crate) const RELEASED: usize = 64;
/// Bytes of a record before its payload.
pub(crate) const HEADER: usize = 16;
/// Bytes of a word; every record begins at a multiple of it.
pub(crate) const WORD: usize = 8;

/// Bytes that a payload of `len` bytes takes in the ring.
#[inline]
pub(crate) fn record_size(len: usize) -> u64 {
    HEADER as u64 + (len as u64).next_multiple_of(WORD as u64)
}

/// The checksum of a record; `words` are its header without the checksum.
#[inline]
pub(crate) fn checksum(len: u32, seq: u64, payload: &[u8]) -> u32 {
    let mut words = [0; 12];
    words[..4].copy_from_slice(&len.to_le_bytes());
    words[4..].copy_from_slice(&seq.to_le_bytes());
    let mut hasher = Hasher::new();
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

/// The part of the first page that never changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileHeader {
    pub(crate) capacity: u64,
    pub(crate) identity: Identity,
}

impl FileHeader {
    const LEN: usize = 40;

    /// The first page of a new tail.
    pub(crate) fn encode(&self, released: u64) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        page[..8].copy_from_slice(&MAGIC);
        page[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        page[16..24].copy_from_slice(&self.capacity.to_le_bytes());
        page[24..40].copy_from_slice(&self.identity);
        let crc = header_checksum(&page);
        page[12..16].copy_from_slice(&crc.to_le_bytes());
        page[RELEASED..RELEASED + WORD].copy_from_slice(&released.to_le_bytes());
        page
    }

    /// Reads the first bytes (at most a page of them) of a file of `size` bytes.
    pub(crate) fn decode(page: &[u8], size: u64) -> Result<Self, Error> {
        if page.len() < MAGIC.len() || page[..8] != MAGIC {
            return Err(Error::NotATail);
        }
        if page.len() < PAGE {
            return Err(Error::WrongSize { expected: PAGE as u64, actual: size });
        }
        // Before the checksum: a later format may keep it elsewhere.
        let found = u32_at(page, 8);
        if found > FORMAT {
            return Err(Error::NewerFormat { found, known: FORMAT });
        }
        if u32_at(page, 12) != header_checksum(page) {
            return Err(Error::DamagedHeader);
        }
        let capacity = u64_at(page, 16);
        let expected = PAGE as u64 + capacity;
        if size != expected {
            return Err(Error::WrongSize { expected, actual: size });
        }
        let mut identity = Identity::default();
        identity.copy_from_slice(&page[24..40]);
        Ok(Self { capacity, identity })
    }
}

fn header_checksum(page: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&page[..12]);
    hasher.update(&page[16..FileHeader::LEN]);
    hasher.finalize()
}
