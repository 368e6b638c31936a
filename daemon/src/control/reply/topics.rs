//! Topics: their rules, what they hold, and how far their logs have come.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entries::Epoch;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Topic {
    /// The id of the topic, in hexadecimal.
    pub id: String,
    /// The name of the topic.
    pub name: String,
    /// The DID of the creator.
    pub creator: String,
    /// Whether this node is the creator.
    pub created_here: bool,
    /// Who may read and write.
    pub access: Access,
    /// How far the topic is meant to reach.
    pub scope: Scope,
    /// The version of the access rule.
    pub access_version: u32,
    /// How many entries are retained.
    pub max_entries: u32,
    /// For how long entries are retained after they were received, in ms.
    pub retention_ms: u64,
    /// Entries that are retained now.
    pub entries: u64,
    /// Encoded bytes of these entries.
    pub bytes: u64,
}

/// Who may read and write a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Access {
    /// Every node.
    Public,
    /// Members.
    Participants {
        /// The DIDs of the members.
        members: Vec<String>,
    },
    /// Nodes that are trusted enough.
    MinTrust {
        /// The least trust, of 1000.
        min_trust: u16,
    },
    /// No node: the rule is of a newer version.
    Sealed,
}

/// How far a topic is meant to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Nodes near to the creator.
    Local,
    /// Nodes of the creator's region.
    Regional,
    /// Every node of the network.
    Global,
}

/// All topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Topics {
    /// The topics, in the order of their ids.
    pub topics: Vec<Topic>,
}

/// One topic with its clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicShown {
    /// The topic.
    pub topic: Topic,
    /// The logs of the topic.
    pub clock: Vec<Head>,
}

/// How far the log of an author in one epoch has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Head {
    /// The DID of the author.
    pub author: String,
    /// The author's epoch.
    pub epoch: Epoch,
    /// The sequence number of the last entry.
    pub head: u64,
    /// Whether the author has signed two entries for one place, so that the log ends.
    pub frozen: bool,
}

/// A topic was made known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicCreated {
    /// The LSN of the change.
    pub lsn: u64,
    /// The topic.
    pub topic: Topic,
}

/// A topic was forgotten on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicDeleted {
    /// The LSN of the change.
    pub lsn: u64,
    /// The id of the topic.
    pub deleted: String,
}
