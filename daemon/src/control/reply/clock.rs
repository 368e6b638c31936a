//! The clocks of a node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The clocks of a node, and whether the wall clock is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clock {
    /// The last LSN that the reply depends on.
    pub lsn: u64,
    /// The wall clock: ms since 1970. It stamps messages and records, and decides nothing.
    pub wall: u64,
    /// The node's clock in ms: the time that has passed, by which entries expire.
    pub node: u64,
    /// Why the wall clock is in doubt; null if it is not.
    pub doubt: Option<ClockDoubt>,
    /// Messages that would expire at once if the wall clock were confirmed; 0 while it is not in doubt.
    #[serde(default)]
    pub would_expire: u64,
    /// Messages of this node that peers hold back; null if they hold back none.
    pub held_back: Option<HeldBack>,
    /// Messages that this node wrote while its clock was ahead, and that peers hold back until their time;
    /// null if they hold back none.
    pub held_earlier: Option<HeldBack>,
    /// How many connected peers have a wall clock that differs from this node's by more than a minute.
    #[serde(default)]
    pub peers_apart: u64,
}

/// Messages of this node that peers hold back, since their time is more than 10 min ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldBack {
    /// How many connected peers hold back a message.
    pub peers: u64,
    /// The most that a message is ahead of a peer's clock, in ms.
    pub ahead_ms: u64,
}

/// Why a wall clock is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "ms", rename_all = "snake_case")]
pub enum ClockDoubt {
    /// It was set by so many ms while the node ran.
    Moved(i64),
    /// It shows so many ms since the last run: too many, or fewer than none.
    Down(i64),
}
