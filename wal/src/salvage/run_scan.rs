//! Scans the segments of a damaged log for runs of readable records.

use std::ops::RangeInclusive;

use super::segment_set::{Candidate, SegmentSet};
use super::{FrameRange, Run, Skipped};
use crate::damage::Reason;
use crate::disk::Disk;
use crate::error::Error;
use crate::frame::{FrameFault, FrameHeader, FrameKind, Records};
use crate::limits::{RECORD_HEADER_BYTES, SEGMENT_BYTES_MAX};
use crate::segment::LogEnd;

/// More records than any segment can hold.
const SEGMENT_RECORDS_MAX: u64 = SEGMENT_BYTES_MAX / RECORD_HEADER_BYTES as u64;

/// The runs found so far, and what the next frame must continue.
#[derive(Default)]
pub(super) struct RunScan {
    pub(super) runs: Vec<Run>,
    pub(super) missing: Vec<RangeInclusive<u64>>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) torn_bytes: u64,
    /// The LSN after which the log begins.
    pub(super) begin: u64,
    pub(super) next_lsn: u64,
    /// The last LSN that is known to have been given out before the next frame.
    last_lsn: u64,
    /// The least numbers of the next frame; an LSN of 0 stands for any.
    expected_lsn: u64,
    expected_frame: u64,
    time_ms: u64,
    /// Something was lost before the first LSN that is known.
    lost_at_start: bool,
    /// Whether the last run continues: the next record in sequence belongs to it.
    run_open: bool,
    /// The LSN after which the next run begins.
    run_after: u64,
}

impl RunScan {
    /// Scans the segments of `set`.
    pub(super) fn of<D: Disk>(disk: &D, set: &mut SegmentSet) -> Result<Self, Error> {
        let mut scan = Self {
            skipped: std::mem::take(&mut set.skipped),
            next_lsn: set.next_lsn,
            ..Self::default()
        };
        for (index, candidate) in set.segments.iter().enumerate() {
            if candidate.header_valid {
                scan.enter_segment(candidate, index == 0);
            }
            let successor = set.segments.get(index + 1).filter(|next| next.header_valid);
            let successor = successor.map(|next| next.header.previous);
            let successor = successor.filter(|link| link.segment == candidate.header.number);
            let newest = set.manifest.map_or(u64::MAX, |manifest| manifest.newest);
            // Where a successor is lost, unused bytes may have been cut off.
            let least = match successor {
                Some(link) => link.end,
                None if candidate.header.number == newest => candidate.header.bytes,
                None => 0,
            };
            if candidate.header_valid && candidate.size < least {
                let bytes = least - candidate.size;
                let reason = Reason::SegmentResized;
                scan.skipped.push(candidate.skipped(disk, candidate.size, bytes, reason));
            }
            let clean = set.manifest.map(|manifest| manifest.clean).unwrap_or_default();
            let clean = (clean.segment == candidate.header.number).then_some(clean);
            scan.read_segment(disk, candidate, EndEvidence { successor, clean, beyond: None })?;
            if let Some(clean) = clean {
                scan.expect_lsn(clean.lsn.saturating_add(1));
            }
        }
        if (set.lost_before || scan.lost_at_start) && scan.begin > 0 {
            scan.missing.insert(0, 1..=scan.begin);
        }
        let cut = set.segments.last().is_some_and(|candidate| {
            candidate.header_valid && candidate.size < candidate.header.bytes
        });
        let lost = set.lost_after.unwrap_or(1).max(u64::from(cut));
        scan.next_lsn = scan.next_lsn.max(scan.expected_lsn);
        let nothing = set.segments.is_empty() && scan.skipped.is_empty();
        if lost > 0 && !nothing {
            scan.add_missing(scan.expected_lsn.max(1)..=u64::MAX);
        }
        // The LSNs of lost segments are unknown, but their number is bounded.
        let bound = lost.saturating_mul(SEGMENT_RECORDS_MAX);
        scan.next_lsn = scan.next_lsn.saturating_add(bound);
        scan.skipped.sort_by_key(|skipped| (skipped.damage.segment, skipped.damage.offset));
        Ok(scan)
    }

    /// Moves to a segment whose valid header states what precedes it.
    fn enter_segment(&mut self, candidate: &Candidate, first: bool) {
        let header = &candidate.header;
        let before = header.previous.lsn;
        if first {
            self.begin = before;
            self.run_after = before;
            self.last_lsn = before;
            self.expected_lsn = before.saturating_add(1);
        } else if before >= self.expected_lsn {
            self.expect_lsn(before.saturating_add(1));
        } else if before != self.last_lsn {
            // It continues other records than those found: another history.
            self.close_run(self.expected_lsn - 1);
        }
        // LSNs in between were never given out.
        self.expected_lsn = self.expected_lsn.max(header.first_lsn);
        self.expected_frame = self.expected_frame.max(header.first_frame);
    }

    /// States that the next record has this LSN: LSNs before it that were not found are missing.
    fn expect_lsn(&mut self, lsn: u64) {
        if lsn <= self.expected_lsn {
            return;
        }
        if self.expected_lsn == 0 {
            // The first LSN that is known of the log.
            self.begin = lsn - 1;
            self.run_after = lsn - 1;
        } else {
            self.add_missing(self.expected_lsn..=lsn - 1);
            self.close_run(lsn - 1);
        }
        self.last_lsn = lsn - 1;
        self.expected_lsn = lsn;
    }

    fn add_missing(&mut self, lsns: RangeInclusive<u64>) {
        match self.missing.last_mut() {
            Some(last) if last.end() + 1 == *lsns.start() => *last = *last.start()..=*lsns.end(),
            _ => self.missing.push(lsns),
        }
    }

    fn close_run(&mut self, after: u64) {
        self.run_open = false;
        self.run_after = after;
    }

    fn read_segment<D: Disk>(
        &mut self,
        disk: &D,
        candidate: &Candidate,
        mut end: EndEvidence,
    ) -> Result<(), Error> {
        let stop = end.successor.map_or(candidate.size, |link| link.end.min(candidate.size));
        let mut reader = candidate.reader(disk, stop)?;
        loop {
            let offset = reader.offset;
            let fault = match reader.next_frame()? {
                Ok((header, records)) => {
                    match self.admit(&header, records) {
                        Ok(()) => self.extend_run(candidate, &header, offset),
                        Err(reason) => {
                            let bytes = header.end - offset;
                            self.skipped.push(candidate.skipped(disk, offset, bytes, reason));
                        }
                    }
                    if header.kind == FrameKind::Seal && end.successor.is_none() {
                        return Ok(());
                    }
                    continue;
                }
                Err(fault) => fault,
            };
            let Some((reason, until)) = self.find_proof(disk, candidate, &mut end, offset)? else {
                return Ok(());
            };
            // The reader has passed a frame whose body alone is damaged: its length is valid.
            if fault != FrameFault::Body {
                reader.offset = offset + 8;
            }
            let next = reader.seek()?;
            let until = if next.is_some() { reader.offset } else { until };
            self.skipped.push(candidate.skipped(disk, offset, until - offset, reason));
            self.lost_at_start |= self.expected_lsn == 0;
            match next {
                Some(header) => self.expect_lsn(header.first_lsn),
                None => return Ok(()),
            }
        }
    }

    /// The evidence that there was a frame at `offset`, and up to where; `None` when the log may
    /// end there.
    fn find_proof<D: Disk>(
        &mut self,
        disk: &D,
        candidate: &Candidate,
        end: &mut EndEvidence,
        offset: u64,
    ) -> Result<Option<(Reason, u64)>, Error> {
        if let Some(link) = end.successor {
            let before = offset < link.end;
            return Ok(before.then_some((Reason::DamagedBeforeSuccessor, link.end)));
        }
        if let Some(clean) = end.clean.filter(|clean| offset < clean.end) {
            return Ok(Some((Reason::DamagedBeforeCleanStop, clean.end)));
        }
        let (used, durable) = match end.beyond {
            Some(known) => known,
            None => {
                let found = candidate
                    .reader(disk, candidate.size)?
                    .inspect_tail(offset, self.expected_frame)?;
                self.next_lsn = self.next_lsn.max(found.next_lsn);
                let used = found.torn_bytes(candidate.header.reused);
                *end.beyond.insert((offset + used, found.durable))
            }
        };
        if offset < durable {
            return Ok(Some((Reason::DamagedBeforeDurableMark, used)));
        }
        self.torn_bytes += used.saturating_sub(offset);
        Ok(None)
    }

    /// Accepts a frame with valid checksums if it is in sequence.
    fn admit(&mut self, header: &FrameHeader, mut records: Records<'_>) -> Result<(), Reason> {
        let continues = header.first_lsn >= self.expected_lsn
            && header.first_lsn > 0
            && header.number >= self.expected_frame
            && header.time_ms >= self.time_ms;
        if !continues {
            return Err(Reason::OutOfSequence);
        }
        let mut count = 0;
        while let Some(record) = records.next_record() {
            record.map_err(|_| Reason::RecordsMalformed)?;
            count += 1;
        }
        if count != header.records {
            return Err(Reason::RecordsMalformed);
        }
        self.expect_lsn(header.first_lsn);
        self.expected_frame = header.number.saturating_add(1);
        self.time_ms = header.time_ms;
        Ok(())
    }

    /// Adds the frame at `offset` of `candidate`, which is in sequence, to the run.
    fn extend_run(&mut self, candidate: &Candidate, header: &FrameHeader, offset: u64) {
        let end = header.end;
        let last_lsn = header.first_lsn.saturating_add(u64::from(header.records)) - 1;
        if !self.run_open && header.records > 0 {
            self.run_open = true;
            self.runs.push(Run {
                after: self.run_after,
                first_lsn: header.first_lsn,
                first_ms: header.time_ms,
                ..Run::default()
            });
        }
        let Some(run) = self.runs.last_mut().filter(|_| self.run_open) else { return };
        let here = run
            .ranges
            .last_mut()
            .filter(|range| range.name == candidate.name && range.end == offset);
        match here {
            Some(range) => (range.end, range.last_lsn) = (end, last_lsn),
            None if header.records == 0 => return,
            None => run.ranges.push(FrameRange {
                name: candidate.name.clone(),
                salt: candidate.header.salt,
                start: offset,
                end,
                first_lsn: header.first_lsn,
                last_lsn,
                time_ms: header.time_ms,
            }),
        }
        if header.records > 0 {
            run.records += u64::from(header.records);
            run.last_lsn = last_lsn;
            run.last_ms = header.time_ms;
        }
        self.last_lsn = last_lsn;
        self.expected_lsn = last_lsn.saturating_add(1);
    }
}

/// Evidence for where the frames of a segment end.
struct EndEvidence {
    successor: Option<LogEnd>,
    clean: Option<LogEnd>,
    /// The end of the bytes that are not zero, and the furthest durable mark of any frame header.
    beyond: Option<(u64, u64)>,
}
