//! Bringing back pruned entries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::brief::TopicBrief;

/// What a refetch has brought back. It is kept in memory until 10 minutes after its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicRefetch {
    /// The topic.
    pub topic: TopicBrief,
    /// Entries that were published before this time are left out: ms since 1970.
    pub since: Option<u64>,
    /// How it ended; null while it runs.
    pub end: Option<RefetchEnd>,
    /// How many entries came back.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many authors these entries have.
    pub authors: u64,
    /// The earliest time at which one of them was published, in ms since 1970.
    pub oldest: Option<u64>,
    /// How many logs lacked entries.
    pub logs: u64,
    /// How many of them still do, since no connected peer retains the entries.
    pub unavailable: u64,
    /// How many of them were given up, since a rule of the topic refuses an entry or a restore has undone it.
    pub refused: u64,
    /// How many connected peers have the topic and do not answer.
    pub unanswered: u64,
}

/// How a refetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefetchEnd {
    /// Every log is back as far as peers retain it.
    Done,
    /// The topic has no room for more, or the node only what it keeps for new messages.
    NoRoom,
    /// No connected peer has the topic.
    NoPeer,
    /// The state was restored, or the topic deleted, closed or unsubscribed.
    Stopped,
}
