//! The log as its files show it.

use serde::{Deserialize, Serialize};

/// The segments of a log.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Segments {
    /// The segments, from the oldest to the newest.
    pub(in crate::cli) segments: Vec<Segment>,
    /// Bytes of their files.
    pub(in crate::cli) bytes: u64,
    /// The last LSN, 0 for none; null without a segment.
    pub(in crate::cli) last_lsn: Option<u64>,
}

/// A segment.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Segment {
    /// The number of the segment.
    pub(in crate::cli) segment: u64,
    /// Whether the log goes on in it.
    pub(in crate::cli) state: SegmentState,
    /// The start of the node that made it, from 1.
    pub(in crate::cli) incarnation: u64,
    /// The LSN of the first record, 0 for none.
    pub(in crate::cli) first_lsn: u64,
    /// The LSN of the last record, 0 for none.
    pub(in crate::cli) last_lsn: u64,
    /// How many records it holds.
    pub(in crate::cli) records: u64,
    /// Bytes of the records.
    pub(in crate::cli) record_bytes: u64,
    /// When the first record was appended: ms since 1970, 0 for none.
    pub(in crate::cli) first_time: u64,
    /// When the last record was appended: ms since 1970, 0 for none.
    pub(in crate::cli) last_time: u64,
    /// The size of the file, in bytes.
    pub(in crate::cli) bytes: u64,
    /// The bytes up to the end of the valid frames.
    pub(in crate::cli) used_bytes: u64,
    /// Bytes of a torn tail. Whether a record in them was acknowledged cannot be known.
    pub(in crate::cli) torn_bytes: u64,
}

/// Whether a log goes on in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum SegmentState {
    /// It ends with the mark of an orderly stop.
    Sealed,
    /// It is the newest one.
    Active,
    /// A newer one follows.
    Closed,
}

impl SegmentState {
    /// The word in JSON and in text.
    pub(in crate::cli) fn word(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Active => "active",
            Self::Closed => "closed",
        }
    }
}

/// A log of which every checksum is good and every record makes sense.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Verified {
    /// How many records it holds.
    pub(in crate::cli) records: u64,
    /// The LSN of the first record, 0 for none.
    pub(in crate::cli) first_lsn: u64,
    /// The LSN of the last record, 0 for none.
    pub(in crate::cli) last_lsn: u64,
    /// How many segments it has.
    pub(in crate::cli) segments: u64,
    /// Bytes of the segments.
    pub(in crate::cli) bytes: u64,
    /// Bytes of a torn tail. Whether a record in them was acknowledged cannot be known.
    pub(in crate::cli) torn_bytes: u64,
    /// Whether another block of the log proves its last record. If not, a disk may have lost a last group.
    pub(in crate::cli) end_proven: bool,
}

/// A record, as a line.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct RecordLine<'a> {
    /// The LSN of the record.
    pub(in crate::cli) lsn: u64,
    /// When the record was appended: ms since 1970.
    pub(in crate::cli) time: u64,
    /// The type of the record.
    #[serde(rename = "type")]
    pub(in crate::cli) kind: &'a str,
    /// Bytes of the record.
    pub(in crate::cli) bytes: usize,
    /// The number of the segment.
    pub(in crate::cli) segment: u64,
    /// Where the frame of the record begins in the segment.
    pub(in crate::cli) offset: u64,
    /// What the record says, in words.
    pub(in crate::cli) detail: &'a str,
}
