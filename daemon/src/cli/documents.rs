//! Documents that `icnctl` composes itself, of several replies or of files.

pub(super) mod log;
pub(super) mod salvage;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::control::reply::brief::TopicBrief;
use crate::control::reply::entries::Arrival;
use crate::control::reply::peers::Peer;
use crate::control::reply::{Plan, Snapshot};

/// All pages of entries as one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AllEntries {
    /// The topic.
    pub(super) topic: TopicBrief,
    /// The entries, in the order of delivery.
    pub(super) entries: Vec<Arrival>,
    /// The index of the last arrival in the list, or the one that was asked after.
    pub(super) last: u64,
    /// Whether there are more entries after the list.
    pub(super) more: bool,
}

/// Peers that are shown.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ShownPeers {
    /// The peers: those that are connected, or all.
    pub(super) peers: Vec<Peer>,
    /// How many peers the node knows.
    pub(super) known: usize,
}

/// A snapshot that was taken.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Taken(pub(super) Snapshot);

/// What the rules did, or would do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pruned {
    /// The verdicts.
    #[serde(flatten)]
    pub(super) plan: Plan,
    /// Whether nothing was done.
    pub(super) dry_run: bool,
    /// Whether the text also shows the snapshots that stay.
    pub(super) explain: bool,
}

/// All snapshots, read to their ends.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Checked {
    /// The snapshots, from the oldest to the newest.
    pub(super) snapshots: Vec<CheckedSnapshot>,
}

/// A snapshot that was read to its end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckedSnapshot {
    /// The id of the snapshot.
    pub(super) id: String,
    /// Whether it is whole.
    pub(super) verified: bool,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

/// A state that was written to a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Exported {
    /// The file.
    pub(super) file: PathBuf,
    /// The last LSN in the state.
    pub(super) lsn: u64,
}
