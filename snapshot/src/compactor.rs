//! Saving, verifying and pruning snapshots while the writer goes on.

use std::sync::Arc;

use icn_wal::disk::Disk;
use icn_wal::{Lsn, Wal};
use parking_lot::Mutex;

use crate::error::Error;
use crate::id::SnapshotId;
use crate::image::Image;
use crate::integrity::Integrity;
use crate::machine::StateMachine;
use crate::point_in_time::PointInTime;
use crate::policy::Retention;
use crate::restore_window::RestoreWindow;
use crate::retention::Decision;
use crate::snapshot::Snapshot;
use crate::snapshots::{Listing, Snapshots};
use crate::state_at::{StateAt, state_at};
use crate::throttle::Throttle;
use crate::unpublished::Unpublished;

/// Saves images as snapshots and maintains those on the disk, on any thread.
#[derive(Clone)]
pub struct Compactor<D: Disk> {
    pub(crate) disk: D,
    pub(crate) snapshots: Arc<Mutex<Snapshots<D>>>,
    pub(crate) listing: Arc<Mutex<Listing>>,
    pub(crate) wal: Arc<Wal<D>>,
}

/// A verified state to restore, and the snapshot that the RESTORE record will name.
#[derive(Debug)]
pub struct RestoreTarget<S> {
    pub(crate) id: SnapshotId,
    pub(crate) state: S,
    pub(crate) undo: SnapshotId,
}

impl<S> RestoreTarget<S> {
    /// The snapshot of the state to restore.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// The snapshot of the state before the restore, which undoes it.
    pub fn undo(&self) -> SnapshotId {
        self.undo
    }
}

impl<D: Disk> Compactor<D> {
    /// Writes, verifies and publishes `image`, retires older snapshots, and drops the log that no kept
    /// snapshot needs.
    ///
    /// While records are appended, it pauses for 3 ms after every 128 KiB that it writes and every MiB of
    /// state that it reads back.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Log`], [`Error::Unusable`]. The store is unchanged, at worst with leftover
    /// files that the next open removes.
    pub fn save<S: StateMachine>(&self, mut image: Image<S>) -> Result<Snapshot, Error> {
        let save_guard = image.save_guard.take();
        // The lock is not held while the state is written, so other calls do not wait for that.
        let (disk, generation) = self.snapshots.lock().reserve();
        // A snapshot must never hold a record that the log may still lose.
        if let Some(last) = Lsn::new(image.lsn) {
            self.wal.wait(last)?;
        }
        // The time of the snapshot must not precede its last record. A restore to a time before that record
        // would start from a state that covers it.
        let time_ms = image.time_ms.unwrap_or_else(|| self.wal.stats().time_ms);
        let mut throttle = Throttle::new(&self.wal);
        let pause = &mut || throttle.pause_if_busy();
        let unpublished =
            Unpublished::write(&disk, generation, self.wal.store(), time_ms, image, pause)?;
        let saved = self.snapshots.lock().publish(unpublished, &self.wal)?;
        if let Some(save_guard) = save_guard {
            save_guard.mark_saved();
        }
        Ok(saved)
    }

    /// All kept snapshots, oldest first. Never waits for the disk.
    #[must_use]
    pub fn list(&self) -> Vec<Snapshot> {
        self.listing.lock().snapshots.clone()
    }

    /// The greatest running time at which a kept snapshot was taken, in ms, as given to
    /// [`Store::image`](crate::Store::image); 0 without one. Never waits for the disk.
    ///
    /// After a crash, a caller that knows only an earlier running time goes on from here. Otherwise newer
    /// snapshots would look older than those before them.
    #[must_use]
    pub fn ran_ms(&self) -> u64 {
        self.listing.lock().ran_ms
    }

    /// The restore window. Never waits for the disk.
    #[must_use]
    pub fn window(&self) -> RestoreWindow {
        let window = self.listing.lock().window;
        let log = self.wal.stats();
        window.with_log(log.last_lsn, log.size_bytes)
    }

    /// Reads a snapshot to its end, from the disk and not from the page cache, and decodes it. While records
    /// are appended, it pauses for 3 ms after each MiB of state.
    ///
    /// # Errors
    /// [`Error::Unusable`] when the file is damaged; [`Error::Newer`] when its format or schema is newer;
    /// [`Error::NoSuchSnapshot`]; [`Error::Io`].
    pub fn verify<S: StateMachine>(&self, id: SnapshotId) -> Result<(), Error> {
        let reader = {
            let snapshots = self.snapshots.lock();
            snapshots.check_listed(id)?;
            snapshots.reader()
        };
        // The lock is not held while the file is read, so other calls do not wait for that.
        let mut throttle = Throttle::new(&self.wal);
        let read = reader.verify::<S>(id, &mut || throttle.pause_if_busy());
        match read {
            Ok(()) => self.snapshots.lock().set_integrity(id, Integrity::Whole)?,
            Err(Error::Unusable { .. }) => {
                self.snapshots.lock().set_integrity(id, Integrity::Damaged)?;
            }
            Err(_) => {}
        }
        read
    }

    /// Retires a snapshot. Its file is removed when the next snapshot is saved.
    ///
    /// # Errors
    /// - [`Error::NoSuchSnapshot`];
    /// - [`Error::Needed`] for the newest whole snapshot, a pinned one, and one that a RESTORE record needs.
    ///   Above the floor it is also returned for the one that the restore window begins with.
    pub fn delete(&self, id: SnapshotId) -> Result<(), Error> {
        self.snapshots.lock().delete(id)
    }

    /// Pins or unpins a snapshot. The retention policy never retires a pinned one.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`].
    pub fn pin(&self, id: SnapshotId, pinned: bool) -> Result<(), Error> {
        self.snapshots.lock().pin(id, pinned)
    }

    /// What [`prune`](Self::prune) would decide about each snapshot now, oldest first. Changes nothing.
    #[must_use]
    pub fn plan(&self) -> Vec<Decision> {
        self.snapshots.lock().plan(&self.wal)
    }

    /// Changes which snapshots are kept, from the next save or [`prune`](Self::prune) on. Waits while a
    /// snapshot is published.
    pub fn set_retention(&self, retention: Retention) {
        self.snapshots.lock().set_retention(retention);
    }

    /// Retires the snapshots that the retention policy does not keep, and removes the files of those retired
    /// before. Returns the decisions, oldest first.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Log`].
    pub fn prune(&self) -> Result<Vec<Decision>, Error> {
        self.snapshots.lock().apply_retention(&self.wal)
    }

    /// The state at a point in time, as [`state_at`](crate::state_at()) reads it.
    ///
    /// # Errors
    /// Those of [`state_at`](crate::state_at()).
    pub fn state_at<S: StateMachine>(&self, at: PointInTime) -> Result<StateAt<S>, Error> {
        state_at(&self.disk, at)
    }

    /// Prepares a restore: reads the state to restore, saves a snapshot of it for the RESTORE record to
    /// name, and saves the `present`. [`Store::restore`](crate::Store::restore) then restores.
    ///
    /// # Errors
    /// Those of [`state_at`](crate::state_at()) and [`save`](Self::save).
    pub fn prepare_restore<S: StateMachine>(
        &self,
        at: PointInTime,
        present: Image<S>,
    ) -> Result<RestoreTarget<S>, Error> {
        // `state_at` reads from the disk.
        if let Some(last) = Lsn::new(present.lsn) {
            self.wal.wait(last)?;
        }
        let past = self.state_at::<S>(at)?;
        if let Some(weakness) = past.weaker.first() {
            let file = past.snapshot.map_or_else(String::new, SnapshotId::file_name);
            let why = format!("its state reads as less than was written: {}", weakness.text);
            return Err(Error::Unusable { file, why });
        }
        let state = past.state.clone();
        let next = self.wal.stats().last_lsn + 1;
        if let Some(id) = past.snapshot.filter(|_| past.replayed == 0) {
            // The two saves below must not retire it.
            self.snapshots.lock().hold(id, None, next)?;
        }
        let id = match past.snapshot {
            // An imported state has no log to make a second copy from.
            Some(id) if past.lsn == 0 => id,
            // A second copy, even where a snapshot holds the state already. Until the next snapshot every
            // recovery needs this state, and one damaged file must not make the store unrecoverable.
            _ => {
                let first = self.window().first;
                let last = past.lsn;
                let image = past.into_image(present.created_ms, present.ran_ms);
                let outside = || Error::OutsideWindow { wanted: at, first, last };
                self.save(image.ok_or_else(outside)?)?.id
            }
        };
        Ok(RestoreTarget { id, state, undo: self.save(present)?.id })
    }
}
