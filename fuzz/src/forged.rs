//! A frame as a faulty writer would write it.

use icn_wal::disk::SimDisk;

use crate::layout::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, frame_end, seal};
use crate::log::segments;

/// A frame of any content that replaces the first one of the newest segment.
pub struct Forged {
    name: String,
    segment: Vec<u8>,
    /// The header of the replaced frame.
    written: Vec<u8>,
    header: Vec<u8>,
    body: Vec<u8>,
}

impl Forged {
    /// Takes header and body from `input`, except for the checksums and the length. Each unset bit
    /// of the first byte keeps one field of the replaced frame.
    pub fn new(disk: &SimDisk, input: &[u8]) -> Option<Self> {
        let (header, body) = input.split_at_checked(FRAME_HEADER_BYTES)?;
        let name = segments(disk).pop()?;
        let segment = disk.read_file(&name)?;
        let written = segment[SEGMENT_HEADER_BYTES..][..FRAME_HEADER_BYTES].to_vec();
        let mut header = header.to_vec();
        let body = body.to_vec();
        let fields = [16..24, 24..32, 32..40, 40..48, 52..53, 53..64];
        for (bit, field) in fields.into_iter().enumerate() {
            if header[0] & 1 << bit == 0 {
                header[field.clone()].copy_from_slice(&written[field]);
            }
        }
        header[0..4].copy_from_slice(b"ICNf");
        header[8..12].copy_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
        Some(Self { name, segment, written, header, body })
    }

    /// Writes the frame with valid checksums, and zeros after it.
    pub fn put(&self, disk: &SimDisk) {
        let mut segment = self.segment.clone();
        let end = SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + self.body.len();
        segment[SEGMENT_HEADER_BYTES..].fill(0);
        segment[SEGMENT_HEADER_BYTES..end]
            .copy_from_slice(&[&self.header[..], &self.body].concat());
        let end = frame_end(SEGMENT_HEADER_BYTES, self.header[52], self.body.len());
        seal(&mut segment, SEGMENT_HEADER_BYTES, end);
        disk.write_file(&self.name, &segment);
    }

    /// True iff the frame is valid.
    pub fn is_valid(&self) -> bool {
        number(&self.header[32..40]) <= SEGMENT_HEADER_BYTES as u64
            && (1..=3).contains(&self.header[52])
            && self.header[53..].iter().all(|&byte| byte == 0)
            && number(&self.header[12..16]) <= 1 << 20
    }

    /// True iff the frame continues the previous segment.
    pub fn continues(&self) -> bool {
        self.header[16..32] == self.written[16..32]
            && number(&self.header[32..40]) >= SEGMENT_HEADER_BYTES as u64
            && number(&self.header[40..48]) >= number(&self.segment[104..112])
    }

    /// The records of the body, if it divides into as many as the header says.
    pub fn records(&self) -> Option<Vec<Vec<u8>>> {
        let mut records = Vec::new();
        let mut rest = &self.body[..];
        while !rest.is_empty() {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let (record, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            records.push(record.to_vec());
            rest = behind;
        }
        (records.len() as u64 == number(&self.header[12..16])).then_some(records)
    }
}

fn number(field: &[u8]) -> u64 {
    field.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
