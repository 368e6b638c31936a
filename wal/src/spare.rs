//! Segments in waiting: files with room, that become the next segment when they get a header and a
//! name.

use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::segment::segment_name;

/// How many segments that were dropped wait to be used again.
const RETIRED_MAX: usize = 2;

/// Zeros are synced so many at a time: a disk that is handed 64 MiB at once lets every commit wait for
/// all of them.
const PIECE_BYTES: u64 = 4 << 20;
static ZEROS: [u8; 1 << 18] = [0; 1 << 18];

/// One of them.
pub(crate) struct Spare<F> {
    pub(crate) file: F,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// It was a segment before: behind its next frames there will be old ones.
    pub(crate) reused: bool,
}

impl<F: DiskFile> Spare<F> {
    /// Makes room for a segment of `bytes` by writing zeros: no sync on the commit path will have
    /// to commit a change of the file's size or of its extents.
    ///
    /// `number` is for its name: a segment that is just being activated still has that of a spare.
    pub(crate) fn write<D>(disk: &D, number: u64, bytes: u64) -> Result<Self, Error>
    where
        D: Disk<File = F>,
    {
        let name = format!("spare-{number}.tmp");
        let describe = || disk.describe(&name);
        disk.discard(&name).on("remove", describe())?;
        let file = disk.create(&name).on("create", describe())?;
        let zeros = || {
            let mut offset = 0;
            while offset < bytes {
                let count = (bytes - offset).min(ZEROS.len() as u64);
                file.write_at(offset, &ZEROS[..usize::try_from(count).unwrap_or(ZEROS.len())])?;
                offset += count;
                if offset.is_multiple_of(PIECE_BYTES) || offset == bytes {
                    file.sync()?;
                }
            }
            Ok(())
        };
        let written = zeros().on("write", describe());
        if written.is_err() {
            // Best effort: what is left is removed at the next open.
            let _ = disk.discard(&name);
        }
        written.map_err(no_space)?;
        Ok(Self { file, name, bytes, reused: false })
    }

    /// Gives the room back.
    pub(crate) fn discard<D: Disk<File = F>>(self, disk: &D) -> Result<(), Error> {
        disk.discard(&self.name).on("remove", disk.describe(&self.name))
    }
}

/// A full disk is told apart: nothing is wrong with it.
fn no_space(error: Error) -> Error {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error {
        Error::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded) => {
            Error::NoSpace { source }
        }
        other => other,
    }
}

/// Whether a spare may have this name.
pub(crate) fn is_spare_name(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some_and(|stem| {
        let number = stem.strip_prefix("spare-").or_else(|| stem.strip_prefix("retired-"));
        number.is_some_and(|number| number.parse::<u64>().is_ok())
    })
}

/// Where spares come from: segments that were dropped, or else new files.
pub(crate) struct Pool<F> {
    retired: Vec<Spare<F>>,
    written: u64,
}

impl<F: DiskFile> Pool<F> {
    pub(crate) fn new() -> Self {
        Self { retired: Vec::new(), written: 0 }
    }

    /// A spare of at least `bytes`.
    pub(crate) fn take<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        bytes: u64,
    ) -> Result<Spare<F>, Error> {
        if let Some(spare) = self.retired.pop_if(|spare| spare.bytes >= bytes) {
            return Ok(spare);
        }
        self.written += 1;
        Spare::write(disk, self.written, bytes)
    }

    /// Takes the file of a segment that the manifest does not name any more: it is kept to be used
    /// again, or removed.
    pub(crate) fn retire<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        number: u64,
        bytes: u64,
    ) -> Result<(), Error> {
        let segment = segment_name(number);
        let describe = || disk.describe(&segment);
        // A smaller one would only make for more segments.
        if bytes < disk.segment_bytes_max() || self.retired.len() == RETIRED_MAX {
            return disk.remove(&segment).on("remove", describe());
        }
        let name = format!("retired-{number}.tmp");
        disk.rename(&segment, &name).on("rename", describe())?;
        // Whoever has made another name for it (`cp -l`) counts on what is in it. Asked now, because
        // nobody looks for a segment under this name.
        match disk.open(&name).and_then(|file| Ok((file.has_one_name()?, file))) {
            Ok((true, file)) => self.retired.push(Spare { file, name, bytes, reused: true }),
            _ => disk.remove(&name).on("remove", describe())?,
        }
        Ok(())
    }

    /// Gives all the room back.
    pub(crate) fn drain<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), Error> {
        self.retired.drain(..).try_for_each(|spare| spare.discard(disk))
    }
}
