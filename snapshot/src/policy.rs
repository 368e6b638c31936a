//! When snapshots are taken, and how many stay.

/// How a store is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// When a snapshot is due.
    pub due: Due,
    /// Which snapshots stay.
    pub retention: Retention,
}

/// When a snapshot is due: whatever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Bytes of log since the last one. Default 64 MiB.
    pub log_bytes: u64,
    /// Records since the last one. Default 100 000.
    pub records: u64,
    /// Milliseconds since the last one, if anything has changed. Default 15 minutes.
    pub age_ms: u64,
}

impl Default for Due {
    fn default() -> Self {
        Self { log_bytes: 64 << 20, records: 100_000, age_ms: 15 * 60 * 1000 }
    }
}

/// Which snapshots stay when others come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest whole ones stay whatever else is said. Default 3; less than
    /// [`KEEP_MIN`](Self::KEEP_MIN) counts as that.
    pub keep: usize,
    /// Those above that number stay while the newest is not so many milliseconds of the log's time
    /// ahead of them. Default 0: none does.
    pub age_ms: u64,
    /// … and while all that stay by these rules have no more bytes than this together. Default: no
    /// limit.
    pub bytes: u64,
}

impl Retention {
    /// With fewer, a damaged one would leave nothing to fall back to.
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
