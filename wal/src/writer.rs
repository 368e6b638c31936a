//! The durable half: the active segment, the spare one, and the manifest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::frame::{FrameBuffer, FrameKind, Place, Salt};
use crate::limits::{SEGMENT_BYTES_MIN, SEGMENT_HEADER_BYTES, UNSYNCED_BYTES_MAX};
use crate::manifest::Manifest;
use crate::plant::planted;
use crate::recover::{Kept, Scan};
use crate::segment::{Link, SegmentHeader, segment_name};
use crate::spare::Spare;
use crate::stats::Counters;
use crate::sync::Mutex;

/// What the log keeps, shared between the writer and whoever drops old segments.
pub(crate) struct Chain {
    pub(crate) manifest: Manifest,
    pub(crate) kept: Vec<Kept>,
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

/// Owns the active segment. Only the leader of a group has it in hand.
pub(crate) struct Writer<D: Disk> {
    disk: D,
    active: Active<D::File>,
    chain: Arc<Mutex<Chain>>,
    counters: Arc<Counters>,
    next_frame: u64,
    time_ms: u64,
}

/// What a group looks like to the writer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) kind: FrameKind,
    pub(crate) first_lsn: u64,
    pub(crate) time_ms: u64,
    pub(crate) sync: bool,
}

impl<D: Disk> Writer<D> {
    /// Starts the segment that follows what a scan found.
    pub(crate) fn start(
        disk: D,
        scan: &Scan,
        manifest: Manifest,
        counters: Arc<Counters>,
    ) -> Result<(Self, Arc<Mutex<Chain>>), Error> {
        // First of all, because on a full disk this is what makes the room for the new segment.
        for name in scan.stale.iter().filter(|name| name.ends_with(".tmp")) {
            disk.discard(name).on("remove", disk.describe(name))?;
        }
        let spare = Spare::write(&disk, 0, SEGMENT_BYTES_MIN)?;
        let chain = Arc::new(Mutex::new(Chain { manifest, kept: scan.kept.clone() }));
        let header = SegmentHeader {
            store: manifest.store,
            number: scan.next_segment,
            incarnation: manifest.incarnation,
            first_lsn: scan.next_lsn,
            first_frame: scan.next_frame,
            previous: scan.end,
            salt: salt(&disk)?,
            time_ms: scan.time_ms,
            bytes: spare.bytes,
            reused: spare.reused,
        };
        let active = activate(&disk, spare, &header, &chain)?;
        for name in &scan.stale {
            // A name of ours that the new segment now carries is no leftover any more.
            if *name != segment_name(header.number) {
                disk.discard(name).on("remove", disk.describe(name))?;
            }
        }
        let next_frame = scan.next_frame;
        let time_ms = scan.time_ms;
        let writer =
            Self { disk, active, chain: Arc::clone(&chain), counters, next_frame, time_ms };
        Ok((writer, chain))
    }

    /// The bytes that still fit into the active segment.
    pub(crate) fn room(&self) -> u64 {
        self.active.bytes - self.active.offset
    }

    /// Writes one group and returns the last LSN known durable, 0 when that is no news. With
    /// `next` given, the group begins the next segment in it.
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
        let bytes = frame.frame_bytes() as u64;
        if !frame.is_empty() || batch.kind != FrameKind::Data {
            if self.active.offset - self.active.durable + bytes > UNSYNCED_BYTES_MAX {
                durable_lsn = self.sync()?;
            }
            self.time_ms = batch.time_ms;
            let place = Place {
                salt: &self.active.salt,
                offset: self.active.offset,
                first_lsn: batch.first_lsn,
                number: self.next_frame,
                durable: if planted("durable-mark-too-far") {
                    self.active.offset
                } else {
                    self.active.durable
                },
                time_ms: self.time_ms,
            };
            let name = || self.disk.describe(&segment_name(self.active.number));
            if bytes > self.room() {
                // Admission has seen to it that this cannot be; a file that grew would be damage.
                return Err(io::ErrorKind::FileTooLarge.into()).on("write", name());
            }
            self.active
                .file
                .write_at(place.offset, frame.finish(&place, batch.kind))
                .on("write", name())?;
            self.next_frame += 1;
            self.active.offset += bytes;
            if frame.records() > 0 {
                self.active.lsn = batch.first_lsn + u64::from(frame.records()) - 1;
            }
            self.counters.frames.fetch_add(1, Ordering::Relaxed);
            self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        if batch.sync {
            durable_lsn = self.sync()?;
        }
        Ok(durable_lsn)
    }

    /// Says in the manifest that the log ends here on purpose.
    pub(crate) fn mark_clean(&self) -> Result<(), Error> {
        let mut chain = self.chain.lock();
        let active = &self.active;
        let mut manifest = chain.manifest;
        manifest.clean = Link { segment: active.number, end: active.offset, lsn: active.lsn };
        manifest.write(&self.disk)?;
        chain.manifest = manifest;
        Ok(())
    }

    fn sync(&mut self) -> Result<u64, Error> {
        if self.active.durable < self.active.offset {
            let name = || self.disk.describe(&segment_name(self.active.number));
            if !planted("acknowledged-before-the-sync") {
                self.active.file.sync().on("sync", name())?;
            }
            self.active.durable = self.active.offset;
            self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.active.lsn)
    }

    /// Ends the active segment and puts `spare` in its place.
    fn rotate(&mut self, first_lsn: u64, spare: Spare<D::File>) -> Result<u64, Error> {
        // The successor will state where this segment ends, and that has to be true of the disk.
        let durable_lsn =
            if planted("rotation-without-sync") { self.active.lsn } else { self.sync()? };
        let incarnation = {
            let mut chain = self.chain.lock();
            if let Some(kept) = chain.kept.last_mut() {
                kept.last_lsn = self.active.lsn;
            }
            chain.manifest.incarnation
        };
        let header = SegmentHeader {
            store: self.chain.lock().manifest.store,
            number: self.active.number + 1,
            incarnation,
            first_lsn,
            first_frame: self.next_frame,
            previous: Link {
                segment: self.active.number,
                end: self.active.offset,
                lsn: self.active.lsn,
            },
            salt: salt(&self.disk)?,
            time_ms: self.time_ms,
            bytes: spare.bytes,
            reused: spare.reused,
        };
        self.active = activate(&self.disk, spare, &header, &self.chain)?;
        Ok(durable_lsn)
    }
}

fn salt<D: Disk>(disk: &D) -> Result<Salt, Error> {
    let mut salt = Salt::default();
    if !planted("salt-the-same-for-every-segment") {
        disk.random(&mut salt).on("make a salt for", disk.describe(""))?;
    }
    Ok(salt)
}

/// Gives a prepared segment its header, then its name, then its place in the manifest, each durable
/// before the next: a segment with frames is always one the manifest knows.
fn activate<D: Disk>(
    disk: &D,
    spare: Spare<D::File>,
    header: &SegmentHeader,
    chain: &Mutex<Chain>,
) -> Result<Active<D::File>, Error> {
    let name = segment_name(header.number);
    let describe = || disk.describe(&name);
    spare.file.write_at(0, &header.encode()).on("write", describe())?;
    if !planted("segment-header-not-synced") {
        spare.file.sync().on("sync", describe())?;
    }
    disk.rename(&spare.name, &name).on("rename", describe())?;
    if !planted("segment-name-not-synced") {
        disk.sync_dir().on("sync the directory of", describe())?;
    }
    let mut chain = chain.lock();
    let mut manifest = chain.manifest;
    manifest.newest = header.number;
    manifest.oldest = chain.kept.first().map_or(header.number, |kept| kept.number);
    manifest.clean = Link::default();
    manifest.next_lsn = header.first_lsn;
    manifest.write(disk)?;
    chain.manifest = manifest;
    let bytes = spare.bytes;
    let lsn = header.previous.lsn;
    chain.kept.push(Kept { number: header.number, last_lsn: lsn, bytes });
    Ok(Active {
        file: spare.file,
        number: header.number,
        salt: header.salt,
        bytes,
        offset: SEGMENT_HEADER_BYTES,
        durable: SEGMENT_HEADER_BYTES,
        lsn,
    })
}
