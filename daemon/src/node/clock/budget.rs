//! How much time between two runs the wall clock may still add.

use icn_gossip::{ClockStamp, Now};

/// How fast the budget grows: so many ms in each ms that the node runs.
const GROWTH: u64 = 7;

/// How much time between two runs the wall clock may still add. A clock that is wrong at every boot ages
/// entries by no more than that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    ms: u64,
    since_ms: u64,
}

impl Budget {
    /// Budget for `ms` at this reading.
    pub(super) fn new(ms: u64, now: Now) -> Self {
        Self { ms, since_ms: now.elapsed_ms }
    }

    /// How much there is now, in ms.
    pub(super) fn ms(self, now: Now) -> u64 {
        let run_ms = now.elapsed_ms.saturating_sub(self.since_ms);
        self.ms.saturating_add(run_ms.saturating_mul(GROWTH)).min(ClockStamp::BUDGET_MS_MAX)
    }

    /// What is left after the wall clock has added `ms`.
    pub(super) fn without(self, ms: u64, now: Now) -> Self {
        Self::new(self.ms(now).saturating_sub(ms), now)
    }
}
