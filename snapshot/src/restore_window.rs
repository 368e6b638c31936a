//! The restore window: the past states that can be restored.

/// The LSNs from `first` to `last`. The state right after each of them can be read and restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreWindow {
    /// The first LSN of the window.
    pub first: u64,
    /// The last LSN of the window, which is that of the log.
    pub last: u64,
    /// The time of the first state by the log, ms since 1970, 0 for an empty log.
    pub first_ms: u64,
    /// What the window takes: its snapshots and the log, in bytes.
    pub bytes: u64,
    /// What the window may take before it shortens, in bytes.
    pub bytes_max: u64,
    /// How far the window should reach back, in ms of running time.
    pub wanted_ms: u64,
    /// Whether the window is shorter than that, since it had no room.
    pub is_shortened: bool,
}

impl RestoreWindow {
    /// The same window with the log, of so many bytes, that ends with `last`.
    pub(crate) fn with_log(self, last: u64, log_bytes: u64) -> Self {
        Self { last, bytes: self.bytes + log_bytes, ..self }
    }
}
