//! Damage to a log, and forgery.

use arbitrary::Arbitrary;
use icn_wal::disk::SimDisk;

use crate::layout::{
    FRAME_HEADER_BYTES, HEADER_BYTES, Header, headers, is_sound, seal, used,
};
use crate::log::segments;

/// One change. Indices of files, frames and bytes are taken modulo their number.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Edit {
    /// Bits of one byte of a file are flipped.
    Flip { file: u8, at: u16, bits: u8 },
    /// Bits of one byte of a frame's header are flipped.
    FlipHeader { segment: u8, frame: u8, at: u8, bits: u8 },
    /// A sector becomes zeros.
    Zero { file: u8, sector: u8 },
    /// A file ends early.
    Cut { file: u8, at: u16 },
    /// A file is removed.
    Remove { file: u8 },
    /// A file is copied to the name of a segment, and replaces it if it exists.
    Double { file: u8, number: u8 },
    /// Two files swap their names.
    Swap { file: u8, other: u8 },
    /// The bytes of a frame overwrite another frame.
    Copy { from: (u8, u8), to: (u8, u8) },
    /// A field of a frame's header changes, with valid checksums. Only the first forgery is
    /// applied: two of them can agree with each other, and are then undetectable.
    ForgeFrame { segment: u8, frame: u8, field: FrameField, by: i16 },
    /// A field of a segment's header changes, with a valid checksum.
    ForgeSegment { segment: u8, field: u8, by: i16 },
}

/// A field of a frame's header that does not depend on the bytes of the body.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum FrameField {
    Records,
    FirstLsn,
    Number,
    Durable,
    Time,
    Kind,
}

impl FrameField {
    fn place(self) -> std::ops::Range<usize> {
        match self {
            Self::Records => 12..16,
            Self::FirstLsn => 16..24,
            Self::Number => 24..32,
            Self::Durable => 32..40,
            Self::Time => 40..48,
            Self::Kind => 52..53,
        }
    }
}

/// Applies the edits to `disk`.
pub fn edit(disk: &SimDisk, edits: &[Edit]) {
    let mut forged = false;
    for edit in edits.iter().take(8) {
        if matches!(edit, Edit::ForgeFrame { .. } | Edit::ForgeSegment { .. })
            && std::mem::replace(&mut forged, true)
        {
            continue;
        }
        // An edit without its file or frame has no effect.
        let _ = apply(disk, *edit);
    }
}

fn apply(disk: &SimDisk, edit: Edit) -> Option<()> {
    match edit {
        Edit::Flip { file, at, bits } => change(disk, &any(disk, file)?, |bytes| {
            let place = usize::from(at) % (used(bytes) + 16);
            *bytes.get_mut(place)? ^= bits;
            Some(())
        }),
        Edit::FlipHeader { segment, frame, at, bits } => {
            let (name, header) = frame_of(disk, segment, frame)?;
            change(disk, &name, |bytes| {
                bytes[header.offset + usize::from(at) % FRAME_HEADER_BYTES] ^= bits;
                Some(())
            })
        }
        Edit::Zero { file, sector } => change(disk, &any(disk, file)?, |bytes| {
            let sectors = bytes.len().min(4096).div_ceil(512);
            bytes.chunks_mut(512).nth(usize::from(sector) % sectors.max(1))?.fill(0);
            Some(())
        }),
        Edit::Cut { file, at } => change(disk, &any(disk, file)?, |bytes| {
            let length = bytes.len();
            bytes.truncate(usize::from(at) % length.max(1));
            Some(())
        }),
        Edit::Remove { file } => {
            disk.remove_file(&any(disk, file)?);
            Some(())
        }
        Edit::Double { file, number } => {
            let bytes = disk.read_file(&any(disk, file)?)?;
            let numbers = [0, 1, 2, 3, 4, u64::MAX];
            let number = numbers[usize::from(number) % numbers.len()];
            disk.write_file(&format!("{number:020}.wal"), &bytes);
            Some(())
        }
        Edit::Swap { file, other } => {
            let file = any(disk, file)?;
            let other = any(disk, other)?;
            let bytes = [disk.read_file(&file)?, disk.read_file(&other)?];
            disk.write_file(&other, &bytes[0]);
            disk.write_file(&file, &bytes[1]);
            Some(())
        }
        Edit::Copy { from, to } => {
            let (source, from) = frame_of(disk, from.0, from.1)?;
            let source = disk.read_file(&source)?;
            let (name, to) = frame_of(disk, to.0, to.1)?;
            change(disk, &name, |bytes| {
                let frame = source.get(from.offset..from.end)?;
                bytes.get_mut(to.offset..to.offset + frame.len())?.copy_from_slice(frame);
                Some(())
            })
        }
        Edit::ForgeFrame { segment, frame, field, by } => {
            let (name, header) = frame_of(disk, segment, frame)?;
            change(disk, &name, |bytes| {
                add(&mut bytes[header.offset..][field.place()], by);
                // A valid checksum over a damaged body would be undetectable.
                header.whole.then(|| seal(bytes, header.offset, header.end))
            })
        }
        Edit::ForgeSegment { segment, field, by } => {
            let name = pick(&segments(disk), segment)?;
            // Number to previous LSN, time, bytes; not the salt, which identifies the frames.
            let fields = [32, 40, 48, 56, 64, 72, 80, 104, 112];
            change(disk, &name, |bytes| {
                let sound = is_sound(bytes);
                let header = bytes.get_mut(..HEADER_BYTES)?;
                add(&mut header[fields[usize::from(field) % fields.len()]..][..8], by);
                let crc = crc32fast::hash(&header[..508]);
                sound.then(|| header[508..].copy_from_slice(&crc.to_le_bytes()))
            })
        }
    }
}

fn change(
    disk: &SimDisk,
    name: &str,
    change: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    let mut bytes = disk.read_file(name)?;
    change(&mut bytes)?;
    disk.write_file(name, &bytes);
    Some(())
}

fn any(disk: &SimDisk, file: u8) -> Option<String> {
    pick(&disk.files(), file)
}

fn frame_of(disk: &SimDisk, segment: u8, frame: u8) -> Option<(String, Header)> {
    let name = pick(&segments(disk), segment)?;
    let header = pick(&headers(&disk.read_file(&name)?), frame)?;
    Some((name, header))
}

fn pick<T: Clone>(all: &[T], which: u8) -> Option<T> {
    all.get(usize::from(which) % all.len().max(1)).cloned()
}

/// Adds to a little-endian number.
fn add(field: &mut [u8], by: i16) {
    let mut number = [0; 8];
    number[..field.len()].copy_from_slice(field);
    let number = u64::from_le_bytes(number).wrapping_add_signed(i64::from(by)).to_le_bytes();
    field.copy_from_slice(&number[..field.len()]);
}
