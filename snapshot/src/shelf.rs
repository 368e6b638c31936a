//! The snapshots that are kept: publishing, listing, retiring.

use icn_wal::{Disk, DiskFile, Lsn, StoreId, Twin, TwinFile, Wal};
use serde::{Deserialize, Serialize};

use crate::error::{Error, OnFile};
use crate::file::{self, Header};
use crate::id::SnapshotId;
use crate::image::Draft;
use crate::machine::StateMachine;

const DIRECTORY: &str = "snapshots";
const MANIFEST: TwinFile = TwinFile { name: "MANIFEST", magic: *b"ICNSNPM\0" };

/// How many verified snapshots stay, however old they are.
pub const SNAPSHOTS_KEPT: usize = 3;

/// One kept snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// The branch of history it lies on: 0, and one more with every restore.
    pub timeline: u64,
    /// The size of its file.
    pub bytes: u64,
    /// When it was taken: ms since 1970, for people.
    pub created_ms: u64,
    /// Whether it was read back and decoded when it was taken and has not failed since.
    pub verified: bool,
    /// Why it is kept.
    pub kept_because: &'static str,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Manifest {
    store: StoreId,
    next_generation: u64,
    entries: Vec<Entry>,
    /// Retired in an earlier cycle; their files go in the next.
    retired: Vec<(u64, u64)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    lsn: u64,
    generation: u64,
    timeline: u64,
    bytes: u64,
    created_ms: u64,
    verified: bool,
    /// The RESTORE record that names this snapshot, 0 for none: as long as the log may be replayed
    /// over that record, the snapshot has to be there.
    restored_at: u64,
}

impl Entry {
    fn id(&self) -> SnapshotId {
        SnapshotId { lsn: self.lsn, generation: self.generation }
    }
}

/// The directory of snapshots.
pub(crate) struct Shelf<D: Disk> {
    disk: D,
    manifest: Manifest,
}

impl<D: Disk> Shelf<D> {
    /// Reads what is kept in the store on this disk. A lost or damaged manifest is made again from the files, each of which
    /// proves itself when it is read.
    pub(crate) fn open(store: &D) -> Result<Self, Error> {
        let disk = store.subdir(DIRECTORY).on("open", store.describe(DIRECTORY))?;
        let manifest = match MANIFEST.read(&disk)? {
            Twin::Content(bytes, _) => decode(&bytes),
            Twin::Missing | Twin::Damaged => None,
        };
        let manifest = match manifest {
            Some(manifest) => manifest,
            None => Self::from_files(&disk)?,
        };
        Ok(Self { disk, manifest })
    }

    /// Removes what crashes have left behind. Only the owner of the store may.
    pub(crate) fn sweep(&mut self, store: StoreId) -> Result<(), Error> {
        self.manifest.store = store;
        for name in files(&self.disk)? {
            let listed = SnapshotId::from_file_name(&name)
                .is_none_or(|id| self.manifest.entries.iter().any(|entry| entry.id() == id));
            if name.ends_with(".tmp") || !listed {
                self.disk.discard(&name).on("remove", self.disk.describe(&name))?;
            }
        }
        self.manifest.retired.clear();
        self.manifest.next_generation = self.manifest.next_generation.max(1);
        self.write_manifest()
    }

    fn from_files(disk: &D) -> Result<Manifest, Error> {
        let mut manifest = Manifest { next_generation: 1, ..Manifest::default() };
        for name in files(disk)? {
            if let Some(id) = SnapshotId::from_file_name(&name) {
                let file = disk.open(&name).on("open", disk.describe(&name))?;
                let bytes = file.size().on("read", disk.describe(&name))?;
                manifest.next_generation = manifest.next_generation.max(id.generation + 1);
                manifest.entries.push(Entry {
                    lsn: id.lsn,
                    generation: id.generation,
                    timeline: 0,
                    bytes,
                    created_ms: 0,
                    verified: true,
                    restored_at: 0,
                });
            }
        }
        manifest.entries.sort_by_key(Entry::id);
        Ok(manifest)
    }

    /// The ids of all snapshots that can be tried, newest first.
    pub(crate) fn newest_first(&self) -> Vec<SnapshotId> {
        self.manifest.entries.iter().rev().map(Entry::id).collect()
    }

    /// What reads snapshots of this shelf, on any thread.
    pub(crate) fn reader(&self) -> Reader<D> {
        Reader { disk: self.disk.clone(), store: self.manifest.store }
    }

    /// Reads the snapshot `id` whole.
    pub(crate) fn load<S: StateMachine>(&self, id: SnapshotId) -> Result<(Header, S), Error> {
        self.reader().load(id)
    }

    /// Notes that a snapshot failed its check: it counts for nothing any more.
    pub(crate) fn mark_damaged(&mut self, id: SnapshotId) -> Result<(), Error> {
        for entry in &mut self.manifest.entries {
            entry.verified &= entry.id() != id;
        }
        self.write_manifest()
    }

    /// A place for a new snapshot: the directory, and a generation nobody else gets.
    pub(crate) fn reserve(&mut self) -> (D, u64) {
        let generation = self.manifest.next_generation;
        self.manifest.next_generation += 1;
        (self.disk.clone(), generation)
    }

    /// Gives the checked snapshot its name and its place in the list, and lets go of what no kept
    /// snapshot needs. Its last record must be durable.
    pub(crate) fn publish(&mut self, draft: &Draft, wal: &Wal<D>) -> Result<Snapshot, Error> {
        let Header { id, timeline, created_ms, .. } = draft.header;
        let name = id.file_name();
        self.disk.rename(&draft.name, &name).on("rename", self.disk.describe(&draft.name))?;
        self.disk.sync_dir().on("sync the directory of", self.disk.describe(&name))?;
        let gone = std::mem::take(&mut self.manifest.retired);
        let (bytes, verified) = (draft.bytes, true);
        self.manifest.entries.push(Entry {
            lsn: id.lsn,
            generation: id.generation,
            timeline,
            bytes,
            created_ms,
            verified,
            restored_at: 0,
        });
        self.manifest.entries.sort_by_key(Entry::id);
        self.retire();
        self.write_manifest()?;
        for (lsn, generation) in gone {
            let name = SnapshotId { lsn, generation }.file_name();
            self.disk.discard(&name).on("remove", self.disk.describe(&name))?;
        }
        if let Some(lsn) = self.log_needed_after() {
            wal.drop_through(lsn)?;
        }
        Ok(Snapshot { id, timeline, bytes, created_ms, verified, kept_because: "newest" })
    }

    /// Retires what lies below the floor. The file goes one cycle later: a reader that holds the
    /// old list still finds it.
    fn retire(&mut self) {
        let verified = self.manifest.entries.iter().filter(|entry| entry.verified).count();
        let mut spare = verified.saturating_sub(SNAPSHOTS_KEPT);
        let oldest_kept = self
            .manifest
            .entries
            .iter()
            .filter(|entry| entry.verified)
            .nth(spare)
            .map_or(0, |entry| entry.lsn);
        let retired = &mut self.manifest.retired;
        self.manifest.entries.retain(|entry| {
            let needed = entry.restored_at > oldest_kept;
            let goes = if entry.verified { spare > 0 } else { verified >= SNAPSHOTS_KEPT };
            spare -= usize::from(entry.verified && spare > 0);
            if goes && !needed {
                retired.push((entry.lsn, entry.generation));
            }
            !goes || needed
        });
    }

    /// The records up to here are in every snapshot that is kept.
    fn log_needed_after(&self) -> Option<Lsn> {
        let kept = self.manifest.entries.iter().filter(|entry| entry.verified);
        let skip = kept.clone().count().checked_sub(SNAPSHOTS_KEPT)?;
        kept.map(|entry| entry.lsn).nth(skip).and_then(Lsn::new)
    }

    /// All snapshots, oldest first.
    pub(crate) fn list(&self) -> Vec<Snapshot> {
        let entries = &self.manifest.entries;
        let newest = entries.iter().rev().find(|entry| entry.verified).map(Entry::id);
        entries
            .iter()
            .map(|entry| Snapshot {
                id: entry.id(),
                timeline: entry.timeline,
                bytes: entry.bytes,
                created_ms: entry.created_ms,
                verified: entry.verified,
                kept_because: match entry {
                    entry if Some(entry.id()) == newest => "newest",
                    entry if !entry.verified => "damaged, kept to be looked at",
                    entry if entry.restored_at > 0 => "a restore in the log needs it",
                    _ => "one of the newest 3",
                },
            })
            .collect()
    }

    /// Keeps `id` for as long as the log may be replayed over the restore at `lsn`.
    pub(crate) fn hold(&mut self, id: SnapshotId, lsn: Lsn) -> Result<(), Error> {
        for entry in self.manifest.entries.iter_mut().filter(|entry| entry.id() == id) {
            entry.restored_at = entry.restored_at.max(lsn.get());
        }
        self.write_manifest()
    }

    /// Retires `id`. The newest verified snapshot and those a restore needs stay.
    pub(crate) fn delete(&mut self, id: SnapshotId) -> Result<(), Error> {
        let kept = self.list().into_iter().find(|kept| kept.id == id);
        let kept = kept.ok_or(Error::NoSuchSnapshot { id })?;
        if matches!(kept.kept_because, "newest" | "a restore in the log needs it") {
            let why = if kept.kept_because == "newest" {
                "it is the newest verified one"
            } else {
                "a restore in the log needs it"
            };
            return Err(Error::Needed { id, why });
        }
        self.manifest.entries.retain(|entry| entry.id() != id);
        self.manifest.retired.push((id.lsn, id.generation));
        self.write_manifest()
    }

    fn write_manifest(&self) -> Result<(), Error> {
        let bytes = rmp_serde::to_vec(&self.manifest).unwrap_or_default();
        Ok(MANIFEST.replace(&self.disk, &bytes)?)
    }
}

/// The snapshots in `disk`, oldest first, without a lock and without changing anything.
///
/// # Errors
/// [`Error::Io`].
pub fn list<D: Disk>(disk: &D) -> Result<Vec<Snapshot>, Error> {
    Ok(Shelf::open(disk)?.list())
}

/// Reads snapshots.
pub(crate) struct Reader<D: Disk> {
    disk: D,
    store: StoreId,
}

impl<D: Disk> Reader<D> {
    pub(crate) fn load<S: StateMachine>(&self, id: SnapshotId) -> Result<(Header, S), Error> {
        let name = id.file_name();
        let (header, state) = file::read(&self.disk, &name)?;
        if header.id != id || (self.store != StoreId::default() && header.store != self.store) {
            let why = "it belongs to another store or carries another name".into();
            return Err(Error::Unusable { file: self.disk.describe(&name), why });
        }
        Ok((header, state))
    }
}

/// The names of the plain files; whatever else lies there is left alone.
fn files<D: Disk>(disk: &D) -> Result<Vec<String>, Error> {
    let entries = disk.list().on("list", disk.describe(""))?;
    let plain = entries.into_iter().filter(|entry| entry.stranger.is_none());
    Ok(plain.map(|entry| entry.name).collect())
}

fn decode(bytes: &[u8]) -> Option<Manifest> {
    let mut rest = bytes;
    let manifest = rmp_serde::from_read(&mut rest).ok()?;
    rest.is_empty().then_some(manifest)
}
