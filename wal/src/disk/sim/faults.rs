//! Which calls of a simulated disk fail.

use std::ops::Range;

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
