//! The checks of a node.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One check of a node, and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// The name of the check.
    pub name: String,
    /// How serious the result is.
    pub level: Level,
    /// The result in words, and what to do about it.
    pub text: String,
}

/// How serious the result of a check is. The level of a node is the worst one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Well.
    Ok,
    /// The node works, and the operator should look.
    Warn,
    /// Does not work.
    Fail,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}
