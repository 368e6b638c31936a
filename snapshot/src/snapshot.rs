//! What is known about one kept snapshot.

use crate::id::SnapshotId;
use crate::integrity::Integrity;
use crate::labels::Labels;
use crate::origin::Origin;
use crate::retention::RetentionReason;

/// One kept snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// The branch of history it lies on: 0, and one more with every restore.
    pub timeline: u64,
    /// The size of its file.
    pub bytes: u64,
    /// When it was taken: ms since 1970 by the clock of then, for people.
    pub created_ms: u64,
    /// By the log's clock, which never goes back: no less than the time of the last record it covers.
    /// ms since 1970.
    pub time_ms: u64,
    /// What is known about its bytes.
    pub integrity: Integrity,
    /// How it has come about.
    pub origin: Origin,
    /// Whether it stays until somebody unpins it.
    pub pinned: bool,
    /// What people have written on it.
    pub labels: Labels,
    /// Why it is kept.
    pub kept_because: RetentionReason,
}
