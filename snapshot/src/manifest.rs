//! The manifest: the list of kept snapshots on the disk.

use icn_wal::disk::Disk;
use icn_wal::{StoreId, Twin, TwinFile};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::id::SnapshotId;
use crate::integrity::Integrity;
use crate::labels::Labels;
use crate::origin::Origin;

const FILE: TwinFile = TwinFile { name: "MANIFEST", magic: *b"ICNSNPM\0" };

/// One kept snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestEntry {
    pub(crate) lsn: u64,
    pub(crate) generation: u64,
    pub(crate) timeline: u64,
    pub(crate) bytes: u64,
    /// When it was saved, by the wall clock, for people only. ms since 1970.
    pub(crate) created_ms: u64,
    /// No less than the time of the last record it covers, ms since 1970.
    pub(crate) time_ms: u64,
    pub(crate) integrity: Integrity,
    pub(crate) origin: Origin,
    pub(crate) pinned: bool,
    pub(crate) labels: Labels,
    /// The LSN of the RESTORE record that names this snapshot, 0 for none. The snapshot stays for as long as
    /// the log may be replayed over that record.
    pub(crate) restored_at: u64,
    /// The LSN of the RESTORE record that this snapshot undoes, 0 for none.
    pub(crate) undoes: u64,
    /// How long the caller had run when it was taken, over all its lives, in ms. 0 in an entry of a build
    /// that did not measure it, and in one of a rebuilt list.
    #[serde(default)]
    pub(crate) ran_ms: u64,
}

impl ManifestEntry {
    /// A whole snapshot of 10 bytes after this LSN, taken at this running time.
    #[cfg(test)]
    pub(crate) fn taken(lsn: u64, ran_ms: u64) -> Self {
        Self {
            lsn,
            generation: lsn,
            timeline: 0,
            bytes: 10,
            created_ms: 0,
            time_ms: 0,
            integrity: Integrity::Whole,
            origin: Origin::Taken,
            pinned: false,
            labels: Labels::default(),
            restored_at: 0,
            undoes: 0,
            ran_ms,
        }
    }

    pub(crate) fn id(&self) -> SnapshotId {
        SnapshotId { lsn: self.lsn, generation: self.generation }
    }
}

/// The list of kept snapshots, and the facts that must outlive them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) store: StoreId,
    pub(crate) next_generation: u64,
    /// The log may have been dropped up to this LSN.
    pub(crate) log_after: u64,
    /// Sorted by id.
    pub(crate) entries: Vec<ManifestEntry>,
    /// LSN and generation of retired snapshots, whose files are removed in the next cycle.
    pub(crate) retired: Vec<(u64, u64)>,
    /// Whether the restore window is shorter than it should be, since it had no room.
    #[serde(default)]
    pub(crate) is_shortened: bool,
}

impl Manifest {
    /// Reads the manifest in this directory; `None` when it is missing or damaged.
    pub(crate) fn read<D: Disk>(disk: &D) -> Result<Option<Self>, Error> {
        Ok(match FILE.read(disk)? {
            Twin::Content(bytes, _) => decode(&bytes),
            Twin::Missing | Twin::Damaged => None,
        })
    }

    pub(crate) fn write<D: Disk>(&self, disk: &D) -> Result<(), Error> {
        let bytes = rmp_serde::to_vec(self).unwrap_or_default();
        Ok(FILE.replace(disk, &bytes)?)
    }

    pub(crate) fn get(&self, id: SnapshotId) -> Option<&ManifestEntry> {
        self.entries.iter().find(|entry| entry.id() == id)
    }

    pub(crate) fn get_mut(&mut self, id: SnapshotId) -> Result<&mut ManifestEntry, Error> {
        let found = self.entries.iter_mut().find(|entry| entry.id() == id);
        found.ok_or(Error::NoSuchSnapshot { id })
    }

    /// Whether the log may still be replayed over the record with this LSN.
    pub(crate) fn may_replay(&self, lsn: u64) -> bool {
        lsn > self.log_after
    }

    pub(crate) fn insert(&mut self, entry: ManifestEntry) {
        self.entries.push(entry);
        self.entries.sort_by_key(ManifestEntry::id);
    }

    /// Removes `id` from the list. Its file is removed one cycle later, so that a reader with the old list
    /// still finds it.
    pub(crate) fn retire(&mut self, id: SnapshotId) {
        self.entries.retain(|entry| entry.id() != id);
        self.retired.push((id.lsn, id.generation));
    }
}

fn decode(bytes: &[u8]) -> Option<Manifest> {
    let mut rest = bytes;
    let manifest = rmp_serde::from_read(&mut rest).ok()?;
    rest.is_empty().then_some(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_a_build_without_running_times_is_read() {
        type OldEntry = (u64, u64, u64, u64, u64, u64, Integrity, Origin, bool, Labels, u64, u64);
        let labels = Labels::default();
        let entry: OldEntry =
            (4, 2, 0, 10, 5, 6, Integrity::Whole, Origin::Taken, true, labels, 7, 8);
        let old = (StoreId::default(), 3_u64, 1_u64, vec![entry], vec![(3_u64, 1_u64)]);
        let bytes = rmp_serde::to_vec(&old).expect("msgpack");
        let manifest = decode(&bytes).expect("a manifest");
        assert_eq!((manifest.log_after, manifest.is_shortened), (1, false));
        let entry = &manifest.entries[0];
        assert_eq!((entry.lsn, entry.undoes, entry.ran_ms), (4, 8, 0));
    }
}
