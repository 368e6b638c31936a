//! Manifests in waiting: files with room for one, so that naming a segment needs none.

use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::manifest::Manifest;

/// One of them.
///
/// It may be written into because this open has made it: a copy of the directory by hard links shares
/// it only under a name that the copy removes before anything is written there.
pub(crate) struct SpareManifest<F> {
    pub(crate) file: F,
    pub(crate) name: String,
}

impl<F: DiskFile> SpareManifest<F> {
    /// Makes one; `number` is for its name.
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
            // Best effort: what is left is removed at the next open.
            let _ = disk.discard(&name);
        }
        made.map(|()| Self { file, name })
    }

    /// Gives the room back.
    pub(crate) fn discard<D: Disk<File = F>>(self, disk: &D) -> Result<(), Error> {
        disk.discard(&self.name).on("remove", || disk.describe(&self.name))
    }
}
