//! The snapshot directory: publishing, listing, holding and retiring snapshots.

mod reader;
mod rebuild;

use std::ops::ControlFlow;
use std::sync::Arc;

use icn_wal::disk::Disk;
use icn_wal::{LogSize, Lsn, ReplayFrom, StoreId, Wal};
use parking_lot::Mutex;

pub(crate) use self::reader::SnapshotReader;
use self::rebuild::{adopt, plain_files, rebuild};
use crate::error::{Error, OnFile};
use crate::file::{self, Header, Loaded, Pause};
use crate::id::SnapshotId;
use crate::integrity::Integrity;
use crate::log_directory::log_directory;
use crate::machine::StateMachine;
use crate::manifest::{Manifest, ManifestEntry};
use crate::origin::Origin;
use crate::policy::Retention;
use crate::restore_window::RestoreWindow;
use crate::retention::{Decision, Plan, RetentionReason, plan};
use crate::snapshot::Snapshot;
use crate::unpublished::Unpublished;

const DIRECTORY: &str = "snapshots";

/// The kept snapshots in the store on `disk`, oldest first. Takes no lock and changes nothing.
///
/// # Errors
/// - [`Error::Io`] when the directory or a snapshot file cannot be read;
/// - [`Error::Log`] when the manifest cannot be read;
/// - [`Error::Newer`] when the manifest is lost and a snapshot has a newer format.
pub fn list<D: Disk>(disk: &D, retention: Retention) -> Result<Vec<Snapshot>, Error> {
    Ok(Snapshots::open(disk, retention)?.list())
}

/// The restore window of the store on `disk`, kept by this policy. Takes no lock and changes nothing.
///
/// # Errors
/// Those of [`icn_wal::read`]; [`Error::Io`] when the snapshot directory cannot be read.
pub fn restore_window<D: Disk>(disk: &D, retention: Retention) -> Result<RestoreWindow, Error> {
    let mut snapshots = Snapshots::open(disk, retention)?;
    let every = |_: icn_wal::Record<'_>| ControlFlow::Continue(());
    let log = icn_wal::read(&log_directory(disk)?, ReplayFrom::Oldest, every)?;
    snapshots.set_first_ms(log.first_ms);
    Ok(snapshots.window().with_log(log.last_lsn, log.bytes))
}

/// The snapshot directory and its manifest.
pub(crate) struct Snapshots<D: Disk> {
    disk: D,
    manifest: Manifest,
    retention: Retention,
    /// The time of the first record in the log, ms since 1970, 0 for none.
    first_ms: u64,
    listing: Arc<Mutex<Listing>>,
}

impl<D: Disk> Snapshots<D> {
    /// Reads the manifest of the store on this disk. A missing or damaged one is rebuilt from the snapshot
    /// files, which are verified when they are read. One older than the files is completed from them.
    pub(crate) fn open(store: &D, retention: Retention) -> Result<Self, Error> {
        let disk = store.subdir(DIRECTORY).on("open", store.describe(DIRECTORY))?;
        let manifest = match Manifest::read(&disk)? {
            Some(manifest) => adopt(&disk, manifest)?,
            None => rebuild(&disk)?,
        };
        Ok(Self { disk, manifest, retention, first_ms: 0, listing: Arc::default() })
    }

    /// Removes unfinished and unlisted files, which a crash leaves. Writes the manifest only if it changes.
    /// For the owner of the store only. The log, of `store`, begins after `log_after`.
    pub(crate) fn sweep(&mut self, store: StoreId, log_after: u64) -> Result<(), Error> {
        // After kill -9 the manifest may be in the page cache only. It must be durable before the files that
        // it does not list are removed.
        self.disk.sync_dir().on("sync the directory of", self.disk.describe(""))?;
        let manifest = &mut self.manifest;
        for name in plain_files(&self.disk)? {
            let listed =
                SnapshotId::from_file_name(&name).is_none_or(|id| manifest.get(id).is_some());
            if name.ends_with(".tmp") || !listed {
                self.disk.discard(&name).on("remove", self.disk.describe(&name))?;
            }
        }
        if manifest.store == store && manifest.retired.is_empty() && manifest.log_after >= log_after
        {
            return Ok(());
        }
        manifest.store = store;
        manifest.log_after = manifest.log_after.max(log_after);
        manifest.retired.clear();
        manifest.next_generation = manifest.next_generation.max(1);
        self.write_unless_full()
    }

    /// The snapshots that the log may continue, newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &ManifestEntry> {
        self.manifest.entries.iter().rev().filter(|entry| entry.origin != Origin::Imported)
    }

    /// [`Error::NoSuchSnapshot`] unless the manifest lists `id`.
    pub(crate) fn check_listed(&self, id: SnapshotId) -> Result<(), Error> {
        self.manifest.get(id).map(drop).ok_or(Error::NoSuchSnapshot { id })
    }

    /// The first LSN of the restore window.
    pub(crate) fn window_start(&self) -> u64 {
        match (self.manifest.log_after, self.window_opener()) {
            (0, _) => 1,
            (_, Some(entry)) => entry.lsn,
            (log_after, None) => log_after + 1,
        }
    }

    /// The oldest usable snapshot that the log continues.
    fn window_opener(&self) -> Option<&ManifestEntry> {
        let usable = self.newest_first().filter(|entry| entry.integrity != Integrity::Damaged);
        usable.take_while(|entry| entry.lsn >= self.manifest.log_after).last()
    }

    /// The time of the first record in the log.
    pub(crate) fn set_first_ms(&mut self, first_ms: u64) {
        self.first_ms = first_ms;
        self.update_listing();
    }

    /// Changes the retention policy, which the next save or prune applies.
    pub(crate) fn set_retention(&mut self, retention: Retention) {
        self.retention = retention;
        self.update_listing();
    }

    /// The restore window without the log.
    pub(crate) fn window(&self) -> RestoreWindow {
        let first_ms = match (self.manifest.log_after, self.window_opener()) {
            (0, _) | (_, None) => self.first_ms,
            (_, Some(entry)) => entry.time_ms,
        };
        let kept = self.reasons().into_iter().filter(|kept| kept.reason.spans_the_window());
        RestoreWindow {
            first: self.window_start(),
            last: 0,
            first_ms,
            bytes: kept.map(|kept| kept.bytes).sum(),
            bytes_max: self.retention.window_bytes,
            wanted_ms: self.retention.window_ms,
            is_shortened: self.manifest.is_shortened,
        }
    }

    /// A reader of these snapshots for any thread, which needs no lock.
    pub(crate) fn reader(&self) -> SnapshotReader<D> {
        SnapshotReader { disk: self.disk.clone(), store: self.manifest.store }
    }

    /// Reads the state of the snapshot `id`. Calls `pause` after each chunk; its error ends the reading.
    pub(crate) fn load<S: StateMachine>(
        &self,
        id: SnapshotId,
        pause: Pause<'_>,
    ) -> Result<Loaded<S>, Error> {
        self.reader().load(id, pause)
    }

    /// The timeline and the summary of a damaged snapshot; `None` when they are damaged as well.
    pub(crate) fn summary(&self, id: SnapshotId) -> Option<(u64, Vec<u8>)> {
        let (header, summary) = file::read_summary(&self.disk, &id.file_name()).ok()?;
        (header.id == id).then_some((header.timeline, summary))
    }

    /// Reads the state of the snapshot `id` if the manifest lists it.
    pub(crate) fn load_listed<S: StateMachine>(&self, id: SnapshotId) -> Result<Loaded<S>, Error> {
        self.check_listed(id)?;
        self.load(id, &mut || Ok(()))
    }

    /// Records the result of a verification in the manifest.
    pub(crate) fn set_integrity(
        &mut self,
        id: SnapshotId,
        integrity: Integrity,
    ) -> Result<(), Error> {
        let entry = self.manifest.get_mut(id)?;
        if std::mem::replace(&mut entry.integrity, integrity) == integrity {
            return Ok(());
        }
        self.write_unless_full()
    }

    /// Pins or unpins a snapshot.
    pub(crate) fn pin(&mut self, id: SnapshotId, pinned: bool) -> Result<(), Error> {
        self.manifest.get_mut(id)?.pinned = pinned;
        self.write()
    }

    /// The directory and a generation for a new snapshot. No generation is given twice.
    pub(crate) fn reserve(&mut self) -> (D, u64) {
        let generation = self.manifest.next_generation;
        self.manifest.next_generation += 1;
        (self.disk.clone(), generation)
    }

    /// Renames the verified file, lists the snapshot, and applies the retention policy. The last record that
    /// the snapshot covers must be durable.
    pub(crate) fn publish(
        &mut self,
        unpublished: Unpublished,
        wal: &Wal<D>,
    ) -> Result<Snapshot, Error> {
        let Unpublished { name: temporary, header, bytes, ran_ms, pinned, labels } = unpublished;
        let Header { id, timeline, created_ms, time_ms, origin, .. } = header;
        let name = id.file_name();
        self.disk.rename(&temporary, &name).on("rename", self.disk.describe(&temporary))?;
        self.disk.sync_dir().on("sync the directory of", self.disk.describe(&name))?;
        // The target of a restore is held for the RESTORE record, which will have this LSN or a later one.
        let restored_at = if origin == Origin::Taken { 0 } else { next_lsn(wal) };
        self.manifest.insert(ManifestEntry {
            lsn: id.lsn,
            generation: id.generation,
            timeline,
            bytes,
            created_ms,
            time_ms,
            integrity: Integrity::Whole,
            origin,
            pinned,
            labels,
            restored_at,
            undoes: 0,
            ran_ms,
        });
        self.apply_retention(wal)?;
        self.list().into_iter().find(|kept| kept.id == id).ok_or(Error::NoSuchSnapshot { id })
    }

    /// The decision about each snapshot, oldest first. Changes nothing.
    pub(crate) fn plan(&self, wal: &Wal<D>) -> Vec<Decision> {
        plan(&self.manifest, &self.retention, |lsn| wal.size_after(lsn)).decisions
    }

    /// The decisions without regard to the log's size: one that does not fit was retired before.
    fn reasons(&self) -> Vec<Decision> {
        plan(&self.manifest, &self.retention, |_| LogSize::default()).decisions
    }

    /// Retires snapshots as decided, removes the files of those retired before, and drops log. Returns the
    /// decisions.
    pub(crate) fn apply_retention(&mut self, wal: &Wal<D>) -> Result<Vec<Decision>, Error> {
        let Plan { decisions, log_after, is_shortened } =
            plan(&self.manifest, &self.retention, |lsn| wal.size_after(lsn));
        let retired = std::mem::take(&mut self.manifest.retired);
        for decision in decisions.iter().filter(|decision| !decision.reason.stays()) {
            self.manifest.retire(decision.id);
        }
        self.manifest.is_shortened = is_shortened;
        self.manifest.log_after = self.manifest.log_after.max(log_after.map_or(0, Lsn::get));
        self.write()?;
        for (lsn, generation) in retired {
            let name = SnapshotId { lsn, generation }.file_name();
            self.disk.discard(&name).on("remove", self.disk.describe(&name))?;
        }
        if let Some(lsn) = log_after {
            wal.drop_through(lsn)?;
        }
        Ok(decisions)
    }

    /// All snapshots, oldest first.
    pub(crate) fn list(&self) -> Vec<Snapshot> {
        let describe = |(entry, decision): (&ManifestEntry, Decision)| Snapshot {
            id: entry.id(),
            timeline: entry.timeline,
            bytes: entry.bytes,
            created_ms: entry.created_ms,
            time_ms: entry.time_ms,
            integrity: entry.integrity,
            origin: entry.origin,
            pinned: entry.pinned,
            labels: entry.labels.clone(),
            kept_because: decision.reason,
        };
        self.manifest.entries.iter().zip(self.reasons()).map(describe).collect()
    }

    /// Holds `id` and every other snapshot of its state for as long as the log may be replayed over the
    /// RESTORE record at `lsn`. Holds `undo` until the next restore.
    pub(crate) fn hold(
        &mut self,
        id: SnapshotId,
        undo: Option<SnapshotId>,
        lsn: u64,
    ) -> Result<(), Error> {
        if let Some(undo) = undo {
            self.manifest.get_mut(undo)?.undoes = lsn;
        }
        self.check_listed(id)?;
        let changed = self.mark_held(id, lsn) || undo.is_some();
        if changed { self.write() } else { Ok(()) }
    }

    /// Holds the snapshots that replayed RESTORE records name, which a rebuilt manifest does not know.
    pub(crate) fn hold_named(&mut self, restores: &[(SnapshotId, u64)]) -> Result<(), Error> {
        let mut changed = false;
        for (id, lsn) in restores {
            changed |= self.mark_held(*id, *lsn);
        }
        if changed { self.write_unless_full() } else { Ok(()) }
    }

    fn mark_held(&mut self, id: SnapshotId, lsn: u64) -> bool {
        let mut changed = false;
        for entry in &mut self.manifest.entries {
            let same = entry.id() == id || (id.lsn > 0 && entry.lsn == id.lsn);
            if same && entry.restored_at < lsn {
                entry.restored_at = lsn;
                changed = true;
            }
        }
        changed
    }

    /// Retires `id`, or returns [`Error::Needed`].
    pub(crate) fn delete(&mut self, id: SnapshotId) -> Result<(), Error> {
        let entry = self.manifest.get(id).ok_or(Error::NoSuchSnapshot { id })?;
        let decided = self.reasons().into_iter().find(|decision| decision.id == id);
        let why = match decided.map(|decision| decision.reason) {
            Some(RetentionReason::Newest) => "it is the newest whole snapshot",
            _ if self.manifest.may_replay(entry.restored_at) => {
                "a RESTORE record in the log needs it"
            }
            _ if entry.pinned => "it is pinned",
            // Without it, the log up to the next snapshot would continue none, and that part of the window is lost.
            Some(RetentionReason::OpensWindow) => "the restore window begins with it",
            _ => {
                self.manifest.retire(id);
                return self.write();
            }
        };
        Err(Error::Needed { id, why })
    }

    /// A list that is updated with every change.
    pub(crate) fn listing(&self) -> Arc<Mutex<Listing>> {
        self.update_listing();
        Arc::clone(&self.listing)
    }

    fn update_listing(&self) {
        let ran_ms = self.manifest.entries.iter().map(|entry| entry.ran_ms).max().unwrap_or(0);
        let listing = Listing { snapshots: self.list(), window: self.window(), ran_ms };
        *self.listing.lock() = listing;
    }

    fn write(&self) -> Result<(), Error> {
        let written = self.manifest.write(&self.disk);
        self.update_listing();
        written
    }

    /// Writes the manifest, or leaves that to the next start if the disk is full. A full disk must not
    /// prevent a start, and the next start finds the same again.
    fn write_unless_full(&self) -> Result<(), Error> {
        match self.write() {
            Err(Error::Log(error)) if error.is_no_space() => Ok(()),
            other => other,
        }
    }
}

fn next_lsn<D: Disk>(wal: &Wal<D>) -> u64 {
    wal.last().map_or(1, |last| last.get() + 1)
}

/// A copy of the list for readers: reads never wait for the disk; changes do.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) window: RestoreWindow,
    /// The greatest running time at which one of the snapshots was taken, in ms.
    pub(crate) ran_ms: u64,
}
