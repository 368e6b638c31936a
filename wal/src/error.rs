//! What can go wrong, told apart by what the caller must do.

use std::fmt;
use std::io;

use crate::lsn::Lsn;

/// Why the log refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory belongs to another process. Nothing was touched.
    #[error("{directory} is in use by another process")]
    Locked {
        /// The directory.
        directory: String,
    },

    /// The disk refused while nothing was promised yet: opening, reading, preparing, removing.
    /// The log is as it was.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: String,
        /// What the system said.
        source: io::Error,
    },

    /// Something that was durable is damaged or gone. Nothing was changed on disk.
    #[error("{0}")]
    Corrupt(Damage),

    /// What carries a name of the log's own is no plain file. Nothing was changed; move it away.
    #[error("{file} is {what} and not a file of the log")]
    Stranger {
        /// The name.
        file: String,
        /// What it is.
        what: &'static str,
    },

    /// A file in a format this build does not know. Nothing was changed on disk.
    #[error("{file} has format {format}; this build reads format {known}")]
    Format {
        /// The file.
        file: String,
        /// The format it declares.
        format: u32,
        /// The format this build reads.
        known: u32,
    },

    /// The log does not reach back to the record that was asked for.
    #[error("the log starts at LSN {first}, records from {wanted} on are needed")]
    Missing {
        /// The first record that was asked for.
        wanted: u64,
        /// The first one that is there.
        first: u64,
    },

    /// The log ends before the record that the caller already has.
    #[error("the log ends at LSN {last}, but LSN {known} is known to have been durable")]
    Behind {
        /// The record the caller has.
        known: Lsn,
        /// The last one of the log, 0 for none.
        last: u64,
    },

    /// The replay was stopped by the visitor.
    #[error("replay was stopped at LSN {lsn}")]
    Stopped {
        /// The record at which it stopped.
        lsn: Lsn,
    },

    /// An append without records, or one over a limit. Nothing was appended.
    #[error("an append of {records} records and {bytes} bytes is refused: {limit}")]
    Refused {
        /// Records in the append.
        records: usize,
        /// Their bytes.
        bytes: usize,
        /// The limit in words.
        limit: &'static str,
    },

    /// No room on the disk, or none that may be used. Nothing was changed and nothing is lost: free
    /// some space and try again.
    #[error("no room for the log: {source}")]
    NoSpace {
        /// What the system said.
        source: io::Error,
    },

    /// A write or sync failed, now or earlier. What was not acknowledged is *indeterminate*: it may
    /// or may not be there after recovery. Drop the log, open it again, never retry on this one.
    #[error(
        "the log is poisoned: {cause}; what was not acknowledged is indeterminate until recovery"
    )]
    Poisoned {
        /// The first failure.
        cause: String,
    },

    /// The log was closed; or the LSN waited for was never appended.
    #[error("the log is closed or LSN {lsn} was never appended")]
    NotAppended {
        /// The LSN waited for, 0 for an append to a closed log.
        lsn: u64,
    },
}

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

impl Error {
    /// A full disk is told apart: nothing is wrong with it.
    pub(crate) fn tell_no_space(self) -> Self {
        match self {
            Self::Io { source, .. } if is_no_space(&source) => Self::NoSpace { source },
            other => other,
        }
    }

    /// Whether the disk refused because it is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::NoSpace { .. } => true,
            Self::Io { source, .. } => is_no_space(source),
            _ => false,
        }
    }
}

fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
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

pub(crate) trait OnFile<T> {
    /// Says which file a failed call was about, which costs nothing if it did not fail.
    fn on(self, action: &'static str, file: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> OnFile<T> for io::Result<T> {
    fn on(self, action: &'static str, file: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { action, file: file(), source })
    }
}
