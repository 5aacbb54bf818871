//! The ring of records.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{Ordering, compiler_fence};

use memmap2::MmapMut;

use crate::error::Error;
use crate::format::{
    FileHeader, HEADER, Identity, PAGE, RELEASED, WORD, checksum, record_size, u64_at,
};
use crate::position::Position;
use crate::records::{End, Scan, scan};
use crate::signal::Signal;

/// The capacities that a tail can have, in bytes.
pub const CAPACITY: RangeInclusive<u64> = 4096..=1 << 30;

/// Where the room of a closed ring ends; an open one has room for its capacity at least.
const CLOSED: u64 = 0;

/// A ring of records in a mapped file; the crate's documentation says what for.
#[derive(Debug)]
pub struct Tail {
    map: MmapMut,
    capacity: u64,
    released: Position,
    head: Position,
    /// Offset at which the ring's room ends: one capacity behind what was released, until `close`.
    end: u64,
    half_full: Arc<Signal>,
}

/// What [`Tail::open`] found behind the committed position.
#[derive(Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The records, for [`records::iter`](crate::records::iter); the first one has the seq of the
    /// position that was given.
    pub records: Vec<u8>,
    /// A record behind them that was cut because it was not complete.
    pub torn: Option<TornTail>,
    /// How many records behind these had been released as committed: a power cut took both
    /// copies, or the journal is older than its tail.
    pub lost: u64,
}

/// A record that was not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// Its number.
    pub seq: u64,
    /// Bytes that its header claims, the header included.
    pub bytes: u64,
}

impl Tail {
    /// Makes an empty tail, in place of any file of that name.
    ///
    /// Every byte is written, so that no room is lacking later: a mapped file that cannot be
    /// extended ends its process.
    ///
    /// # Parameters
    ///
    /// `capacity` in [`CAPACITY`], rounded up to a power of two; `start`, the position of the first
    /// record.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCapacity`], [`Error::InvalidPosition`], [`Error::Io`].
    pub fn create(
        path: &Path,
        capacity: u64,
        identity: Identity,
        start: Position,
    ) -> Result<Self, Error> {
        if !CAPACITY.contains(&capacity) {
            return Err(Error::InvalidCapacity { capacity, allowed: CAPACITY });
        }
        check_position(start)?;
        let header = FileHeader { capacity: capacity.next_power_of_two(), identity };
        // A file of this name is complete, or is not there.
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        let file = write_empty(Path::new(&unfinished), header, start)
            .and_then(|file| fs::rename(&unfinished, path).map(|()| file))
            .inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        #[cfg(unix)]
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Self::over(&file, header.capacity, start, start)
    }

    /// Opens a tail and takes back every record from `committed` on.
    ///
    /// A record that is not complete, and whatever follows it, is cut.
    ///
    /// # Errors
    ///
    /// [`Error::NotATail`], [`Error::NewerFormat`], [`Error::DamagedHeader`],
    /// [`Error::WrongSize`], [`Error::WrongIdentity`], [`Error::InvalidPosition`], [`Error::Io`].
    pub fn open(
        path: &Path,
        identity: Identity,
        committed: Position,
    ) -> Result<(Self, Recovery), Error> {
        check_position(committed)?;
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let (header, page) = read_header(&mut file)?;
        if header.identity != identity {
            return Err(Error::WrongIdentity);
        }
        let room = header.capacity - HEADER as u64;
        let ring = read_ring(&mut file, header.capacity, committed.offset, room)?;
        let Scan { records, next_seq, size, end } = scan(&ring, committed.seq);
        let torn = match end {
            End::Clean => None,
            End::Torn(bytes) => Some(TornTail { seq: next_seq, bytes }),
        };
        let lost = u64_at(&page, RELEASED).saturating_sub(next_seq);
        let head = Position { seq: next_seq, offset: committed.offset + size as u64 };
        let mut tail = Self::over(&file, header.capacity, committed, head)?;
        tail.end_at(head.offset);
        tail.note_released();
        Ok((tail, Recovery { records, torn, lost }))
    }

    #[allow(unsafe_code)]
    fn over(file: &File, capacity: u64, released: Position, head: Position) -> Result<Self, Error> {
        // SAFETY: the file keeps its size: it belongs to the one journal that holds its identity,
        // and that is open in one process at a time. Bytes that others change are only bytes.
        let map = unsafe { MmapMut::map_mut(file)? };
        let end = released.offset + capacity;
        Ok(Self { map, capacity, released, head, end, half_full: Arc::default() })
    }

    /// Bytes of the ring.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Where the next record will begin.
    #[must_use]
    pub fn head(&self) -> Position {
        self.head
    }

    /// Bytes that records take which were not released.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.head.offset - self.released.offset
    }

    /// Raised whenever an append fills the ring's first half.
    #[must_use]
    pub fn half_full(&self) -> Arc<Signal> {
        Arc::clone(&self.half_full)
    }

    /// Whether a record of `len` bytes can be appended now.
    #[must_use]
    #[inline]
    pub fn has_room(&self, len: usize) -> bool {
        // The header behind the last record always belongs to the ring's end.
        let room = self.end.saturating_sub(self.head.offset);
        len as u64 <= room && record_size(len) + HEADER as u64 <= room
    }

    /// Appends a record and returns its seq; once it returns, the record outlives the process.
    ///
    /// No allocation; no system call, but for waking the committer when the ring is half full.
    ///
    /// # Errors
    ///
    /// [`Error::Full`], [`Error::TooLong`], [`Error::Closed`].
    #[inline]
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, Error> {
        if !self.has_room(payload.len()) {
            return Err(self.refusal(payload.len()));
        }
        // It fits a ring of at most 1 GiB.
        #[allow(clippy::cast_possible_truncation)]
        let len = payload.len() as u32;
        let Position { seq, offset } = self.head;
        let next = offset + record_size(payload.len());
        let crc = checksum(len, seq, payload);
        self.write(offset + HEADER as u64, payload);
        self.end_at(next);
        // The seq makes it a record, so it is written last. The fences keep the compiler to that
        // order, which is enough: a process dies between two instructions.
        compiler_fence(Ordering::Release);
        self.write_word(offset, u64::from(len) << 32 | u64::from(crc));
        compiler_fence(Ordering::Release);
        self.write_word(offset + WORD as u64, seq);
        compiler_fence(Ordering::Release);
        let (before, half) = (self.pending(), self.capacity / 2);
        self.head = Position { seq: seq + 1, offset: next };
        if before < half && self.pending() >= half {
            self.half_full.raise();
        }
        Ok(seq)
    }

    /// Frees the room of all records before `position`, which were committed elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPosition`] if it is not between the last one released and the head;
    /// [`Error::Closed`].
    pub fn release(&mut self, position: Position) -> Result<(), Error> {
        if self.end == CLOSED {
            return Err(Error::Closed);
        }
        let offsets = self.released.offset..=self.head.offset;
        let seqs = self.released.seq..=self.head.seq;
        if !(offsets.contains(&position.offset) && seqs.contains(&position.seq)) {
            let rule = "must be between what was released before and the head";
            return Err(Error::InvalidPosition { position, rule });
        }
        self.released = position;
        self.end = position.offset + self.capacity;
        self.note_released();
        Ok(())
    }

    /// Takes no further record, since another process may open the tail from now on.
    pub fn close(&mut self) {
        self.end = CLOSED;
    }

    #[cold]
    fn refusal(&self, len: usize) -> Error {
        if self.end == CLOSED {
            return Error::Closed;
        }
        let (capacity, limit) = (self.capacity, self.capacity - 2 * HEADER as u64);
        if len as u64 > limit {
            return Error::TooLong { len, limit, capacity };
        }
        Error::Full { capacity }
    }

    /// Makes sure that nothing at this offset is taken for a record.
    #[inline]
    fn end_at(&mut self, offset: u64) {
        self.write_word(offset + WORD as u64, 0);
    }

    fn note_released(&mut self) {
        let seq = self.released.seq.to_le_bytes();
        self.map[RELEASED..RELEASED + WORD].copy_from_slice(&seq);
    }

    /// Writes a word; its offset is a multiple of its size, so that it never wraps.
    #[inline]
    fn write_word(&mut self, offset: u64, word: u64) {
        let at = place(self.capacity, offset);
        self.map[at..at + WORD].copy_from_slice(&word.to_le_bytes());
    }

    /// Writes bytes, in two parts where the ring ends between them.
    #[inline]
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let at = place(self.capacity, offset);
        let first = bytes.len().min(self.map.len() - at);
        self.map[at..at + first].copy_from_slice(&bytes[..first]);
        if first < bytes.len() {
            let rest = &bytes[first..];
            self.map[PAGE..PAGE + rest.len()].copy_from_slice(rest);
        }
    }
}

/// Reads the records between two positions back from the file, without the tail or its lock.
///
/// They are in the encoding of [`records`](crate::records). The positions must come from the
/// tail's head, and nothing between them may have been released.
///
/// # Errors
///
/// [`Error::DamagedRecord`] if one is not as it was appended, [`Error::InvalidPosition`], and those
/// of [`Tail::open`] for the file.
pub fn read_range(path: &Path, from: Position, to: Position) -> Result<Vec<u8>, Error> {
    check_position(from)?;
    let mut file = File::open(path)?;
    let (FileHeader { capacity, .. }, _) = read_header(&mut file)?;
    let size = to.offset.checked_sub(from.offset).filter(|&size| size <= capacity);
    let size = size.ok_or(Error::InvalidPosition {
        position: to,
        rule: "must be at most one ring behind the other position",
    })?;
    let ring = read_ring(&mut file, capacity, from.offset, size)?;
    let found = scan(&ring, from.seq);
    if found.next_seq != to.seq || found.size != ring.len() {
        return Err(Error::DamagedRecord { seq: found.next_seq });
    }
    Ok(found.records)
}

fn write_empty(path: &Path, header: FileHeader, start: Position) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(true).open(path)?;
    file.write_all(&header.encode(start.seq))?;
    let zeros = [0; PAGE];
    for _ in 0..header.capacity / PAGE as u64 {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    Ok(file)
}

fn check_position(position: Position) -> Result<(), Error> {
    if position.seq >= 1 && position.offset.is_multiple_of(WORD as u64) {
        return Ok(());
    }
    let rule = "seq must be at least 1 and offset a multiple of 8";
    Err(Error::InvalidPosition { position, rule })
}

/// Where in the file an offset is found.
#[inline]
fn place(capacity: u64, offset: u64) -> usize {
    // The remainder by a power of two, at most 2^30.
    #[allow(clippy::cast_possible_truncation)]
    let place = (offset & (capacity - 1)) as usize;
    PAGE + place
}

/// The header, and the page that it is on.
fn read_header(file: &mut File) -> Result<(FileHeader, Vec<u8>), Error> {
    let mut page = Vec::with_capacity(PAGE);
    file.take(PAGE as u64).read_to_end(&mut page)?;
    let header = FileHeader::decode(&page, file.metadata()?.len())?;
    Ok((header, page))
}

/// So many bytes of the ring, from this offset on.
fn read_ring(file: &mut File, capacity: u64, offset: u64, size: u64) -> Result<Vec<u8>, Error> {
    let at = place(capacity, offset) as u64;
    let until_end = size.min(PAGE as u64 + capacity - at);
    // At most the capacity, which the size of the file confirms.
    #[allow(clippy::cast_possible_truncation)]
    let mut bytes = Vec::with_capacity(size as usize);
    file.seek(SeekFrom::Start(at))?;
    file.take(until_end).read_to_end(&mut bytes)?;
    file.seek(SeekFrom::Start(PAGE as u64))?;
    file.take(size - until_end).read_to_end(&mut bytes)?;
    Ok(bytes)
}
