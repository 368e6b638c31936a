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
}
