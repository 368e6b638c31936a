//! What the log has done and holds, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) appends: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
}

/// Counts since the log was opened, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records appended.
    pub appends: u64,
    /// Frames written: groups, notes and seals.
    pub frames: u64,
    /// Bytes written into segments.
    pub bytes: u64,
    /// Syncs of segments.
    pub syncs: u64,
    /// Segments of the log.
    pub segments: u64,
    /// Size of these segments on disk in bytes, unused bytes included.
    pub size_bytes: u64,
    /// The last LSN appended, 0 for none.
    pub last_lsn: u64,
    /// The time of the latest append: ms since 1970, 0 for none.
    pub time_ms: u64,
    /// The last durable LSN, 0 for none.
    pub durable_lsn: u64,
    /// Whether the disk was too full for the next segment at the last attempt.
    pub no_room: bool,
    /// Whether a write or sync has failed.
    pub poisoned: bool,
}

impl Counters {
    pub(crate) fn fill(&self, stats: &mut Stats) {
        stats.appends = self.appends.load(Ordering::Relaxed);
        stats.frames = self.frames.load(Ordering::Relaxed);
        stats.bytes = self.bytes.load(Ordering::Relaxed);
        stats.syncs = self.syncs.load(Ordering::Relaxed);
    }
}
