//! Spare manifests: prepared files, so that naming a segment needs no free space.

use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::manifest::{FILE, Manifest};

/// A file with the length of a manifest, written and synced ahead.
///
/// Only the open that made it writes into it. A copy of the directory by hard links shares the file
/// only under its `.tmp` name. An open of the copy removes that name before it writes anything.
pub(crate) struct SpareManifest<F> {
    file: F,
    name: String,
}

impl<F: DiskFile> SpareManifest<F> {
    /// Makes one; `number` makes its name unique.
    pub(crate) fn make<D>(disk: &D, number: u64) -> Result<Self, Error>
    where
        D: Disk<File = F>,
    {
        let name = format!("MANIFEST-{number}.tmp");
        let describe = || disk.describe(&name);
        let file = disk.create(&name).on("create", describe)?;
        let zeros = [0; Manifest::FILE_BYTES];
        let made = file.write_at(0, &zeros).and_then(|()| file.sync()).on("write", describe);
        if made.is_err() {
            // Best effort: the next open removes the rest.
            let _ = disk.discard(&name);
        }
        made.map(|()| Self { file, name })
    }

    /// Removes the file.
    pub(crate) fn discard<D: Disk<File = F>>(self, disk: &D) -> Result<(), Error> {
        disk.discard(&self.name).on("remove", || disk.describe(&self.name))
    }
}

impl Manifest {
    /// Makes this the manifest by way of a spare one; needs no free space.
    pub(crate) fn write_into<D>(
        &self,
        disk: &D,
        spare: &SpareManifest<D::File>,
    ) -> Result<(), Error>
    where
        D: Disk,
    {
        FILE.replace_by(disk, &spare.file, &spare.name, &self.encode())
    }
}
