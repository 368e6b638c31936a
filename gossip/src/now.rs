//! One reading of three clocks: the wall clock, which may be wrong, and two of the time that has passed.

/// A reading of the clocks. Deadlines and intervals use the elapsed time, ages the node's clock, and stamps
/// the wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The wall time, in ms since 1970. It can be set, and may jump either way.
    pub wall_ms: u64,
    /// The time since an arbitrary start of the machine, in ms, including suspended time. It never goes
    /// back, and never jumps.
    pub elapsed_ms: u64,
    /// The node's own clock, in ms. Entries are received by it. It never goes back, and advances at once by
    /// the time between two runs.
    pub node_ms: u64,
}

impl Now {
    /// A reading at which all clocks show `ms`.
    #[must_use]
    pub fn at(ms: u64) -> Self {
        Self { wall_ms: ms, elapsed_ms: ms, node_ms: ms }
    }

    /// A reading of a machine's clocks. The node's clock shows the wall time until the node sets it.
    #[must_use]
    pub fn of_machine(wall_ms: u64, elapsed_ms: u64) -> Self {
        Self { wall_ms, elapsed_ms, node_ms: wall_ms }
    }

    /// The later of the wall clock and the node's clock, in ms. A wall clock that is slow, as without a
    /// battery, makes no right time early.
    #[must_use]
    pub fn latest_ms(self) -> u64 {
        self.wall_ms.max(self.node_ms)
    }
}
