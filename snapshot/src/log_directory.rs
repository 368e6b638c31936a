//! Where the log of a store is, and how far it goes.

use std::ops::ControlFlow;

use icn_wal::From as Start;
use icn_wal::disk::Disk;

use crate::error::{Error, OnFile};

const LOG_DIRECTORY: &str = "wal";

/// Where the log of a store is.
pub(crate) fn log_directory<D: Disk>(disk: &D) -> Result<D, Error> {
    disk.subdir(LOG_DIRECTORY).on("open", disk.describe(LOG_DIRECTORY))
}

/// The last LSN of the log.
pub(crate) fn last_lsn<D: Disk>(log: &D) -> Result<u64, Error> {
    Ok(icn_wal::read(log, Start::Oldest, |_| ControlFlow::Continue(()))?.last_lsn)
}
