//! Whether the file of a snapshot is known to be whole.

use serde::{Deserialize, Serialize};

/// The result of the last verification of a snapshot file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Integrity {
    /// The file has not been verified.
    Unchecked,
    /// The last verification succeeded.
    Whole,
    /// The last verification found damage.
    Damaged,
}
