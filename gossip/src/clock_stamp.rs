//! A reading of the node's clock together with the wall clock.

use serde::{Deserialize, Serialize};

use crate::boot::Boot;

/// A reading of the node's clock together with the wall clock, by which the next start continues it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockStamp {
    /// The node's clock, in ms: the time that has passed, which no wrong wall clock moves.
    pub node_ms: u64,
    /// The wall clock, in ms since 1970.
    pub wall_ms: u64,
    /// How long the node has run over all its lives, in ms. It never goes back; 0 in stamps of older builds.
    #[serde(default)]
    pub ran_ms: u64,
    /// The machine's boot; without it, only the wall clock shows how long ago the stamp was. It is `None` in
    /// stamps of older builds, and while it is unknown for how long the node was down.
    #[serde(default)]
    pub boot: Option<Boot>,
    /// How much time between two runs a wall clock may add in another boot, in ms. It is at most
    /// [`BUDGET_MS_MAX`](Self::BUDGET_MS_MAX), as in stamps of older builds.
    #[serde(default = "ClockStamp::whole_budget")]
    pub budget_ms: u64,
}

impl ClockStamp {
    /// The most that [`budget_ms`](Self::budget_ms) is: 7 days.
    pub const BUDGET_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1000;

    fn whole_budget() -> u64 {
        Self::BUDGET_MS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_of_an_older_build_names_no_boot_and_has_the_whole_budget() {
        let bytes = rmp_serde::to_vec(&(1_u64, 2_u64)).expect("memory");
        let stamp: ClockStamp = rmp_serde::from_slice(&bytes).expect("a stamp");
        let budget_ms = ClockStamp::BUDGET_MS_MAX;
        assert_eq!(stamp, ClockStamp { node_ms: 1, wall_ms: 2, ran_ms: 0, boot: None, budget_ms });
    }
}
