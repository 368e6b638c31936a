//! What is known about one kept snapshot.

use crate::id::SnapshotId;
use crate::integrity::Integrity;
use crate::labels::Labels;
use crate::origin::Origin;
use crate::retention::RetentionReason;

/// A kept snapshot, as the manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The id of the snapshot.
    pub id: SnapshotId,
    /// The number of restores before the snapshot.
    pub timeline: u64,
    /// The size of the file, in bytes.
    pub bytes: u64,
    /// When the image was taken, by the wall clock, for people only. ms since 1970.
    pub created_ms: u64,
    /// The time of the snapshot by the log's clock, which never goes back: no less than that of the last
    /// record covered. ms since 1970.
    pub time_ms: u64,
    /// The result of the last verification of the file.
    pub integrity: Integrity,
    /// Which kind of state the snapshot holds.
    pub origin: Origin,
    /// Whether the snapshot stays until an operator unpins it.
    pub pinned: bool,
    /// The labels given to the snapshot.
    pub labels: Labels,
    /// Why the snapshot is kept.
    pub kept_because: RetentionReason,
}
