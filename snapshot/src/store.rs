//! The durable state machine: a log, its state, and the snapshots that shorten a replay.

use std::any::type_name;
use std::ops::ControlFlow;
use std::sync::Arc;

use icn_wal::disk::Disk;
use icn_wal::{Lsn, Wal};
use parking_lot::Mutex;

use crate::backlog::{Backlog, LogGrowth};
use crate::compactor::{Compactor, RestoreTarget};
use crate::error::Error;
use crate::id::SnapshotId;
use crate::image::Image;
use crate::integrity::Integrity;
use crate::labels::Labels;
use crate::log_directory::log_directory;
use crate::machine::{StateMachine, Weakness};
use crate::origin::Origin;
use crate::policy::{Due, Policy};
use crate::record::LogRecord;
use crate::replay::Replay;
use crate::round_trip::check_mutation;
use crate::snapshots::Snapshots;

/// The number of records between two calls of the `watch` of a replay.
const WATCHED_RECORDS: u64 = 1024;

/// What opening a store has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The snapshot that the replay started from; `None` for the beginning of the log.
    pub snapshot: Option<SnapshotId>,
    /// Newer snapshots that could not be used, and why. Nothing is lost: the log replaces them.
    pub passed_over: Vec<(SnapshotId, String)>,
    /// In what the state is weaker than the summaries in the snapshots. Empty, unless this build or a
    /// migration has a defect. Do not serve what is concerned before an operator has decided about it.
    pub weaker: Vec<Weakness>,
    /// What opening the log has found.
    pub log: icn_wal::Recovery,
}

/// A durable state machine.
///
/// [`commit`](Self::commit) appends a mutation to the log, then applies it. [`Wal::wait`] on
/// [`wal`](Self::wal) makes it durable. The caller must not release an outcome of `commit` to another process
/// or to a peer before that: a crash may still undo it.
pub struct Store<S: StateMachine, D: Disk> {
    state: S,
    lsn: u64,
    timeline: u64,
    wal: Arc<Wal<D>>,
    compactor: Compactor<D>,
    due: Due,
    backlog: Backlog,
    buffer: Vec<u8>,
    /// Set while the state machine works on a record. A panic leaves it set: the state is unknown then.
    is_in_flight: bool,
}

impl<S: StateMachine, D: Disk> Store<S, D> {
    /// Opens the store in `disk`, or creates it: reads the newest snapshot that can be used, and applies
    /// every record after it.
    ///
    /// # Errors
    /// - [`Error::Log`] when the log cannot be continued;
    /// - [`Error::Newer`] when a snapshot or record was written by a newer version;
    /// - [`Error::Record`] when a record cannot be decoded;
    /// - [`Error::Unusable`] when the snapshot belongs to another store, or no copy of a restored state can be
    ///   read;
    /// - [`Error::Io`] when the disk fails.
    pub fn open(disk: &D, policy: Policy) -> Result<(Self, Recovery), Error> {
        Self::open_watched(disk, policy, |_| ControlFlow::Continue(()))
    }

    /// Opens a store like [`open`](Self::open). Calls `watch` with the number of records replayed so far, after
    /// each chunk of a snapshot and once in 1024 records. When it breaks off, nothing on the disk has changed.
    ///
    /// # Errors
    /// Those of [`open`](Self::open); [`icn_wal::Error::Stopped`] when `watch` broke off.
    pub fn open_watched(
        disk: &D,
        policy: Policy,
        mut watch: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(Self, Recovery), Error> {
        let log = log_directory(disk)?;
        let mut snapshots = Snapshots::open(disk, policy.retention)?;
        let (mut replay, passed_over) = Replay::<S>::start(&snapshots, |_| true, || watch(0))?;
        let after = replay.snapshot.map_or(0, |id| id.lsn);
        let mut growth = LogGrowth::since(after);
        let (wal, found) = {
            let opened = Wal::open(log.clone(), replay.from(), |record| {
                growth.add_replayed(record.bytes.len(), record.time_ms);
                if growth.records.is_multiple_of(WATCHED_RECORDS) {
                    watch(growth.records)?;
                }
                replay.apply(&snapshots, &log, record)
            });
            replay.outcome(opened)?
        };
        replay.check_store(wal.store())?;
        let log_after = found.first_lsn.saturating_sub(1).max(found.missing_through);
        snapshots.sweep(wal.store(), log_after)?;
        snapshots.set_first_ms(found.first_ms);
        for (id, error) in &passed_over {
            // After an I/O error the snapshot may still be whole.
            if matches!(error, Error::Unusable { .. }) {
                snapshots.set_integrity(*id, Integrity::Damaged)?;
            }
        }
        if let Some(id) = replay.snapshot {
            snapshots.set_integrity(id, Integrity::Whole)?;
        }
        snapshots.hold_named(&replay.restores)?;
        // A migrated state makes a snapshot due as well, so that one in the present schema replaces it.
        growth.restored = !replay.restores.is_empty() || replay.migrated;
        let passed_over = passed_over.iter().map(|(id, error)| (*id, error.to_string())).collect();
        let recovery = Recovery {
            snapshot: replay.snapshot,
            passed_over,
            weaker: std::mem::take(&mut replay.weaker),
            log: found,
        };
        let wal = Arc::new(wal);
        let compactor = Compactor {
            disk: disk.clone(),
            listing: snapshots.listing(),
            snapshots: Arc::new(Mutex::new(snapshots)),
            wal: Arc::clone(&wal),
        };
        let Replay { state, timeline, .. } = replay;
        let lsn = recovery.log.last_lsn;
        let store = Self {
            state,
            lsn,
            timeline,
            wal,
            compactor,
            due: policy.due,
            backlog: Backlog::new(growth),
            buffer: Vec::new(),
            is_in_flight: false,
        };
        Ok((store, recovery))
    }

    /// The state after all committed mutations, durable or not.
    ///
    /// # Panics
    /// In a [failed](Error::Failed) store: no record explains its state.
    pub fn state(&self) -> &S {
        if let Err(error) = self.check() {
            panic!("{error}");
        }
        &self.state
    }

    /// Whether the store takes commits.
    ///
    /// # Errors
    /// [`Error::Failed`] once the state machine has panicked in a call of this store.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_in_flight {
            let lsn = self.wal.last().map_or(1, |last| last.get() + 1);
            return Err(Error::Failed { lsn, machine: type_name::<S>() });
        }
        Ok(())
    }

    /// The last LSN that the state covers, 0 for none.
    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    /// The number of restores in the history of the state.
    pub fn timeline(&self) -> u64 {
        self.timeline
    }

    /// Changes when a snapshot is due, from now on.
    pub fn set_due(&mut self, due: Due) {
        self.due = due;
    }

    /// The log, to wait on and to query.
    pub fn wal(&self) -> &Arc<Wal<D>> {
        &self.wal
    }

    /// The compactor, which saves images and maintains snapshots on any thread.
    pub fn compactor(&self) -> &Compactor<D> {
        &self.compactor
    }

    /// Applies `mutation` and appends it to the log. It is not durable before [`Wal::wait`] has returned.
    ///
    /// It is applied when nothing refuses it any more, and right before it is appended. So the log never holds
    /// a record that [`apply`](StateMachine::apply) panics on. After such a panic the store has
    /// [failed](Error::Failed).
    ///
    /// # Errors
    /// Those of [`Wal::append`]; the state is unchanged. [`Error::Failed`]; in debug builds [`Error::Lossy`].
    pub fn commit(
        &mut self,
        time_ms: u64,
        mutation: S::Mutation,
    ) -> Result<(Lsn, S::Outcome), Error> {
        self.in_flight(|store| {
            LogRecord::start_mutation(&mut store.buffer);
            let start = store.buffer.len();
            S::encode(&mutation, &mut store.buffer);
            check_mutation::<S>(&store.buffer[start..])?;
            store.append(time_ms, |state, lsn| state.apply(lsn, mutation))
        })
    }

    /// Takes an image of the present state, at the cost of one clone; `None` before the first record, and in a
    /// [failed](Error::Failed) store.
    ///
    /// `now_ms`, by the wall clock, is for people. `ran_ms` is how long the caller has run, over all its
    /// lives. The restore window is measured in it: it must be durable and never go back.
    pub fn image(&mut self, now_ms: u64, ran_ms: u64) -> Option<Image<S>> {
        self.check().ok()?;
        let lsn = Lsn::new(self.lsn)?.get();
        Some(Image {
            save_guard: Some(self.backlog.image(lsn)),
            state: self.state.clone(),
            lsn,
            timeline: self.timeline,
            created_ms: now_ms,
            ran_ms,
            time_ms: None,
            origin: Origin::Taken,
            pinned: false,
            labels: Labels::default(),
        })
    }

    /// Whether a record was committed since the last image that is saved or in flight.
    pub fn changed(&self) -> bool {
        self.backlog.unsaved().records > 0
    }

    /// Whether a snapshot is due. An image that was dropped or could not be saved counts as never taken. So
    /// a failed save is due again at once; wait a while before the next attempt.
    ///
    /// `elapsed_ms` is a clock of ms that never goes back. The oldest unsaved record ages by it from the
    /// first call after the record. `wall_ms`, in ms since 1970, only shows the age of replayed records. So a
    /// wall clock that is set delays no snapshot.
    pub fn snapshot_due(&mut self, wall_ms: u64, elapsed_ms: u64) -> bool {
        let ended_after = |lsn| self.wal.begun_after(lsn);
        self.backlog.is_due(&self.due, wall_ms, elapsed_ms, ended_after)
    }

    /// Whether the log since the last snapshot has reached a limit of [`Due`] other than the age.
    ///
    /// A program that may crash again and again saves a snapshot right after such an open, before it does
    /// anything else. Otherwise no life may last long enough to save one, and the log grows for ever.
    pub fn replay_is_long(&self) -> bool {
        self.backlog.is_long(&self.due, |lsn| self.wal.begun_after(lsn))
    }

    /// Restores `target` as a step forward: appends a RESTORE record, and the state machine decides what
    /// must not go back. `branch` is a random number for the state machine. A snapshot is due afterwards.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`] when one of the two snapshots was deleted meanwhile; those of
    /// [`Wal::append`]. The state is unchanged.
    pub fn restore(
        &mut self,
        time_ms: u64,
        target: RestoreTarget<S>,
        branch: u64,
    ) -> Result<Lsn, Error> {
        self.in_flight(|store| {
            // Held before the record exists, because a replay of the record needs the snapshot.
            store.compactor.snapshots.lock().hold(target.id, Some(target.undo), store.lsn + 1)?;
            LogRecord::write_restore(target.id, branch, &mut store.buffer);
            let restore = |state: &mut S, _| *state = state.restore(target.state, branch);
            let (lsn, ()) = store.append(time_ms, restore)?;
            store.timeline += 1;
            store.backlog.growth.restored = true;
            Ok(lsn)
        })
    }

    /// Makes all records durable and seals the log. Save a last image before, or the next start replays the
    /// records since the previous snapshot.
    ///
    /// # Errors
    /// Those of [`Wal::close`]; [`Error::Failed`], and the log is not sealed then.
    pub fn close(self) -> Result<(), Error> {
        self.check()?;
        Ok(self.wal.close()?)
    }

    /// Calls `work`, which may call the state machine. After a panic in it, the store has failed.
    fn in_flight<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.check()?;
        self.is_in_flight = true;
        let done = work(self);
        self.is_in_flight = false;
        done
    }

    /// Appends the record in the buffer, right after `apply` has changed the state by it.
    fn append<T>(
        &mut self,
        time_ms: u64,
        apply: impl FnOnce(&mut S, Lsn) -> T,
    ) -> Result<(Lsn, T), Error> {
        let state = &mut self.state;
        let (lsn, outcome) =
            self.wal.append_after(time_ms, &self.buffer, |lsn| apply(state, lsn))?;
        if lsn == Lsn::FIRST {
            self.compactor.snapshots.lock().set_first_ms(time_ms);
        }
        self.lsn = lsn.get();
        self.backlog.growth.add(self.buffer.len());
        Ok((lsn, outcome))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use icn_wal::disk::SimDisk;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Default, Serialize, Deserialize)]
    struct Nothing;

    impl StateMachine for Nothing {
        type Mutation = ();
        type Outcome = ();
        const SCHEMA: u32 = 0;

        fn encode((): &(), _: &mut Vec<u8>) {}

        fn decode(_: &[u8]) -> Result<(), String> {
            Ok(())
        }

        fn apply(&mut self, _: Lsn, (): ()) {}
    }

    #[test]
    fn reading_the_list_never_waits_for_a_change_of_it() {
        let disk = SimDisk::new(1);
        let (mut store, _) = Store::<Nothing, _>::open(&disk, Policy::default()).expect("open");
        store.commit(1, ()).expect("commit");
        let image = store.image(1, 1).expect("an image");
        let compactor = store.compactor().clone();
        let id = compactor.save(image).expect("save").id;
        // As while a snapshot is published on a slow disk.
        let lock = compactor.snapshots.lock();
        let (sender, receiver) = channel();
        let reader = compactor.clone();
        let thread = thread::spawn(move || sender.send((reader.list(), reader.window().first)));
        let (listed, start) = receiver.recv_timeout(Duration::from_secs(30)).expect("an answer");
        assert_eq!(listed[0].id, id);
        assert_eq!(start, 1);
        drop(lock);
        thread.join().expect("a thread").expect("sent");
        compactor.pin(id, true).expect("pin");
        assert!(compactor.list()[0].pinned, "the list shows the change");
    }
}
