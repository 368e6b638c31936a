//! The durable state machine: a log, the state it makes, and the snapshots that shorten it.

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
use crate::snapshots::Snapshots;

/// How many records a replay takes between two looks of whoever watches it.
const WATCHED_RECORDS: u64 = 1024;

/// What decoding a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The snapshot it started from; `None` when the log was replayed from its beginning.
    pub snapshot: Option<SnapshotId>,
    /// Newer snapshots that could not be used, and why. Nothing is lost: the log reaches back.
    pub passed_over: Vec<(SnapshotId, String)>,
    /// In what the state is weaker than the snapshots say: nothing, unless a build reads what it should
    /// not, or a migration is wrong. What is concerned must not be served before a person has looked.
    pub weaker: Vec<Weakness>,
    /// What the log had to say.
    pub log: icn_wal::Recovery,
}

/// A state machine that cannot forget.
///
/// [`commit`](Self::commit) appends, then applies; [`Wal::wait`] on [`wal`](Self::wal) makes
/// durable. The caller must let nothing out of the house before that: an outcome of `commit` is a
/// promise the disk has not heard of yet.
pub struct Store<S: StateMachine, D: Disk> {
    state: S,
    lsn: u64,
    timeline: u64,
    wal: Arc<Wal<D>>,
    compactor: Compactor<D>,
    due: Due,
    backlog: Backlog,
    buffer: Vec<u8>,
}

impl<S: StateMachine, D: Disk> Store<S, D> {
    /// Opens the store in `disk`, a new one if there is none: the newest snapshot that can be used,
    /// and every record behind it.
    ///
    /// # Errors
    /// [`Error::Log`] when the log cannot be continued; [`Error::Newer`] when anything was written
    /// by a newer version; [`Error::Record`] when a record makes no sense.
    pub fn open(disk: &D, policy: Policy) -> Result<(Self, Recovery), Error> {
        Self::open_watched(disk, policy, |_| {})
    }

    /// As [`open`](Self::open); `watch` is told now and then how many records have been replayed.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_watched(
        disk: &D,
        policy: Policy,
        mut watch: impl FnMut(u64),
    ) -> Result<(Self, Recovery), Error> {
        let log = log_directory(disk)?;
        let mut snapshots = Snapshots::open(disk, policy.retention)?;
        let (mut replay, passed_over) = Replay::<S>::start(&snapshots, |_| true)?;
        let mut growth = LogGrowth::default();
        let (wal, found) = {
            let opened = Wal::open(log.clone(), replay.from(), |record| {
                growth.add(record.bytes.len(), record.time_ms);
                if growth.records.is_multiple_of(WATCHED_RECORDS) {
                    watch(growth.records);
                }
                replay.apply(&snapshots, &log, record)
            });
            replay.outcome(opened)?
        };
        replay.check_store(wal.store())?;
        snapshots.sweep(wal.store(), found.first_lsn.saturating_sub(1))?;
        for (id, error) in &passed_over {
            // One that could not be opened or read this time may be whole.
            if matches!(error, Error::Unusable { .. }) {
                snapshots.set_integrity(*id, Integrity::Damaged)?;
            }
        }
        if let Some(id) = replay.snapshot {
            snapshots.set_integrity(id, Integrity::Whole)?;
        }
        snapshots.hold_named(&replay.restores)?;
        // One in today's schema, too, should replace what had to be migrated.
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
        let (due, backlog, buffer) = (policy.due, Backlog::new(growth), Vec::new());
        let store = Self { state, lsn, timeline, wal, compactor, due, backlog, buffer };
        Ok((store, recovery))
    }

    /// The state after everything committed, durable or not.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The last LSN that is in the state, 0 for none.
    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    /// The branch of history: 0, and one more with every restore.
    pub fn timeline(&self) -> u64 {
        self.timeline
    }

    /// The log, to wait on and to ask.
    pub fn wal(&self) -> &Arc<Wal<D>> {
        &self.wal
    }

    /// What takes images to the disk.
    pub fn compactor(&self) -> &Compactor<D> {
        &self.compactor
    }

    /// Appends `mutation` and applies it. Nothing is durable yet.
    ///
    /// # Errors
    /// Those of [`Wal::append`]; the state is then unchanged.
    pub fn commit(
        &mut self,
        time_ms: u64,
        mutation: S::Mutation,
    ) -> Result<(Lsn, S::Outcome), Error> {
        LogRecord::start_mutation(&mut self.buffer);
        S::encode(&mutation, &mut self.buffer);
        let lsn = self.append(time_ms)?;
        Ok((lsn, self.state.apply(lsn, mutation)))
    }

    /// An image of the state as it is now; `None` before the first record. Costs one clone of the
    /// state.
    pub fn image(&mut self, now_ms: u64) -> Option<Image<S>> {
        let lsn = Lsn::new(self.lsn)?.get();
        Some(Image {
            save_guard: Some(self.backlog.image()),
            state: self.state.clone(),
            lsn,
            timeline: self.timeline,
            created_ms: now_ms,
            time_ms: None,
            origin: Origin::Taken,
            pinned: false,
            labels: Labels::default(),
        })
    }

    /// Whether anything has been committed since the last image that was saved or may still be.
    pub fn changed(&self) -> bool {
        self.backlog.unsaved().records > 0
    }

    /// Whether it is time for the next image. An image that was dropped, or could not be saved, counts as
    /// if it had never been taken: where a save has failed, leave the disk alone for a while.
    pub fn snapshot_due(&self, now_ms: u64) -> bool {
        self.backlog.is_due(&self.due, now_ms)
    }

    /// Goes back to `target`, as a step forward: a record says so, numbers go on, and the state machine
    /// decides what may not go back. `branch` is a random number for it. A snapshot is due afterwards.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`] when one of the two was deleted meanwhile; those of [`Wal::append`].
    /// Nothing has happened then.
    pub fn restore(
        &mut self,
        time_ms: u64,
        target: RestoreTarget<S>,
        branch: u64,
    ) -> Result<Lsn, Error> {
        // Held before the record exists: a replay of the record must find the image.
        self.compactor.snapshots.lock().hold(target.id, Some(target.undo), self.lsn + 1)?;
        LogRecord::write_restore(target.id, branch, &mut self.buffer);
        let lsn = self.append(time_ms)?;
        self.state = self.state.restore(target.state, branch);
        self.timeline += 1;
        self.backlog.growth.restored = true;
        Ok(lsn)
    }

    /// Makes everything durable and seals the log. Take a last image before, or the next start
    /// replays what has come since the one before.
    ///
    /// # Errors
    /// Those of [`Wal::close`].
    pub fn close(self) -> Result<(), Error> {
        Ok(self.wal.close()?)
    }

    fn append(&mut self, time_ms: u64) -> Result<Lsn, Error> {
        let lsn = *self.wal.append(time_ms, std::slice::from_ref(&self.buffer))?.end();
        self.lsn = lsn.get();
        self.backlog.growth.add(self.buffer.len(), time_ms);
        Ok(lsn)
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
    fn whoever_looks_at_the_list_waits_for_nobody_who_changes_it() {
        let disk = SimDisk::new(1);
        let (mut store, _) = Store::<Nothing, _>::open(&disk, Policy::default()).expect("open");
        store.commit(1, ()).expect("commit");
        let image = store.image(1).expect("an image");
        let compactor = store.compactor().clone();
        let id = compactor.save(image).expect("save").id;
        // As while a snapshot is published, and the disk takes its time.
        let changing = compactor.snapshots.lock();
        let (told, seen) = channel();
        let beside = compactor.clone();
        let looking = thread::spawn(move || told.send((beside.list(), beside.window_start())));
        let (listed, start) = seen.recv_timeout(Duration::from_secs(30)).expect("an answer");
        assert_eq!((listed[0].id, start), (id, 1));
        drop(changing);
        looking.join().expect("a thread").expect("sent");
        compactor.pin(id, true).expect("pin");
        assert!(compactor.list()[0].pinned, "what is seen is what was changed");
    }
}
