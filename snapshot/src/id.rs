//! The id of a snapshot, as an operator types it; it is never a path.

use std::fmt;
use std::str::FromStr;

/// Identifies one snapshot of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// The last LSN that the snapshot covers.
    pub lsn: u64,
    /// The sequence number among all snapshots that this store has written. Never reused.
    pub generation: u64,
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.lsn, self.generation)
    }
}

/// The text is not `<lsn>-<generation>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a snapshot id looks like 4096-3, as `icnctl snapshot list` prints it")]
pub struct BadSnapshotId;

impl FromStr for SnapshotId {
    type Err = BadSnapshotId;

    fn from_str(text: &str) -> Result<Self, BadSnapshotId> {
        let (lsn, generation) = text.split_once('-').ok_or(BadSnapshotId)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| BadSnapshotId);
        let id = Self { lsn: number(lsn)?, generation: number(generation)? };
        // One id has one spelling.
        if id.to_string() == text { Ok(id) } else { Err(BadSnapshotId) }
    }
}

impl SnapshotId {
    /// The name of the snapshot's file in its directory.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{:020}-{:010}.snap", self.lsn, self.generation)
    }

    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        let (lsn, generation) = name.strip_suffix(".snap")?.split_once('-')?;
        let id = Self { lsn: lsn.parse().ok()?, generation: generation.parse().ok()? };
        (id.file_name() == name).then_some(id)
    }
}
