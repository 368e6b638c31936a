//! A topic in a few words, as replies about other things show it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A topic in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicBrief {
    /// The id of the topic, in hexadecimal.
    pub id: String,
    /// The name of the topic.
    pub name: String,
    /// The DID of the creator.
    pub creator: String,
    /// Whether this node is the creator.
    pub created_here: bool,
    /// Who may read and write.
    pub access: AccessBrief,
}

/// Who may read and write a topic, without naming the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AccessBrief {
    /// Every node.
    Public,
    /// Members.
    Participants {
        /// How many members there are.
        members: u64,
    },
    /// Nodes that are trusted enough.
    MinTrust {
        /// The least trust, of 1000.
        min_trust: u16,
    },
    /// No node: the rule is of a newer version.
    Sealed,
}
