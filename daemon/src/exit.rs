//! The exit codes of `icnd` and `icnctl`. Append-only; a code that is not listed means failure.

/// Done.
pub const OK: u8 = 0;

/// Failed.
pub const FAILED: u8 = 1;

/// The command line is wrong.
pub const USAGE: u8 = 2;

/// Done in part.
pub const PARTIAL: u8 = 3;

/// Damage was found.
pub const DAMAGE: u8 = 5;

/// The configuration is invalid.
pub const CONFIG: u8 = 6;

/// There is no node in the directory.
pub const NO_NODE: u8 = 10;

/// Another process uses the data directory.
pub const IN_USE: u8 = 11;

/// The key file does not belong to the data.
pub const WRONG_KEY: u8 = 12;

/// The daemon is not running.
pub const NOT_RUNNING: u8 = 13;

/// No permission on the control socket.
pub const NO_PERMISSION: u8 = 14;

/// The data was written by a newer version.
pub const NEWER_DATA: u8 = 15;

/// The node took too long to answer.
pub const TIMED_OUT: u8 = 16;

/// The command needs `--yes`.
pub const NEEDS_YES: u8 = 17;

/// Not enough space: on the disk, or in the memory that entries may take.
pub const NO_SPACE: u8 = 18;

/// Refused by an access rule or a peer.
pub const REFUSED: u8 = 19;

/// The requested state lies outside the restore window.
pub const OUTSIDE_WINDOW: u8 = 21;

/// The file system or a file in the data directory is not one that a node can use.
pub const UNSUITABLE: u8 = 23;

/// The node is starting or stopping, and takes no requests now.
pub const NOT_READY: u8 = 24;

/// A write or sync of the log failed; the next start recovers what is durable.
pub const POISONED: u8 = 74;

/// Stopped by Ctrl-C; `icnd` only by the second signal.
pub const INTERRUPTED: u8 = 130;

/// Stopped by SIGQUIT as the second signal.
pub const QUIT: u8 = 131;

/// Stopped by SIGTERM; `icnd` only by the second signal.
pub const TERMINATED: u8 = 143;
