//! A crash-safe write-ahead log: bytes in, LSNs out.
//!
//! ```text
//! directory   MANIFEST · <number>.wal … · *.tmp (room that is prepared)       one owner, by flock
//! segment     header (one sector: store, number, where the one before ends, salt) | frame | frame | …
//! frame       one group commit: header with a CRC of its own | records | padding to 8
//! record      bytes (u32) | bytes
//! ```
//!
//! Both checksums of a frame are seeded with the random salt of its segment and its offset there, so
//! that a stale, moved or foreign frame is never valid, and neither are zeros. Each frame says how far
//! the log was durable when it was written: that is what tells a torn tail from damage. All of it is in
//! `docs/FORMAT.md`, from which a reader can be written without looking here (one was).
//!
//! # Quick start
//!
//! ```
//! use std::ops::ControlFlow;
//! use icn_wal::{ReplayFrom, FsDisk, Wal};
//!
//! # let dir = std::env::temp_dir().join(format!("icn-wal-doc-{}", std::process::id()));
//! let mut records = Vec::new();
//! let (wal, report) = Wal::open(FsDisk::create(&dir)?, ReplayFrom::Beginning, |record| {
//!     records.push(record.bytes.to_vec());
//!     ControlFlow::Continue(())
//! })?;
//! assert_eq!(report.replayed, records.len() as u64);
//! let lsns = wal.append(0, &["one record", "and its neighbour"])?; // volatile
//! wal.wait(*lsns.end())?; // durable
//! wal.close()?;
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`read`] and [`Follower`] read a log that another process is writing. A log that is to be fast also
//! has a [`Housekeeper`], which prepares segments beside the commits and proves the last one durable
//! 20 ms after it; and tasks that do not want a thread each have a [`Committer`] and await a
//! [`Ticket`]. `examples/counter.rs` is a whole program.
//!
//! What few need is in a module of its own: [`segment_info`] says what is in which segment, [`damage`] what is
//! wrong with one, [`salvage`] keeps what can still be read, and [`disk`] is where another disk, or one
//! that loses power on command, goes in.
//!
//! # What each `Ok` means
//!
//! | call | after `Ok` |
//! |---|---|
//! | [`Wal::open`] | everything from the place asked for on has been lent to the visitor, in order, once, and is durable; the [`Recovery`] says what was found, a torn tail included |
//! | [`Wal::append`] | the records have numbers and a place in the order; they may vanish in a crash, together with everything appended after them |
//! | [`Wal::wait`], [`Wal::commit`], [`Wal::ticket`] | they are on the disk and will be replayed by every later open until they are dropped |
//! | [`Wal::drop_through`] | the manifest no longer names the segments; their files are gone or will be used again |
//! | [`Wal::close`] | all of it is durable, and the next open knows that nothing is missing behind it |
//!
//! An append is one unit: all of its records are there after a crash or none is. What was appended and
//! not acknowledged may be there or not; what is there is a prefix. No LSN is given out twice.
//!
//! # What an error asks of the caller
//!
//! [`Error::Refused`]: send something smaller. [`Error::NoSpace`]: nothing was appended, and
//! everything can be read; free some space and try again, in some seconds. [`Error::Poisoned`]: a write
//! or sync has failed, and what was not acknowledged is indeterminate; drop the log and open it again,
//! because a sync that is asked twice proves nothing.
//! [`Error::Corrupt`]: something that was durable is damaged; nothing was changed, and nothing will be
//! replayed over the hole. [`Error::Locked`]: another process owns the directory. The others name what
//! does not fit.
//!
//! # What is assumed of the disk
//!
//! A sync that returns without error has made everything written before durable; bytes that are not
//! being written do not change, not even in a sector where others are (SQLite calls that a powersafe
//! overwrite); a name that was synced stays. Damage of any other kind is noticed by checksum, with one
//! exception: damage to what was written within the last 20 ms before a crash (nothing after it can
//! then prove that it had been durable) looks like a torn tail.
//!
//! # What it is not
//!
//! No index: records are read in order. No encryption, no replication, no types. No second writer. No
//! place for a network file system. A copy of the directory of a running log is no backup, because
//! segments are used again.
//!
//! Invariant: every access to the outside goes through [`disk::Disk`]. Invariant: durable ≤ written ≤
//! appended, always.

mod chain;
mod committer;
pub mod damage;
pub mod disk;
mod error;
mod follow;
mod frame;
mod group;
mod housekeeper;
pub mod limits;
mod lsn;
mod manifest;
mod plant;
mod queue;
mod reader;
mod recover;
pub mod salvage;
mod segment;
pub mod segment_info;
mod spare;
mod spare_manifest;
mod stats;
mod sync;
mod ticket;
mod twin;
mod wal;
mod writer;

pub use committer::Committer;
pub use disk::FsDisk;
pub use error::Error;
pub use follow::Follower;
pub use housekeeper::Housekeeper;
pub use lsn::Lsn;
pub use recover::{Record, Recovery, ReplayFrom};
pub use segment::{FORMAT, StoreId};
pub use stats::Stats;
pub use ticket::Ticket;
#[doc(hidden)]
pub use twin::{Twin, TwinFile};
pub use wal::{Wal, read};
