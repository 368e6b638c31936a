//! The durable half of the log: the active segment and the manifest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::frame::{FrameBuffer, FrameContext, FrameKind, Salt, frame_end};
use crate::limits::{SEGMENT_HEADER_BYTES, UNSYNCED_BYTES_MAX};
use crate::manifest::Manifest;
use crate::plant::planted;
use crate::recover::{KeptSegment, Scan};
use crate::segment::{LogEnd, SegmentHeader, segment_name};
use crate::slack::Slack;
use crate::spare::{Spare, SpareSegment};
use crate::spare_manifest::SpareManifest;
use crate::stats::Counters;
use crate::sync::Mutex;

/// The segments of the log, shared between the writer and
/// [`drop_through`](crate::Wal::drop_through).
pub(crate) struct KeptSegments {
    pub(crate) manifest: Manifest,
    pub(crate) segments: Vec<KeptSegment>,
}

struct Active<F> {
    file: F,
    number: u64,
    salt: Salt,
    bytes: u64,
    offset: u64,
    /// Everything before this offset is durable.
    durable: u64,
    /// The last LSN that was written.
    lsn: u64,
}

impl<F> Active<F> {
    /// Where the log ends.
    fn end(&self) -> LogEnd {
        LogEnd { segment: self.number, end: self.offset, lsn: self.lsn }
    }
}

/// Owns the active segment. Only the leader of a group uses it.
pub(crate) struct Writer<D: Disk> {
    disk: D,
    /// `None` until the first group of this open.
    active: Option<Active<D::File>>,
    /// Where the log ended at the open.
    recovered_end: LogEnd,
    /// To be cut off once this open has begun a segment.
    slack: Vec<Slack>,
    kept: Arc<Mutex<KeptSegments>>,
    counters: Arc<Counters>,
    next_frame: u64,
    time_ms: u64,
}

/// What a group asks of the writer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) kind: FrameKind,
    pub(crate) first_lsn: u64,
    pub(crate) time_ms: u64,
    pub(crate) sync: bool,
}

impl<D: Disk> Writer<D> {
    /// Continues what a scan found; writes nothing yet.
    pub(crate) fn new(
        disk: D,
        scan: &Scan,
        kept: Arc<Mutex<KeptSegments>>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            disk,
            active: None,
            recovered_end: scan.end,
            slack: scan.slack.clone(),
            kept,
            counters,
            next_frame: scan.next_frame,
            time_ms: scan.time_ms,
        }
    }

    /// Writes one group; returns the last LSN that this made durable, 0 for none. With `next`
    /// given, the group begins the next segment in it.
    pub(crate) fn write(
        &mut self,
        frame: &mut FrameBuffer,
        batch: Batch,
        next: Option<Spare<D::File>>,
    ) -> Result<u64, Error> {
        let mut durable_lsn = 0;
        if let Some(next) = next {
            durable_lsn = self.rotate(batch.first_lsn, next)?;
        }
        if !frame.is_empty() || batch.kind != FrameKind::Data {
            let end = |active: &Active<_>| frame_end(active.offset, batch.kind, frame.body_bytes());
            let unsynced = self.active.as_ref().map_or(0, |active| end(active) - active.durable);
            if unsynced > UNSYNCED_BYTES_MAX {
                durable_lsn = self.sync()?;
            }
            self.time_ms = batch.time_ms;
            let fitting = |active: &&mut Active<_>| end(active) <= active.bytes;
            let Some(active) = self.active.as_mut().filter(fitting) else {
                // Admission prevents this; a file that grew would be reported as damage.
                let full = io::ErrorKind::FileTooLarge.into();
                return Err(full).on("write", || self.disk.describe("the active segment"));
            };
            let place = FrameContext {
                salt: &active.salt,
                offset: active.offset,
                first_lsn: batch.first_lsn,
                number: self.next_frame,
                durable: if planted("durable-mark-too-far") {
                    active.offset
                } else {
                    active.durable
                },
                time_ms: self.time_ms,
            };
            let finished = frame.finish(&place, batch.kind);
            let bytes = finished.len() as u64;
            active
                .file
                .write_at(place.offset, finished)
                .on("write", || self.disk.describe(&segment_name(active.number)))?;
            self.next_frame += 1;
            active.offset += bytes;
            if frame.records() > 0 {
                active.lsn = batch.first_lsn + u64::from(frame.records()) - 1;
            }
            self.counters.frames.fetch_add(1, Ordering::Relaxed);
            self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        if batch.sync {
            durable_lsn = self.sync()?;
        }
        Ok(durable_lsn)
    }

    /// Whether this open has written anything.
    pub(crate) fn has_written(&self) -> bool {
        self.active.is_some()
    }

    /// Records the clean stop in the manifest; needs no free space.
    pub(crate) fn mark_clean(&self, spare: &SpareManifest<D::File>) -> Result<(), Error> {
        let Some(active) = &self.active else { return Ok(()) };
        let mut kept = self.kept.lock();
        let manifest = Manifest { clean: active.end(), ..kept.manifest };
        manifest.write_into(&self.disk, spare)?;
        kept.manifest = manifest;
        Ok(())
    }

    fn sync(&mut self) -> Result<u64, Error> {
        let Some(active) = &mut self.active else { return Ok(0) };
        if active.durable < active.offset {
            let name = || self.disk.describe(&segment_name(active.number));
            if !planted("acknowledged-before-the-sync") {
                active.file.sync().on("sync", name)?;
            }
            active.durable = active.offset;
            self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        }
        Ok(active.lsn)
    }

    /// Ends the active segment, if there is one, and begins the next one in `spare`.
    fn rotate(&mut self, first_lsn: u64, spare: Spare<D::File>) -> Result<u64, Error> {
        let previous = self.active.as_ref().map_or(self.recovered_end, Active::end);
        // The successor states where this segment ends, which must be true on the disk by then.
        let durable_lsn =
            if planted("rotation-without-sync") { previous.lsn } else { self.sync()? };
        let header = {
            let mut kept = self.kept.lock();
            if let Some(kept) = kept.segments.last_mut().filter(|_| self.active.is_some()) {
                kept.last_lsn = previous.lsn;
            }
            let Manifest { store, newest, incarnation, .. } = kept.manifest;
            SegmentHeader {
                store,
                number: newest + 1,
                incarnation: incarnation.saturating_add(u64::from(self.active.is_none())),
                first_lsn,
                first_frame: self.next_frame,
                previous,
                salt: salt(&self.disk)?,
                time_ms: self.time_ms,
                bytes: spare.segment.bytes,
                reused: spare.segment.reused,
            }
        };
        self.active = Some(activate(&self.disk, spare, &header, &self.kept)?);
        self.cut_slack();
        Ok(durable_lsn)
    }

    /// Cuts the unused ends off the segments of earlier opens.
    fn cut_slack(&mut self) {
        for slack in self.slack.drain(..) {
            // Under this lock no drop takes the segment and makes its file the next one.
            let mut kept = self.kept.lock();
            let segment = kept.segments.iter_mut().find(|kept| kept.number == slack.number);
            if let Some(segment) = segment
                && let Ok(file) = self.disk.open(&segment_name(slack.number))
                && slack.cut(&file)
            {
                segment.bytes = slack.keep;
            }
        }
    }
}

fn salt<D: Disk>(disk: &D) -> Result<Salt, Error> {
    let mut salt = Salt::default();
    if !planted("salt-the-same-for-every-segment") {
        disk.random(&mut salt).on("make a salt for", || disk.describe(""))?;
    }
    Ok(salt)
}

/// Gives a prepared segment its header, then its name, then its place in the manifest. Each is
/// durable before the next, so the manifest knows every segment with frames.
fn activate<D: Disk>(
    disk: &D,
    spare: Spare<D::File>,
    header: &SegmentHeader,
    kept: &Mutex<KeptSegments>,
) -> Result<Active<D::File>, Error> {
    let name = segment_name(header.number);
    let describe = || disk.describe(&name);
    let Spare { segment, manifest: spare_manifest } = spare;
    segment.file.write_at(0, &header.encode()).on("write", describe)?;
    if !planted("segment-header-not-synced") {
        segment.file.sync().on("sync", describe)?;
    }
    disk.rename(&segment.name, &name).on("rename", describe)?;
    if !planted("segment-name-not-synced") {
        disk.sync_dir().on("sync the directory of", describe)?;
    }
    let mut kept = kept.lock();
    let mut manifest = kept.manifest;
    manifest.incarnation = header.incarnation;
    manifest.newest = header.number;
    manifest.oldest = kept.segments.first().map_or(header.number, |kept| kept.number);
    manifest.clean = LogEnd::default();
    manifest.next_lsn = header.first_lsn;
    if planted("manifest-without-a-spare") {
        manifest.write(disk)?;
    } else {
        manifest.write_into(disk, &spare_manifest)?;
    }
    kept.manifest = manifest;
    let SpareSegment { file, bytes, .. } = segment;
    let lsn = header.previous.lsn;
    kept.segments.push(KeptSegment { number: header.number, last_lsn: lsn, bytes });
    Ok(Active {
        file,
        number: header.number,
        salt: header.salt,
        bytes,
        offset: SEGMENT_HEADER_BYTES,
        durable: SEGMENT_HEADER_BYTES,
        lsn,
    })
}
