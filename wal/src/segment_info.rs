//! What is in which segment.

use std::ops::ControlFlow;

use crate::disk::Disk;
use crate::error::Error;
use crate::recover::{Access, ReplayFrom, scan};

/// One segment of a whole log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// The open for writing it was made in, from 1.
    pub incarnation: u64,
    /// Its first record, 0 for none.
    pub first_lsn: u64,
    /// Its last record, 0 for none.
    pub last_lsn: u64,
    /// How many records it holds.
    pub records: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// When its first record was appended: ms since 1970, 0 for none.
    pub first_ms: u64,
    /// When its last one was.
    pub last_ms: u64,
    /// The size of the file.
    pub bytes: u64,
    /// How much of it is used: where its valid frames end.
    pub used_bytes: u64,
    /// Bytes behind the end of the log, as in [`Recovery`](crate::Recovery); only in the newest.
    pub torn_bytes: u64,
    /// Whether it ends with the mark of an orderly stop.
    pub sealed: bool,
}

/// The segments of the log from the oldest to the newest, read as [`read`](crate::read) does: also
/// beside a running writer.
///
/// # Errors
/// Those of [`read`](crate::read).
pub fn segments<D: Disk>(disk: &D) -> Result<Vec<SegmentInfo>, Error> {
    let mut pass = |_: crate::Record<'_>| ControlFlow::Continue(());
    Ok(scan(disk, Access::ConcurrentWriter, ReplayFrom::Oldest, &mut pass)?.segments)
}
