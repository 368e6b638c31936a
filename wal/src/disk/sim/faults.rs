//! Which calls of a simulated disk fail.

use std::ops::Range;

/// Which calls fail; printable, so that a failing case can be replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The operation, counted from 1 over the life of the disk, at which the power goes: it and all
    /// later ones fail. A write at that moment is pending like any other.
    pub power_loss_at: Option<u64>,
    /// The file sync, counted likewise, that fails. What it should have made durable is dropped as
    /// the kernel drops it: the page cache shows it, later syncs do not write it.
    pub sync_error_at: Option<u64>,
    /// Whether the failing sync leaves its data to later syncs, as some file systems do. The log
    /// must not rely on it.
    pub sync_error_keeps: bool,
    /// The write, counted likewise, that fails; half of it is written.
    pub write_error_at: Option<u64>,
    /// The open or create of a file, counted likewise, that fails.
    pub open_error_at: Option<u64>,
    /// The read, counted likewise, that fails.
    pub read_error_at: Option<u64>,
    /// The bytes by which files may still grow. The bytes of a removed or replaced file are added
    /// to it.
    pub room: Option<u64>,
    /// Whether a power loss may garble the whole 4 KiB block that an unsynced write touches, synced bytes
    /// included. Flash without a capacitor does it: SD cards, cheap drives.
    pub garbles_blocks: bool,
    /// The growing operations, counted likewise, that find no space: creates, and writes past the
    /// end of a file, of which half is written.
    pub full: Range<u64>,
}
