//! The restore window.

use icn_wal::disk::Disk;

use crate::error::Error;
use crate::log_directory::{last_lsn, log_directory};
use crate::policy::Retention;
use crate::snapshots::Snapshots;

/// The LSNs from `first` to `last`: every state right after one of them can be shown and restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreWindow {
    /// The first one.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// The restore window by the files, without a lock and without changing anything.
///
/// # Errors
/// Those of [`icn_wal::read`]; [`Error::Io`].
pub fn restore_window<D: Disk>(disk: &D) -> Result<RestoreWindow, Error> {
    let first = Snapshots::open(disk, Retention::default())?.window_start();
    Ok(RestoreWindow { first, last: last_lsn(&log_directory(disk)?)? })
}
