//! What is known about the bytes of a snapshot.

use serde::{Deserialize, Serialize};

/// What is known about the bytes of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Integrity {
    /// Nobody has read it.
    Unchecked,
    /// When it was last read, all of it was there.
    Whole,
    /// It was read, and is not what was written.
    Damaged,
}
