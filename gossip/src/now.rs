//! One reading of two clocks: the wall clock, which may be wrong, and the time that has passed.

/// A reading of both clocks. Deadlines and intervals use the elapsed time, and stamps the wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The wall time, in ms since 1970. It can be set, and may jump either way.
    pub wall_ms: u64,
    /// The time since an arbitrary start, in ms, including suspended time. It never goes back.
    pub elapsed_ms: u64,
}

impl Now {
    /// A reading at which both clocks show `ms`.
    #[must_use]
    pub fn at(ms: u64) -> Self {
        Self { wall_ms: ms, elapsed_ms: ms }
    }
}
