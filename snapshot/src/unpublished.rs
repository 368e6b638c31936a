//! A snapshot file that has been written and verified, under a temporary name.

use icn_wal::StoreId;
use icn_wal::disk::Disk;

use crate::error::{Error, OnFile};
use crate::file::{self, Header};
use crate::id::SnapshotId;
use crate::image::Image;
use crate::labels::Labels;
use crate::machine::StateMachine;
use crate::round_trip::check_state;

/// A verified snapshot that is not published yet.
pub(crate) struct Unpublished {
    /// The temporary file name.
    pub(crate) name: String,
    pub(crate) header: Header,
    pub(crate) bytes: u64,
    pub(crate) ran_ms: u64,
    pub(crate) pinned: bool,
    pub(crate) labels: Labels,
}

impl Unpublished {
    /// Writes `image`, then verifies it from the disk, not from the page cache. `time_ms` is no less than the
    /// time of its last record; `pause` is called between bursts and chunks.
    pub(crate) fn write<S: StateMachine, D: Disk>(
        disk: &D,
        generation: u64,
        store: StoreId,
        time_ms: u64,
        image: Image<S>,
        pause: &mut dyn FnMut(),
    ) -> Result<Self, Error> {
        let id = SnapshotId { lsn: image.lsn, generation };
        let Image { state, timeline, created_ms, ran_ms, origin, pinned, labels, .. } = image;
        let header = Header { store, id, timeline, created_ms, time_ms, origin };
        let name = format!("{}.tmp", id.file_name());
        let describe = || disk.describe(&name);
        disk.discard(&name).on("remove", describe())?;
        let bytes = file::write(disk, &name, &header, &state, pause)?;
        // While the image lives, the writer must copy the parts of the state that it overwrites.
        let checked = cfg!(debug_assertions).then_some(state);
        if file::verify::<S, D>(disk, &name, pause)? != header {
            let why = "the header read back differs from the one written".into();
            return Err(Error::Unusable { file: describe(), why });
        }
        checked.as_ref().map_or(Ok(()), check_state)?;
        Ok(Self { name, header, bytes, ran_ms, pinned, labels })
    }
}
