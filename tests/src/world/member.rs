//! One member of the world: its disk, and its node or script.

use std::collections::{BTreeMap, VecDeque};

use icn_daemon::node::{Inputs, Node, Output};
use icn_gossip::mesh::LinkId;
use icn_wal::disk::SimDisk;

use super::tape::Tape;
use crate::script::Script;

/// One member: its disk, which survives a crash, and its node or script.
pub struct Member {
    /// The disk of the node.
    pub disk: SimDisk,
    /// The node, while it runs.
    pub node: Option<Node<SimDisk>>,
    /// The script that runs in place of a node.
    pub script: Option<Box<dyn Script>>,
    pub(super) seed: u8,
    pub(super) starts: u64,
    /// The error of the member's clock, in ms.
    pub skew_ms: i64,
    /// Outputs that wait for the disk, each with the time of its sync.
    pub(super) waiting: VecDeque<(u64, Output<u64>)>,
    /// The time at which the last signatures are verified: batches are verified one after the
    /// other.
    pub(super) verified_ms: u64,
    /// Inputs since the last turn.
    pub(super) inbox: Inputs<u64>,
    pub(super) links: BTreeMap<LinkId, usize>,
    /// What the node has taken since its start, if the world records it.
    pub(super) tape: Option<Tape>,
}

impl Member {
    /// A member without a node, whose identity is that of the seed.
    pub(super) fn new(seed: u8, disk: SimDisk) -> Self {
        Self {
            disk,
            node: None,
            script: None,
            seed,
            starts: 0,
            skew_ms: 0,
            waiting: VecDeque::new(),
            verified_ms: 0,
            inbox: Inputs::default(),
            links: BTreeMap::new(),
            tape: None,
        }
    }
}
