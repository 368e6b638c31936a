//! Segments in waiting: files with room, that become the next segment when they get a header and a
//! name.

use crate::blank::Blank;
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::plant::planted;
use crate::segment::segment_name;

/// How many segments that were dropped wait to be used again.
const RETIRED_MAX: usize = 2;

/// Blanks that no segment takes: for the mark of a stop, and for a drop.
const BLANKS_KEPT: usize = 2;

/// Zeros are synced so many at a time: a disk that is handed 64 MiB at once lets every commit wait for
/// all of them.
const PIECE_BYTES: u64 = 4 << 20;
static ZEROS: [u8; 1 << 18] = [0; 1 << 18];

/// All that the next segment needs of the disk.
pub(crate) struct Spare<F> {
    pub(crate) room: Room<F>,
    /// For the manifest that will name it.
    pub(crate) blank: Blank<F>,
}

impl<F: DiskFile> Spare<F> {
    pub(crate) fn bytes(&self) -> u64 {
        self.room.bytes
    }

    /// Gives the room back.
    pub(crate) fn discard<D: Disk<File = F>>(self, disk: &D) -> Result<(), Error> {
        self.room.discard(disk)?;
        self.blank.discard(disk)
    }
}

/// A file that is as long as a segment.
pub(crate) struct Room<F> {
    pub(crate) file: F,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// It was a segment before: behind its next frames there will be old ones.
    pub(crate) reused: bool,
}

impl<F: DiskFile> Room<F> {
    /// Makes room for a segment of `bytes` by writing zeros: no sync on the commit path will have
    /// to commit a change of the file's size or of its extents.
    ///
    /// `number` is for its name: a segment that is just being activated still has that of a spare.
    fn write<D>(disk: &D, number: u64, bytes: u64) -> Result<Self, Error>
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
                if offset.is_multiple_of(PIECE_BYTES) || offset == bytes {
                    file.sync()?;
                }
            }
            Ok(())
        };
        let written = zeros().on("write", describe);
        if written.is_err() {
            // Best effort: what is left is removed at the next open.
            let _ = disk.discard(&name);
        }
        written.map(|()| Self { file, name, bytes, reused: false })
    }

    fn discard<D: Disk<File = F>>(self, disk: &D) -> Result<(), Error> {
        disk.discard(&self.name).on("remove", || disk.describe(&self.name))
    }
}

/// Whether something in waiting may have this name.
pub(crate) fn is_spare_name(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some_and(|stem| {
        let number =
            ["spare-", "retired-", "MANIFEST-"].iter().find_map(|of| stem.strip_prefix(of));
        number.is_some_and(|number| number.parse::<u64>().is_ok())
    })
}

/// Where spares come from: segments that were dropped, or else new files.
pub(crate) struct Pool<F> {
    retired: Vec<Room<F>>,
    blanks: Vec<Blank<F>>,
    made: u64,
}

impl<F: DiskFile> Pool<F> {
    pub(crate) fn new() -> Self {
        Self { retired: Vec::new(), blanks: Vec::new(), made: 0 }
    }

    /// A spare of at least `bytes`; there are blanks for a stop and for a drop besides.
    pub(crate) fn take<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        bytes: u64,
    ) -> Result<Spare<F>, Error> {
        self.stock(disk, BLANKS_KEPT + 1)?;
        let room = match self.retired.pop_if(|room| room.bytes >= bytes) {
            Some(room) => room,
            None => Room::write(disk, self.number(), bytes)?,
        };
        let blank = self.blank(disk, BLANKS_KEPT)?;
        Ok(Spare { room, blank })
    }

    /// The blank of an orderly stop.
    pub(crate) fn blank_for_stop<D>(&mut self, disk: &D) -> Result<Blank<F>, Error>
    where
        D: Disk<File = F>,
    {
        self.blank(disk, 0)
    }

    /// The blank of a drop, which leaves that of a stop.
    pub(crate) fn blank_for_drop<D>(&mut self, disk: &D) -> Result<Blank<F>, Error>
    where
        D: Disk<File = F>,
    {
        let kept = if planted("drop-takes-the-blank-of-a-stop") { 0 } else { BLANKS_KEPT - 1 };
        self.blank(disk, kept)
    }

    /// Makes up for the blank that a drop has taken, if there is room.
    pub(crate) fn restock<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), Error> {
        match self.stock(disk, BLANKS_KEPT) {
            Err(error) if error.is_no_space() => Ok(()),
            other => other,
        }
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
            return disk.remove(&segment).on("remove", describe);
        }
        let name = format!("retired-{number}.tmp");
        disk.rename(&segment, &name).on("rename", describe)?;
        // Whoever has made another name for it (`cp -l`) counts on what is in it. Asked now, because
        // nobody looks for a segment under this name.
        match disk.open(&name).and_then(|file| Ok((file.has_one_name()?, file))) {
            Ok((true, file)) => self.retired.push(Room { file, name, bytes, reused: true }),
            _ => disk.remove(&name).on("remove", describe)?,
        }
        Ok(())
    }

    /// Gives all the room back.
    pub(crate) fn drain<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), Error> {
        self.retired.drain(..).try_for_each(|room| room.discard(disk))?;
        self.blanks.drain(..).try_for_each(|blank| blank.discard(disk))
    }

    /// Sees to so many blanks.
    fn stock<D: Disk<File = F>>(&mut self, disk: &D, count: usize) -> Result<(), Error> {
        while self.blanks.len() < count {
            let blank = Blank::make(disk, self.number())?;
            self.blanks.push(blank);
        }
        Ok(())
    }

    /// A blank that is no one of the last `kept`.
    fn blank<D: Disk<File = F>>(&mut self, disk: &D, kept: usize) -> Result<Blank<F>, Error> {
        let free = self.blanks.len() > kept;
        match if free { self.blanks.pop() } else { None } {
            Some(blank) => Ok(blank),
            None => Blank::make(disk, self.number()),
        }
    }

    fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}
