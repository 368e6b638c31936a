//! Subscriptions, and cursors of consumers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::brief::TopicBrief;

/// A topic was subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subscribed {
    /// The LSN of the change.
    pub lsn: u64,
    /// Whether the subscription waits for a topic of this name.
    pub pending: bool,
    /// Whether there was such a subscription already.
    pub already: bool,
    /// The name or id that was subscribed to.
    pub name: String,
    /// The topic; null while the subscription is pending.
    pub topic: Option<TopicBrief>,
}

/// A subscription ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unsubscribed {
    /// The LSN of the change.
    pub lsn: u64,
    /// Whether there was such a subscription.
    pub was_subscribed: bool,
}

/// All subscriptions, and all cursors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subscriptions {
    /// The subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// The cursors.
    pub cursors: Vec<Cursor>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subscription {
    /// The name or id of the topic, as the subscriber gave it.
    pub topic: String,
    /// The id of the topic; null while no such topic is known.
    pub id: Option<String>,
    /// The topic; null while no such topic is known.
    pub about: Option<TopicBrief>,
    /// The subscriber: `local`, or the DID of a peer.
    pub by: String,
    /// When the subscription was made: ms since 1970.
    pub since: u64,
    /// Whether the subscription waits for a topic of this name.
    pub pending: bool,
}

/// A consumer's position in a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cursor {
    /// The name of the topic; null when the topic is not known any more.
    pub topic: Option<String>,
    /// The id of the topic.
    pub id: String,
    /// The name of the cursor.
    pub cursor: String,
    /// The index of the last arrival that the consumer has acknowledged.
    pub at: u64,
    /// How many arrivals came after that.
    pub behind: u64,
}

/// A cursor is at an arrival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CursorMoved {
    /// The last LSN that the reply depends on.
    pub lsn: u64,
    /// The index of the arrival.
    pub arrival: u64,
}

/// A cursor was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CursorDeleted {
    /// The LSN of the change.
    pub lsn: u64,
    /// The id of the topic.
    pub topic: String,
    /// The name of the cursor.
    pub deleted: String,
}
