//! A point in time: which state of a store is meant.

use std::fmt;

use icn_wal::Lsn;

use crate::id::SnapshotId;

/// A state of a store, by LSN, by time or by snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointInTime {
    /// The state at the end of the log.
    Latest,
    /// The state right after the record with this LSN.
    Lsn(Lsn),
    /// The state after the last record whose time is at or before this, in ms since 1970. Times in the log
    /// never go back, so it means one LSN even where the wall clock went back.
    Time(u64),
    /// The state in a snapshot.
    Snapshot(SnapshotId),
}

impl PointInTime {
    /// Whether the record with this LSN and time belongs to the state.
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
