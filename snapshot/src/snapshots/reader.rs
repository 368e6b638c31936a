//! Reading and verifying snapshots without holding the lock on their directory.

use icn_wal::StoreId;
use icn_wal::disk::Disk;

use crate::error::Error;
use crate::file::{self, Header, Loaded, Pause};
use crate::id::SnapshotId;
use crate::machine::StateMachine;

/// Reads and verifies snapshots of one store.
pub(crate) struct SnapshotReader<D: Disk> {
    pub(super) disk: D,
    pub(super) store: StoreId,
}

impl<D: Disk> SnapshotReader<D> {
    /// Reads the state of the snapshot `id` and refuses one that is weaker than its summary.
    pub(crate) fn load_strict<S: StateMachine>(&self, id: SnapshotId) -> Result<Loaded<S>, Error> {
        let loaded = self.load(id, &mut || Ok(()))?;
        file::refuse_weaker(&loaded.weaker, &|| self.disk.describe(&id.file_name()))?;
        Ok(loaded)
    }

    /// Reads the state of the snapshot `id`, which may be weaker than its summary. Calls `pause` after each
    /// chunk; its error ends the reading.
    pub(crate) fn load<S: StateMachine>(
        &self,
        id: SnapshotId,
        pause: Pause<'_>,
    ) -> Result<Loaded<S>, Error> {
        let loaded = file::read(&self.disk, &id.file_name(), pause)?;
        self.check_header(id, &loaded.header)?;
        Ok(loaded)
    }

    /// Verifies the snapshot `id` without keeping its state. Reads from the disk, not from the page cache,
    /// and calls `pause` between chunks.
    pub(crate) fn verify<S: StateMachine>(
        &self,
        id: SnapshotId,
        pause: &mut dyn FnMut(),
    ) -> Result<(), Error> {
        let header = file::verify::<S, D>(&self.disk, &id.file_name(), pause)?;
        self.check_header(id, &header)
    }

    fn check_header(&self, id: SnapshotId, header: &Header) -> Result<(), Error> {
        if header.id != id || (self.store != StoreId::default() && header.store != self.store) {
            let why = "its header names another store or another snapshot".into();
            return Err(Error::Unusable { file: self.disk.describe(&id.file_name()), why });
        }
        Ok(())
    }
}
