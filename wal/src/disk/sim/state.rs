//! What a simulated disk holds, and what has happened to it.

use std::collections::BTreeMap;
use std::io;

use super::content::Content;
use super::faults::Faults;
use super::names::Names;

/// "Too many open files".
const EMFILE: i32 = 24;

/// The files and directories of a disk, its faults and its counters.
#[derive(Clone, Default)]
pub(super) struct DiskState {
    pub(super) files: Vec<Content>,
    pub(super) directories: BTreeMap<String, Names>,
    pub(super) faults: Faults,
    pub(super) operations: u64,
    pub(super) syncs: u64,
    pub(super) writes: u64,
    pub(super) opens: u64,
    pub(super) reads: u64,
    pub(super) growths: u64,
    pub(super) random: u64,
    pub(super) locks: Vec<String>,
}

impl DiskState {
    pub(super) fn check_power(&self) -> io::Result<()> {
        match self.faults.power_loss_at {
            Some(at) if self.operations >= at => Err(io::Error::other("the power is gone")),
            _ => Ok(()),
        }
    }

    pub(super) fn count_open(&mut self) -> io::Result<()> {
        self.opens += 1;
        if self.faults.open_error_at == Some(self.opens) {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        Ok(())
    }

    pub(super) fn count_growth(&mut self) -> io::Result<()> {
        self.growths += 1;
        if self.faults.full.contains(&self.growths) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(super) fn free(&mut self, bytes: u64) {
        if let Some(room) = &mut self.faults.room {
            *room += bytes;
        }
    }

    pub(super) fn count_operation(&mut self) -> io::Result<()> {
        self.check_power()?;
        self.operations += 1;
        self.check_power()
    }
}
