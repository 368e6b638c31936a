//! A state machine that survives: a write-ahead log, compacted into verified snapshots.
//!
//! ```text
//! store       wal/ (see `icn-wal`) · snapshots/                              one owner, by an flock
//! snapshots/  MANIFEST · <LSN>-<generation>.snap … · *.tmp (unfinished)
//! snapshot    header | chunk | chunk | … | trailer with a hash of the file    the state as of one LSN
//! record      kind (one byte) | a mutation as the state machine encodes it, or a restore
//! ```
//!
//! The state is the result of all mutations in the log. A snapshot shortens the replay. `docs/FORMAT.md`
//! describes every byte on the disk.
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
//! let (lsn, ()) = counter.commit(0, 5)?; // applied, and volatile
//! counter.wal().wait(lsn)?; // durable: from here on the result may be released
//! # }
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/ledger` is a complete program: a domain, snapshots on another thread, and a crash test that
//! kills it again and again.
//!
//! # What each `Ok` means
//!
//! | call | after `Ok` |
//! |---|---|
//! | [`Store::open`] | the state is the result of every record in the log, each applied once and in order, and all of them are durable. The [`Recovery`] names the snapshot used, those passed over and why, and what the log's recovery found |
//! | [`Store::commit`] | the mutation is applied and has an LSN; a crash may undo it, together with all later ones |
//! | [`Wal::wait`](icn_wal::Wal::wait), [`Wal::ticket`](icn_wal::Wal::ticket) | the record is on the disk, and every later open finds it |
//! | [`Compactor::save`] | the snapshot is written, synced, read back and listed, and its last record is durable. Older snapshots are retired, and the log that no kept one needs is dropped |
//! | [`Compactor::verify`] | the file was read to its end, every checksum matches, and it decodes to a state |
//! | [`Compactor::prepare_restore`] | the state to restore was read, and snapshots of it and of the present state are on the disk; nothing is restored yet |
//! | [`Store::restore`] | the RESTORE record has an LSN and the state is the restored one; volatile like a commit |
//! | [`Compactor::delete`] | the manifest no longer lists the snapshot; its file is removed when the next one is saved |
//! | [`Store::close`] | all records are durable and the log is sealed; no snapshot was taken |
//!
//! **What may be lost**: mutations that were committed and not waited for. What a crash leaves of them is a
//! prefix. The state and every outcome, refusals too, are ahead of the disk. Nothing learnt from them may
//! leave the process before a wait for [`Store::lsn`] has returned.
//!
//! # Recovery
//!
//! A recovery reads the newest snapshot that can be used and applies every record after it. It passes over a
//! damaged snapshot for an older one, which costs time and nothing else. For that, the log is kept back to
//! the oldest of the three newest whole snapshots at least ([`Retention::keep`]). While there are fewer, all
//! of it is kept.
//!
//! A snapshot of a newer version is refused ([`Error::Newer`]): falling back to an older one would hide it.
//! [`Due`] bounds how long a replay takes, by the log bytes, records and time between two snapshots.
//!
//! # Defects of the state machine
//!
//! A mutation is applied right before its record is appended. If `apply` panics, the record never reaches the
//! disk, and the panic unwinds through the call. The store has [failed](Error::Failed) then: it takes no
//! commit and no image, and [`Store::state`] panics. The next open works.
//!
//! A debug build also decodes each mutation that it encodes, and each state that it saves. If that writes other
//! bytes than before, it refuses them ([`Error::Lossy`]). So a test finds a state machine that loses something.
//!
//! A start on a state of an older schema calls [`StateMachine::migrate`]. A step that is missing is reported as
//! [`Error::Migration`] with both schemas, and nothing else is tried.
//!
//! # Crash loops
//!
//! Each open that commits begins a segment of the log. A program that crashes soon after each start may never
//! live long enough to save a snapshot. Let it save one right after an open for which
//! [`Store::replay_is_long`]. Then [`Due`] and [`Retention`] bound the log in bytes and segments.
//!
//! # Publication
//!
//! A save has these steps, in order:
//!
//! 1. wait until the last record of the image is durable;
//! 2. write the file under a temporary name and sync it;
//! 3. drop it from the page cache, read it back and decode the state;
//! 4. rename it and sync the directory;
//! 5. list it in the manifest, and retire older snapshots in the same write;
//! 6. drop the log that is no longer needed.
//!
//! The file of a retired snapshot is removed with the next save or at the next start.
//!
//! A failed save loses nothing but the image. [`Store::snapshot_due`] counts the image as never taken, so a
//! snapshot is due again at once. After an error of the disk, wait a while before the next attempt.
//!
//! # Retention and the restore window
//!
//! [`Retention`] keeps a number of the newest whole snapshots, and a restore window: by default a day of
//! history. The newest whole snapshot, a pinned one, and one that a RESTORE record in the log needs are never
//! removed. Above the floor, [`Compactor::delete`] also refuses the one that the window begins with.
//! [`Compactor::plan`] gives the reason for each:
//!
//! | snapshot | kept |
//! |---|---|
//! | one of the newest [`keep`](Retention::keep) whole ones | always |
//! | the newest that is at least [`window_ms`](Retention::window_ms) old | while it has room: the window begins with it |
//! | between these | at most one in each 24th of the window, to shorten replays; fewer while they take over a quarter of the room |
//! | older than the window | no, unless it is pinned or a RESTORE record needs it |
//!
//! While no snapshot is so old, the window begins as early as it can. When the window, its log included, takes
//! more than [`window_bytes`](Retention::window_bytes), it begins later. Age is the running time of the caller
//! ([`Store::image`]), so neither a wall clock nor the number of snapshots shortens the window.
//!
//! Every state of the [restore window](restore_window) can be read with [`state_at`], by LSN, by time or by
//! snapshot ([`PointInTime`]). That takes no lock and changes nothing, so it may run while another process
//! owns the store. A pinned snapshot older than the window is a restore point: one state, for which no log is
//! kept.
//!
//! A restore is a step forward: it appends a RESTORE record that names the restored snapshot. LSNs go on, and
//! [`StateMachine::restore`] decides what must not go back. Another restore undoes it.
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
//! # let now_ms = 0;
//! # let ran_ms = 0;
//! # let random = 1;
//! let (before, ()) = counter.commit(now_ms, 5)?;
//! counter.commit(now_ms, 90)?; // a mistake
//! if let Some(present) = counter.image(now_ms, ran_ms) {
//!     // On another thread, in a real program.
//!     let target = counter.compactor().prepare_restore(PointInTime::Lsn(before), present)?;
//!     let undo = target.undo(); // the snapshot with the 95
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
//! The snapshot that undoes a restore lacks the mutations committed between `prepare_restore` and `restore`;
//! [`state_at`] the LSN before the RESTORE record has them.
//!
//! # Threads
//!
//! The crate starts no thread but one that unpacks while a large snapshot is loaded. It reads no clock and
//! takes no snapshot by itself. One thread owns the [`Store`]: it commits, checks [`Store::snapshot_due`] now
//! and then, and takes the [`Store::image`], which costs one clone of the state.
//!
//! Long operations belong on other threads. Any thread may wait on [`Store::wal`]. Any thread with a clone of
//! [`Store::compactor`] may save, verify, list, prune and prepare a restore. While records are appended, a
//! save pauses for 3 ms after every 128 KiB. So the syncs of the log find the disk free. A
//! [`Housekeeper`](icn_wal::Housekeeper) keeps the preparation of log segments out of the commits.
//!
//! # Memory
//!
//! | while | memory |
//! |---|---|
//! | always | the state |
//! | an image lives, with persistent maps (such as `imbl::OrdMap`) | plus all that was overwritten since |
//! | an image lives, with the maps of the standard library | plus a second state; the writer waits while it is cloned |
//! | a snapshot is saved or verified | plus at most a second state, built to see that it can be |
//! | [`state_at`] runs | plus one state |
//! | [`Compactor::prepare_restore`] runs | plus up to three states |
//!
//! # Limits
//!
//! - One mutation is one record and the unit of atomicity. A record has at most 1 MiB, including one byte for
//!   its kind.
//! - [`StateMachine::apply`] must be total and deterministic: the next start applies the same mutations again.
//! - The disk holds the kept snapshots, those retired last, one being written, and the log back to the
//!   beginning of the window.
//! - A store has one owner: a second one is refused with [`icn_wal::Error::Locked`].
//!
//! # What an error asks of the caller
//!
//! | error | what to do |
//! |---|---|
//! | [`Error::Log`] | as the error of the log says. After [`Poisoned`](icn_wal::Error::Poisoned), drop the store and open it again: its state may be ahead of the disk |
//! | [`Error::Io`] | try again; nothing was promised and nothing is lost |
//! | [`Error::Unusable`] | check the disk, and save another snapshot while others are whole |
//! | [`Error::Newer`] | use the version that wrote it |
//! | [`Error::Record`] | correct `decode`, which cannot read what `encode` wrote; nothing was changed |
//! | [`Error::Lossy`] | correct the state machine, which does not read back what it writes; nothing was written |
//! | [`Error::Migration`] | implement the step in `migrate`, or use the version that wrote it; nothing was changed |
//! | [`Error::Failed`] | drop the store and open it again. The mutation on which `apply` panicked was not appended |
//! | [`Error::Apply`] | use a build whose `apply` takes the record; nothing was changed |
//! | [`Error::NoSuchSnapshot`], [`Error::Needed`], [`Error::OutsideWindow`] | correct the request |
//!
//! # When not to use it
//!
//! - The state does not fit into memory, or barely.
//! - Several processes write. Other processes may read past states, each by a replay of its own.
//! - You look up by more than one key, or with queries. There is no index but the maps you keep yourself.
//! - Single values are large: everything passes through the log and through every snapshot. Put them into
//!   files and keep their hashes here.
//! - A very large state changes little: each snapshot writes all of it again.
//! - Every past state must stay for ever. States before the window cannot be read; keep an archive for them.
//! - The data must survive the machine. There is no replication, and a copy of the directory of a running
//!   store is no backup. A copy opens if a snapshot in it covers all that is missing, and is refused otherwise.
//! - Transactions read, wait and write. Mutations are applied one after the other by one thread.
//! - Others must not be able to read the disk. Nothing is encrypted.
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
mod round_trip;
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
pub use restore_window::RestoreWindow;
pub use retention::{Decision, RetentionReason};
pub use snapshot::Snapshot;
pub use snapshots::{list, restore_window};
pub use state_at::{StateAt, state_at};
pub use store::{Recovery, Store};
