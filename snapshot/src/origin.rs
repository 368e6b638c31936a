//! Which kind of state a snapshot holds.

use serde::{Deserialize, Serialize};

/// Which kind of state a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The state at the time it was saved.
    Taken,
    /// An earlier state, saved as the target of a restore.
    Target,
    /// A state from outside of the store. No log continues it.
    Imported,
}
