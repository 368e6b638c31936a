//! What each segment of a log holds.

use std::ops::ControlFlow;

use crate::disk::Disk;
use crate::error::Error;
use crate::recover::{Access, ReplayFrom, scan};

/// What one segment of an undamaged log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The number of the segment, from 1.
    pub number: u64,
    /// The number of the open that wrote it, from 1.
    pub incarnation: u64,
    /// The LSN of its first record, 0 for none.
    pub first_lsn: u64,
    /// The LSN of its last record, 0 for none.
    pub last_lsn: u64,
    /// The number of its records.
    pub records: u64,
    /// The bytes of its records, without headers.
    pub record_bytes: u64,
    /// When its first record was appended: ms since 1970, 0 for none.
    pub first_ms: u64,
    /// When its last record was appended: ms since 1970, 0 for none.
    pub last_ms: u64,
    /// The size of its file in bytes.
    pub bytes: u64,
    /// The offset at which its valid frames end.
    pub used_bytes: u64,
    /// Bytes of a torn tail, as in [`Recovery`](crate::Recovery); only in the newest segment.
    pub torn_bytes: u64,
    /// Whether it ends with the seal of an orderly stop.
    pub sealed: bool,
}

/// Lists the segments of the log from the oldest to the newest. Reads as [`read`](crate::read)
/// does: without the lock, also while a writer runs.
///
/// # Errors
/// Those of [`read`](crate::read).
pub fn segments<D: Disk>(disk: &D) -> Result<Vec<SegmentInfo>, Error> {
    let mut pass = |_: crate::Record<'_>| ControlFlow::Continue(());
    Ok(scan(disk, Access::ConcurrentWriter, ReplayFrom::Oldest, &mut pass)?.segments)
}
