//! The policy of a store: when a snapshot is due, and which ones are kept.

/// When a snapshot is due, and which ones are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// When a snapshot is due.
    pub due: Due,
    /// Which snapshots are kept.
    pub retention: Retention,
}

/// When a snapshot is due: as soon as one of the limits is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Bytes of log since the last snapshot. Default 64 MiB.
    pub log_bytes: u64,
    /// Records since the last snapshot. Default 100 000.
    pub records: u64,
    /// Milliseconds since the first record that no snapshot covers. Default 15 minutes.
    pub age_ms: u64,
}

impl Default for Due {
    fn default() -> Self {
        Self { log_bytes: 64 << 20, records: 100_000, age_ms: 15 * 60 * 1000 }
    }
}

/// The retention policy: which snapshots are kept when newer ones are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How many of the newest whole snapshots are always kept. Default 3; less than
    /// [`KEEP_MIN`](Self::KEEP_MIN) counts as [`KEEP_MIN`](Self::KEEP_MIN).
    pub keep: usize,
    /// A snapshot above that number is kept while it is at most so many milliseconds older than the newest,
    /// by the log's time. Default 0: none is kept.
    pub age_ms: u64,
    /// A snapshot above that number is kept while it and all newer ones together have at most so many bytes.
    /// Default: no limit.
    pub bytes: u64,
}

impl Retention {
    /// With a single snapshot, damage to it would leave no snapshot to fall back to.
    pub const KEEP_MIN: usize = 2;

    pub(crate) fn floor(&self) -> usize {
        self.keep.max(Self::KEEP_MIN)
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep: 3, age_ms: 0, bytes: u64::MAX }
    }
}
