//! A state machine that survives: a write-ahead log, compacted into verified snapshots.
//!
//! ```text
//! store       wal/ (see `icn-wal`) · snapshots/                                   one owner, by flock
//! snapshots/  MANIFEST (the list) · <LSN>-<generation>.snap … · *.tmp (not finished)
//! snapshot    header | chunk | chunk | … | trailer with a hash of it all     the state as of one LSN
//! record      kind (one byte) | mutation, as the state machine encodes it, or a restore
//! ```
//!
//! The state is whatever the mutations in the log add up to, and a snapshot is a shorter way to it. All
//! of it is in `docs/FORMAT.md`.
//!
//! # Quick start
//!
//! A counter that survives `kill -9`:
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
//!     type Outcome = ();
//!     const SCHEMA: u32 = 0;
//!     fn encode(add: &u8, out: &mut Vec<u8>) {
//!         out.push(*add);
//!     }
//!     fn decode(bytes: &[u8]) -> Result<u8, String> {
//!         bytes.first().copied().ok_or_else(|| "an empty record".into())
//!     }
//!     fn apply(&mut self, _: Lsn, add: u8) {
//!         self.0 += u64::from(add);
//!     }
//! }
//! # let dir = std::env::temp_dir().join(format!("icn-snapshot-doc-{}", std::process::id()));
//! # for before in [0, 5] {
//! let (mut counter, _) = Store::<Counter, _>::open(&FsDisk::create(&dir)?, Policy::default())?;
//! # assert_eq!(counter.state().0, before);
//! let (lsn, ()) = counter.commit(0, 5)?; // counted, and volatile
//! counter.wal().wait(lsn)?; // durable: from here on others may hear of it
//! # }
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/ledger` is a whole program: a domain, snapshots on another thread, and a proof by killing
//! it again and again.
//!
//! # What each `Ok` means
//!
//! | call | after `Ok` |
//! |---|---|
//! | [`Store::open`] | the state is what every record that is there makes of it, each applied once, in order, and all of it is durable; the [`Recovery`] says from which snapshot, which were passed over and why, and what the log had to say |
//! | [`Store::commit`] | the mutation has a number and is in the state; it may vanish in a crash, together with all that were committed after it |
//! | [`Wal::wait`](icn_wal::Wal::wait), [`Wal::ticket`](icn_wal::Wal::ticket) | it is on the disk, and every later open finds it |
//! | [`Compactor::save`] | the snapshot has been written, synced, read back and listed, and its last record is durable; older ones are retired, and log that none of those kept needs is gone |
//! | [`Compactor::verify`] | the file was read to its end, every checksum is right, and it makes a state |
//! | [`Compactor::prepare_restore`] | the state to go back to has been read, and snapshots of it and of the present are on the disk; nothing has been restored |
//! | [`Store::restore`] | the restore has a number, and the state is the one restored; volatile like a commit |
//! | [`Compactor::delete`] | the list no longer names the snapshot; its file goes with the next one that is taken |
//! | [`Store::close`] | all of it is durable and the log is sealed; no snapshot was taken |
//!
//! **What may be lost**: what was committed and not waited for. It may be there or not; what is there
//! is a prefix. The state and every outcome run ahead of the disk, refusals too: nothing that was
//! learnt from them may leave the process before a wait for [`Store::lsn`] has returned.
//!
//! # Recovery
//!
//! The newest snapshot that can be used, and every record behind it. One that is damaged is passed over
//! for an older one: the log is kept back to the oldest of the three newest whole ones
//! ([`Retention::keep`]), and all of it until there are so many. That costs time and nothing else. What
//! a newer version has written is refused instead ([`Error::Newer`]), because something older would
//! hide it. How long a replay takes is up to [`Due`]: it says how much log, how many records and how
//! much time may come between two snapshots.
//!
//! # Publication
//!
//! In this order: wait until the last record of the image is durable; write it under a temporary name;
//! sync; drop it from the cache, read it back and build the state from it; rename; sync the directory;
//! list it, and retire older ones in the same write of the list. Only then is log let go. The file of a
//! retired one is removed with the snapshot after that, or at the next start.
//!
//! A save that has failed loses nothing but the image, and [`Store::snapshot_due`] counts as if that had
//! never been taken: it is due again at once, and on a disk that has just failed better a little later.
//!
//! # Retention and the window
//!
//! [`Retention`] keeps the newest whole snapshots by number, and more of them while they are young
//! enough and not too large together. Never removed are the newest whole one, a pinned one, and one
//! that a restore in the log needs; [`Compactor::plan`] says why each stays or goes. From the oldest of
//! those kept by number and age on, every state is within reach ([`restore_window`]): [`state_at`] shows it by
//! LSN, by time or by snapshot ([`PointInTime`]), without a lock and without changing anything, beside a running
//! store too. A pinned snapshot older than the window is one such state on its own; no log is kept for
//! it.
//!
//! A restore is a step forward: a record that says where the state went back to. Numbers go on, and
//! [`StateMachine::restore`] decides what may not go back. To undo it is another restore.
//!
//! ```
//! # use icn_snapshot::{PointInTime, Policy, StateMachine, Store};
//! # use icn_wal::{FsDisk, Lsn};
//! # #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
//! # struct Counter(u64);
//! # impl StateMachine for Counter {
//! #     type Mutation = u8;
//! #     type Outcome = ();
//! #     const SCHEMA: u32 = 0;
//! #     fn encode(add: &u8, out: &mut Vec<u8>) {
//! #         out.push(*add);
//! #     }
//! #     fn decode(bytes: &[u8]) -> Result<u8, String> {
//! #         bytes.first().copied().ok_or_else(|| "an empty record".into())
//! #     }
//! #     fn apply(&mut self, _: Lsn, add: u8) {
//! #         self.0 += u64::from(add);
//! #     }
//! # }
//! # let dir = std::env::temp_dir().join(format!("icn-snapshot-back-{}", std::process::id()));
//! # let (mut counter, _) = Store::<Counter, _>::open(&FsDisk::create(&dir)?, Policy::default())?;
//! # let (now_ms, random) = (0, 1);
//! let (before, ()) = counter.commit(now_ms, 5)?;
//! counter.commit(now_ms, 90)?; // a mistake
//! if let Some(present) = counter.image(now_ms) {
//!     let target = counter.compactor().prepare_restore(PointInTime::Lsn(before), present)?; // on another thread
//!     let undo = target.undo(); // what holds the 95
//!     let lsn = counter.restore(now_ms, target, random)?;
//!     counter.wal().wait(lsn)?;
//!     # let past = counter.compactor().state_at::<Counter>(PointInTime::Snapshot(undo))?;
//!     # assert_eq!(past.state.0, 95);
//! }
//! assert_eq!(counter.state().0, 5);
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is committed between `target` and `restore` is not in the snapshot that undoes it; `state_at`
//! the LSN before the restore has it.
//!
//! # Threads
//!
//! Nothing here starts a thread, reads a clock or takes a snapshot by itself. One thread owns the
//! [`Store`]: it commits, asks [`Store::snapshot_due`] now and then, and takes the [`Store::image`],
//! which costs one clone of the state. What takes long is done elsewhere: any thread may wait on
//! [`Store::wal`], and any thread that has a clone of [`Store::compactor`] may save, verify, list,
//! prune and prepare a restore meanwhile. While records are appended beside it, a save rests for 3 ms after
//! every 128 KiB that it writes, so that their syncs find the disk free. A
//! [`Housekeeper`](icn_wal::Housekeeper) keeps the preparation of log segments out of the commits.
//!
//! # Memory
//!
//! The state. While an image lives, also what has been overwritten since, if the state is made of
//! persistent maps (such as `imbl::OrdMap`); with the maps of the standard library all of it, and the
//! writer stands still while they are cloned. While a snapshot is saved or verified, at most a second
//! state on top, which is built to see that it can be. [`state_at`] builds one as well, and
//! [`Compactor::prepare_restore`] up to three.
//!
//! # Limits
//!
//! One mutation is one record, and all that is atomic: what belongs together has to be one mutation. It
//! has at most 1 MiB with the byte before it. [`StateMachine::apply`] has to be total and
//! deterministic: on the next start it is asked the same questions again. On the disk there are the
//! snapshots that are kept, the last ones retired, one that is being written, and the log back to the
//! oldest of the window. There is one owner: a second one is refused with [`icn_wal::Error::Locked`].
//!
//! # What an error asks of the caller
//!
//! [`Error::Log`]: what the log says; after [`Poisoned`](icn_wal::Error::Poisoned), drop the store and
//! open it again, because its state may hold what the disk does not. [`Error::Io`]: nothing was
//! promised and nothing is lost; try again. [`Error::Unusable`]: look at the disk, and take another
//! snapshot while there are others. [`Error::Newer`]: use the version that wrote it. [`Error::Record`]:
//! `decode` does not read what `encode` wrote; nothing was changed. The others: ask for something else.
//!
//! # When not to use it
//!
//! - The state does not fit into memory, or barely.
//! - Several processes write. Others may read what was, each by a replay of its own.
//! - You ask by more than one key, or with queries. There is no index but the maps you keep yourself.
//! - Single values are large: everything passes through the log and through every snapshot. Put them into
//!   files and keep their hashes here.
//! - A few changes in a very large state: each snapshot writes all of it again.
//! - The past has to stay for ever. Beyond the window it is gone; an archive is something else.
//! - It has to survive the machine. There is no replication, and a copy of the directory of a running
//!   store is no backup.
//! - Transactions that read, wait and write. Mutations are applied one after the other by one thread.
//! - The disk must not be read by others. Nothing is encrypted.
//!
//! Invariant: this crate is the only place that decides which snapshot or log to drop.

mod backlog;
mod compactor;
mod drained_map;
mod error;
mod file;
mod id;
mod image;
mod integrity;
mod labels;
mod log_directory;
mod machine;
mod manifest;
mod origin;
mod point_in_time;
mod policy;
mod record;
mod replay;
mod restore_window;
mod retention;
mod snapshot;
mod snapshots;
mod state_at;
mod store;
mod throttle;
mod unpublished;

pub use compactor::{Compactor, RestoreTarget};
pub use drained_map::DrainedMap;
pub use error::Error;
pub use file::FORMAT;
pub use id::{BadSnapshotId, SnapshotId};
pub use image::Image;
pub use integrity::Integrity;
pub use labels::{BadLabel, Labels};
pub use machine::{StateMachine, Weakness, digest};
pub use origin::Origin;
pub use point_in_time::PointInTime;
pub use policy::{Due, Policy, Retention};
pub use record::LogRecord;
pub use restore_window::{RestoreWindow, restore_window};
pub use retention::{Decision, RetentionReason};
pub use snapshot::Snapshot;
pub use snapshots::list;
pub use state_at::{StateAt, state_at};
pub use store::{Recovery, Store};
