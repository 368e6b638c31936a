//! Every error of the log, one variant for each thing a caller must do.

use std::io;

use crate::damage::Damage;
use crate::lsn::Lsn;

/// Why a call of the log failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process owns the directory. Nothing was touched.
    #[error("{directory} is in use by another process")]
    Locked {
        /// The directory.
        directory: String,
    },

    /// A call to the disk failed before anything was promised: opening, reading, preparing,
    /// removing. The log is as it was.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// The file it was about.
        file: String,
        /// The error of the system.
        source: io::Error,
    },

    /// Something that was durable is damaged or gone. Nothing was changed on disk.
    #[error("{0}")]
    Corrupt(Damage),

    /// A name of the log belongs to something that is not a regular file. Nothing was changed; move it
    /// away.
    #[error("{file} is {kind}, not a regular file")]
    NotRegular {
        /// The path.
        file: String,
        /// What it is, in words: `a directory`, `a symbolic link`.
        kind: &'static str,
    },

    /// A file in a format this build does not know. Nothing was changed on disk.
    #[error("{file} has format {format}{}; this build reads format {known}", other_build(*format, *known))]
    Format {
        /// The file.
        file: String,
        /// The format it declares.
        format: u32,
        /// The format this build reads.
        known: u32,
    },

    /// The first requested record has been dropped.
    #[error("records from LSN {wanted} on are needed, but the log starts at LSN {first}")]
    Missing {
        /// The first record that was requested.
        wanted: u64,
        /// The first record of the log.
        first: u64,
    },

    /// The log ends before the record that the caller already has.
    #[error("the log ends at LSN {last}, but LSN {known} was durable")]
    Behind {
        /// The record the caller has.
        known: Lsn,
        /// The last record of the log, 0 for none.
        last: u64,
    },

    /// The visitor stopped the replay.
    #[error("the visitor stopped the replay at LSN {lsn}")]
    Stopped {
        /// The record at which it stopped.
        lsn: Lsn,
    },

    /// An append without records, or one over a limit. Nothing was appended.
    #[error("an append of {records} records and {bytes} bytes is refused: {limit}")]
    Refused {
        /// Records in the append.
        records: usize,
        /// Bytes in the append.
        bytes: usize,
        /// The limit in words.
        limit: &'static str,
    },

    /// The disk is full, or a quota is reached. Nothing was changed and nothing is lost: free some
    /// space and try again.
    #[error("the disk has no space for the log: {source}")]
    NoSpace {
        /// The error of the system.
        source: io::Error,
    },

    /// A write or sync failed, now or earlier. Records that were not acknowledged are
    /// *indeterminate*: recovery may find them or not. Drop the log and open it again; never retry on
    /// this one.
    #[error(
        "the log is poisoned: {cause}; unacknowledged records are indeterminate until recovery"
    )]
    Poisoned {
        /// The first failure.
        cause: String,
    },

    /// The log was closed, or the awaited LSN was never appended.
    #[error("the log is closed, or LSN {lsn} was never appended")]
    NotAppended {
        /// The awaited LSN, 0 for an append to a closed log.
        lsn: u64,
    },
}

impl Error {
    /// Turns the I/O error of a full disk into [`Error::NoSpace`].
    pub(crate) fn into_no_space(self) -> Self {
        match self {
            Self::Io { source, .. } if is_no_space(&source) => Self::NoSpace { source },
            other => other,
        }
    }

    /// Whether the cause is a full disk or a reached quota.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::NoSpace { .. } => true,
            Self::Io { source, .. } => is_no_space(source),
            _ => false,
        }
    }
}

/// What distinguishes the formats of two builds whose format is not frozen.
fn other_build(format: u32, known: u32) -> &'static str {
    if format == known { " of another build" } else { "" }
}

fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Context for I/O errors.
pub(crate) trait OnFile<T> {
    /// Adds the operation and the file to an I/O error; `file` is called only for an error.
    fn on(self, action: &'static str, file: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> OnFile<T> for io::Result<T> {
    fn on(self, action: &'static str, file: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { action, file: file(), source })
    }
}
