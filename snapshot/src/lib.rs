//! A state machine that survives: a write-ahead log, compacted into verified snapshots.
//!
//! ```
//! use icn_snapshot::{Policy, StateMachine, Store};
//! use icn_wal::{FsDisk, Lsn};
//!
//! #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
//! struct Counter(u64);
//!
//! impl StateMachine for Counter {
//!     type Mutation = u8;
//!     type Outcome = u64;
//!     const SCHEMA: u32 = 0;
//!     fn encode(add: &u8, out: &mut Vec<u8>) {
//!         out.push(*add);
//!     }
//!     fn decode(bytes: &[u8]) -> Result<u8, String> {
//!         bytes.first().copied().ok_or_else(|| "an empty record".into())
//!     }
//!     fn apply(&mut self, _: Lsn, add: u8) -> u64 {
//!         self.0 += u64::from(add);
//!         self.0
//!     }
//! }
//!
//! # let dir = std::env::temp_dir().join(format!("icn-snapshot-doc-{}", std::process::id()));
//! let (mut counter, _) = Store::<Counter, _>::open(&FsDisk::create(&dir)?, Policy::default())?;
//! let before = counter.state().0;
//! let (lsn, now) = counter.commit(0, 5)?; // volatile
//! counter.wal().wait(lsn)?; // survives kill -9 and power loss
//! assert_eq!(now, before + 5);
//! # drop(counter);
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Recovery** is the newest snapshot that can be used plus every record behind it. The log is
//! kept back to the oldest of the three newest snapshots, so that a damaged one costs time and
//! nothing else.
//!
//! **Publication** of a snapshot: write under a temporary name, sync, drop it from the cache, read
//! it back and decode it, wait until its last record is durable, rename, sync the directory, list
//! it in the manifest. Only then are older snapshots retired and is log let go.
//!
//! **When not to use it**: the state must fit into memory.
//!
//! Invariant: this crate is the only place that decides which snapshot or log to drop.

mod catalogue;
mod compactor;
mod error;
mod file;
mod id;
mod image;
mod labels;
mod machine;
mod past;
mod plan;
mod policy;
mod record;
mod replay;
mod shelf;
mod store;

pub use catalogue::{Check, Origin};
pub use compactor::{Compactor, Target};
pub use error::Error;
pub use file::FORMAT;
pub use id::{BadSnapshotId, SnapshotId};
pub use image::Image;
pub use labels::{BadLabel, Labels};
pub use machine::{StateMachine, Weakness, digest};
pub use past::{At, Past, Window, state_at, window};
pub use plan::{Reason, Verdict};
pub use policy::{Due, Policy, Rotation};
pub use record::LogRecord;
pub use shelf::{Snapshot, list};
pub use store::{Recovery, Store};
