//! What is on a simulated disk, and what is to go wrong with it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::content::Content;
use super::names::Names;

/// "Too many open files".
const EMFILE: i32 = 24;

/// What is to go wrong; printable, so that a failing case can be played again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The operation, counted from 1 over the life of the disk, at which the power goes: it and
    /// everything after it fails. A write at that moment is pending like any other.
    pub power_loss_at: Option<u64>,
    /// The sync of a file, counted likewise, that fails. What it should have made durable is
    /// dropped as the kernel drops it: memory still shows it, later syncs do not bring it back.
    pub sync_error_at: Option<u64>,
    /// Whether the sync that fails leaves what it had to write to later ones, as some file systems
    /// do. Nobody may count on it.
    pub sync_error_keeps: bool,
    /// The write, counted likewise, that fails; half of it is written.
    pub write_error_at: Option<u64>,
    /// The opening or creating of a file, counted likewise, that fails.
    pub open_error_at: Option<u64>,
    /// The read, counted likewise, that fails.
    pub read_error_at: Option<u64>,
    /// The bytes by which files may still grow. Those of a file that is removed or replaced are
    /// added to it.
    pub room: Option<u64>,
    /// The growing operations, counted likewise, that find no room: files that are created and writes
    /// behind the end of a file, of which half is written.
    pub full: Range<u64>,
}

/// Everything there is on it, and what has happened.
#[derive(Clone, Default)]
pub(super) struct World {
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

impl World {
    pub(super) fn powered(&self) -> io::Result<()> {
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

    pub(super) fn give_back(&mut self, bytes: u64) {
        if let Some(room) = &mut self.faults.room {
            *room += bytes;
        }
    }

    pub(super) fn operate(&mut self) -> io::Result<()> {
        self.powered()?;
        self.operations += 1;
        self.powered()
    }
}
