//! A crash-safe write-ahead log: bytes in, LSNs out.
//!
//! ```
//! use std::ops::ControlFlow;
//! use icn_wal::{From, FsDisk, Wal};
//!
//! # let dir = std::env::temp_dir().join(format!("icn-wal-doc-{}", std::process::id()));
//! let mut records = Vec::new();
//! let (wal, report) = Wal::open(FsDisk::create(&dir)?, From::Beginning, |record| {
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
//! **What each `Ok` means.** [`Wal::append`]: the records have numbers and a place in the order;
//! they may vanish in a crash, together with everything appended after them. [`Wal::wait`]: they
//! are on the disk and will be replayed by every later [`Wal::open`] until they are dropped. An
//! append is one unit: all of its records are there after a crash or none is.
//!
//! **What is assumed of the disk.** A sync that returns without error has made everything written
//! before durable; bytes that are not being written do not change, not even in a sector where others
//! are (SQLite calls that a powersafe overwrite). [`FsDisk::create`] refuses the file systems that
//! promise neither: NFS, SMB, 9p, FUSE; tmpfs keeps nothing over a power loss. Damage of any
//! other kind is noticed by checksum, with one exception: damage to what was written within the
//! last 20 ms before a crash (nothing after it can then prove that it had been durable) looks like
//! a torn tail.
//!
//! **What it is not.** No reader of the log while it is being written but [`read`]; no encryption;
//! no replication; no types, only bytes.
//!
//! The bytes on disk are described in `docs/FORMAT.md`, which is written so that a reader can be
//! made from it without looking here.
//!
//! Invariant: every access to the outside goes through [`Disk`]. Invariant: durable ≤ written ≤
//! appended, always.

mod chain;
mod committer;
mod disk;
mod error;
mod frame;
mod group;
mod housekeeper;
pub mod limits;
mod list;
mod lsn;
mod manifest;
mod plant;
mod queue;
mod reader;
mod recover;
mod segment;
mod spare;
mod stats;
mod sync;
mod ticket;
mod twin;
mod wal;
mod writer;

pub use committer::Committer;
#[cfg(feature = "sim")]
pub use disk::sim::{Faults, Losses, SimDisk};
pub use disk::{Disk, DiskFile, Entry, FsDisk};
pub use error::{Damage, Error, Reason};
pub use housekeeper::Housekeeper;
pub use list::{Segment, segments};
pub use lsn::Lsn;
pub use recover::{From, Record, Recovery};
pub use segment::{FORMAT, StoreId};
pub use stats::Stats;
pub use ticket::Ticket;
pub use twin::{Twin, TwinFile};
pub use wal::{Wal, read};
