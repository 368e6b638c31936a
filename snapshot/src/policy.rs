//! When snapshots are taken.

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
