//! How a snapshot has come about.

use serde::{Deserialize, Serialize};

/// How a snapshot has come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// It was taken of the state that was then.
    Taken,
    /// It is of an earlier state, made as the target of a restore.
    Target,
    /// It is of a state from elsewhere. No log continues it.
    Imported,
}
