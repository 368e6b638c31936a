//! One member of the world: its disk, and its node or script.

use std::collections::{BTreeMap, VecDeque};

use icn_daemon::node::{Inputs, Node, Output};
use icn_gossip::mesh::LinkId;
use icn_wal::disk::SimDisk;

use crate::script::Script;

/// One node, its disk, and whatever of it survives a crash.
pub struct Member {
    /// What it is stored on.
    pub disk: SimDisk,
    /// Its node, while it runs.
    pub node: Option<Node<SimDisk>>,
    /// What speaks in place of a node.
    pub script: Option<Box<dyn Script>>,
    pub(super) seed: u8,
    pub(super) starts: u64,
    /// How far its clock is off.
    pub skew_ms: i64,
    /// Outputs that wait for the disk, each with the time it will be done.
    pub(super) waiting: VecDeque<(u64, Output<u64>)>,
    /// When the last signatures are checked: one batch after the other.
    pub(super) verified_ms: u64,
    /// What has come in since the last turn.
    pub(super) inbox: Inputs<u64>,
    pub(super) links: BTreeMap<LinkId, usize>,
}
