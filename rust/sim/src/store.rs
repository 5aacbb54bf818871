//! What outlives a process: a tail in its file, and what its records were committed to.
//!
//! The owner of a tail stores records elsewhere, with a snapshot now and then in the place of all
//! before it; here that is memory, which loses nothing. A crash leaves the file, whole or damaged.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use stageroute_core::Router;
use stageroute_journal::{Error, Identity, Position, Tail, read_range, records};
use stageroute_live::Live;
use tempfile::TempDir;

use crate::broken::{Broken, Checked, ensure};
use crate::dice::Dice;

const CAPACITY: u64 = 1 << 14;
const IDENTITY: Identity = *b"simulated router";
/// Bytes of the file before its ring.
const PAGE: usize = 4096;
/// After so many commits a snapshot takes the place of what was committed.
/// So many damaged copies of the tail are opened at each crash.
pub(crate) const DAMAGES: u64 = 4;
const SNAPSHOT_EVERY: u32 = 8;

pub(crate) struct Store {
    folder: TempDir,
    tail: Arc<Mutex<Tail>>,
    snapshot: Vec<u8>,
    /// Records since the snapshot.
    committed: Vec<u8>,
    until: Position,
    commits: u32,
}

impl Store {
    /// Starts the journal of a new router.
    pub(crate) fn create(live: &mut Live<()>) -> Checked<Self> {
        let folder = tempfile::tempdir().map_err(Broken::by)?;
        let path = folder.path().join("tail");
        let tail = Tail::create(&path, CAPACITY, IDENTITY, Position::START).map_err(Broken::by)?;
        let tail = Arc::new(Mutex::new(tail));
        live.attach_journal(Arc::clone(&tail));
        let (_, snapshot) = live.snapshot().map_err(Broken::by)?;
        let (committed, until) = (Vec::new(), Position::START);
        Ok(Self { folder, tail, snapshot, committed, until, commits: 0 })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tail")
    }

    fn with_tail<T>(&self, act: impl FnOnce(&mut Tail) -> Result<T, Error>) -> Checked<T> {
        let mut tail = self.tail.lock().map_err(Broken::by)?;
        act(&mut tail).map_err(Broken::by)
    }

    /// Commits what the tail has, once it is half full.
    pub(crate) fn note(&mut self, live: &Live<()>) -> Checked {
        let (pending, head) = self.with_tail(|tail| Ok((tail.pending(), tail.head())))?;
        if pending < CAPACITY / 2 {
            return Ok(());
        }
        let found = read_range(&self.path(), self.until, head).map_err(Broken::by)?;
        self.committed.extend_from_slice(&found);
        self.commits += 1;
        if self.commits.is_multiple_of(SNAPSHOT_EVERY) {
            (_, self.snapshot) = live.snapshot().map_err(Broken::by)?;
            self.committed.clear();
        }
        self.until = head;
        self.with_tail(|tail| tail.release(head))
    }

    /// The process has died: another one finds all that was acknowledged, and a file that was damaged
    /// besides says that something is missing, or nothing is.
    pub(crate) fn recover(&mut self, dice: &mut Dice, state: &[u8]) -> Checked<Live<()>> {
        let (head, path) = (self.with_tail(|tail| Ok(tail.head()))?, self.path());
        let image = fs::read(&path).map_err(Broken::by)?;
        for _ in 0..DAMAGES {
            self.try_damaged(dice, &image, head)?;
        }
        let (mut tail, found) = Tail::open(&path, IDENTITY, self.until).map_err(Broken::by)?;
        let is_whole = found.end == head && (found.lost, found.is_stale) == (0, false);
        ensure!(is_whole, "killed at {head:?}, recovered {found:?}");
        self.committed.extend_from_slice(&found.records);
        let mut live = Live::new(Router::from_bytes(&self.snapshot).map_err(Broken::by)?);
        for record in records::iter(&self.committed) {
            live.repeat(record.map_err(Broken::by)?).map_err(Broken::by)?;
        }
        let names = (0..live.router().len()).map(|arm| (name_of(arm), ()));
        live.name_arms(names.collect::<Vec<_>>()).map_err(Broken::by)?;
        let again = live.router().to_bytes().map_err(Broken::by)?;
        ensure!(again == state, "a recovered router has another state");
        tail.begin(head).map_err(Broken::by)?;
        self.until = head;
        self.tail = Arc::new(Mutex::new(tail));
        live.attach_journal(Arc::clone(&self.tail));
        Ok(live)
    }

    /// A copy of the file in which something is torn or flipped is refused, or tells of what is missing;
    /// what it gives is what was appended first.
    fn try_damaged(&self, dice: &mut Dice, image: &[u8], head: Position) -> Checked {
        let mut torn = image.to_vec();
        let what = damage(dice, &mut torn, self.until.offset, head.offset);
        let path = self.folder.path().join("damaged");
        fs::write(&path, &torn).map_err(Broken::by)?;
        let Ok((_, found)) = Tail::open(&path, IDENTITY, self.until) else { return Ok(()) };
        let whole = read_range(&self.path(), self.until, head).map_err(Broken::by)?;
        ensure!(whole.starts_with(&found.records), "{what}: other records are found");
        let is_told = found.lost > 0 || found.is_stale;
        ensure!(found.end == head || is_told, "{what}: up to {head:?}, but silently {found:?}");
        let missing = head.seq.saturating_sub(found.end.seq);
        ensure!(found.lost <= missing.max(1) || torn[..PAGE] != image[..PAGE], "{what}: {found:?}");
        Ok(())
    }
}

/// The name of a model.
pub(crate) fn name_of(arm: usize) -> String {
    format!("model-{arm}")
}

/// Damages a file in one place; says how.
fn damage(dice: &mut Dice, file: &mut Vec<u8>, from: u64, to: u64) -> String {
    #[allow(clippy::cast_possible_truncation)]
    let used = (to - from) as usize;
    // Mostly among the records that are not committed, sometimes anywhere.
    let place = if used > 0 && dice.chance(0.8) {
        #[allow(clippy::cast_possible_truncation)]
        let offset = (from as usize + dice.below(used)) % CAPACITY as usize;
        PAGE + offset
    } else {
        dice.below(file.len())
    };
    match dice.below(4) {
        0 => {
            file[place] ^= 1 << dice.below(8);
            format!("a bit of byte {place} is flipped")
        }
        1 => {
            let end = (place + 1 + dice.below(8)).min(file.len());
            file[place..end].iter_mut().for_each(|byte| *byte = !*byte);
            format!("bytes {place} to {end} are torn")
        }
        2 => {
            let end = (place + 1 + dice.below(512)).min(file.len());
            file[place..end].fill(0);
            format!("bytes {place} to {end} are zero")
        }
        _ => {
            file.truncate(place);
            format!("the file ends at {place}")
        }
    }
}
