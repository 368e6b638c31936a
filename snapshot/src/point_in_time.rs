//! A moment in the life of a store.

use std::fmt;

use icn_wal::Lsn;

use crate::id::SnapshotId;

/// A moment in the life of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointInTime {
    /// The end of the log.
    Latest,
    /// Right after the record with this LSN.
    Lsn(Lsn),
    /// After the last record whose time is at or before this: ms since 1970. The log never lets time
    /// go back, so this means one LSN whatever the clock has done.
    Time(u64),
    /// What a snapshot holds.
    Snapshot(SnapshotId),
}

impl PointInTime {
    pub(crate) fn includes(self, lsn: Lsn, time_ms: u64) -> bool {
        match self {
            Self::Latest => true,
            Self::Lsn(last) => lsn <= last,
            Self::Time(last_ms) => time_ms <= last_ms,
            Self::Snapshot(id) => lsn.get() <= id.lsn,
        }
    }
}

impl fmt::Display for PointInTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("the latest state"),
            Self::Lsn(lsn) => write!(f, "LSN {lsn}"),
            Self::Time(time_ms) => write!(f, "the time {time_ms}"),
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
        }
    }
}
