//! Follows a log as it grows.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::chain::{chain, check_size, damage, read_header};
use crate::damage::{Damage, Reason};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::frame::{FrameHeader, Records};
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::lsn::Lsn;
use crate::manifest::Manifest;
use crate::reader::FrameReader;
use crate::recover::{Record, ReplayFrom, is_outdated};
use crate::segment::{SegmentHeader, segment_name, segment_number};

/// Reads a log as it grows, without its lock, through rotations, drops and restarts of its writer.
///
/// It passes on only records that no crash can take back: those that a later frame, a later segment
/// or an orderly stop proves durable. Proof comes with the writer's next frame, at the latest with
/// its [note](crate::Wal::note). Records that a crash left unproven are passed on once the next
/// start has written. A follower never waits and reads no clock: the caller decides when to poll
/// again.
pub struct Follower<D: Disk> {
    disk: D,
    from: ReplayFrom,
    /// The last LSN that was visited, or that the caller does not want.
    after: u64,
    position: Option<Position<D::File>>,
}

type Visit<'a> = &'a mut dyn FnMut(Record<'_>) -> ControlFlow<()>;

/// A position in the log.
struct Position<F> {
    header: SegmentHeader,
    reader: FrameReader<F>,
    /// Frames before this offset have been visited. The next frame must have these numbers.
    visited: u64,
    next_lsn: u64,
    next_frame: u64,
    /// Frames before this offset are valid.
    seen: u64,
    /// Frames before this offset are durable.
    proven: u64,
    /// Whether the tail has been searched for proof that a frame before it is damaged. The search
    /// reads the whole segment, so it is done once. Later damage is detected when the next segment
    /// states where this one ends.
    searched: bool,
}

impl<D: Disk> Follower<D> {
    /// A follower of the log in `disk` from `from` on. Neither the log nor the record need exist
    /// yet.
    #[must_use]
    pub fn new(disk: D, from: ReplayFrom) -> Self {
        let after = if let ReplayFrom::After(lsn) = from { lsn.get() } else { 0 };
        Self { disk, from, after, position: None }
    }

    /// Passes every record to `visit` that has been proven durable since the last poll. The next
    /// poll continues after the last visited record, also after an error.
    ///
    /// # Errors
    /// - [`Error::Missing`] when records that were not visited yet have been dropped.
    /// - [`Error::Behind`] when the log ends before the last visited record.
    /// - [`Error::Stopped`] when `visit` broke off.
    /// - [`Error::Corrupt`], [`Error::Format`], [`Error::Io`]. A write in progress is no damage.
    pub fn poll(
        &mut self,
        mut visit: impl FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let Some(manifest) = Manifest::read(&self.disk)? else { return Ok(()) };
        match self.advance(&manifest, &mut visit) {
            Err(error) if self.changed_by_writer(&error, &manifest)? => Ok(()),
            other => other,
        }
    }

    /// Whether a concurrent writer caused an error; then the next poll finds the new state. A
    /// writer changes the manifest before it removes or reuses the file of a segment.
    fn changed_by_writer(&self, error: &Error, before: &Manifest) -> Result<bool, Error> {
        let dropped = |now: &Manifest| match error {
            Error::Corrupt(Damage { segment, .. }) => *segment < now.oldest,
            _ => false,
        };
        let now = Manifest::read(&self.disk)?;
        Ok(now != Some(*before) && (is_outdated(error) || now.as_ref().is_some_and(dropped)))
    }

    fn advance(&mut self, manifest: &Manifest, visit: Visit<'_>) -> Result<(), Error> {
        let current = self.position.as_ref().map_or(0, |here| here.header.number);
        if current > manifest.newest {
            return Err(self.behind_error(manifest.next_lsn.saturating_sub(1)));
        }
        let chain = if current == manifest.newest { Vec::new() } else { self.chain(manifest)? };
        for next in chain.iter().filter(|header| header.number > current) {
            self.finish_segment(next, manifest.oldest, visit)?;
            self.enter_segment(next, manifest.newest)?;
        }
        self.visit_newest(visit)
    }

    /// The segments of the log, from the oldest to the newest.
    fn chain(&self, manifest: &Manifest) -> Result<Vec<SegmentHeader>, Error> {
        let mut headers = BTreeMap::new();
        let entries = self.disk.list().on("list", || self.disk.describe(""))?;
        let range = manifest.oldest..=manifest.newest;
        for number in entries.iter().filter_map(|entry| segment_number(&entry.name)) {
            if range.contains(&number)
                && let Some(header) = read_header(&self.disk, number, &manifest.store)?
            {
                headers.insert(number, header);
            }
        }
        let chain = chain(&self.disk, manifest, &headers, 0)?;
        Ok(chain.iter().map(|number| headers[number]).collect())
    }

    /// Moves to the first frame of a segment.
    fn enter_segment(&mut self, header: &SegmentHeader, newest: u64) -> Result<(), Error> {
        let known = self.position.as_ref().map_or(0, |here| here.next_lsn - 1).max(self.after);
        let anywhere = self.position.is_none() && self.from == ReplayFrom::Oldest;
        if header.previous.lsn > known && !anywhere {
            return Err(Error::Missing { wanted: known + 1, first: header.first_lsn });
        }
        let name = segment_name(header.number);
        let describe = || self.disk.describe(&name);
        let file = self.disk.open(&name).on("open", describe)?;
        let size = file.size().on("read", describe)?;
        if header.number == newest {
            check_size(&self.disk, header, size, None)?;
        }
        self.position = Some(Position {
            header: *header,
            reader: FrameReader::new(file, describe(), header.salt, size),
            visited: SEGMENT_HEADER_BYTES,
            next_lsn: header.first_lsn,
            next_frame: header.first_frame,
            seen: SEGMENT_HEADER_BYTES,
            proven: SEGMENT_HEADER_BYTES,
            searched: false,
        });
        Ok(())
    }

    /// Visits the rest of the current segment, now that `next` states where it ends. Does nothing
    /// when `next` does not continue it: then it was never used, or has been dropped.
    fn finish_segment(
        &mut self,
        next: &SegmentHeader,
        oldest: u64,
        visit: Visit<'_>,
    ) -> Result<(), Error> {
        let Some(here) = self.position.as_mut() else { return Ok(()) };
        let link = next.previous;
        let number = here.header.number;
        if link.segment != number {
            return Ok(());
        }
        here.proven = link.end;
        match self.visit_proven(Reason::DamagedBeforeSuccessor, visit) {
            // The segment was dropped, and its file may have been reused.
            Err(Error::Corrupt(_)) if number < oldest => return Ok(()),
            other => other?,
        }
        match &self.position {
            Some(here) if here.visited > link.end => Err(self.behind_error(link.lsn)),
            _ => Ok(()),
        }
    }

    /// Visits the frames of the newest segment that are proven durable.
    fn visit_newest(&mut self, visit: Visit<'_>) -> Result<(), Error> {
        let Some(here) = self.position.as_mut() else { return Ok(()) };
        here.reader.rewind(here.seen);
        let lost = loop {
            if let Ok((header, _)) = here.reader.next_frame()? {
                here.seen = header.end;
                here.proven = here.proven.max(header.durable);
                continue;
            }
            if here.searched {
                break false;
            }
            here.searched = true;
            let tail = here.reader.inspect_tail(here.seen, here.header.first_frame)?;
            here.reader.rewind(here.seen);
            // A header proves what precedes it, even if its own body is not written yet.
            here.proven = here.proven.max(tail.durable.min(here.seen));
            if tail.durable <= here.seen {
                break false;
            }
            // The writer may have written more in between. Frames that a later frame calls durable
            // were written before it, so a second read finds them.
            if here.reader.next_frame()?.is_err() {
                break true;
            }
            here.reader.rewind(here.seen);
        };
        let number = here.header.number;
        let seen = here.seen;
        let reason = Reason::DamagedBeforeDurableMark;
        self.visit_proven(reason, visit)?;
        if lost { Err(damage(&self.disk, number, seen, reason)) } else { Ok(()) }
    }

    /// Visits the frames that are proven durable and were not visited yet. One that is invalid is
    /// damaged, for `reason`.
    fn visit_proven(&mut self, reason: Reason, visit: Visit<'_>) -> Result<(), Error> {
        let Some(here) = self.position.as_mut() else { return Ok(()) };
        here.reader.rewind(here.visited);
        while here.visited < here.proven {
            let number = here.header.number;
            let wrong = |reason| damage(&self.disk, number, here.visited, reason);
            let Ok((header, records)) = here.reader.next_frame()? else {
                return Err(wrong(reason));
            };
            if (header.first_lsn, header.number) != (here.next_lsn, here.next_frame) {
                return Err(wrong(Reason::OutOfSequence));
            }
            let place = (number, here.visited);
            let next_lsn = visit_frame(&header, records, place, &mut self.after, visit)?;
            here.next_lsn = next_lsn.ok_or_else(|| wrong(Reason::RecordsMalformed))?;
            here.next_frame = header.number + 1;
            here.visited = header.end;
        }
        Ok(())
    }

    fn behind_error(&self, last: u64) -> Error {
        Error::Behind { known: Lsn::new(self.after).unwrap_or(Lsn::FIRST), last }
    }
}

/// Visits the records of a frame after LSN `after`. Returns the LSN of the next record, or `None`
/// when the frame does not divide into its records.
fn visit_frame(
    header: &FrameHeader,
    mut records: Records<'_>,
    (segment, frame_offset): (u64, u64),
    after: &mut u64,
    visit: Visit<'_>,
) -> Result<Option<u64>, Error> {
    let mut next = header.first_lsn;
    while let Some(record) = records.next_record() {
        let (Ok(bytes), Some(lsn)) = (record, Lsn::new(next)) else { return Ok(None) };
        if next > *after {
            *after = next;
            let time_ms = header.time_ms;
            if visit(Record { lsn, time_ms, segment, frame_offset, bytes }).is_break() {
                return Err(Error::Stopped { lsn });
            }
        }
        next += 1;
    }
    Ok((next - header.first_lsn == u64::from(header.records)).then_some(next))
}
