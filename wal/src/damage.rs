//! Where a store is damaged, and which evidence proves it.

use std::fmt;

/// Where a store is damaged and why the damage cannot be a torn tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The path of the file.
    pub file: String,
    /// The number of the segment, 0 for the manifest.
    pub segment: u64,
    /// The offset in the file, in bytes.
    pub offset: u64,
    /// The evidence: a row of the recovery table in `docs/FORMAT.md`.
    pub reason: Reason,
}

/// A row of the recovery table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Frames exist, but no manifest, or both of its copies are damaged.
    ManifestDamaged,
    /// The manifest or a later segment names a segment that does not exist.
    SegmentMissing,
    /// A segment header is damaged, or is that of another segment.
    SegmentHeaderDamaged,
    /// A segment is shorter or longer than its header says.
    SegmentResized,
    /// A segment belongs to another store.
    SegmentForeign,
    /// A segment outside the chain holds frames.
    SegmentUnlinked,
    /// A segment newer than the manifest holds frames.
    SegmentNewerThanManifest,
    /// A frame is invalid that a later segment proves durable.
    DamagedBeforeSuccessor,
    /// A frame is invalid that a later frame proves durable.
    DamagedBeforeDurableMark,
    /// A frame is invalid that the clean stop proves durable.
    DamagedBeforeCleanStop,
    /// The numbers of frames, segments or records do not continue one another.
    OutOfSequence,
    /// A frame with a valid checksum does not divide into its records.
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
            Self::SegmentMissing => {
                "the manifest or a later segment names this segment, but it does not exist"
            }
            Self::SegmentHeaderDamaged => {
                "the segment header is damaged or belongs to another segment"
            }
            Self::SegmentResized => "the file is shorter or longer than when it was created",
            Self::SegmentForeign => "this segment belongs to another store",
            Self::SegmentUnlinked => "this segment holds records, but no other segment leads to it",
            Self::SegmentNewerThanManifest => {
                "this segment holds records, but it is newer than the manifest"
            }
            Self::DamagedBeforeSuccessor => {
                "the frame is invalid, but a later segment proves that it was durable"
            }
            Self::DamagedBeforeDurableMark => {
                "the frame is invalid, but a later frame proves that it was durable"
            }
            Self::DamagedBeforeCleanStop => {
                "the frame is invalid, but the clean stop proves that it was durable"
            }
            Self::OutOfSequence => "the frames do not continue one another",
            Self::RecordsMalformed => {
                "the checksum is valid, but the frame does not divide into its records"
            }
        })
    }
}
