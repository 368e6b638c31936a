//! Prepared segments: files that become the next segment when they get a header and a name.

use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::plant::planted;
use crate::segment::segment_name;
use crate::spare_manifest::SpareManifest;

/// How many dropped segments are kept for reuse.
const RETIRED_MAX: usize = 2;

/// Spare manifests that no segment may take: one for the clean stop, one for a drop.
const SPARE_MANIFESTS_KEPT: usize = 2;

/// Zeros are synced after so many bytes. A disk that gets 64 MiB at once makes every commit wait
/// for all of them.
const SYNC_EVERY_BYTES: u64 = 4 << 20;
static ZEROS: [u8; 1 << 18] = [0; 1 << 18];

/// Everything the next segment needs of the disk.
pub(crate) struct Spare<F> {
    pub(crate) segment: SpareSegment<F>,
    /// For the manifest that will name it.
    pub(crate) manifest: SpareManifest<F>,
}

impl<F: DiskFile> Spare<F> {
    pub(crate) fn bytes(&self) -> u64 {
        self.segment.bytes
    }

    /// Removes both files.
    pub(crate) fn discard<D: Disk<File = F>>(self, disk: &D) -> Result<(), Error> {
        self.segment.discard(disk)?;
        self.manifest.discard(disk)
    }
}

/// A file of the length of a segment.
pub(crate) struct SpareSegment<F> {
    pub(crate) file: F,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// It was a segment before, so old frames may follow the new ones.
    pub(crate) reused: bool,
}

impl<F: DiskFile> SpareSegment<F> {
    /// Writes a segment of `bytes` zeros: no later sync on the commit path commits a change of the
    /// file's size or extents.
    ///
    /// `number` makes the name unique: a segment that is being activated still has that of a spare.
    fn make<D>(disk: &D, number: u64, bytes: u64) -> Result<Self, Error>
    where
        D: Disk<File = F>,
    {
        let name = format!("spare-{number}.tmp");
        let describe = || disk.describe(&name);
        let file = disk.create(&name).on("create", describe)?;
        let zeros = || {
            let mut offset = 0;
            while offset < bytes {
                let count = (bytes - offset).min(ZEROS.len() as u64);
                file.write_at(offset, &ZEROS[..usize::try_from(count).unwrap_or(ZEROS.len())])?;
                offset += count;
                if offset.is_multiple_of(SYNC_EVERY_BYTES) || offset == bytes {
                    file.sync()?;
                }
            }
            Ok(())
        };
        let written = zeros().on("write", describe);
        if written.is_err() {
            // Best effort: the next open removes the rest.
            let _ = disk.discard(&name);
        }
        written.map(|()| Self { file, name, bytes, reused: false })
    }

    fn discard<D: Disk<File = F>>(self, disk: &D) -> Result<(), Error> {
        disk.discard(&self.name).on("remove", || disk.describe(&self.name))
    }
}

/// Whether a prepared segment or manifest may have this name.
pub(crate) fn is_spare_name(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some_and(|stem| {
        let number =
            ["spare-", "retired-", "MANIFEST-"].iter().find_map(|of| stem.strip_prefix(of));
        number.is_some_and(|number| number.parse::<u64>().is_ok())
    })
}

/// Supplies spares: from dropped segments, or else from new files.
pub(crate) struct Pool<F> {
    retired: Vec<SpareSegment<F>>,
    manifests: Vec<SpareManifest<F>>,
    made: u64,
}

impl<F: DiskFile> Pool<F> {
    pub(crate) fn new() -> Self {
        Self { retired: Vec::new(), manifests: Vec::new(), made: 0 }
    }

    /// A spare of at least `bytes`; leaves a spare manifest for a stop and one for a drop.
    pub(crate) fn take<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        bytes: u64,
    ) -> Result<Spare<F>, Error> {
        self.stock_manifests(disk, SPARE_MANIFESTS_KEPT + 1)?;
        let segment = match self.retired.pop_if(|segment| segment.bytes >= bytes) {
            Some(segment) => segment,
            None => SpareSegment::make(disk, self.number(), bytes)?,
        };
        let manifest = self.take_manifest(disk, SPARE_MANIFESTS_KEPT)?;
        Ok(Spare { segment, manifest })
    }

    /// The spare manifest of an orderly stop.
    pub(crate) fn manifest_for_stop<D>(&mut self, disk: &D) -> Result<SpareManifest<F>, Error>
    where
        D: Disk<File = F>,
    {
        self.take_manifest(disk, 0)
    }

    /// The spare manifest of a drop, which leaves that of a stop.
    pub(crate) fn manifest_for_drop<D>(&mut self, disk: &D) -> Result<SpareManifest<F>, Error>
    where
        D: Disk<File = F>,
    {
        let kept = if planted("drop-takes-the-spare-manifest-of-a-stop") {
            0
        } else {
            SPARE_MANIFESTS_KEPT - 1
        };
        self.take_manifest(disk, kept)
    }

    /// Replaces the spare manifest that a drop has taken, if there is space.
    pub(crate) fn restock_manifests<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), Error> {
        match self.stock_manifests(disk, SPARE_MANIFESTS_KEPT) {
            Err(error) if error.is_no_space() => Ok(()),
            other => other,
        }
    }

    /// Takes the file of a segment that the manifest no longer names: it is kept for reuse, or
    /// removed.
    pub(crate) fn retire<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        number: u64,
        bytes: u64,
    ) -> Result<(), Error> {
        let segment = segment_name(number);
        let describe = || disk.describe(&segment);
        // A smaller file would only make for more segments.
        if bytes < disk.segment_bytes_max() || self.retired.len() == RETIRED_MAX {
            return disk.remove(&segment).on("remove", describe);
        }
        let name = format!("retired-{number}.tmp");
        disk.rename(&segment, &name).on("rename", describe)?;
        // A file with a second hard link (`cp -l`) is part of a copy and must not change. Checked only
        // now, because no copy takes a file under this name for a segment.
        match disk.open(&name).and_then(|file| Ok((file.has_single_link()?, file))) {
            Ok((true, file)) => self.retired.push(SpareSegment { file, name, bytes, reused: true }),
            _ => disk.remove(&name).on("remove", describe)?,
        }
        Ok(())
    }

    /// Removes all prepared files.
    pub(crate) fn drain<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), Error> {
        self.retired.drain(..).try_for_each(|segment| segment.discard(disk))?;
        self.manifests.drain(..).try_for_each(|manifest| manifest.discard(disk))
    }

    /// Makes spare manifests until there are `count`.
    fn stock_manifests<D: Disk<File = F>>(&mut self, disk: &D, count: usize) -> Result<(), Error> {
        while self.manifests.len() < count {
            let manifest = SpareManifest::make(disk, self.number())?;
            self.manifests.push(manifest);
        }
        Ok(())
    }

    /// Takes a spare manifest; makes a new one rather than take one of the last `kept`.
    fn take_manifest<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        kept: usize,
    ) -> Result<SpareManifest<F>, Error> {
        let free = self.manifests.len() > kept;
        match if free { self.manifests.pop() } else { None } {
            Some(manifest) => Ok(manifest),
            None => SpareManifest::make(disk, self.number()),
        }
    }

    fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}
