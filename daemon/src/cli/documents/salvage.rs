//! What can still be read of a damaged log.

use serde::{Deserialize, Serialize};

/// What a salvage found and kept.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Salvaged {
    /// The directory of the new log; null when none was asked for.
    pub(in crate::cli) to: Option<String>,
    /// Whether for certain every record of the old log is kept.
    pub(in crate::cli) whole: bool,
    /// The records in the new log; null when nothing can be read.
    pub(in crate::cli) kept: Option<Run>,
    /// All records that can be read, in order.
    pub(in crate::cli) runs: Vec<Run>,
    /// The LSNs that cannot be read.
    pub(in crate::cli) missing: Vec<Missing>,
    /// The bytes that cannot be read.
    pub(in crate::cli) skipped: Vec<Skipped>,
    /// Bytes of a torn tail. Whether a record in them was acknowledged cannot be known.
    pub(in crate::cli) torn_bytes: u64,
    /// The next LSN of the new log: above every LSN that the old log may have had.
    pub(in crate::cli) next_lsn: u64,
    /// Which snapshot the new log continues.
    pub(in crate::cli) snapshot: Fit,
}

/// Records without a hole between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Run {
    /// The LSN of the first record, 0 for none.
    pub(in crate::cli) first_lsn: u64,
    /// The LSN of the last record, 0 for none.
    pub(in crate::cli) last_lsn: u64,
    /// The run continues a state of this LSN, 0 for an empty one.
    pub(in crate::cli) after: u64,
    /// How many records there are.
    pub(in crate::cli) records: u64,
    /// When the first record was appended: ms since 1970.
    pub(in crate::cli) first_time: u64,
    /// When the last record was appended: ms since 1970.
    pub(in crate::cli) last_time: u64,
}

/// LSNs that cannot be read.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Missing {
    /// The first one.
    pub(in crate::cli) first_lsn: u64,
    /// The last one; null when nothing shows how many there were.
    pub(in crate::cli) last_lsn: Option<u64>,
}

/// Bytes that cannot be read.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Skipped {
    /// The file.
    pub(in crate::cli) file: String,
    /// The number of the segment, 0 for the manifest.
    pub(in crate::cli) segment: u64,
    /// Where they begin in the file.
    pub(in crate::cli) offset: u64,
    /// How many; 0 for a file that is missing.
    pub(in crate::cli) bytes: u64,
    /// The row of the recovery table in `docs/FORMAT.md`.
    pub(in crate::cli) reason: String,
    /// The reason in words.
    pub(in crate::cli) why: String,
}

/// Whether a node starts with the new log: from its newest snapshot, or from nothing if it has none.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Fit {
    /// The newest whole snapshot; null without one.
    pub(in crate::cli) newest: Option<String>,
    /// Whether the new log continues it.
    pub(in crate::cli) fits: bool,
    /// The LSN from which a log continues the newest snapshot.
    pub(in crate::cli) from: u64,
    /// The newest snapshot that the new log continues; null without one.
    pub(in crate::cli) fitting: Option<String>,
}
