//! A state on its way to the disk.

use icn_wal::StoreId;
use icn_wal::disk::Disk;

use crate::backlog::Promise;
use crate::error::{Error, OnFile};
use crate::file::{self, Header};
use crate::id::SnapshotId;
use crate::labels::Labels;
use crate::machine::StateMachine;
use crate::origin::Origin;

/// An image of the state that waits to be written.
#[derive(Debug)]
pub struct Image<S> {
    pub(crate) state: S,
    /// The last LSN that is in it; 0 for a state from elsewhere.
    pub(crate) lsn: u64,
    pub(crate) timeline: u64,
    pub(crate) created_ms: u64,
    /// `None` for a record that may still be on its way to the disk: what it gets there is the time of
    /// the last that goes with it.
    pub(crate) time_ms: Option<u64>,
    pub(crate) origin: Origin,
    pub(crate) pinned: bool,
    pub(crate) labels: Labels,
    /// `None` for one that is not of the present.
    pub(crate) promise: Option<Promise>,
}

impl<S> Image<S> {
    /// An image of a state from elsewhere: a restore point that no log continues. It is pinned, because
    /// no rule knows what it is worth.
    pub fn imported(state: S, created_ms: u64) -> Self {
        Self {
            state,
            lsn: 0,
            timeline: 0,
            created_ms,
            time_ms: Some(0),
            origin: Origin::Imported,
            pinned: true,
            labels: Labels::default(),
            promise: None,
        }
    }

    /// Has the snapshot stay until somebody unpins it.
    pub fn pin(&mut self) {
        self.pinned = true;
    }

    /// What people write on it.
    pub fn labels(&mut self) -> &mut Labels {
        &mut self.labels
    }
}

/// A snapshot that is written and checked and has no name yet.
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) header: Header,
    pub(crate) bytes: u64,
    pub(crate) pinned: bool,
    pub(crate) labels: Labels,
}

impl Draft {
    /// Writes `image` and reads it back from the disk, not from memory. `time_ms` is no less than the
    /// time of its last record; `pause` is called between chunks.
    pub(crate) fn write<S: StateMachine, D: Disk>(
        disk: &D,
        generation: u64,
        store: StoreId,
        time_ms: u64,
        image: Image<S>,
        pause: &mut dyn FnMut(),
    ) -> Result<Self, Error> {
        let id = SnapshotId { lsn: image.lsn, generation };
        let Image { state, timeline, created_ms, origin, pinned, labels, .. } = image;
        let header = Header { store, id, timeline, created_ms, time_ms, origin };
        let name = format!("{}.tmp", id.file_name());
        let describe = || disk.describe(&name);
        disk.discard(&name).on("remove", describe())?;
        let bytes = file::write(disk, &name, &header, &state, pause)?;
        // As long as it lives, the writer copies what it overwrites.
        drop(state);
        if file::verify::<S, D>(disk, &name, pause)? != header {
            let why = "what was read back is not what was written".into();
            return Err(Error::Unusable { file: describe(), why });
        }
        Ok(Self { name, header, bytes, pinned, labels })
    }
}
