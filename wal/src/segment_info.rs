//! What each segment of a log holds.

use std::ops::ControlFlow;

use crate::disk::Disk;
use crate::error::Error;
use crate::recover::{Access, ReplayFrom, scan};

pub use crate::recover::SegmentInfo;

/// Lists the segments of the log from the oldest to the newest. Reads as [`read`](crate::read)
/// does: without the lock, also while a writer runs.
///
/// # Errors
/// Those of [`read`](crate::read).
pub fn segments<D: Disk>(disk: &D) -> Result<Vec<SegmentInfo>, Error> {
    let mut pass = |_: crate::Record<'_>| ControlFlow::Continue(());
    Ok(scan(disk, Access::ConcurrentWriter, ReplayFrom::Oldest, &mut pass)?.segments)
}
