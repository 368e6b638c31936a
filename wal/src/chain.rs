//! The chain of segments that makes up the log, found by their headers.

use std::collections::BTreeMap;
use std::io;

use crate::damage::{Damage, Reason};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::limits::{SECTOR_BYTES, SEGMENT_HEADER_BYTES};
use crate::manifest::Manifest;
use crate::plant::planted;
use crate::reader::FrameReader;
use crate::segment::{FORMAT, HeaderFault, LogEnd, SegmentHeader, StoreId, segment_name};

/// The segments from the oldest to the newest; each header names its predecessor. It may begin after a
/// segment that has no header here, if all records before its begin are at or before `covered`.
pub(crate) fn chain<D: Disk>(
    disk: &D,
    manifest: &Manifest,
    headers: &BTreeMap<u64, SegmentHeader>,
    covered: u64,
) -> Result<Vec<u64>, Error> {
    let missing = |number| damage(disk, number, 0, Reason::SegmentMissing);
    let mut chain = Vec::new();
    if (manifest.oldest, manifest.newest) == (0, 0) {
        return Ok(chain);
    }
    let mut number = manifest.newest;
    let mut next: Option<&SegmentHeader> = None;
    while number >= manifest.oldest && number > 0 {
        let Some(header) = headers.get(&number) else {
            let is_covered = |next: &SegmentHeader| covered > 0 && next.previous.lsn <= covered;
            if next.is_some_and(is_covered) {
                chain.reverse();
                return Ok(chain);
            }
            return Err(missing(number));
        };
        next = Some(header);
        chain.push(number);
        if header.previous.segment >= number {
            return Err(damage(disk, number, 0, Reason::SegmentHeaderDamaged));
        }
        number = header.previous.segment;
    }
    if chain.last() != Some(&manifest.oldest) {
        return Err(missing(manifest.oldest));
    }
    chain.reverse();
    Ok(chain)
}

/// The header of segment `number`; `None` when its file is missing.
pub(crate) fn read_header<D: Disk>(
    disk: &D,
    number: u64,
    store: &StoreId,
) -> Result<Option<SegmentHeader>, Error> {
    let name = segment_name(number);
    let Some(file) = open_segment(disk, &name)? else { return Ok(None) };
    match SegmentHeader::decode(&first_sector(disk, &file, &name)?) {
        Ok(header) if header.store != *store && !planted("foreign-segment-accepted") => {
            Err(damage(disk, number, 0, Reason::SegmentForeign))
        }
        Ok(header) if header.number == number => Ok(Some(header)),
        Ok(_) | Err(HeaderFault::Damaged) => {
            Err(damage(disk, number, 0, Reason::SegmentHeaderDamaged))
        }
        Err(HeaderFault::Format(format)) => {
            Err(Error::Format { file: disk.describe(&name), format, known: FORMAT })
        }
    }
}

/// Checks the size of a segment. `successor` is where the next one says that this one ends: from then on
/// unused bytes may be cut off.
pub(crate) fn check_size<D: Disk>(
    disk: &D,
    header: &SegmentHeader,
    size: u64,
    successor: Option<LogEnd>,
) -> Result<(), Error> {
    let least = successor.map_or(header.bytes, |link| link.end);
    if (least..=header.bytes).contains(&size) || planted("size-of-a-segment-ignored") {
        return Ok(());
    }
    Err(damage(disk, header.number, size.min(header.bytes), Reason::SegmentResized))
}

/// Whether a segment that should be empty holds a frame anywhere or, under a damaged header, any
/// byte but zero. Segments outside the chain are removed, and none that may hold records must be.
pub(crate) fn holds_frames<D: Disk>(disk: &D, number: u64) -> Result<bool, Error> {
    let name = segment_name(number);
    let Some(file) = open_segment(disk, &name)? else { return Ok(false) };
    let header = SegmentHeader::decode(&first_sector(disk, &file, &name)?);
    let name = disk.describe(&name);
    let size = file.size().on("read", || name.clone())?;
    // Only in a reused segment do old frames count for nothing.
    let first_frame = |header: &SegmentHeader| if header.reused { header.first_frame } else { 0 };
    let (salt, first_frame) =
        header.as_ref().map(|header| (header.salt, first_frame(header))).unwrap_or_default();
    let tail =
        FrameReader::new(file, name, salt, size).inspect_tail(SEGMENT_HEADER_BYTES, first_frame)?;
    Ok(tail.frames > 0 || header.is_err() && tail.bytes > 0)
}

/// Whether the header of segment `number` states that records precede it.
pub(crate) fn continues_another<D: Disk>(disk: &D, number: u64) -> Result<bool, Error> {
    let name = segment_name(number);
    let Some(file) = open_segment(disk, &name)? else { return Ok(false) };
    let sector = first_sector(disk, &file, &name)?;
    Ok(SegmentHeader::decode(&sector).is_ok_and(|header| header.first_lsn > 1))
}

/// A [`Damage`] of segment `number`, as an error.
pub(crate) fn damage<D: Disk>(disk: &D, number: u64, offset: u64, reason: Reason) -> Error {
    let file = disk.describe(&segment_name(number));
    Error::Corrupt(Damage { file, segment: number, offset, reason })
}

/// The file; `None` when it is missing, as an unused segment may be at any time while a writer
/// runs.
fn open_segment<D: Disk>(disk: &D, name: &str) -> Result<Option<D::File>, Error> {
    match disk.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.on("open", || disk.describe(name)).map(Some),
    }
}

/// The bytes where the header should be.
fn first_sector<D: Disk>(
    disk: &D,
    file: &D::File,
    name: &str,
) -> Result<[u8; SECTOR_BYTES], Error> {
    let mut bytes = [0; SECTOR_BYTES];
    file.read_at(0, &mut bytes).on("read", || disk.describe(name))?;
    Ok(bytes)
}
