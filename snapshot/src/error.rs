//! What can go wrong, told apart by what the caller must do.

use crate::id::SnapshotId;
use crate::point_in_time::PointInTime;

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log refused; see there.
    #[error(transparent)]
    Log(#[from] icn_wal::Error),

    /// The disk refused; the store is as it was.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },

    /// A snapshot file cannot be used. The file is left as it is.
    #[error("snapshot {file} cannot be used: {why}")]
    Unusable {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },

    /// A snapshot or record in a format or schema this build does not know.
    #[error("{what} was written by a newer version: {why}")]
    Newer {
        /// The snapshot file or record.
        what: String,
        /// What is not known.
        why: String,
    },

    /// A record of the log has a right checksum and makes no sense.
    #[error("record {lsn} of the log cannot be read: {why}")]
    Record {
        /// Its LSN.
        lsn: u64,
        /// What is wrong with it.
        why: String,
    },

    /// There is no such snapshot.
    #[error("there is no snapshot {id}")]
    NoSuchSnapshot {
        /// The id that was asked for.
        id: SnapshotId,
    },

    /// The snapshot is needed and stays.
    #[error("snapshot {id} stays: {why}")]
    Needed {
        /// The snapshot.
        id: SnapshotId,
        /// What needs it.
        why: &'static str,
    },

    /// The state asked for lies outside what snapshots and log can show.
    #[error("{wanted} is outside the restore window, which is LSN {first} to {last}")]
    OutsideWindow {
        /// What was asked for.
        wanted: PointInTime,
        /// The first LSN from which on every state can be shown.
        first: u64,
        /// The last one there is.
        last: u64,
    },
}

pub(crate) trait OnFile<T> {
    fn on(self, action: &'static str, file: String) -> Result<T, Error>;
}

impl<T> OnFile<T> for std::io::Result<T> {
    fn on(self, action: &'static str, file: String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { action, file, source })
    }
}
