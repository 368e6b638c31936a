//! Entries of a topic.

use std::borrow::Cow;
use std::num::ParseIntError;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::brief::TopicBrief;
use super::clock::HeldBack;

/// The epoch of an author's log: a random 64-bit number. It is text in JSON, since many programs round
/// numbers above 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Epoch(pub u64);

impl From<Epoch> for String {
    fn from(Epoch(epoch): Epoch) -> Self {
        epoch.to_string()
    }
}

impl TryFrom<String> for Epoch {
    type Error = ParseIntError;

    fn try_from(text: String) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

impl JsonSchema for Epoch {
    fn schema_name() -> Cow<'static, str> {
        "Epoch".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A random 64-bit number, in decimal.",
            "type": "string",
            "pattern": "^[0-9]+$",
        })
    }
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// The LSN that made the entry durable on this node.
    pub lsn: u64,
    /// The DID of the author.
    pub author: String,
    /// The author's epoch.
    pub epoch: Epoch,
    /// The sequence number in the author's log of this epoch, from 1.
    pub seq: u64,
    /// When the entry was published, by the author's clock: ms since 1970.
    pub time: u64,
    /// The message.
    #[serde(flatten)]
    pub payload: Payload,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// A message that is UTF-8.
    Text(String),
    /// Any other message, as base64.
    Base64(String),
}

/// An entry in the order of delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Arrival {
    /// The index of the arrival in the topic, from 1.
    pub arrival: u64,
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
}

/// A page of entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entries {
    /// The entries, in the order of delivery.
    pub entries: Vec<Arrival>,
    /// The index of the last arrival on the page, or the one that was asked after.
    pub last: u64,
    /// Whether there are more entries after the page.
    pub more: bool,
    /// The index of the last arrival in the topic.
    pub arrived: u64,
    /// Entries up to this index were brought back by `topic_refetch`; 0 if there are none. They are no arrivals
    /// for a consumer, since their indexes named other entries before.
    #[serde(default)]
    pub readmitted: u64,
    /// The topic.
    pub topic: TopicBrief,
}

/// A message was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Published {
    /// The LSN of the entry.
    pub lsn: u64,
    /// The sequence number in the node's log of this epoch, from 1.
    pub seq: u64,
    /// The index of the arrival in the topic, from 1.
    pub arrival: u64,
    /// The topic, if the request asks to describe it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<TopicBrief>,
    /// Earlier messages that peers hold back, if the request asks to describe the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<HeldBack>,
}
