//! Snapshots: what is kept and why, and what was done with one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// The id of the snapshot.
    pub id: String,
    /// The last LSN in the snapshot.
    pub lsn: u64,
    /// The size of the file, in bytes.
    pub bytes: u64,
    /// When the snapshot was taken: ms since 1970.
    pub created: u64,
    /// The branch of history that the snapshot is of.
    pub timeline: u64,
    /// The time of the last record in the snapshot: ms since 1970.
    pub time: u64,
    /// Whether the snapshot is known to be whole.
    pub verified: bool,
    /// What is known of the file.
    pub check: Integrity,
    /// Where the state came from.
    pub origin: Origin,
    /// Whether the snapshot stays whatever the rules say.
    pub pinned: bool,
    /// What the operator or the node has written on the snapshot.
    pub labels: BTreeMap<String, String>,
    /// Why the snapshot is kept, in words.
    pub kept_because: String,
}

/// What is known of the file of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Integrity {
    /// The file was read to its end and is whole.
    Whole,
    /// The file was not read yet.
    Unchecked,
    /// The file is damaged.
    Damaged,
}

/// Where the state of a snapshot came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Origin {
    /// From the node.
    #[serde(rename = "taken")]
    Taken,
    /// From the past of the node, for a restore.
    #[serde(rename = "target of a restore")]
    Target,
    /// From a file.
    #[serde(rename = "imported")]
    Imported,
}

/// All snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshots {
    /// The snapshots, from the oldest to the newest.
    pub snapshots: Vec<Snapshot>,
    /// The states that can be restored.
    pub window: Window,
}

/// The LSNs whose states can be restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// The first one.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// The time of the first one: ms since 1970; 0 without a record.
    pub since: u64,
    /// How far the window should reach back, in hours that the node has run; 0 for the newest snapshots only.
    pub hours_wanted: u64,
    /// What the window takes, in bytes: its snapshots and the log.
    pub bytes: u64,
    /// What the window may take before it shortens, in bytes.
    pub bytes_max: u64,
    /// Whether the window is shorter than it should be, since it had no room.
    pub shortened: bool,
}

/// A snapshot is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verified {
    /// The id of the snapshot.
    pub id: String,
    /// Always true: a damaged snapshot is an error.
    pub verified: bool,
}

/// A snapshot was pinned or unpinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pinned {
    /// The id of the snapshot.
    pub id: String,
    /// Whether the snapshot stays whatever the rules say.
    pub pinned: bool,
}

/// A snapshot was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    /// The id of the snapshot.
    pub deleted: String,
}

/// What the rules say of every snapshot; without `dry_run` it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The verdicts, from the oldest snapshot to the newest.
    pub snapshots: Vec<Planned>,
}

/// What the rules say of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Planned {
    /// The id of the snapshot.
    pub id: String,
    /// The size of the file, in bytes.
    pub bytes: u64,
    /// Whether the snapshot stays.
    pub stays: bool,
    /// Why, in words.
    pub because: String,
}

/// The node went back to an earlier state, as a step forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// The LSN of the restore.
    pub lsn: u64,
    /// The id of the snapshot that holds the restored state.
    pub restored: String,
    /// The LSN of the restored state.
    pub restored_lsn: u64,
    /// The branch of history that the restore began.
    pub timeline: u64,
    /// The id of a snapshot of the state before the restore, which undoes it.
    pub undo: String,
    /// The LSN before the restore.
    pub before: u64,
}
