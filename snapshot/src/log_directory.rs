//! The directory of a store's log.

use std::ops::ControlFlow;

use icn_wal::ReplayFrom;
use icn_wal::disk::Disk;

use crate::error::{Error, OnFile};

const LOG_DIRECTORY: &str = "wal";

/// Opens the directory of the log in the store on `disk`.
pub(crate) fn log_directory<D: Disk>(disk: &D) -> Result<D, Error> {
    disk.subdir(LOG_DIRECTORY).on("open", disk.describe(LOG_DIRECTORY))
}

/// The last LSN of the log in this directory, 0 for none. Takes no lock.
pub(crate) fn last_lsn<D: Disk>(log: &D) -> Result<u64, Error> {
    Ok(icn_wal::read(log, ReplayFrom::Oldest, |_| ControlFlow::Continue(()))?.last_lsn)
}
