//! The ring of records.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::RangeInclusive;
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{Ordering, compiler_fence};

use crate::error::Error;
use crate::format::{
    FileHeader, HEADER, Identity, NEXT, PAGE, Page, RELEASED, WORD, checksum, record_size,
};
use crate::position::Position;
use crate::records::{Scan, scan, valid_behind};
use crate::signal::Signal;
use crate::watched::Watched;

/// The capacities that a tail can have, in bytes.
pub const CAPACITY: RangeInclusive<u64> = 4096..=1 << 30;

/// Where the room of a closed ring ends; an open one has room for its capacity at least.
const CLOSED: u64 = 0;

/// A ring of records in a mapped file; the crate's documentation says what for.
#[derive(Debug)]
pub struct Tail {
    map: Watched,
    file: File,
    header: FileHeader,
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
    /// Where they end.
    pub end: Position,
    /// At least so many records behind them are gone, as far as the tail can tell: one is damaged,
    /// what was released as committed is in neither place, or the file is older than what it was.
    pub lost: u64,
    /// How many of them are still in the ring, whole, but behind one that is not.
    pub cut: u64,
    /// Whether fewer records were ever in this file than were committed: it is an old copy, or a
    /// power cut took its last pages. What was appended since, if anything, is lost.
    pub is_stale: bool,
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
        let capacity = capacity.next_power_of_two();
        let header = FileHeader { capacity, identity, session: new_session(0) };
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
        let mut tail = Self::over(file, header, start)?;
        tail.end = start.offset + capacity;
        Ok(tail)
    }

    /// Opens a tail and reads back every record from `committed` on; changes nothing.
    ///
    /// It takes records once they were stored elsewhere and a session [began](Tail::begin).
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
        let page = read_page(&mut file)?;
        let FileHeader { capacity, session, .. } = page.header;
        if page.header.identity != identity {
            return Err(Error::WrongIdentity);
        }
        let room = capacity - HEADER as u64;
        let ring = read_ring(&mut file, capacity, committed.offset, room)?;
        let Scan { records, next_seq, size, is_damaged } = scan(&ring, session, committed.seq);
        let mut after = page.released.max(page.next.unwrap_or(0));
        if is_damaged {
            after = after.max(next_seq + 1);
        }
        // The first format leaves, behind a record of 0, what an earlier process had appended there.
        let mut cut = 0;
        if is_damaged || session != 0 {
            let (count, last) = valid_behind(&ring[size..], session, next_seq);
            cut = count;
            after = after.max(last.map_or(0, |last| last + 1));
        }
        let end = Position { seq: next_seq, offset: committed.offset + size as u64 };
        let lost = after.saturating_sub(next_seq);
        let is_stale = page.next.is_some_and(|next| next < committed.seq);
        let tail = Self::over(file, page.header, end)?;
        Ok((tail, Recovery { records, end, lost, cut, is_stale }))
    }

    /// Begins a session in which records are appended from `start` on, in place of all that the
    /// ring holds; `start` is the end of what was stored elsewhere for good.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPosition`], [`Error::Io`].
    pub fn begin(&mut self, start: Position) -> Result<(), Error> {
        check_position(start)?;
        self.header.session = new_session(self.header.session);
        self.file.seek(SeekFrom::Start(0))?;
        // In one call, which a dying process does not leave half done.
        self.file.write_all(&self.header.encode(start.seq))?;
        self.end_at(start.offset);
        self.file.sync_all()?;
        (self.released, self.head) = (start, start);
        self.end = start.offset + self.header.capacity;
        Ok(())
    }

    /// Closed, until its `end` is set.
    fn over(file: File, header: FileHeader, at: Position) -> Result<Self, Error> {
        let map = Watched::map(&file)?;
        let half_full = Arc::default();
        Ok(Self { map, file, header, released: at, head: at, end: CLOSED, half_full })
    }

    /// Bytes of the ring.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.header.capacity
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
    /// [`Error::Full`], [`Error::TooLong`], [`Error::Closed`], [`Error::Shortened`].
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
        let crc = checksum(self.header.session, len, seq, payload);
        self.write(offset + HEADER as u64, payload);
        self.end_at(next);
        // The seq makes it a record, so it is written last. The fences keep the compiler to that
        // order, which is enough: a process dies between two instructions.
        compiler_fence(Ordering::Release);
        self.write_word(offset, u64::from(len) << 32 | u64::from(crc));
        compiler_fence(Ordering::Release);
        self.write_word(offset + WORD as u64, seq);
        compiler_fence(Ordering::Release);
        self.note(NEXT, seq + 1);
        if self.map.is_shortened() {
            self.end = CLOSED;
            return Err(Error::Shortened);
        }
        let (before, half) = (self.pending(), self.header.capacity / 2);
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
        self.end = position.offset + self.header.capacity;
        self.note(RELEASED, position.seq);
        Ok(())
    }

    /// Takes no further record, since another process may open the tail from now on.
    pub fn close(&mut self) {
        self.end = CLOSED;
    }

    #[cold]
    fn refusal(&self, len: usize) -> Error {
        if self.map.is_shortened() {
            return Error::Shortened;
        }
        if self.end == CLOSED {
            return Error::Closed;
        }
        let capacity = self.header.capacity;
        let limit = capacity - 2 * HEADER as u64;
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

    /// Writes a number on the first page.
    #[inline]
    fn note(&mut self, at: usize, seq: u64) {
        self.map[at..at + WORD].copy_from_slice(&seq.to_le_bytes());
    }

    /// Writes a word; its offset is a multiple of its size, so that it never wraps.
    #[inline]
    fn write_word(&mut self, offset: u64, word: u64) {
        let at = place(self.header.capacity, offset);
        self.map[at..at + WORD].copy_from_slice(&word.to_le_bytes());
    }

    /// Writes bytes, in two parts where the ring ends between them.
    #[inline]
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let at = place(self.header.capacity, offset);
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
    let FileHeader { capacity, session, .. } = read_page(&mut file)?.header;
    let size = to.offset.checked_sub(from.offset).filter(|&size| size <= capacity);
    let size = size.ok_or(Error::InvalidPosition {
        position: to,
        rule: "must be at most one ring behind the other position",
    })?;
    let ring = read_ring(&mut file, capacity, from.offset, size)?;
    let found = scan(&ring, session, from.seq);
    if found.next_seq != to.seq || found.size != ring.len() {
        return Err(Error::DamagedRecord { seq: found.next_seq });
    }
    Ok(found.records)
}

fn write_empty(path: &Path, header: FileHeader, start: Position) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.open(path)?;
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

fn read_page(file: &mut File) -> Result<Page, Error> {
    let mut page = Vec::with_capacity(PAGE);
    file.take(PAGE as u64).read_to_end(&mut page)?;
    Page::decode(&page, file.metadata()?.len())
}

/// A random number, neither 0 nor the last one.
fn new_session(last: u32) -> u32 {
    loop {
        // Each has keys of its own, from the operating system.
        let drawn = RandomState::new().hash_one(last);
        #[allow(clippy::cast_possible_truncation)]
        let session = (drawn ^ (drawn >> 32)) as u32;
        if session != 0 && session != last {
            return session;
        }
    }
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
