//! From segment to segment, and where the last one ends: torn, or damaged?

use std::ops::ControlFlow;

use super::{Access, Kept, Lent, Record, Scan};
use crate::chain::damage;
use crate::damage::Reason;
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::frame::{FrameFault, FrameKind};
use crate::limits::{SECTOR_BYTES, SEGMENT_HEADER_BYTES};
use crate::list::Segment;
use crate::lsn::Lsn;
use crate::plant::planted;
use crate::reader::{Beyond, FrameReader};
use crate::segment::{Link, SegmentHeader, segment_name};

/// Reads the segments of the chain one after the other, and says where the log ends.
pub(super) struct Walk<'a, D> {
    pub(super) disk: &'a D,
    pub(super) access: Access,
    pub(super) clean: Link,
    pub(super) after: u64,
    pub(super) lent: &'a mut Lent,
    pub(super) visit: &'a mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
    pub(super) scan: Scan,
}

impl<D: Disk> Walk<'_, D> {
    /// Reads one segment. `successor` is where the next segment says that this one ends.
    pub(super) fn segment(
        &mut self,
        header: &SegmentHeader,
        successor: Option<Link>,
    ) -> Result<(), Error> {
        let number = header.number;
        let name = segment_name(number);
        let describe = || self.disk.describe(&name);
        let file = self.disk.open(&name).on("open", describe)?;
        let size = file.size().on("read", describe)?;
        let continues = header.previous == self.scan.end
            && header.first_lsn >= self.scan.next_lsn.max(header.previous.lsn + 1)
            && header.first_frame >= self.scan.next_frame;
        if !continues {
            return Err(damage(self.disk, number, 0, Reason::OutOfSequence));
        }
        self.scan.next_lsn = header.first_lsn;
        self.scan.next_frame = header.first_frame;
        self.scan.time_ms = self.scan.time_ms.max(header.time_ms);
        // Nothing proves the tail durable: after kill -9 it may exist in memory only, and after a failed
        // sync memory may show what the disk does not hold.
        let unproven = self.access == Access::Exclusive && successor.is_none();
        if unproven && !planted("tail-believed-without-sync") {
            file.sync().on("sync", describe)?;
        }
        let end = successor.map_or(size, |link| link.end.min(size));
        let mut reader = FrameReader::new(file, describe(), header.salt, end);
        if unproven && !planted("tail-believed-from-the-cache") {
            reader.drop_unproven()?;
        }
        let mut last = Last { durable: SEGMENT_HEADER_BYTES, ..Last::default() };
        let before = self.scan.next_lsn;
        let (stop, beyond) = loop {
            let offset = reader.offset;
            if self.frame(number, &mut reader, &mut last)?.is_ok() {
                if last.found.sealed && successor.is_none() {
                    break (reader.offset, None);
                }
            } else if successor.is_some() {
                break (offset, None);
            } else {
                let beyond = reader.survey(offset, self.scan.next_frame)?;
                // A writer may have gone on since the frame was read. What the frames behind it
                // call durable was there before them, so that a second look must find it.
                reader.rewind(offset);
                let grown = self.access == Access::ConcurrentWriter
                    && beyond.durable > offset
                    && self.frame(number, &mut reader, &mut last)?.is_ok();
                if !grown {
                    break (offset, Some(beyond));
                }
            }
        };
        let lsn = if last.frames > 0 && self.scan.next_lsn > before {
            self.scan.next_lsn - 1
        } else {
            self.scan.end.lsn
        };
        if let Some(link) = successor {
            if stop != link.end && !planted("gap-between-segments-accepted") {
                return Err(damage(self.disk, number, stop, Reason::DamagedBeforeSuccessor));
            }
            if lsn != link.lsn {
                return Err(damage(self.disk, number, stop, Reason::OutOfSequence));
            }
        } else if let Some(beyond) = beyond {
            if planted("recovery-cuts-before-it-judges") {
                let file = self.disk.open(&name).on("open", describe)?;
                file.write_at(stop, &[0; SECTOR_BYTES]).on("write", describe)?;
            }
            self.judge_tail(header, stop, beyond)?;
        }
        self.scan.recovery.clean = last.found.sealed;
        self.scan.unproven = successor.is_none()
            && !planted("end-left-unproven")
            && (last.records_end > last.durable || self.scan.recovery.torn_bytes > 0);
        self.scan.recovery.bytes += size;
        // What a reused segment holds behind its header may be old frames or a torn first one. Where
        // no frame ever came, the next segment passes this one over: nothing leads to it then.
        let unused = last.frames == 0 && self.scan.recovery.torn_bytes == 0 && !header.reused;
        if !unused || successor.is_some() {
            self.scan.end = Link { segment: number, end: stop, lsn };
            self.scan.recovery.segments += 1;
            self.scan.kept.push(Kept { number, last_lsn: lsn, bytes: size });
        }
        self.scan.recovery.last_lsn = lsn;
        self.scan.segments.push(Segment {
            number,
            incarnation: header.incarnation,
            bytes: size,
            used_bytes: stop,
            torn_bytes: self.scan.recovery.torn_bytes,
            ..last.found
        });
        Ok(())
    }

    fn frame(
        &mut self,
        number: u64,
        reader: &mut FrameReader<D::File>,
        last: &mut Last,
    ) -> Result<Result<(), FrameFault>, Error> {
        let frame_offset = reader.offset;
        let (header, mut records) = match reader.next_frame()? {
            Ok(frame) => frame,
            Err(fault) => return Ok(Err(fault)),
        };
        let continues = header.first_lsn == self.scan.next_lsn
            && header.number == self.scan.next_frame
            && header.time_ms >= self.scan.time_ms
            && header.durable >= last.durable
            && !last.found.sealed;
        if !continues {
            return Err(damage(self.disk, number, frame_offset, Reason::OutOfSequence));
        }
        let mut lsn = header.first_lsn;
        while let Some(record) = records.next_record() {
            let (Ok(bytes), Some(at)) = (record, Lsn::new(lsn)) else {
                return Err(damage(self.disk, number, frame_offset, Reason::RecordsMalformed));
            };
            if self.scan.recovery.first_lsn == 0 {
                self.scan.recovery.first_lsn = lsn;
            }
            if lsn > self.after {
                *self.lent = Lent { last: Some(at), count: self.lent.count + 1 };
                let time_ms = header.time_ms;
                let record = Record { lsn: at, time_ms, segment: number, frame_offset, bytes };
                if (self.visit)(record).is_break() {
                    return Err(Error::Stopped { lsn: at });
                }
            }
            last.found.record_bytes += bytes.len() as u64;
            lsn += 1;
        }
        if lsn - header.first_lsn != u64::from(header.records) {
            return Err(damage(self.disk, number, frame_offset, Reason::RecordsMalformed));
        }
        if header.records > 0 {
            let found = &mut last.found;
            if found.records == 0 {
                (found.first_lsn, found.first_ms) = (header.first_lsn, header.time_ms);
            }
            (found.last_lsn, found.last_ms) = (lsn - 1, header.time_ms);
            found.records += u64::from(header.records);
            last.records_end = reader.offset;
        }
        self.scan.next_lsn = lsn;
        self.scan.next_frame = header.number + 1;
        self.scan.time_ms = header.time_ms;
        last.durable = header.durable;
        last.found.sealed = header.kind == FrameKind::Seal;
        last.frames += 1;
        Ok(Ok(()))
    }

    /// The newest segment ends at `stop` without a seal: torn, or damaged?
    fn judge_tail(
        &mut self,
        header: &SegmentHeader,
        stop: u64,
        beyond: Beyond,
    ) -> Result<(), Error> {
        let number = header.number;
        if planted("every-bad-tail-is-torn") {
            return Ok(());
        }
        if self.clean.segment == number && stop < self.clean.end && !planted("clean-stop-ignored") {
            return Err(damage(self.disk, number, stop, Reason::DamagedBeforeCleanStop));
        }
        if beyond.durable > stop {
            return Err(damage(self.disk, number, stop, Reason::DamagedBeforeDurableMark));
        }
        self.scan.recovery.torn_bytes = if header.reused { beyond.framed } else { beyond.bytes };
        // A record that left a trace keeps its number: whoever saw the trace must never meet
        // another record under it.
        if !planted("number-of-a-torn-record-given-again") {
            self.scan.next_lsn = self.scan.next_lsn.max(beyond.next_lsn);
        }
        self.scan.next_frame += beyond.frames;
        Ok(())
    }
}

/// What the frames of a segment have told so far.
#[derive(Default)]
struct Last {
    durable: u64,
    frames: u64,
    /// Where the last one with records ends.
    records_end: u64,
    found: Segment,
}
