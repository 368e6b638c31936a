//! A crash-safe write-ahead log: bytes in, LSNs out.
//!
//! ```text
//! directory   MANIFEST · <number>.wal … · *.tmp (prepared files)              one owner, by flock
//! segment     header (one block: store, number, end of its predecessor, salt) | frame | frame | …
//! frame       one group commit: header with a CRC of its own | records | padding to the end of the block
//! record      bytes (u32) | bytes
//! ```
//!
//! Both checksums of a frame are seeded with the random salt of its segment and its offset there.
//! So a stale, moved or foreign frame is never valid, and neither are zeros. Each frame states how far
//! the log was durable when the frame was written: that separates a torn tail from damage.
//! `docs/FORMAT.md` suffices to write a reader without this source (one was written).
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
//! [`read`] and [`Follower`] read a log while another process writes it. For speed, add a
//! [`Housekeeper`]: it prepares segments outside the commit path and proves the last commit durable
//! 20 ms after it. Tasks without a thread each share a [`Committer`] and await a [`Ticket`].
//! `examples/counter.rs` is a whole program.
//!
//! Rarely needed parts have modules of their own:
//!
//! | module | what |
//! |---|---|
//! | [`segment_info`] | lists the segments and what each one holds |
//! | [`damage`] | describes what is wrong with a segment |
//! | [`salvage`] | copies what is still readable of a damaged log into a new one |
//! | [`disk`] | takes another disk, for example one that loses power on command |
//!
//! # What each `Ok` means
//!
//! | call | after `Ok` |
//! |---|---|
//! | [`Wal::open`] | every record from the requested LSN on was passed to the visitor, in order, once, and is durable; [`Recovery`] reports what was found, a torn tail included |
//! | [`Wal::append`] | the records have LSNs and a place in the order; a crash may lose them, together with everything appended after them |
//! | [`Wal::wait`], [`Wal::commit`], [`Wal::ticket`] | the records are on the disk; every later open replays them until they are dropped |
//! | [`Wal::drop_through`] | the manifest no longer names the segments; their files are removed or kept for reuse |
//! | [`Wal::close`] | all records are durable, and the next open knows that no record is missing after the last one |
//!
//! An append is one unit: a crash keeps all of its records or none. Appends that were not acknowledged
//! may survive; those that do are a prefix of them. No LSN is given out twice.
//!
//! # What an error asks of the caller
//!
//! | error | state of the log | what to do |
//! |---|---|---|
//! | [`Error::Refused`] | nothing was appended | send a smaller append |
//! | [`Error::NoSpace`] | nothing was appended, and everything can be read | free some space and try again, in some seconds |
//! | [`Error::Poisoned`] | a write or sync has failed; records that were not acknowledged are indeterminate | drop the log and open it again: repeating a failed sync proves nothing |
//! | [`Error::Corrupt`] | something that was durable is damaged; nothing was changed, and no record after the damage is replayed | see `docs/SALVAGE.md` |
//! | [`Error::Locked`] | another process owns the directory | stop that process |
//!
//! The other errors name what does not fit.
//!
//! # What is assumed of the disk
//!
//! - A sync that returns without error has made everything written before it durable.
//! - Blocks of 4 KiB of which no byte is being written do not change. A block that is being written may be
//!   garbled as a whole by a power loss: no durable record is ever in one.
//! - A file name that was synced stays.
//!
//! Checksums detect damage of any other kind, with one exception. Damage to what was written within
//! the last 20 ms before a crash looks like a torn tail, because no later frame proves it durable.
//! [`Recovery::end_proven`] reports whether that can be the case.
//!
//! # What it is not
//!
//! No index: records are read in order. No encryption, no replication, no types, no second writer. Not
//! for network file systems. A copy of the directory of a running log is no backup, because
//! segments are reused.
//!
//! Invariant: every access to the outside goes through [`disk::Disk`]. Invariant: durable ≤ written ≤
//! appended, always.

mod chain;
mod commit_signal;
mod committer;
pub mod damage;
pub mod disk;
mod error;
mod follow;
mod frame;
mod group;
mod housekeeper;
mod idle_signal;
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
mod slack;
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
pub use wal::{LogSize, Wal, read};
