//! Where a store is damaged, and what proves it.

use std::fmt;

/// Where a store is damaged and why that cannot be a torn tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// The number of the segment, 0 for the manifest.
    pub segment: u64,
    /// The offset in the file.
    pub offset: u64,
    /// What proves the damage. Each reason is a row of the recovery table in `docs/FORMAT.md`.
    pub reason: Reason,
}

/// A row of the recovery table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There are frames but no manifest, or both copies of the manifest are damaged.
    ManifestDamaged,
    /// The manifest or a successor names a segment that is not there.
    SegmentMissing,
    /// A segment header is damaged, or is that of another segment.
    SegmentHeaderDamaged,
    /// A segment is shorter or longer than it was made.
    SegmentResized,
    /// The file belongs to another store.
    SegmentForeign,
    /// A segment that nothing leads to holds frames.
    SegmentUnlinked,
    /// A segment newer than the manifest knows holds frames.
    SegmentNewerThanManifest,
    /// A frame is damaged that a later segment proves durable.
    DamagedBeforeSuccessor,
    /// A frame is damaged that a later frame proves durable.
    DamagedBeforeDurableMark,
    /// A frame is damaged that the clean stop proves durable.
    DamagedBeforeCleanStop,
    /// Frames do not continue one another.
    OutOfSequence,
    /// A frame whose checksum is right does not divide into its records.
    RecordsMalformed,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged at byte {}: {}", self.file, self.offset, self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ManifestDamaged => "the manifest is missing or damaged, but there are records",
            Self::SegmentMissing => "this segment must exist and does not",
            Self::SegmentHeaderDamaged => "the segment header is not what was written",
            Self::SegmentResized => "the file is shorter or longer than it was made",
            Self::SegmentForeign => "this segment belongs to another store",
            Self::SegmentUnlinked => "this segment holds records but no other segment leads to it",
            Self::SegmentNewerThanManifest => "this segment holds records the manifest cannot know",
            Self::DamagedBeforeSuccessor => "a later segment proves that this was durable",
            Self::DamagedBeforeDurableMark => "a later frame proves that this was durable",
            Self::DamagedBeforeCleanStop => "the clean stop proves that this was durable",
            Self::OutOfSequence => "the frames do not continue one another",
            Self::RecordsMalformed => "the frame does not divide into its records",
        })
    }
}
