//! The lines of a connection that follows a topic.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entries::Entry;

/// The reply to `follow`, which the lines of the stream come after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Begun {
    /// The last LSN that the reply depends on.
    pub lsn: u64,
    /// The id of the topic; null while the node waits for it.
    pub topic: Option<String>,
    /// Whether the node waits for the topic. The same reply comes again once the topic is known.
    pub pending: bool,
    /// The stream has the arrivals after this index; absent while the node waits for the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// A line of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StreamLine {
    /// An entry arrived.
    Arrived(Delivery),
    /// Entries are no longer retained, or a restore has removed them.
    Pruned {
        /// Their arrivals.
        pruned: ArrivalRange,
    },
    /// A cursor is durable.
    Acknowledged {
        /// The arrival that the cursor is at.
        acknowledged: u64,
    },
}

/// An entry, once it is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    /// The index of the arrival in the topic, from 1.
    pub index: u64,
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
}

/// Arrivals from one index to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArrivalRange {
    /// The index of the first one.
    pub from: u64,
    /// The index of the last one.
    pub through: u64,
}
