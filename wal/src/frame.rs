//! One frame: the records of one group commit, written in one piece.
//!
//! ```text
//! offset bytes field         (little-endian; a frame starts at a multiple of 8)
//!      0     4 magic         "ICNf"
//!      4     4 header crc    CRC-32 of bytes 8..64, seeded
//!      8     4 body bytes    of the records, without padding
//!     12     4 records       how many
//!     16     8 first LSN     of the first record; without records, of the next one to be appended
//!     24     8 number        of the frame, +1 from frame to frame over the whole store
//!     32     8 durable       how far this segment was durable when the frame was written (an offset)
//!     40     8 time          ms since 1970, never less than the frame before
//!     48     4 body crc      CRC-32 of body and padding, seeded
//!     52     1 kind          1 DATA, 2 NOTE, 3 SEAL
//!     53    11 zeros
//!     64     n body          records, each: bytes (u32), bytes
//!              zeros: after records to a multiple of 4096 of the segment, else to one of 8
//! ```
//!
//! A frame at `offset` of a segment is valid **iff** all of these hold:
//!
//! - magic, header CRC and body CRC match;
//! - the reserved bytes are zero;
//! - the lengths are within the limits and the file.
//!
//! A disk may garble the whole block that an unsynced write touches. So a frame after records begins on
//! a fresh block, and no write touches a durable record. What proves records durable is in another
//! block, too. A note holds nothing to lose, so the next frame shares its block.
//!
//! The length is read only after the header CRC has matched. Both CRCs are seeded with the
//! segment's random salt and the frame's offset. So a frame of another segment, of an
//! earlier use of the same disk blocks, or of another offset is never valid. Neither is a region of
//! zeros or of ones.

use crc32fast::Hasher;

use crate::limits::{
    BLOCK_BYTES, FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, FRAME_RECORDS_MAX, RECORD_BYTES_MAX,
    RECORD_HEADER_BYTES,
};
use crate::plant::planted;

const MAGIC: [u8; 4] = *b"ICNf";
const ALIGNMENT: u64 = 8;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// Carries records.
    Data,
    /// Has no records; proves that everything before it was durable.
    Note,
    /// The last frame of a stopped log.
    Seal,
}

impl FrameKind {
    fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Note => 2,
            Self::Seal => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Data, Self::Note, Self::Seal].into_iter().find(|kind| kind.code() == code)
    }
}

/// The random bytes that seed a segment's checksums.
pub(crate) type Salt = [u8; 16];

/// The fields of a frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: FrameKind,
    pub(crate) body_bytes: u32,
    pub(crate) records: u32,
    pub(crate) first_lsn: u64,
    pub(crate) number: u64,
    pub(crate) durable: u64,
    pub(crate) time_ms: u64,
    /// The offset where the frame ends, padding included.
    pub(crate) end: u64,
    body_crc: u32,
}

/// Why some bytes are not a valid frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameFault {
    /// The bytes end before the frame does.
    Short,
    /// Zeros where a header would be: prepared bytes that were never written.
    Zeros,
    /// Not a frame header: wrong magic, header CRC or reserved bytes.
    Header,
    /// The header is valid, the body does not match it.
    Body,
}

impl FrameHeader {
    /// Decodes the header at the start of `bytes`, which are at `offset` of a segment.
    pub(crate) fn decode(bytes: &[u8], salt: &Salt, offset: u64) -> Result<Self, FrameFault> {
        let Some(header) = bytes.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Err(FrameFault::Short);
        };
        if header[0..4] != MAGIC {
            let zeros = header.iter().all(|&byte| byte == 0);
            return Err(if zeros { FrameFault::Zeros } else { FrameFault::Header });
        }
        let checksum_ok = planted("header-checksum-skipped")
            || u32_at(header, 4) == seeded(salt, offset, &header[8..]);
        if !checksum_ok {
            return Err(FrameFault::Header);
        }
        let kind = FrameKind::from_code(header[52]).ok_or(FrameFault::Header)?;
        let decoded = Self {
            kind,
            body_bytes: u32_at(header, 8),
            records: u32_at(header, 12),
            first_lsn: u64_at(header, 16),
            number: u64_at(header, 24),
            durable: u64_at(header, 32),
            time_ms: u64_at(header, 40),
            end: frame_end(offset, kind, u32_at(header, 8) as usize),
            body_crc: u32_at(header, 48),
        };
        let fits = decoded.body_bytes as usize <= FRAME_BODY_BYTES_MAX
            && decoded.records <= FRAME_RECORDS_MAX
            && decoded.durable <= offset
            && header[53..].iter().all(|&byte| byte == 0);
        if fits { Ok(decoded) } else { Err(FrameFault::Header) }
    }

    /// Checks the body in `frame`, which starts with this header.
    pub(crate) fn check_body<'a>(
        &self,
        frame: &'a [u8],
        salt: &Salt,
        offset: u64,
    ) -> Result<Records<'a>, FrameFault> {
        let bytes = usize::try_from(self.end - offset).unwrap_or(usize::MAX);
        let body = frame.get(FRAME_HEADER_BYTES..bytes).ok_or(FrameFault::Short)?;
        if seeded(salt, offset, body) != self.body_crc && !planted("body-checksum-skipped") {
            return Err(FrameFault::Body);
        }
        Ok(Records { rest: &body[..self.body_bytes as usize] })
    }
}

/// A frame being built: space for the header, then the records one after the other.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    records: u32,
}

impl FrameBuffer {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; FRAME_HEADER_BYTES], records: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(FRAME_HEADER_BYTES);
        self.records = 0;
    }

    pub(crate) fn push(&mut self, record: &[u8]) {
        // The caller has checked the record against `RECORD_BYTES_MAX`.
        debug_assert!(record.len() <= RECORD_BYTES_MAX);
        self.bytes
            .extend_from_slice(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes.extend_from_slice(record);
        self.records += 1;
    }

    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(crate) fn body_bytes(&self) -> usize {
        self.bytes.len() - FRAME_HEADER_BYTES
    }

    /// Completes the frame for its offset in a segment and returns its bytes.
    pub(crate) fn finish(&mut self, place: &FrameContext<'_>, kind: FrameKind) -> &[u8] {
        let body_bytes = u32::try_from(self.body_bytes()).unwrap_or(u32::MAX);
        let end = frame_end(place.offset, kind, self.body_bytes());
        self.bytes.resize(usize::try_from(end - place.offset).unwrap_or(usize::MAX), 0);
        let body_crc = seeded(place.salt, place.offset, &self.bytes[FRAME_HEADER_BYTES..]);
        let header = &mut self.bytes[..FRAME_HEADER_BYTES];
        header[0..4].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&body_bytes.to_le_bytes());
        header[12..16].copy_from_slice(&self.records.to_le_bytes());
        header[16..24].copy_from_slice(&place.first_lsn.to_le_bytes());
        header[24..32].copy_from_slice(&place.number.to_le_bytes());
        header[32..40].copy_from_slice(&place.durable.to_le_bytes());
        header[40..48].copy_from_slice(&place.time_ms.to_le_bytes());
        header[48..52].copy_from_slice(&body_crc.to_le_bytes());
        header[52] = kind.code();
        header[53..].fill(0);
        let header_crc = seeded(place.salt, place.offset, &header[8..]);
        header[4..8].copy_from_slice(&header_crc.to_le_bytes());
        &self.bytes
    }
}

/// Where a frame is written, and the fields of its header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameContext<'a> {
    pub(crate) salt: &'a Salt,
    pub(crate) offset: u64,
    pub(crate) first_lsn: u64,
    pub(crate) number: u64,
    pub(crate) durable: u64,
    pub(crate) time_ms: u64,
}

/// The records of one valid frame, read one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// The next record; `None` at the end. `Some(Err)` when the body does not divide into records,
    /// which only a faulty writer can have caused: the checksum is valid.
    pub(crate) fn next_record(&mut self) -> Option<Result<&'a [u8], FrameFault>> {
        if self.rest.is_empty() {
            return None;
        }
        let split =
            self.rest.split_first_chunk::<RECORD_HEADER_BYTES>().and_then(|(length, rest)| {
                let length = u32::from_le_bytes(*length) as usize;
                (length <= RECORD_BYTES_MAX).then(|| rest.split_at_checked(length)).flatten()
            });
        match split {
            Some((record, rest)) => {
                self.rest = rest;
                Some(Ok(record))
            }
            None => {
                self.rest = &[];
                Some(Err(FrameFault::Body))
            }
        }
    }
}

/// Where a frame that starts at `offset` ends.
pub(crate) fn frame_end(offset: u64, kind: FrameKind, body_bytes: usize) -> u64 {
    let end = offset.saturating_add((FRAME_HEADER_BYTES + body_bytes) as u64);
    let alignment = match kind {
        FrameKind::Data => BLOCK_BYTES,
        FrameKind::Note | FrameKind::Seal => ALIGNMENT,
    };
    end.checked_next_multiple_of(alignment).unwrap_or(u64::MAX)
}

fn seeded(salt: &Salt, offset: u64, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    if !planted("checksums-without-salt") {
        hasher.update(salt);
    }
    if !planted("checksums-without-place") {
        hasher.update(&offset.to_le_bytes());
    }
    hasher.update(bytes);
    hasher.finalize()
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(out)
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = [7; 16];

    fn frame(records: &[&[u8]], offset: u64) -> Vec<u8> {
        let mut buffer = FrameBuffer::new();
        records.iter().for_each(|record| buffer.push(record));
        let place = FrameContext {
            salt: &SALT,
            offset,
            first_lsn: 3,
            number: 9,
            durable: offset,
            time_ms: 5,
        };
        buffer.finish(&place, FrameKind::Data).to_vec()
    }

    fn decode(bytes: &[u8], offset: u64) -> Result<Vec<Vec<u8>>, FrameFault> {
        let header = FrameHeader::decode(bytes, &SALT, offset)?;
        let mut records = header.check_body(bytes, &SALT, offset)?;
        let mut out = Vec::new();
        while let Some(record) = records.next_record() {
            out.push(record?.to_vec());
        }
        assert_eq!(out.len(), header.records as usize);
        Ok(out)
    }

    #[test]
    fn a_frame_decodes_to_its_records() {
        let bytes = frame(&[b"one", b"", b"three"], 512);
        assert_eq!(bytes.len() % 8, 0);
        assert_eq!(decode(&bytes, 512).unwrap(), [&b"one"[..], b"", b"three"]);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = frame(&[b"one", b"twenty-two"], 512);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped, 512).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_is_valid_only_at_its_offset_and_with_its_salt() {
        let bytes = frame(&[b"one"], 512);
        assert_eq!(decode(&bytes, 520), Err(FrameFault::Header));
        let other = FrameHeader::decode(&bytes, &[8; 16], 512);
        assert_eq!(other, Err(FrameFault::Header));
    }

    /// A frame header with one field replaced and a valid checksum.
    fn forged(at: usize, field: &[u8]) -> Result<FrameHeader, FrameFault> {
        let mut bytes = frame(&[b"one"], 512);
        bytes[at..at + field.len()].copy_from_slice(field);
        let crc = seeded(&SALT, 512, &bytes[8..FRAME_HEADER_BYTES]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        FrameHeader::decode(&bytes, &SALT, 512)
    }

    #[test]
    fn a_header_over_a_limit_is_invalid() {
        let body = u32::try_from(FRAME_BODY_BYTES_MAX).unwrap();
        for (at, most) in [(8, body), (12, FRAME_RECORDS_MAX), (32, 512)] {
            assert!(forged(at, &most.to_le_bytes()).is_ok(), "{at}");
            assert_eq!(forged(at, &(most + 1).to_le_bytes()), Err(FrameFault::Header), "{at}");
        }
        for at in 52..FRAME_HEADER_BYTES {
            assert_eq!(forged(at, &[4]), Err(FrameFault::Header), "{at}");
        }
    }

    #[test]
    fn zeros_and_ones_are_never_a_frame() {
        assert_eq!(decode(&[0; 128], 0), Err(FrameFault::Zeros));
        assert_eq!(decode(&[0xFF; 128], 0), Err(FrameFault::Header));
        assert_eq!(decode(&[0; 12], 0), Err(FrameFault::Short));
    }
}
