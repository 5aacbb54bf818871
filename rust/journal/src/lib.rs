//! `stageroute-journal`: records that outlive their process, at the price of a copy to memory.
//!
//! A [`Tail`] is a ring of records in a file of fixed size, mapped into memory and shared with the
//! kernel. What has been appended belongs to the kernel at once: `kill -9` loses nothing. A power
//! cut does, so a committer reads new records back with [`read_range`], which needs no lock, stores
//! them elsewhere for good, and [releases](Tail::release) their room.
//!
//! ```
//! use stageroute_journal::{Position, Tail, read_range, records};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("tail");
//! let identity = *b"sixteen bytes id";
//! let mut tail = Tail::create(&path, 4096, identity, Position::START)?;
//! tail.append(b"one")?;
//! tail.append(b"two")?;
//! drop(tail); // or the process dies
//!
//! let (mut tail, recovery) = Tail::open(&path, identity, Position::START)?;
//! let found: Vec<_> = records::iter(&recovery.records).collect::<Result<_, _>>()?;
//! assert_eq!(found, [b"one", b"two"]);
//! assert_eq!(recovery.lost, 0);
//! // Once they are stored elsewhere:
//! tail.begin(recovery.end)?;
//!
//! tail.append(b"three")?;
//! let committed = tail.head();
//! let stored_elsewhere = read_range(&path, recovery.end, committed)?;
//! tail.release(committed)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Two processes must not open one tail; its owner sees to that. Mapping and file show the same
//! bytes at once on Linux and macOS. Windows promises that for the mapping alone, not for
//! [`read_range`].

#![deny(unsafe_code)]

mod error;
mod format;
mod position;
pub mod records;
mod signal;
mod tail;
mod watched;

pub use error::Error;
pub use format::Identity;
pub use position::Position;
pub use signal::Signal;
pub use tail::{CAPACITY, Recovery, Tail, read_range};
