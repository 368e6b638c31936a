//! The restore window: the LSNs whose states can be restored.

use icn_wal::disk::Disk;

use crate::error::Error;
use crate::log_directory::{last_lsn, log_directory};
use crate::policy::Retention;
use crate::snapshots::Snapshots;

/// The LSNs from `first` to `last`. The state right after each of them can be read and restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreWindow {
    /// The first LSN of the window.
    pub first: u64,
    /// The last LSN of the window, which is that of the log.
    pub last: u64,
}

/// The restore window of the store on `disk`. Takes no lock and changes nothing.
///
/// # Errors
/// Those of [`icn_wal::read`]; [`Error::Io`] when the snapshot directory cannot be read.
pub fn restore_window<D: Disk>(disk: &D) -> Result<RestoreWindow, Error> {
    let first = Snapshots::open(disk, Retention::default())?.window_start();
    Ok(RestoreWindow { first, last: last_lsn(&log_directory(disk)?)? })
}
