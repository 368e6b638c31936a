//! The errors of a store, distinguished by what the caller must do.

use crate::id::SnapshotId;
use crate::point_in_time::PointInTime;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operation of the log failed; see [`icn_wal::Error`].
    #[error(transparent)]
    Log(#[from] icn_wal::Error),

    /// An operation of the disk failed; the store is unchanged.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// The file it was applied to.
        file: String,
        /// The error of the operating system.
        source: std::io::Error,
    },

    /// A snapshot is damaged, belongs to another store, or cannot be decoded. Its file is left unchanged.
    #[error("snapshot {file} cannot be used: {why}")]
    Unusable {
        /// The snapshot file.
        file: String,
        /// What is wrong with the snapshot.
        why: String,
    },

    /// A snapshot or record has a format or schema that this build does not know.
    #[error("{what} was written by a newer version: {why}")]
    Newer {
        /// The snapshot file or record.
        what: String,
        /// The version found, and the one this build reads.
        why: String,
    },

    /// A record of the log has a valid checksum but cannot be decoded.
    #[error("record {lsn} of the log cannot be read: {why}")]
    Record {
        /// The LSN of the record.
        lsn: u64,
        /// What is wrong with the record.
        why: String,
    },

    /// The state machine panicked while it applied a record of the log. Nothing was changed on the disk. A
    /// build that applies the record opens the store.
    #[error("record {lsn} of the log cannot be applied: {machine} panicked: {why}")]
    Apply {
        /// The LSN of the record.
        lsn: u64,
        /// The type of the state machine.
        machine: &'static str,
        /// The message of the panic.
        why: String,
    },

    /// The state machine panicked within an earlier call of this store. Its state is unknown and cannot be
    /// read. The record was not appended, so the next open does not meet it.
    #[error(
        "the store has failed: {machine} panicked before record {lsn} was appended; open it again"
    )]
    Failed {
        /// The LSN that the record would have had.
        lsn: u64,
        /// The type of the state machine.
        machine: &'static str,
    },

    /// In a debug build: the state machine does not read back what it writes. Nothing was written.
    #[error("{machine} does not read back what it writes: {why}")]
    Lossy {
        /// The type of the state machine.
        machine: &'static str,
        /// Which of its functions disagree, and about what.
        why: String,
    },

    /// A whole snapshot has an older schema, and [`migrate`](crate::StateMachine::migrate) fails on it.
    /// Nothing was changed on the disk.
    #[error(
        "snapshot {file} has schema {found}, this build has schema {wanted}, and `migrate` of {machine} \
         does not lead there: {why}"
    )]
    Migration {
        /// The snapshot file.
        file: String,
        /// The schema of its state.
        found: u32,
        /// The schema of this build.
        wanted: u32,
        /// The type of the state machine.
        machine: &'static str,
        /// The error of `migrate`.
        why: String,
    },

    /// The manifest lists no snapshot with this id.
    #[error("there is no snapshot {id}")]
    NoSuchSnapshot {
        /// The requested id.
        id: SnapshotId,
    },

    /// The snapshot is needed and was not retired.
    #[error("snapshot {id} cannot be deleted: {why}")]
    Needed {
        /// The id of the snapshot.
        id: SnapshotId,
        /// What keeps the snapshot.
        why: &'static str,
    },

    /// The snapshots and the log cannot reproduce the requested state.
    #[error("{wanted} is outside the restore window, which is LSN {first} to {last}")]
    OutsideWindow {
        /// The requested point in time.
        wanted: PointInTime,
        /// The first LSN of the restore window.
        first: u64,
        /// The last LSN of the log.
        last: u64,
    },
}

/// Adds the operation and the file to an error of the disk.
pub(crate) trait OnFile<T> {
    fn on(self, action: &'static str, file: String) -> Result<T, Error>;
}

impl<T> OnFile<T> for std::io::Result<T> {
    fn on(self, action: &'static str, file: String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { action, file, source })
    }
}
