//! Replays the chain of segments and finds where the last one ends.

use std::ops::ControlFlow;

use super::{Access, KeptSegment, Record, Scan, SegmentInfo, Visited};
use crate::chain::{check_size, damage};
use crate::damage::{Damage, Reason};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::frame::{FrameFault, FrameKind};
use crate::limits::{BLOCK_BYTES, SECTOR_BYTES, SEGMENT_HEADER_BYTES};
use crate::lsn::Lsn;
use crate::plant::planted;
use crate::reader::FrameReader;
use crate::segment::{LogEnd, SegmentHeader, segment_name};
use crate::slack::Slack;

/// Reads the segments of the chain, one after the other.
pub(super) struct Replay<'a, D> {
    pub(super) disk: &'a D,
    pub(super) access: Access,
    pub(super) clean: LogEnd,
    pub(super) after: u64,
    pub(super) visited: &'a mut Visited,
    pub(super) visit: &'a mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
    pub(super) scan: Scan,
}

impl<D: Disk> Replay<'_, D> {
    /// Begins the log with this segment.
    pub(super) fn begin_at(&mut self, oldest: &SegmentHeader) {
        self.scan.next_lsn = oldest.first_lsn;
        self.scan.next_frame = oldest.first_frame;
        self.scan.end = oldest.previous;
        self.scan.kept.clear();
        self.scan.segments.clear();
        let recovery = &mut self.scan.recovery;
        (recovery.first_lsn, recovery.first_ms) = (0, 0);
        (recovery.segments, recovery.bytes) = (0, 0);
        self.scan.slack.clear();
    }

    /// Whether a segment that has a successor is too short, or nothing at all follows its valid frames. So is a
    /// copy that was made while the segment was removed or written. Bytes that follow would be damage.
    pub(super) fn is_cut_short(
        &self,
        header: &SegmentHeader,
        damage: &Damage,
    ) -> Result<bool, Error> {
        if damage.segment != header.number {
            return Ok(false);
        }
        let name = segment_name(header.number);
        let describe = || self.disk.describe(&name);
        let file = self.disk.open(&name).on("open", describe)?;
        let size = file.size().on("read", describe)?;
        match damage.reason {
            Reason::SegmentResized => return Ok(size < header.bytes),
            Reason::DamagedBeforeSuccessor => {}
            _ => return Ok(false),
        }
        let mut reader = FrameReader::new(file, describe(), header.salt, size);
        let tail = reader.inspect_tail(damage.offset, self.scan.next_frame)?;
        Ok(tail.frames == 0 && (header.reused || tail.bytes == 0))
    }

    /// Reads one segment. `successor` is where the next segment says that this one ends.
    pub(super) fn segment(
        &mut self,
        header: &SegmentHeader,
        successor: Option<LogEnd>,
    ) -> Result<(), Error> {
        let number = header.number;
        let name = segment_name(number);
        let describe = || self.disk.describe(&name);
        let file = self.disk.open(&name).on("open", describe)?;
        let size = file.size().on("read", describe)?;
        check_size(self.disk, header, size, successor)?;
        let continues = header.previous == self.scan.end
            && header.first_lsn >= self.scan.next_lsn.max(header.previous.lsn + 1)
            && header.first_frame >= self.scan.next_frame;
        if !continues {
            return Err(damage(self.disk, number, 0, Reason::OutOfSequence));
        }
        self.scan.next_lsn = header.first_lsn;
        self.scan.next_frame = header.first_frame;
        self.scan.time_ms = self.scan.time_ms.max(header.time_ms);
        // No frame proves the tail durable. After kill -9 it may exist in the page cache only; after a
        // failed sync the page cache may differ from the disk.
        let unproven = self.access == Access::Exclusive && successor.is_none();
        if unproven && !planted("tail-believed-without-sync") {
            file.sync().on("sync", describe)?;
        }
        let end = successor.map_or(size, |link| link.end.min(size));
        let mut reader = FrameReader::new(file, describe(), header.salt, end);
        if unproven && !planted("tail-believed-from-the-cache") {
            reader.drop_unproven()?;
        }
        let mut progress = Progress { durable: SEGMENT_HEADER_BYTES, ..Progress::default() };
        let before = self.scan.next_lsn;
        let (stop, tail) = loop {
            let offset = reader.offset;
            if self.frame(number, &mut reader, &mut progress)?.is_ok() {
                if progress.info.sealed && successor.is_none() {
                    break (reader.offset, None);
                }
            } else if successor.is_some() {
                break (offset, None);
            } else {
                let tail = reader.inspect_tail(offset, self.scan.next_frame)?;
                // A concurrent writer may have written more since the frame was read. Frames that a
                // later frame calls durable were written before it, so a second read finds them.
                reader.rewind(offset);
                let grown = self.access == Access::ConcurrentWriter
                    && tail.durable > offset
                    && self.frame(number, &mut reader, &mut progress)?.is_ok();
                if !grown {
                    break (offset, Some(tail));
                }
            }
        };
        let lsn = if progress.frames > 0 && self.scan.next_lsn > before {
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
        } else if let Some(tail) = tail {
            if planted("recovery-cuts-before-it-judges") {
                let file = self.disk.open(&name).on("open", describe)?;
                file.write_at(stop, &[0; SECTOR_BYTES]).on("write", describe)?;
            }
            self.judge_tail(header, stop, tail)?;
        }
        self.scan.recovery.clean = progress.info.sealed;
        self.add_slack(header, stop, size, successor.is_some())?;
        self.scan.unproven = successor.is_none()
            && !planted("end-left-unproven")
            && (progress.records_end > progress.durable || self.scan.recovery.torn_bytes > 0);
        // A segment gets its name for its first frame, so one without frames may have lost it.
        self.scan.recovery.end_proven = progress.frames > 0 && !self.scan.unproven;
        self.scan.recovery.bytes += size;
        // In a reused segment, old frames cannot be told from a torn first one, so it is kept. A new
        // segment without a frame is not: the next segment continues the one before it.
        let unused = progress.frames == 0 && self.scan.recovery.torn_bytes == 0 && !header.reused;
        if !unused || successor.is_some() {
            self.scan.end = LogEnd { segment: number, end: stop, lsn };
            self.scan.recovery.segments += 1;
            self.scan.kept.push(KeptSegment { number, last_lsn: lsn, bytes: size });
        }
        self.scan.recovery.last_lsn = lsn;
        self.scan.segments.push(SegmentInfo {
            number,
            incarnation: header.incarnation,
            bytes: size,
            used_bytes: stop,
            torn_bytes: self.scan.recovery.torn_bytes,
            ..progress.info
        });
        Ok(())
    }

    /// Finds what may be cut off the segment, whose frames end at `stop`. A torn tail stays.
    fn add_slack(
        &mut self,
        header: &SegmentHeader,
        stop: u64,
        size: u64,
        has_successor: bool,
    ) -> Result<(), Error> {
        let number = header.number;
        if self.access != Access::Exclusive || size <= stop.next_multiple_of(BLOCK_BYTES) {
            return Ok(());
        }
        let torn = if has_successor {
            let name = segment_name(number);
            let file = self.disk.open(&name).on("open", || self.disk.describe(&name))?;
            let mut reader = FrameReader::new(file, self.disk.describe(&name), header.salt, size);
            reader.inspect_tail(stop, self.scan.next_frame)?.torn_bytes(header.reused)
        } else {
            self.scan.recovery.torn_bytes
        };
        let keep = (stop + torn).next_multiple_of(BLOCK_BYTES);
        if keep < size {
            self.scan.slack.push(Slack { number, keep });
        }
        Ok(())
    }

    /// Reads the next frame and passes its records to the visitor; `Ok(Err)` when there is none.
    fn frame(
        &mut self,
        number: u64,
        reader: &mut FrameReader<D::File>,
        progress: &mut Progress,
    ) -> Result<Result<(), FrameFault>, Error> {
        let frame_offset = reader.offset;
        let (header, mut records) = match reader.next_frame()? {
            Ok(frame) => frame,
            Err(fault) => return Ok(Err(fault)),
        };
        let continues = header.first_lsn == self.scan.next_lsn
            && header.number == self.scan.next_frame
            && header.time_ms >= self.scan.time_ms
            && header.durable >= progress.durable
            && !progress.info.sealed;
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
                self.scan.recovery.first_ms = header.time_ms;
            }
            if lsn > self.after {
                *self.visited = Visited { last: Some(at), count: self.visited.count + 1 };
                let time_ms = header.time_ms;
                let record = Record { lsn: at, time_ms, segment: number, frame_offset, bytes };
                if (self.visit)(record).is_break() {
                    return Err(Error::Stopped { lsn: at });
                }
            }
            progress.info.record_bytes += bytes.len() as u64;
            lsn += 1;
        }
        if lsn - header.first_lsn != u64::from(header.records) {
            return Err(damage(self.disk, number, frame_offset, Reason::RecordsMalformed));
        }
        if header.records > 0 {
            let found = &mut progress.info;
            if found.records == 0 {
                found.first_lsn = header.first_lsn;
                found.first_ms = header.time_ms;
            }
            found.last_lsn = lsn - 1;
            found.last_ms = header.time_ms;
            found.records += u64::from(header.records);
            progress.records_end = reader.offset;
        }
        self.scan.next_lsn = lsn;
        self.scan.next_frame = header.number + 1;
        self.scan.time_ms = header.time_ms;
        progress.durable = header.durable;
        progress.info.sealed = header.kind == FrameKind::Seal;
        progress.frames += 1;
        Ok(Ok(()))
    }
}

/// What the frames of a segment have shown so far.
#[derive(Default)]
struct Progress {
    durable: u64,
    frames: u64,
    /// Where the last frame with records ends.
    records_end: u64,
    info: SegmentInfo,
}
