//! Writes the new log of a salvage.

use std::io;

use super::lossy_reader::LossyReader;
use super::segment_set::SegmentSet;
use super::{FrameRange, Run};
use crate::disk::{DirEntry, Disk, DiskFile, LOCK_NAME};
use crate::error::{Error, OnFile};
use crate::frame::{FrameBuffer, FrameContext, FrameKind, Salt};
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::manifest::Manifest;
use crate::reader::FrameReader;
use crate::recover::{Access, ReplayFrom, scan};
use crate::segment::{LogEnd, SegmentHeader, StoreId, segment_name, segment_number};
use crate::twin::{Twin, TwinFile};

/// Stands in for the manifest until the new log is complete. A log with it does not open.
const UNFINISHED: TwinFile = TwinFile { name: Manifest::NAME, magic: *b"ICNWALS\0" };

/// Writes `run` into `target` as a new log of `store`.
pub(super) fn rebuild<D: Disk>(
    source: &D,
    target: &D,
    set: &SegmentSet,
    run: &Run,
    store: StoreId,
    next_lsn: u64,
) -> Result<(), Error> {
    // Checked before locking: LOCK must not appear in a directory of another purpose.
    leftovers(target)?;
    let _lock = match target.lock() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(Error::Locked { directory: target.describe("") });
        }
        other => other.on("lock", || target.describe("LOCK"))?,
    };
    let leftovers = leftovers(target)?;
    UNFINISHED.replace(target, &[])?;
    for name in leftovers {
        target.discard(&name).on("remove", || target.describe(&name))?;
    }
    let mut log = Rebuild {
        source,
        target,
        header: SegmentHeader {
            store,
            // Numbers of the old log are not reused, so that no file of one log fits the other.
            number: set.highest_segment,
            incarnation: set.highest_incarnation.saturating_add(1),
            first_lsn: 0,
            first_frame: 1,
            reused: false,
            previous: LogEnd { segment: 0, end: 0, lsn: run.after },
            salt: Salt::default(),
            time_ms: 0,
            bytes: 0,
        },
        next_frame: 1,
    };
    let oldest = set.highest_segment + 1;
    let nothing =
        [FrameRange { first_lsn: run.after + 1, last_lsn: run.after, ..FrameRange::default() }];
    // A log has at least one segment.
    let ranges = if run.ranges.is_empty() { &nothing[..] } else { &run.ranges };
    for (index, range) in ranges.iter().enumerate() {
        log.segment(range, index + 1 == ranges.len())?;
    }
    target.sync_dir().on("sync the directory of", || target.describe(""))?;
    let manifest = Manifest {
        store,
        incarnation: log.header.incarnation,
        oldest,
        newest: log.header.number,
        clean: log.header.previous,
        next_lsn,
    };
    manifest.write(target)?;
    check(target, run)
}

/// The files of an unfinished salvage in `target`; an error if anything else is there.
fn leftovers<D: Disk>(target: &D) -> Result<Vec<String>, Error> {
    let entries = target.list().on("list", || target.describe(""))?;
    let unfinished = matches!(UNFINISHED.read(target)?, Twin::Content(..));
    let ours = |DirEntry { name, not_regular }: &DirEntry| {
        let temporary = name.strip_suffix(".tmp") == Some(Manifest::NAME);
        let segment = segment_number(name).is_some() || name == Manifest::NAME;
        not_regular.is_none() && (name == LOCK_NAME || temporary || (unfinished && segment))
    };
    if !entries.iter().all(ours) {
        let source = io::Error::new(io::ErrorKind::AlreadyExists, "it is not empty");
        return Err(Error::Io { action: "salvage into", file: target.describe(""), source });
    }
    let names = entries.into_iter().map(|entry| entry.name);
    Ok(names.filter(|name| segment_number(name).is_some()).collect())
}

/// Reads the new log back from the disk and compares it with `run`.
fn check<D: Disk>(target: &D, run: &Run) -> Result<(), Error> {
    let mut pass = |_: crate::Record<'_>| std::ops::ControlFlow::Continue(());
    let found = scan(target, Access::ConcurrentWriter, ReplayFrom::Oldest, &mut pass)?.recovery;
    if (found.replayed, found.first_lsn, found.last_lsn) == (run.records, run.first_lsn, run.end())
    {
        return Ok(());
    }
    let source = io::Error::other("the records read back differ from those written");
    Err(Error::Io { action: "check", file: target.describe(""), source })
}

/// The new log, while its segments are written.
struct Rebuild<'a, D> {
    source: &'a D,
    target: &'a D,
    /// The header of the current segment; between two segments, what the next one continues.
    header: SegmentHeader,
    next_frame: u64,
}

impl<D: Disk> Rebuild<'_, D> {
    /// Writes one segment with the records of `range`; the last one ends with a seal.
    fn segment(&mut self, range: &FrameRange, last: bool) -> Result<(), Error> {
        self.header.number += 1;
        self.header.first_lsn = range.first_lsn;
        self.header.first_frame = self.next_frame;
        self.header.time_ms = range.time_ms;
        let salt = &mut self.header.salt;
        self.target.random(salt).on("make a salt for", || self.target.describe(""))?;
        let name = segment_name(self.header.number);
        let describe = || self.target.describe(&name);
        let file = self.target.create(&name).on("create", describe)?;

        let mut place = FrameContext {
            salt: &self.header.salt,
            offset: SEGMENT_HEADER_BYTES,
            first_lsn: range.first_lsn,
            number: self.next_frame,
            durable: SEGMENT_HEADER_BYTES,
            time_ms: range.time_ms,
        };
        if range.end > 0 {
            self.copy(range, &file, &name, &mut place)?;
        }
        if last {
            file.sync().on("sync", describe)?;
            place.durable = place.offset;
            write(FrameBuffer::new(), FrameKind::Seal, &file, &mut place).on("write", describe)?;
        }
        let end = place.offset;
        self.next_frame = place.number;
        self.header.bytes = end;
        file.write_at(0, &self.header.encode()).on("write", describe)?;
        file.sync().on("sync", describe)?;
        file.drop_cache(0).on("drop the cache of", describe)?;
        self.header.previous = LogEnd { segment: self.header.number, end, lsn: range.last_lsn };
        Ok(())
    }

    /// Writes the records of `range`: the same frames, with new checksums and frame numbers.
    fn copy(
        &self,
        range: &FrameRange,
        file: &D::File,
        name: &str,
        place: &mut FrameContext<'_>,
    ) -> Result<(), Error> {
        let mut reader = self.reader(range)?;
        while reader.offset < range.end {
            let Ok((frame, mut records)) = reader.next_frame()? else {
                let source = io::Error::other("its content has changed since it was scanned");
                let file = self.source.describe(&range.name);
                return Err(Error::Io { action: "read again", file, source });
            };
            let mut buffer = FrameBuffer::new();
            while let Some(Ok(record)) = records.next_record() {
                buffer.push(record);
            }
            if !buffer.is_empty() {
                place.time_ms = frame.time_ms;
                write(buffer, FrameKind::Data, file, place)
                    .on("write", || self.target.describe(name))?;
            }
        }
        Ok(())
    }

    fn reader(&self, range: &FrameRange) -> Result<FrameReader<LossyReader<D::File>>, Error> {
        let name = self.source.describe(&range.name);
        let file = self.source.open(&range.name).on("open", || name.clone())?;
        let mut reader = FrameReader::new(LossyReader(file), name, range.salt, range.end);
        reader.rewind(range.start);
        Ok(reader)
    }
}

/// Writes a frame at `place` and advances `place` past it.
fn write<F: DiskFile>(
    mut frame: FrameBuffer,
    kind: FrameKind,
    file: &F,
    place: &mut FrameContext<'_>,
) -> io::Result<()> {
    let bytes = frame.finish(place, kind);
    file.write_at(place.offset, bytes)?;
    place.offset += bytes.len() as u64;
    place.number += 1;
    place.first_lsn += u64::from(frame.records());
    Ok(())
}
