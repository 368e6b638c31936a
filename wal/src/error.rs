//! What can go wrong, told apart by what the caller must do.

use std::io;

use crate::damage::Damage;
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

    /// What carries a name of the log's own is not a regular file. Nothing was changed; move it away.
    #[error("{file} is {what} and not a file of the log")]
    NotRegular {
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

impl Error {
    /// A full disk is told apart: nothing is wrong with it.
    pub(crate) fn into_no_space(self) -> Self {
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

pub(crate) trait OnFile<T> {
    /// Says which file a failed call was about, which costs nothing if it did not fail.
    fn on(self, action: &'static str, file: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> OnFile<T> for io::Result<T> {
    fn on(self, action: &'static str, file: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { action, file: file(), source })
    }
}
