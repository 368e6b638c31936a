//! The half of a store that works beside the writer.

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
use crate::retention::Decision;
use crate::snapshot::Snapshot;
use crate::snapshots::{Listing, Snapshots};
use crate::state_at::{StateAt, state_at};
use crate::throttle::Throttle;
use crate::unpublished::Unpublished;

/// Takes images to the disk and looks after what is there, on whatever thread it is called.
#[derive(Clone)]
pub struct Compactor<D: Disk> {
    pub(crate) disk: D,
    pub(crate) snapshots: Arc<Mutex<Snapshots<D>>>,
    pub(crate) listing: Arc<Mutex<Listing>>,
    pub(crate) wal: Arc<Wal<D>>,
}

/// A state to go back to, read and checked, and the snapshot that a RESTORE record can name.
#[derive(Debug)]
pub struct RestoreTarget<S> {
    pub(crate) id: SnapshotId,
    pub(crate) state: S,
    pub(crate) undo: SnapshotId,
}

impl<S> RestoreTarget<S> {
    /// The snapshot that holds it.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// The snapshot of the state before, which undoes the restore.
    pub fn undo(&self) -> SnapshotId {
        self.undo
    }
}

impl<D: Disk> Compactor<D> {
    /// Writes, verifies and lists `image`, retires older snapshots, and lets go of the log that no
    /// kept snapshot needs. While others commit, it rests for 3 ms after every 128 KiB that it writes and
    /// every MiB of state that it reads back.
    ///
    /// # Errors
    /// The store is as it was, at worst with some files that are removed at the next open.
    pub fn save<S: StateMachine>(&self, mut image: Image<S>) -> Result<Snapshot, Error> {
        let save_guard = image.save_guard.take();
        // The lock is not held while the state is written: lists stay readable meanwhile.
        let (disk, generation) = self.snapshots.lock().reserve();
        // A snapshot must never hold what the log has lost.
        if let Some(last) = Lsn::new(image.lsn) {
            self.wal.wait(last)?;
        }
        // And none may be taken for older than it is: a state of before its time is not in it.
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

    /// All snapshots, oldest first. Never waits for the disk.
    #[must_use]
    pub fn list(&self) -> Vec<Snapshot> {
        self.listing.lock().snapshots.clone()
    }

    /// The first LSN of the restore window: every state from there on can be shown and restored.
    /// Never waits for the disk.
    #[must_use]
    pub fn window_start(&self) -> u64 {
        self.listing.lock().window_start
    }

    /// Reads a snapshot to its end, from the disk and not from memory, and decodes it. While others commit,
    /// it rests for 3 ms after each MiB of state.
    ///
    /// # Errors
    /// [`Error::Unusable`] and [`Error::Newer`] when it is not what was written.
    pub fn verify<S: StateMachine>(&self, id: SnapshotId) -> Result<(), Error> {
        let reader = {
            let snapshots = self.snapshots.lock();
            snapshots.check_listed(id)?;
            snapshots.reader()
        };
        // The lock is not held while the file is read: lists stay readable meanwhile.
        let mut throttle = Throttle::new(&self.wal);
        let read = reader.verify::<S>(id, &mut || throttle.pause_if_busy());
        match read {
            Ok(()) => self.snapshots.lock().set_integrity(id, Integrity::Whole)?,
            Err(Error::Unusable { .. }) => {
                self.snapshots.lock().set_integrity(id, Integrity::Damaged)?
            }
            Err(_) => {}
        }
        read
    }

    /// Retires a snapshot; its file goes with the next one that is taken.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`]; [`Error::Needed`] for the newest whole one, one that a restore in the
    /// log needs, and a pinned one.
    pub fn delete(&self, id: SnapshotId) -> Result<(), Error> {
        self.snapshots.lock().delete(id)
    }

    /// Has a snapshot stay until it is unpinned, whatever the rules say, or has the rules decide
    /// about it again.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`].
    pub fn pin(&self, id: SnapshotId, pinned: bool) -> Result<(), Error> {
        self.snapshots.lock().pin(id, pinned)
    }

    /// Which snapshots would stay and go now, and why, oldest first. Nothing happens.
    #[must_use]
    pub fn plan(&self) -> Vec<Decision> {
        self.snapshots.lock().plan()
    }

    /// Retires what the rules do not keep, and removes the files of what was retired before. Returns
    /// what was decided, oldest first.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Log`].
    pub fn prune(&self) -> Result<Vec<Decision>, Error> {
        self.snapshots.lock().apply_retention(&self.wal)
    }

    /// The state as it was; see [`state_at`].
    ///
    /// # Errors
    /// Those of [`state_at`].
    pub fn state_at<S: StateMachine>(&self, at: PointInTime) -> Result<StateAt<S>, Error> {
        state_at(&self.disk, at)
    }

    /// Prepares a restore: reads the state to go back to, writes a snapshot of it for the RESTORE record
    /// to name, and takes one of the `present`. Nothing is restored before
    /// [`Store::restore`](crate::Store::restore).
    ///
    /// # Errors
    /// Those of [`state_at`] and [`save`](Self::save).
    pub fn prepare_restore<S: StateMachine>(
        &self,
        at: PointInTime,
        present: Image<S>,
    ) -> Result<RestoreTarget<S>, Error> {
        // What is read is what the disk holds.
        if let Some(last) = Lsn::new(present.lsn) {
            self.wal.wait(last)?;
        }
        let past = self.state_at::<S>(at)?;
        if let Some(weakness) = past.weaker.first() {
            let file = past.snapshot.map_or_else(String::new, SnapshotId::file_name);
            let why = format!("it is read as less than was written: {}", weakness.text);
            return Err(Error::Unusable { file, why });
        }
        let state = past.state.clone();
        let next = self.wal.stats().last_lsn + 1;
        if let Some(id) = past.snapshot.filter(|_| past.replayed == 0) {
            // What comes now must not push it out.
            self.snapshots.lock().hold(id, None, next)?;
        }
        let id = match past.snapshot {
            // Of a state from elsewhere there is no other copy to be had.
            Some(id) if past.lsn == 0 => id,
            // Also of one that a snapshot holds already: until the next snapshot, every recovery needs
            // the state that the record names, and one damaged file must not be the end of it.
            _ => {
                let (first, last) = (self.window_start(), past.lsn);
                let image = past.into_image(present.created_ms);
                let outside = || Error::OutsideWindow { wanted: at, first, last };
                self.save(image.ok_or_else(outside)?)?.id
            }
        };
        Ok(RestoreTarget { id, state, undo: self.save(present)?.id })
    }
}
