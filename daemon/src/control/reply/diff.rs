//! What lies between two states of a node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::topics::{Access, Scope};

/// What changes from one state to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// Whether topics, subscriptions, peers and clocks are the same.
    pub same: bool,
    /// Changed topics, by id.
    pub topics: Vec<Change<TopicRules>>,
    /// Changed subscriptions, by topic and subscriber.
    pub subscriptions: Vec<Change<Wish>>,
    /// Changed keys of peers, by DID.
    pub peers: Vec<Change<PeerKey>>,
    /// Changed heads of logs, by topic, author and epoch.
    pub clocks: Vec<Change<u64>>,
    /// How many entries are retained.
    pub entries: EntryCounts,
    /// The state that the changes lead from.
    pub from: Side,
    /// The state that the changes lead to.
    pub to: Side,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change<T> {
    /// What changes.
    pub what: String,
    /// How it changes.
    pub change: Edit,
    /// What it was; null when it is added.
    pub from: Option<T>,
    /// What it becomes; null when it is removed.
    pub to: Option<T>,
}

/// How something changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// The first state lacks it.
    Added,
    /// The second state lacks it.
    Removed,
    /// Both states have it, and it differs.
    Changed,
}

/// The rules of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicRules {
    /// The name of the topic.
    pub name: String,
    /// Who may read and write.
    pub access: Access,
    /// The version of the access rule.
    pub access_version: u32,
    /// How far the topic is meant to reach.
    pub scope: Scope,
    /// How many entries are retained.
    pub max_entries: u32,
    /// For how long entries are retained after they were received, in ms.
    pub retention_ms: u64,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wish {
    /// Whether the subscription waits for a topic of this name.
    pub pending: bool,
}

/// The key of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PeerKey {
    /// A key that the peer has signed.
    Signed {
        /// The card: `icn-card:…`.
        key: String,
        /// How much the peer is trusted, of 1000.
        trust: u16,
    },
    /// A key that the peer has not signed.
    Unsigned {
        /// The X25519 key, in hexadecimal.
        unsigned_key: String,
    },
}

/// How many entries two states retain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntryCounts {
    /// In the first state.
    pub from: u64,
    /// In the second state.
    pub to: u64,
}

/// A state that is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// The last LSN in the state.
    pub lsn: u64,
    /// The time of that record: ms since 1970; absent for the present state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<u64>,
    /// The branch of history of the state; absent for the present state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u64>,
    /// Whether this is the present state.
    pub now: bool,
}
