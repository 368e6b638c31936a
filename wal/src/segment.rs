//! One segment: a header, which states where the log continues from, and frames.
//!
//! ```text
//! offset bytes field              (little-endian; the header fills one 512-byte sector)
//!      0     8 magic              "ICNWAL\0\0"
//!      8     4 format             0 until the format is frozen
//!     12     4 zeros
//!     16    16 store              UUID of the store
//!     32     8 number             of the segment, from 1
//!     40     8 incarnation        of the open that wrote it, from 1
//!     48     8 first LSN          of the first record written here
//!     56     8 first frame        number of the first frame written here
//!     64     8 previous segment   the one this continues, 0 for none
//!     72     8 previous end       offset where the valid frames of that segment end
//!     80     8 previous LSN       the last one before this segment, 0 for none
//!     88    16 salt               random, seeds every checksum of the frames here
//!    104     8 time               ms since 1970, at least that of every frame before
//!    112     8 bytes              of the whole file, as long as no segment follows
//!    120     1 reused             1 if the file was a segment before: old bytes follow its frames
//!    121     3 zeros
//!    124     4 block bytes        4096: frames begin after the first block, and records never share one
//!    128   380 zeros
//!    508     4 CRC-32             of bytes 0..508
//! ```
//!
//! The file is `<number, 20 digits>.wal`. It has its full length before it becomes a segment: a sync
//! on the commit path never commits a change of file size. Frames overwrite zeros, or the frames of
//! an earlier segment. Once it has a successor, its unused end may be cut off.

use crc32fast::hash;

use crate::frame::{Salt, u32_at, u64_at};
use crate::limits::{BLOCK_BYTES, SECTOR_BYTES};

const MAGIC: [u8; 8] = *b"ICNWAL\0\0";

/// The version of every file format of this crate. 0 means: may still change, other builds refuse
/// it.
pub const FORMAT: u32 = 0;

/// The UUID of a store; detects files of another store.
pub type StoreId = [u8; 16];

/// The fields of a segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store: StoreId,
    pub(crate) number: u64,
    pub(crate) incarnation: u64,
    pub(crate) first_lsn: u64,
    pub(crate) first_frame: u64,
    pub(crate) previous: LogEnd,
    pub(crate) salt: Salt,
    pub(crate) time_ms: u64,
    pub(crate) bytes: u64,
    pub(crate) reused: bool,
}

/// Where the log ended at some moment. All zero for an empty log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogEnd {
    pub(crate) segment: u64,
    pub(crate) end: u64,
    pub(crate) lsn: u64,
}

/// Why some bytes are not a valid segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// The checksum or the magic is wrong.
    Damaged,
    /// A valid header in a format this build does not know, or of another build of format 0.
    Format(u32),
}

const HEADER_BYTES: usize = SECTOR_BYTES;
const BLOCK_FIELD: usize = 124;
const BLOCK: u32 = 4096;
const _: () = assert!(BLOCK as u64 == BLOCK_BYTES);

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[16..32].copy_from_slice(&self.store);
        let numbers = [
            self.number,
            self.incarnation,
            self.first_lsn,
            self.first_frame,
            self.previous.segment,
            self.previous.end,
            self.previous.lsn,
        ];
        for (index, number) in numbers.into_iter().enumerate() {
            let at = 32 + index * 8;
            out[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        out[88..104].copy_from_slice(&self.salt);
        out[104..112].copy_from_slice(&self.time_ms.to_le_bytes());
        out[112..120].copy_from_slice(&self.bytes.to_le_bytes());
        out[120] = u8::from(self.reused);
        out[BLOCK_FIELD..BLOCK_FIELD + 4].copy_from_slice(&BLOCK.to_le_bytes());
        let crc = hash(&out[..HEADER_BYTES - 4]);
        out[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderFault> {
        // The checksum is checked before the format: a flipped bit in the format field is damage,
        // not a newer format.
        let sound = bytes[0..8] == MAGIC
            && u32_at(bytes, HEADER_BYTES - 4) == hash(&bytes[..HEADER_BYTES - 4]);
        if !sound {
            return Err(HeaderFault::Damaged);
        }
        let format = u32_at(bytes, 8);
        if format != FORMAT || u32_at(bytes, BLOCK_FIELD) != BLOCK {
            return Err(HeaderFault::Format(format));
        }
        Ok(Self::decode_unchecked(bytes))
    }

    /// The fields of a header whose checksum may be wrong.
    pub(crate) fn decode_unchecked(bytes: &[u8; HEADER_BYTES]) -> Self {
        let mut store = StoreId::default();
        store.copy_from_slice(&bytes[16..32]);
        let mut salt = Salt::default();
        salt.copy_from_slice(&bytes[88..104]);
        let previous =
            LogEnd { segment: u64_at(bytes, 64), end: u64_at(bytes, 72), lsn: u64_at(bytes, 80) };
        Self {
            store,
            number: u64_at(bytes, 32),
            incarnation: u64_at(bytes, 40),
            first_lsn: u64_at(bytes, 48),
            first_frame: u64_at(bytes, 56),
            previous,
            salt,
            time_ms: u64_at(bytes, 104),
            bytes: u64_at(bytes, 112),
            reused: bytes[120] != 0,
        }
    }
}

const SUFFIX: &str = ".wal";
const DIGITS: usize = 20;

/// The name of segment `number`.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

/// The number in a segment's name; `None` for every other name, also for another spelling of a
/// number: one segment has one name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            store: [1; 16],
            number: 2,
            incarnation: 3,
            first_lsn: 4,
            first_frame: 5,
            previous: LogEnd { segment: 1, end: 512, lsn: 3 },
            salt: [9; 16],
            time_ms: 6,
            bytes: 1 << 20,
            reused: true,
        }
    }

    #[test]
    fn a_header_decodes_to_its_fields_and_every_flipped_bit_is_detected() {
        let bytes = header().encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), Err(HeaderFault::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn a_segment_has_one_name() {
        assert_eq!(segment_number(&segment_name(17)), Some(17));
        for other in ["17.wal", "+0000000000000000017.wal", "00000000000000000017.wal.tmp", "LOCK"]
        {
            assert_eq!(segment_number(other), None, "{other}");
        }
    }
}
