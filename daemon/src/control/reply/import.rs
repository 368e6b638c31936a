//! What an import took from a file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::snapshots::Snapshot;

/// What an import took, or would take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Imported {
    /// A `state.snapshot` of the earlier implementation.
    Legacy(LegacyImport),
    /// An exported state, kept as a snapshot.
    Kept(KeptImport),
    /// An exported state that was only checked.
    Sound(SoundImport),
}

/// What was taken from a `state.snapshot` of the earlier implementation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LegacyImport {
    /// Always true.
    pub legacy: bool,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// The last LSN that the reply depends on.
    pub lsn: u64,
    /// How many changes the import makes.
    pub mutations: u64,
    /// How many fields were refused.
    pub refused: u64,
    /// What became of every field.
    pub report: Vec<FieldReport>,
}

/// What became of a field of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldReport {
    /// What became of it.
    pub fate: Fate,
    /// The place of the field in the file.
    pub field: String,
    /// As what it was taken, or why not, in words.
    pub why: String,
}

/// What became of a field of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Fate {
    /// It is in the state.
    #[serde(rename = "taken")]
    Taken,
    /// The state has a default in its place.
    #[serde(rename = "default")]
    Default,
    /// This implementation does not need it.
    #[serde(rename = "not needed")]
    NotNeeded,
    /// It was not taken, and the operator may miss it.
    #[serde(rename = "refused")]
    Refused,
}

/// An exported state was kept as a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptImport {
    /// The snapshot.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// Always false.
    pub legacy: bool,
}

/// An exported state is whole and of this node; nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SoundImport {
    /// Always false.
    pub legacy: bool,
    /// Always true.
    pub dry_run: bool,
}
