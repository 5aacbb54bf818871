//! The tail alone: `cargo bench -p stageroute-journal`.
//!
//! Each measured call makes [`RECORDS`] steps; the item rate shown is per step.

#![allow(clippy::unwrap_used, missing_docs)]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use stageroute_journal::{Position, Tail, read_range, records};

const RECORDS: usize = 1000;
const CAPACITY: u64 = 1 << 20;
const LENGTHS: [usize; 4] = [10, 25, 40, 60];
const IDENTITY: [u8; 16] = [7; 16];

fn main() {
    divan::main();
}

/// Appends to a ring that is released in time; laps count, first touches of its pages do not.
#[divan::bench(args = LENGTHS)]
fn append(bencher: Bencher<'_, '_>, len: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tail");
    let mut tail = Tail::create(&path, CAPACITY, IDENTITY, Position::START).unwrap();
    let payload = vec![42; len];
    let mut fill = move || {
        for _ in 0..RECORDS {
            black_box(tail.append(black_box(&payload)).unwrap());
        }
        tail.release(tail.head()).unwrap();
    };
    (0..100).for_each(|_| fill());
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(fill);
}

/// What the committer does with them, less the database.
#[divan::bench(args = LENGTHS)]
fn read_back(bencher: Bencher<'_, '_>, len: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tail");
    let mut tail = Tail::create(&path, CAPACITY, IDENTITY, Position::START).unwrap();
    let payload = vec![42; len];
    for _ in 0..RECORDS {
        tail.append(&payload).unwrap();
    }
    let head = tail.head();
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| {
        let bytes = read_range(&path, Position::START, head).unwrap();
        assert_eq!(records::iter(black_box(&bytes)).count(), RECORDS);
    });
}
