//! The records that can still be read, and where they do not continue one another.

use std::ops::RangeInclusive;

use super::spine::{Bone, Spine};
use super::{Piece, Run, Skipped};
use crate::damage::Reason;
use crate::disk::Disk;
use crate::error::Error;
use crate::frame::{FrameFault, FrameHeader, FrameKind, Records};
use crate::limits::{RECORD_HEADER_BYTES, SEGMENT_BYTES_MAX};
use crate::segment::Link;

/// More records than any segment can hold.
const SEGMENT_RECORDS_MAX: u64 = SEGMENT_BYTES_MAX / RECORD_HEADER_BYTES as u64;

/// What a log directory still tells.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) runs: Vec<Run>,
    pub(super) missing: Vec<RangeInclusive<u64>>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) torn_bytes: u64,
    /// The LSN behind which the log begins.
    pub(super) begin: u64,
    pub(super) next_lsn: u64,
    /// The last LSN that is known to have been given out before here.
    last: u64,
    /// What the next frame must say, at least; an LSN of 0 stands for any.
    lsn: u64,
    frame: u64,
    time_ms: u64,
    /// Something was lost before the first number that is known.
    blind: bool,
    /// The run that is going on: a record that is in its place belongs to it.
    open: bool,
    /// The LSN behind which the next run begins.
    behind: u64,
}

impl Survey {
    pub(super) fn of<D: Disk>(disk: &D, spine: &mut Spine) -> Result<Self, Error> {
        let mut survey = Self {
            skipped: std::mem::take(&mut spine.skipped),
            next_lsn: spine.next_lsn,
            ..Self::default()
        };
        for (index, bone) in spine.bones.iter().enumerate() {
            if bone.trusted {
                survey.join(bone, index == 0);
            }
            let successor = spine.bones.get(index + 1).filter(|next| next.trusted);
            let successor = successor.map(|next| next.header.previous);
            let successor = successor.filter(|link| link.segment == bone.header.number);
            let clean = spine.manifest.map(|manifest| manifest.clean).unwrap_or_default();
            let clean = (clean.segment == bone.header.number).then_some(clean);
            survey.segment(disk, bone, End { successor, clean, beyond: None })?;
            if let Some(clean) = clean {
                survey.expect(clean.lsn.saturating_add(1));
            }
        }
        if (spine.lost_before || survey.blind) && survey.begin > 0 {
            survey.missing.insert(0, 1..=survey.begin);
        }
        let cut =
            spine.bones.last().is_some_and(|bone| bone.trusted && bone.size < bone.header.bytes);
        let lost = spine.lost_behind.unwrap_or(1).max(u64::from(cut));
        survey.next_lsn = survey.next_lsn.max(survey.lsn);
        let nothing = spine.bones.is_empty() && survey.skipped.is_empty();
        if lost > 0 && !nothing {
            survey.miss(survey.lsn.max(1)..=u64::MAX);
        }
        // Nobody can tell the numbers that were given out there, but how many they can have been.
        let bound = lost.saturating_mul(SEGMENT_RECORDS_MAX);
        survey.next_lsn = survey.next_lsn.saturating_add(bound);
        survey.skipped.sort_by_key(|skipped| (skipped.damage.segment, skipped.damage.offset));
        Ok(survey)
    }

    /// Goes on to a segment whose header tells what came before.
    fn join(&mut self, bone: &Bone, first: bool) {
        let header = &bone.header;
        let before = header.previous.lsn;
        if first {
            (self.begin, self.behind, self.last) = (before, before, before);
            self.lsn = before.saturating_add(1);
        } else if before >= self.lsn {
            self.expect(before.saturating_add(1));
        } else if before != self.last {
            // It knows of other records than there are: another history.
            self.close(self.lsn - 1);
        }
        // Numbers between were never given out.
        self.lsn = self.lsn.max(header.first_lsn);
        self.frame = self.frame.max(header.first_frame);
    }

    /// The next record has this number: what lies before it and was not seen is missing.
    fn expect(&mut self, lsn: u64) {
        if lsn <= self.lsn {
            return;
        }
        if self.lsn == 0 {
            // The first that is known of the log.
            (self.begin, self.behind) = (lsn - 1, lsn - 1);
        } else {
            self.miss(self.lsn..=lsn - 1);
            self.close(lsn - 1);
        }
        (self.last, self.lsn) = (lsn - 1, lsn);
    }

    fn miss(&mut self, lsns: RangeInclusive<u64>) {
        match self.missing.last_mut() {
            Some(last) if last.end() + 1 == *lsns.start() => *last = *last.start()..=*lsns.end(),
            _ => self.missing.push(lsns),
        }
    }

    fn close(&mut self, behind: u64) {
        (self.open, self.behind) = (false, behind);
    }

    fn segment<D: Disk>(&mut self, disk: &D, bone: &Bone, mut end: End) -> Result<(), Error> {
        let stop = end.successor.map_or(bone.size, |link| link.end.min(bone.size));
        let mut reader = bone.reader(disk, stop)?;
        loop {
            let offset = reader.offset;
            let fault = match reader.next_frame()? {
                Ok((header, records)) => {
                    match self.admit(&header, records) {
                        Ok(()) => self.extend(bone, &header, offset),
                        Err(reason) => {
                            let bytes = header.frame_bytes() as u64;
                            self.skipped.push(bone.skipped(disk, offset, bytes, reason));
                        }
                    }
                    if header.kind == FrameKind::Seal && end.successor.is_none() {
                        return Ok(());
                    }
                    continue;
                }
                Err(fault) => fault,
            };
            let Some((reason, until)) = self.proof(disk, bone, &mut end, offset)? else {
                return Ok(());
            };
            // A frame whose body alone is damaged has been stepped over: its length is right.
            if fault != FrameFault::Body {
                reader.offset = offset + 8;
            }
            let next = reader.seek()?;
            let until = if next.is_some() { reader.offset } else { until };
            self.skipped.push(bone.skipped(disk, offset, until - offset, reason));
            self.blind |= self.lsn == 0;
            match next {
                Some(header) => self.expect(header.first_lsn),
                None => return Ok(()),
            }
        }
    }

    /// What proves that there was a frame at `offset`, and up to where; `None` when the log may
    /// just end there.
    fn proof<D: Disk>(
        &mut self,
        disk: &D,
        bone: &Bone,
        end: &mut End,
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
                let found = bone.reader(disk, bone.size)?.survey(offset, self.frame)?;
                self.next_lsn = self.next_lsn.max(found.next_lsn);
                let used = if bone.header.reused { found.framed } else { found.bytes };
                *end.beyond.insert((offset + used, found.durable))
            }
        };
        if offset < durable {
            return Ok(Some((Reason::DamagedBeforeDurableMark, used)));
        }
        self.torn_bytes += used.saturating_sub(offset);
        Ok(None)
    }

    /// Takes a frame whose checksums are right.
    fn admit(&mut self, header: &FrameHeader, mut records: Records<'_>) -> Result<(), Reason> {
        let continues = header.first_lsn >= self.lsn
            && header.first_lsn > 0
            && header.number >= self.frame
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
        self.expect(header.first_lsn);
        (self.frame, self.time_ms) = (header.number.saturating_add(1), header.time_ms);
        Ok(())
    }

    /// Puts the frame at `offset` of `bone`, which is in its place, into the run.
    fn extend(&mut self, bone: &Bone, header: &FrameHeader, offset: u64) {
        let end = offset + header.frame_bytes() as u64;
        let last_lsn = header.first_lsn.saturating_add(u64::from(header.records)) - 1;
        if !self.open && header.records > 0 {
            self.open = true;
            let (after, first_lsn, first_ms) = (self.behind, header.first_lsn, header.time_ms);
            self.runs.push(Run { after, first_lsn, first_ms, ..Run::default() });
        }
        let Some(run) = self.runs.last_mut().filter(|_| self.open) else { return };
        let here =
            run.pieces.last_mut().filter(|piece| piece.name == bone.name && piece.end == offset);
        match here {
            Some(piece) => (piece.end, piece.last_lsn) = (end, last_lsn),
            None if header.records == 0 => return,
            None => run.pieces.push(Piece {
                name: bone.name.clone(),
                salt: bone.header.salt,
                start: offset,
                end,
                first_lsn: header.first_lsn,
                last_lsn,
                time_ms: header.time_ms,
            }),
        }
        if header.records > 0 {
            run.records += u64::from(header.records);
            (run.last_lsn, run.last_ms) = (last_lsn, header.time_ms);
        }
        (self.last, self.lsn) = (last_lsn, last_lsn.saturating_add(1));
    }
}

/// What tells where the frames of a segment end.
struct End {
    successor: Option<Link>,
    clean: Option<Link>,
    /// The end of what is not zero, and the furthest that any frame header calls durable.
    beyond: Option<(u64, u64)>,
}
