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
    /// Bytes of log since the last snapshot: of its records, or of the files of ended segments, whichever are
    /// more. Default 64 MiB.
    pub log_bytes: u64,
    /// Segments of the log that have ended since the last snapshot. Each open that writes begins one. Default
    /// [`SEGMENTS_DEFAULT`](Self::SEGMENTS_DEFAULT).
    pub segments: u64,
    /// Records since the last snapshot. Default 100 000.
    pub records: u64,
    /// Milliseconds since the first record that no snapshot covers. Default 15 minutes.
    pub age_ms: u64,
}

impl Due {
    /// The default of [`segments`](Self::segments).
    pub const SEGMENTS_DEFAULT: u64 = 1000;
}

impl Default for Due {
    fn default() -> Self {
        Self {
            log_bytes: 64 << 20,
            segments: Self::SEGMENTS_DEFAULT,
            records: 100_000,
            age_ms: 15 * 60 * 1000,
        }
    }
}

/// The retention policy: which snapshots are kept when newer ones are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How many of the newest whole snapshots are always kept. Default 3; less than
    /// [`KEEP_MIN`](Self::KEEP_MIN) counts as [`KEEP_MIN`](Self::KEEP_MIN).
    pub keep: usize,
    /// How far the restore window reaches back, in ms of the caller's running time. Default 24 h; with 0 it
    /// holds the newest [`keep`](Self::keep) only.
    pub window_ms: u64,
    /// What the restore window may take, in bytes: its snapshots, and the log from the oldest of them on.
    /// Default 10 GiB. Without room it shortens, to the newest [`keep`](Self::keep) at the least. Snapshots
    /// that only shorten replays are spaced to take a quarter of it at most, in steps of up to a third of
    /// [`window_ms`](Self::window_ms).
    pub window_bytes: u64,
    /// How many segments of the log the restore window may take. A start reads each of them. Default
    /// [`WINDOW_SEGMENTS_DEFAULT`](Self::WINDOW_SEGMENTS_DEFAULT). With more, the window shortens as it does
    /// without room.
    pub window_segments: u64,
}

impl Retention {
    /// With a single snapshot, damage to it would leave no snapshot to fall back to.
    pub const KEEP_MIN: usize = 2;

    /// The default of [`window_ms`](Self::window_ms): 24 h.
    pub const WINDOW_MS_DEFAULT: u64 = 24 * 60 * 60 * 1000;

    /// The default of [`window_bytes`](Self::window_bytes): 10 GiB.
    pub const WINDOW_BYTES_DEFAULT: u64 = 10 << 30;

    /// The default of [`window_segments`](Self::window_segments). Only a store that is opened again and again
    /// has so many: full segments have 64 MiB.
    pub const WINDOW_SEGMENTS_DEFAULT: u64 = 4 * Due::SEGMENTS_DEFAULT;

    pub(crate) fn floor(&self) -> usize {
        self.keep.max(Self::KEEP_MIN)
    }
}

impl Default for Retention {
    fn default() -> Self {
        let window_ms = Self::WINDOW_MS_DEFAULT;
        let window_bytes = Self::WINDOW_BYTES_DEFAULT;
        let window_segments = Self::WINDOW_SEGMENTS_DEFAULT;
        Self { keep: 3, window_ms, window_bytes, window_segments }
    }
}
