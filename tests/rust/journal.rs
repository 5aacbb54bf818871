//! The tail: whatever happens to its process or to its last record, the acknowledged records come
//! back, in order, each once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use proptest::prelude::*;
use stageroute_journal::{Error, Position, Recovery, Tail, read_range, records};
use tempfile::TempDir;

const CAPACITY: u64 = 4096;
const IDENTITY: [u8; 16] = *b"identity of test";
/// Bytes of the file before the ring.
const PAGE: usize = 4096;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tail");
    (folder, path)
}

fn create(path: &Path) -> Tail {
    Tail::create(path, CAPACITY, IDENTITY, Position::START).unwrap()
}

/// Opens a tail, and begins a session where its records end, as if they were stored elsewhere.
fn open(path: &Path, committed: Position) -> (Tail, Recovery) {
    let (mut tail, recovery) = Tail::open(path, IDENTITY, committed).unwrap();
    assert!(matches!(tail.append(b""), Err(Error::Closed)));
    tail.begin(recovery.end).unwrap();
    (tail, recovery)
}

/// What a tail holds, which is left as it is.
fn look(path: &Path, committed: Position) -> Recovery {
    let before = fs::read(path).unwrap();
    let (_, recovery) = Tail::open(path, IDENTITY, committed).unwrap();
    assert!(fs::read(path).unwrap() == before);
    recovery
}

fn list(bytes: &[u8]) -> Vec<Vec<u8>> {
    records::iter(bytes).map(|record| record.unwrap().to_vec()).collect()
}

/// A payload that differs from its neighbours.
fn payload(seq: u64, len: usize) -> Vec<u8> {
    let places = (0..=u8::MAX).cycle();
    seq.to_le_bytes().into_iter().cycle().zip(places).map(|(a, b)| a ^ b).take(len).collect()
}

/// Changes bytes of the ring, from this offset on, in the file itself.
fn damage(path: &Path, offset: u64, len: usize, change: impl Fn(usize, u8) -> u8) {
    let bytes = fs::read(path).unwrap();
    // In place: the file may be mapped.
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    for k in 0..len {
        let at = PAGE + usize::try_from((offset + k as u64) % CAPACITY).unwrap();
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[change(k, bytes[at])]).unwrap();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    /// Releases this share of the pending records, in 256ths.
    Release(u8),
    Reopen,
    /// Dies, and the last record has a bit flipped at this share of its bytes.
    Flip(u8, u8),
    /// Dies, and the last record ends at this share of its bytes; others follow.
    Cut(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0_usize..=60).prop_map(Step::Append),
        2 => (200_usize..=4064).prop_map(Step::Append),
        3 => any::<u8>().prop_map(Step::Release),
        1 => Just(Step::Reopen),
        1 => (any::<u8>(), 1_u8..).prop_map(|(at, bits)| Step::Flip(at, bits)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(at, filler)| Step::Cut(at, filler)),
    ];
    prop::collection::vec(step, 1..250)
}

/// What must come back: each pending record with the position at which it begins.
#[derive(Default)]
struct Expected {
    pending: Vec<(Position, Vec<u8>)>,
}

impl Expected {
    fn check(&self, found: &[u8]) {
        let expected: Vec<_> = self.pending.iter().map(|(_, payload)| payload.clone()).collect();
        assert_eq!(list(found), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_acknowledged_records_come_back(steps in steps()) {
        let (_folder, path) = place();
        let mut tail = create(&path);
        let mut committed = Position::START;
        let mut expected = Expected::default();
        for step in steps {
            let position = tail.head();
            let mut lost = 0;
            match step {
                Step::Append(len) => {
                    let payload = payload(position.seq, len);
                    let has_room = tail.has_room(len);
                    match tail.append(&payload) {
                        Ok(seq) => {
                            prop_assert!(has_room && seq == position.seq);
                            expected.pending.push((position, payload));
                        }
                        Err(Error::Full { .. }) => {
                            prop_assert!(!has_room && !expected.pending.is_empty());
                            prop_assert_eq!(tail.head(), position);
                        }
                        Err(other) => panic!("{other}"),
                    }
                    continue;
                }
                Step::Release(share) => {
                    let count = expected.pending.len() * usize::from(share) / 256;
                    committed = expected.pending.get(count).map_or(position, |(at, _)| *at);
                    let stored = read_range(&path, expected.pending.first()
                        .map_or(position, |(at, _)| *at), committed).unwrap();
                    prop_assert_eq!(list(&stored).len(), count);
                    tail.release(committed).unwrap();
                    expected.pending.drain(..count);
                    continue;
                }
                Step::Reopen => {
                    drop(tail);
                    expected.check(&look(&path, committed).records);
                }
                Step::Flip(share, bits) | Step::Cut(share, bits) => {
                    drop(tail);
                    if let Some((at, payload)) = expected.pending.pop() {
                        let size = 16 + payload.len();
                        let from = size * usize::from(share) / 256;
                        let last = if matches!(step, Step::Flip(..)) { from + 1 } else { size };
                        let before = fs::read(&path).unwrap();
                        damage(&path, at.offset, size, |k, byte| match step {
                            _ if k < from || k >= last => byte,
                            Step::Flip(..) => byte ^ bits,
                            _ => bits,
                        });
                        let found = look(&path, committed);
                        if fs::read(&path).unwrap() == before {
                            expected.pending.push((at, payload));
                        } else {
                            lost = 1;
                        }
                        prop_assert_eq!(found.lost, lost);
                    }
                }
            }
            let (reopened, recovery) = open(&path, committed);
            expected.check(&recovery.records);
            prop_assert_eq!(recovery.lost, lost);
            prop_assert_eq!((recovery.cut, recovery.is_stale), (0, false));
            let end = committed.seq + expected.pending.len() as u64;
            prop_assert_eq!((reopened.head(), reopened.head().seq), (recovery.end, end));
            tail = reopened;
            committed = recovery.end;
            expected.pending.clear();
        }
    }
}

/// Wherever it stands, last or not: what was being written when its process died has no number.
#[test]
fn a_damaged_record_is_a_gap() {
    for (damaged, cut) in [(2_u64, 1), (3, 0)] {
        let (_folder, path) = place();
        let mut tail = create(&path);
        let offsets: Vec<u64> = [b"first", b"other", b"third"]
            .map(|payload| {
                let offset = tail.head().offset;
                tail.append(payload).unwrap();
                offset
            })
            .to_vec();
        drop(tail);
        damage(&path, offsets[usize::try_from(damaged).unwrap() - 1] + 16, 1, |_, byte| byte ^ 1);
        let found = look(&path, Position::START);
        assert_eq!((found.end.seq, found.lost, found.cut), (damaged, 1 + cut, cut));
        let (mut tail, _) = open(&path, Position::START);
        assert_eq!(tail.append(b"again").unwrap(), damaged);
        drop(tail);
        let found = look(&path, Position { seq: damaged, offset: offsets[0] + 24 * (damaged - 1) });
        assert_eq!((list(&found.records), found.lost), (vec![b"again".to_vec()], 0));
    }
}

/// The first page knows of a record that has lost its number, or all of itself.
#[test]
fn a_record_that_has_lost_its_number_is_a_gap() {
    let (_folder, path) = place();
    let mut tail = create(&path);
    tail.append(b"first").unwrap();
    tail.append(b"other").unwrap();
    drop(tail);
    damage(&path, 24 + 8, 8, |_, _| 0);
    let found = look(&path, Position::START);
    assert_eq!((list(&found.records).len(), found.lost), (1, 1));
    damage(&path, 24, 24, |_, _| 0);
    let found = look(&path, Position::START);
    assert_eq!((list(&found.records).len(), found.lost), (1, 1));
}

/// Two power cuts: the second one took the first page of the second session's records, so that those
/// of the first session, of the same length, stand behind them.
#[test]
fn records_of_an_earlier_session_are_never_taken() {
    let (_folder, path) = place();
    let mut tail = create(&path);
    for _ in 0..20 {
        tail.append(b"old old ").unwrap();
    }
    drop(tail);
    let old = fs::read(&path).unwrap();
    // The database has five of them, and the ring no more than that: the first power cut.
    damage(&path, 5 * 24, 24, |_, _| 0);
    let (mut tail, recovery) = open(&path, Position::START);
    assert_eq!((recovery.end.seq, recovery.lost), (6, 15));
    for _ in 0..3 {
        tail.append(b"new new ").unwrap();
    }
    drop(tail);
    let committed = recovery.end;
    damage(&path, 8 * 24, 12 * 24, |k, _| old[PAGE + 8 * 24 + k]);
    let found = look(&path, committed);
    assert_eq!(list(&found.records), vec![b"new new ".to_vec(); 3]);
    assert_eq!(found.cut, 0);
}

#[test]
fn a_file_that_is_older_than_what_was_committed_is_told() {
    let (_folder, path) = place();
    let mut tail = create(&path);
    tail.append(b"one").unwrap();
    let old = fs::read(&path).unwrap();
    tail.append(b"two").unwrap();
    let committed = tail.head();
    tail.release(committed).unwrap();
    drop(tail);
    assert!(!look(&path, committed).is_stale);
    fs::write(&path, old).unwrap();
    assert!(look(&path, committed).is_stale);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_shortened_in_use_ends_with_an_error() {
    let (_folder, path) = place();
    let mut tail = Tail::create(&path, 1 << 16, IDENTITY, Position::START).unwrap();
    tail.append(b"one").unwrap();
    let committed = tail.head();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(PAGE as u64).unwrap();
    for _ in 0..2 {
        assert!(matches!(tail.append(b"two"), Err(Error::Shortened)));
    }
    assert!(!tail.has_room(0));
    let error = read_range(&path, Position::START, committed).unwrap_err();
    assert!(matches!(error, Error::WrongSize { .. }), "{error}");
    drop(tail);
    // The next one is as good as new.
    create(&path).append(b"three").unwrap();
}

/// What the first format holds is read, and the file is of this format from then on.
#[test]
fn files_of_the_first_format_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let golden = folder.join("version_1/killed-tail");
    let (_folder, path) = place();
    fs::copy(golden, &path).unwrap();
    let mut identity = [0; 16];
    identity.copy_from_slice(&fs::read(&path).unwrap()[24..40]);
    assert_eq!(fs::read(&path).unwrap()[8], 1);
    let (mut tail, recovery) = Tail::open(&path, identity, Position::START).unwrap();
    assert!(!list(&recovery.records).is_empty());
    assert_eq!((recovery.lost, recovery.cut, recovery.is_stale), (0, 0, false));
    tail.begin(recovery.end).unwrap();
    tail.append(b"more").unwrap();
    drop(tail);
    assert_eq!(fs::read(&path).unwrap()[8], 2);
    let (_, found) = Tail::open(&path, identity, recovery.end).unwrap();
    assert_eq!(list(&found.records), [b"more"]);
}

/// A payload of the lap before, exactly where the next header will be looked for, that reads as
/// the very record that is expected there.
#[test]
fn what_an_earlier_lap_left_is_never_a_record() {
    let (_folder, other) = place();
    let forged = {
        let start = Position { seq: 256, offset: 0 };
        let mut tail = Tail::create(&other, CAPACITY, IDENTITY, start).unwrap();
        tail.append(b"a forged record!").unwrap();
        drop(tail);
        fs::read(&other).unwrap()[PAGE..PAGE + 32].to_vec()
    };
    let (_folder, path) = place();
    let mut tail = create(&path);
    tail.append(&forged).unwrap();
    tail.release(tail.head()).unwrap();
    // With one more, they come to one lap and the 16 bytes of the first record's header.
    for _ in 0..253 {
        tail.append(b"").unwrap();
        tail.release(tail.head()).unwrap();
    }
    let committed = tail.head();
    tail.append(b"").unwrap();
    assert_eq!(tail.head(), Position { seq: 256, offset: CAPACITY + 16 });
    drop(tail);
    let (tail, recovery) = open(&path, committed);
    assert_eq!(list(&recovery.records), [b""]);
    assert_eq!((recovery.lost, tail.head().seq), (0, 256));
}

#[test]
fn a_full_tail_refuses_and_goes_on_after_a_release() {
    let (_folder, path) = place();
    let mut tail = create(&path);
    while tail.has_room(100) {
        tail.append(&[1; 100]).unwrap();
    }
    let head = tail.head();
    assert!(matches!(tail.append(&[2; 100]), Err(Error::Full { capacity: CAPACITY })));
    assert_eq!(tail.head(), head);
    assert!(!tail.has_room(usize::MAX));
    let limit = CAPACITY - 32;
    assert!(
        matches!(tail.append(&[0; 4065]), Err(Error::TooLong { limit: found, .. }) if found == limit)
    );
    tail.release(head).unwrap();
    assert_eq!(tail.append(&[2; 4064]).unwrap(), head.seq);
    drop(tail);
    let (_, recovery) = open(&path, head);
    assert_eq!(list(&recovery.records), [[2; 4064]]);
}

#[test]
fn a_closed_tail_takes_nothing() {
    let (_folder, path) = place();
    let mut tail = create(&path);
    tail.append(b"last").unwrap();
    tail.close();
    let before = fs::read(&path).unwrap();
    assert!(!tail.has_room(0));
    assert!(matches!(tail.append(b"late"), Err(Error::Closed)));
    assert!(matches!(tail.release(tail.head()), Err(Error::Closed)));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn records_that_were_committed_and_are_nowhere_are_counted() {
    let (_folder, path) = place();
    let mut tail = create(&path);
    for _ in 0..300 {
        tail.append(b"").unwrap();
        tail.release(tail.head()).unwrap();
    }
    drop(tail);
    // As after a power cut: the journal knows the first ten only, and the ring has gone on.
    let (_, recovery) = open(&path, Position { seq: 11, offset: 160 });
    assert_eq!((list(&recovery.records).len(), recovery.lost), (0, 290));
    let (_, recovery) = open(&path, Position { seq: 11, offset: 160 });
    assert_eq!(recovery.lost, 0, "from then on it starts there");
}

#[test]
fn released_records_that_are_still_in_the_ring_come_back() {
    let (_folder, path) = place();
    let mut tail = create(&path);
    tail.append(b"one").unwrap();
    tail.append(b"two").unwrap();
    tail.release(tail.head()).unwrap();
    drop(tail);
    let (_, recovery) = open(&path, Position::START);
    assert_eq!((list(&recovery.records).len(), recovery.lost), (2, 0));
}

#[test]
fn files_that_are_no_tail_of_this_journal_are_refused_and_left_alone() {
    let (_folder, path) = place();
    create(&path).append(b"precious").unwrap();
    let good = fs::read(&path).unwrap();
    let edited = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "no journal tail"),
        (b"something else".to_vec(), "no journal tail"),
        (edited(0, b'S'), "no journal tail"),
        (edited(8, 3), "format 3; this release reads format 2"),
        (edited(17, 1), "header of this tail is damaged"),
        (edited(24, 0), "header of this tail is damaged"),
        (edited(40, good[40] ^ 1), "header of this tail is damaged"),
        (good[..20].to_vec(), "has 20 bytes; by its header it must have 4096"),
        (good[..100].to_vec(), "has 100 bytes; by its header it must have 4096"),
        (good[..8191].to_vec(), "has 8191 bytes; by its header it must have 8192"),
        ([&good[..], b"\0"].concat(), "has 8193 bytes"),
    ];
    for (bytes, message) in cases {
        fs::write(&path, &bytes).unwrap();
        let error = Tail::open(&path, IDENTITY, Position::START).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        let error = read_range(&path, Position::START, Position::START).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::write(&path, &good).unwrap();
    let error = Tail::open(&path, [0; 16], Position::START).unwrap_err();
    assert!(matches!(error, Error::WrongIdentity));
    assert_eq!(fs::read(&path).unwrap(), good);
    let missing = Tail::open(&path.with_extension("no"), IDENTITY, Position::START);
    assert!(
        matches!(missing, Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound)
    );
}

#[test]
fn capacities_and_positions_have_rules() {
    let (_folder, path) = place();
    for capacity in [0, 4095, (1 << 30) + 1] {
        let error = Tail::create(&path, capacity, IDENTITY, Position::START).unwrap_err();
        assert!(error.to_string().contains("must be in [4096, 1073741824]"), "{error}");
        assert!(!path.exists());
    }
    let tail = Tail::create(&path, 5000, IDENTITY, Position::START).unwrap();
    assert_eq!((tail.capacity(), fs::metadata(&path).unwrap().len()), (8192, 4096 + 8192));
    drop(tail);
    for (seq, offset) in [(0, 0), (1, 4)] {
        let position = Position { seq, offset };
        let error = Tail::open(&path, IDENTITY, position).unwrap_err();
        assert!(matches!(error, Error::InvalidPosition { .. }), "{error}");
    }
    let mut tail = create(&path);
    tail.append(b"one").unwrap();
    let head = tail.head();
    for (seq, offset) in [(2, 32), (3, 24), (2, u64::MAX)] {
        assert!(tail.release(Position { seq, offset }).is_err());
        assert!(read_range(&path, Position::START, Position { seq, offset }).is_err());
    }
    tail.release(head).unwrap();
    assert!(tail.release(Position::START).is_err());
}

#[test]
fn a_file_that_cannot_be_made_leaves_nothing_behind() {
    let (folder, path) = place();
    fs::create_dir(&path).unwrap();
    assert!(Tail::create(&path, CAPACITY, IDENTITY, Position::START).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A tail is there only once the disk has it: what cannot be flushed is not made. `/dev/null` takes
/// every byte, but cannot be flushed.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_flushed_is_not_made() {
    let (folder, path) = place();
    std::os::unix::fs::symlink("/dev/null", path.with_extension("new")).unwrap();
    let error = Tail::create(&path, CAPACITY, IDENTITY, Position::START).unwrap_err();
    assert!(
        matches!(&error, Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidInput),
        "{error:?}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A name without a folder is one in the working directory.
#[test]
fn a_bare_name_is_a_place() {
    let (folder, _) = place();
    std::env::set_current_dir(folder.path()).unwrap();
    let mut tail = create(Path::new("tail"));
    tail.append(b"here").unwrap();
    drop(tail);
    let (_, recovery) = open(&folder.path().join("tail"), Position::START);
    assert_eq!(list(&recovery.records), [b"here"]);
}

#[test]
fn a_damaged_record_is_not_committed() {
    let (_folder, path) = place();
    let mut tail = create(&path);
    tail.append(b"one").unwrap();
    tail.append(b"two").unwrap();
    damage(&path, 24 + 16, 1, |_, byte| byte ^ 1);
    let error = read_range(&path, Position::START, tail.head()).unwrap_err();
    assert!(matches!(error, Error::DamagedRecord { seq: 2 }), "{error}");
}

#[test]
fn malformed_encodings_end_with_an_error() {
    assert_eq!(records::iter(b"").count(), 0);
    for bytes in [&b"\x01"[..], b"\x02\0\0\0a", b"\xff\xff\xff\xffabc"] {
        let found: Vec<_> = records::iter(bytes).collect();
        assert!(matches!(found[..], [Err(Error::MalformedRecords { at: 0 })]));
    }
    let found: Vec<_> = records::iter(b"\x01\0\0\0a\x01\0\0").collect();
    assert!(matches!(found[..], [Ok(b"a"), Err(Error::MalformedRecords { at: 5 })]));
}

#[test]
fn half_a_ring_calls_the_committer_once() {
    let (_folder, path) = place();
    let mut tail = create(&path);
    let signal = tail.half_full();
    let waiting = thread::spawn({
        let signal = tail.half_full();
        move || signal.wait(Duration::from_secs(30))
    });
    while tail.pending() < CAPACITY / 2 {
        tail.append(&[0; 48]).unwrap();
    }
    assert!(waiting.join().unwrap());
    tail.append(&[0; 48]).unwrap();
    assert!(!signal.wait(Duration::ZERO), "it is already on its way");
    signal.raise();
    assert!(signal.wait(Duration::ZERO), "raised before the wait");
}

#[test]
fn appends_do_not_allocate() {
    let (_folder, path) = place();
    let mut tail = create(&path);
    let info = measure(|| {
        for _ in 0..1000 {
            tail.append(&[3; 40]).unwrap();
            tail.release(tail.head()).unwrap();
        }
        while tail.append(&[3; 40]).is_ok() {}
    });
    assert_eq!(info.count_total, 0);
}
