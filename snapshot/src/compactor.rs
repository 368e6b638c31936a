//! The half of a store that works beside the writer.

use std::sync::Arc;

use icn_wal::{Disk, Wal};
use parking_lot::Mutex;

use crate::error::Error;
use crate::id::SnapshotId;
use crate::image::{Draft, Image};
use crate::machine::StateMachine;
use crate::shelf::{Shelf, Snapshot};

/// Takes images to the disk, on whatever thread it is called.
#[derive(Clone)]
pub struct Compactor<D: Disk> {
    pub(crate) shelf: Arc<Mutex<Shelf<D>>>,
    pub(crate) wal: Arc<Wal<D>>,
}

impl<D: Disk> Compactor<D> {
    /// Writes, verifies and lists `image`, retires older snapshots, and lets go of the log that no
    /// kept snapshot needs.
    ///
    /// # Errors
    /// The store is as it was, at worst with some files that are removed at the next open.
    pub fn save<S: StateMachine>(&self, image: Image<S>) -> Result<Snapshot, Error> {
        // The lock is not held while the state is written: lists stay readable meanwhile.
        let (disk, generation) = self.shelf.lock().reserve();
        let draft = Draft::write(&disk, generation, self.wal.store(), &image)?;
        // A snapshot must never hold what the log has lost.
        self.wal.wait(image.lsn)?;
        self.shelf.lock().publish(&draft, &self.wal)
    }

    /// All snapshots, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Snapshot> {
        self.shelf.lock().list()
    }

    /// Reads a snapshot to its end and decodes it.
    ///
    /// # Errors
    /// [`Error::Unusable`] and [`Error::Newer`] when it is not what was written.
    pub fn verify<S: StateMachine>(&self, id: SnapshotId) -> Result<(), Error> {
        let reader = {
            let shelf = self.shelf.lock();
            if !shelf.newest_first().contains(&id) {
                return Err(Error::NoSuchSnapshot { id });
            }
            shelf.reader()
        };
        // The lock is not held while the file is read: lists stay readable meanwhile.
        let read = reader.load::<S>(id).map(drop);
        if matches!(read, Err(Error::Unusable { .. })) {
            self.shelf.lock().mark_damaged(id)?;
        }
        read
    }

    /// Retires a snapshot; its file goes with the next one that is taken.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`]; [`Error::Needed`] for the newest verified one.
    pub fn delete(&self, id: SnapshotId) -> Result<(), Error> {
        self.shelf.lock().delete(id)
    }
}
