//! Rebuilding a lost manifest from the snapshot files.

use icn_wal::disk::{Disk, DiskFile};

use crate::error::{Error, OnFile};
use crate::file;
use crate::id::SnapshotId;
use crate::integrity::Integrity;
use crate::labels::Labels;
use crate::manifest::{Manifest, ManifestEntry};
use crate::origin::Origin;

/// A manifest of all snapshot files, each of them pinned and held. Which ones were pinned, and which ones
/// a RESTORE record needs, was known to the lost manifest only.
pub(super) fn rebuild<D: Disk>(disk: &D) -> Result<Manifest, Error> {
    let mut manifest = Manifest::default();
    for name in plain_files(disk)? {
        let Some(id) = SnapshotId::from_file_name(&name) else { continue };
        let file = disk.open(&name).on("open", disk.describe(&name))?;
        let bytes = file.size().on("read", disk.describe(&name))?;
        let (header, integrity) = match file::read_header(disk, &name) {
            Ok(header) => (Some(header), Integrity::Unchecked),
            Err(Error::Unusable { .. }) => (None, Integrity::Damaged),
            Err(error) => return Err(error),
        };
        manifest.next_generation = manifest.next_generation.max(id.generation + 1);
        manifest.insert(ManifestEntry {
            lsn: id.lsn,
            generation: id.generation,
            timeline: header.map_or(0, |header| header.timeline),
            bytes,
            created_ms: header.map_or(0, |header| header.created_ms),
            time_ms: header.map_or(0, |header| header.time_ms),
            integrity,
            origin: header.map_or(Origin::Taken, |header| header.origin),
            pinned: true,
            labels: Labels::default(),
            restored_at: 0,
            undoes: 0,
            ran_ms: 0,
        });
    }
    let newest = manifest.entries.last().map_or(0, |entry| entry.lsn);
    for entry in &mut manifest.entries {
        // The latest LSN of a RESTORE record that may name it and that the next replay does not read.
        entry.restored_at = newest + 1;
    }
    // Older snapshots may be restore points without a log; after the newest one the log is there.
    manifest.log_after = newest;
    Ok(manifest)
}

/// Completes a manifest that is older than the files, as in a copy of a store in use. Files that it lists are
/// gone, and it does not list all others. Each of those was verified when it was written, and will be when it
/// is read.
pub(super) fn adopt<D: Disk>(disk: &D, mut manifest: Manifest) -> Result<Manifest, Error> {
    let names = plain_files(disk)?;
    let gone = |entry: &ManifestEntry| !names.contains(&entry.id().file_name());
    if !manifest.entries.iter().any(gone) {
        return Ok(manifest);
    }
    // The restore window must not begin with one of them.
    manifest.entries.iter_mut().filter(|entry| gone(entry)).for_each(|entry| {
        entry.integrity = Integrity::Damaged;
    });
    let ran_ms = manifest.entries.iter().map(|entry| entry.ran_ms).max().unwrap_or(0);
    let since = manifest.next_generation;
    for name in names {
        let newer = SnapshotId::from_file_name(&name).filter(|id| id.generation >= since);
        let Some(id) = newer else { continue };
        let header = match file::read_header(disk, &name) {
            Ok(header) => header,
            Err(error @ Error::Newer { .. }) => return Err(error),
            Err(_) => continue,
        };
        let file = disk.open(&name).on("open", disk.describe(&name))?;
        let bytes = file.size().on("read", disk.describe(&name))?;
        if header.id != id || header.store != manifest.store || header.origin == Origin::Imported {
            continue;
        }
        manifest.next_generation = manifest.next_generation.max(id.generation + 1);
        manifest.insert(ManifestEntry {
            lsn: id.lsn,
            generation: id.generation,
            timeline: header.timeline,
            bytes,
            created_ms: header.created_ms,
            time_ms: header.time_ms,
            integrity: Integrity::Unchecked,
            origin: header.origin,
            pinned: false,
            labels: Labels::default(),
            restored_at: 0,
            undoes: 0,
            ran_ms,
        });
    }
    Ok(manifest)
}

/// The names of the regular files. Other kinds of directory entries are left alone.
pub(super) fn plain_files<D: Disk>(disk: &D) -> Result<Vec<String>, Error> {
    let entries = disk.list().on("list", disk.describe(""))?;
    let plain = entries.into_iter().filter(|entry| entry.not_regular.is_none());
    Ok(plain.map(|entry| entry.name).collect())
}
