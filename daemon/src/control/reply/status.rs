//! How a node is, who it is, and the digest of its state.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::clock::{ClockDoubt, HeldBack};
use super::snapshots::Window;

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The process.
    pub node: NodeStatus,
    /// Topics and their entries.
    pub gossip: GossipStatus,
    /// The write-ahead log.
    pub wal: LogStatus,
    /// The newest snapshot, and the others.
    pub snapshot: SnapshotStatus,
    /// What recovery found.
    pub last_start: LastStart,
    /// What `/healthz` checks, with the results of this moment.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Why the wall clock is in doubt, with the numbers that its check gives in words; null if it is not.
    pub clock_doubt: Option<ClockDoubt>,
    /// Messages of this node that peers hold back, in numbers; null if they hold back none.
    pub held_back: Option<HeldBack>,
    /// What the links to peers have counted since the start, by name.
    pub network: BTreeMap<String, u64>,
    /// Peers and their keys.
    pub peers: PeerStatus,
}

/// The process of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeStatus {
    /// The DID of the node.
    pub did: String,
    /// Whether the node can write.
    pub state: NodeState,
    /// The number of this start, from 1.
    pub incarnation: u64,
    /// The branch of history: 0, and one more with every restore.
    pub timeline: u64,
    /// The version of `icnd`.
    pub version: String,
}

/// Whether a node can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It can.
    Ready,
    /// A write or sync of its log has failed; only a restart helps.
    Failed,
}

/// Topics and their entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GossipStatus {
    /// Topics that are known.
    pub topics: u64,
    /// Topics that not every node may read.
    pub private_topics: u64,
    /// Topics that are closed because their access rule is of a newer version.
    pub sealed_topics: u64,
    /// Subscriptions, also those of peers.
    pub subscriptions: u64,
    /// Cursors of consumers.
    pub cursors: u64,
    /// Entries that are retained.
    pub entries: u64,
    /// Encoded bytes of the retained entries.
    pub bytes: u64,
}

/// The write-ahead log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogStatus {
    /// The LSN of the last record.
    pub last_lsn: u64,
    /// The LSN up to which records are durable.
    pub durable_lsn: u64,
    /// Segments on the disk.
    pub segments: u64,
    /// Bytes of the segments.
    pub bytes: u64,
}

/// The newest whole snapshot, and the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotStatus {
    /// The id of the newest whole snapshot; null without one.
    pub id: Option<String>,
    /// The last LSN in that snapshot.
    pub lsn: Option<u64>,
    /// When that snapshot was taken: ms since 1970.
    pub created: Option<u64>,
    /// Snapshots that are kept.
    pub kept: u64,
    /// Kept snapshots that are damaged.
    pub damaged: u64,
    /// The states that can be restored.
    pub window: Window,
}

/// What recovery found at the last start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastStart {
    /// Whether the log ended with an orderly stop. A later run may have ended without one, and without a
    /// write.
    pub clean: bool,
    /// The snapshot that recovery started from; null without one.
    pub snapshot: Option<String>,
    /// Records of the log that recovery applied to it.
    pub records_replayed: u64,
    /// Bytes of a torn tail, which recovery left out. Whether a record in them was acknowledged cannot be
    /// known.
    pub torn_bytes: u64,
    /// Whether another block of the log proves its last record. If not, a disk may have lost a last group.
    pub end_proven: bool,
    /// Snapshots that recovery could not use.
    pub passed_over: u64,
    /// What the recovered state lacks that the snapshots say it had, in words.
    pub weaker: Vec<String>,
}

/// Peers and their keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerStatus {
    /// Peers whose signed key is known.
    pub known: u64,
    /// Keys that no peer has signed.
    pub unsigned: u64,
    /// Links that are up.
    pub connected: u64,
}

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The DID of the node.
    pub did: String,
    /// The card that peers add: `icn-card:…`.
    pub card: String,
}

/// The digest of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Digest {
    /// The last LSN in the state.
    pub lsn: u64,
    /// A hash of the whole state, in hexadecimal.
    pub digest: String,
}
