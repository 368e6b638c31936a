//! The durable state: the fold of all mutations.

mod apply;
mod cursor;
mod document;
mod export;
mod import;
mod outline;
mod query;
mod summary;

use std::net::SocketAddr;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::card::KeyCard;
use crate::did::Did;
use crate::entry::Entry;
use crate::log::{Log, LogKey};
use crate::mutation::Provenance;
use crate::topic::{Genesis, TopicId};

pub use export::EXPORT_VERSION;
pub use import::ImportError;
pub use query::Counts;
pub use summary::Loss;

/// Everything a node may never forget. Cloning shares everything and costs next to nothing; the
/// order of every map is the order of its keys, so equal states serialise to equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    node: Option<NodeId>,
    topics: OrdMap<TopicId, Topic>,
    logs: OrdMap<LogKey, Log>,
    /// By topic and arrival: the order of delivery.
    entries: OrdMap<(TopicId, u64), Stored>,
    /// Where in that order the entry of each place is.
    arrivals: OrdMap<(LogKey, u64), u64>,
    /// How far the arrivals of a topic have come; it outlives the topic.
    next_arrivals: OrdMap<TopicId, u64>,
    subscriptions: OrdMap<(String, Provenance), Subscription>,
    peers: OrdMap<Did, Peer>,
    bytes: u64,
    /// Beside the peers and not among them: whoever asks for a peer's key never gets one of these.
    /// A state written before there were any ends without it.
    #[serde(default)]
    unsigned_keys: OrdMap<Did, UnsignedKey>,
    /// How far each consumer has come in the order of delivery of a topic, by the name it chose.
    #[serde(default)]
    cursors: OrdMap<(TopicId, String), u64>,
}

/// Who the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeId {
    /// Its identity.
    pub did: Did,
    /// Its network.
    #[serde(with = "serde_bytes")]
    pub network: [u8; 32],
    /// The epoch of its own logs.
    pub epoch: u64,
}

/// A topic that is known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// What its creator declared.
    pub genesis: Genesis,
    /// The version of its access rule.
    pub access_version: u32,
    /// How many entries are retained.
    pub entries: u64,
    /// Their encoded bytes.
    pub bytes: u64,
}

/// A retained entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The LSN that made it durable.
    pub lsn: u64,
    /// When it was received: ms since 1970.
    pub received_ms: u64,
    /// The entry.
    pub entry: Entry,
}

/// A subscription for the entries of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The topic; `None` while nobody here knows one of that name.
    pub topic: Option<TopicId>,
    /// Since when: ms since 1970.
    pub since_ms: u64,
}

/// A peer whose key is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its key.
    pub card: KeyCard,
    /// How much it is trusted, of 1000.
    pub trust: u16,
    /// When it was learned: ms since 1970.
    pub added_ms: u64,
    /// Where it was last reached.
    #[serde(default)]
    pub address: Option<SocketAddr>,
}

/// An X25519 key that its owner is said to have and has not signed: kept so that it is not forgotten,
/// and nothing is encrypted to it. A card of the same identity replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsignedKey {
    /// The key.
    #[serde(with = "serde_bytes")]
    pub x25519: [u8; 32],
    /// When it was learned: ms since 1970.
    pub added_ms: u64,
}

/// The number of the layout of the serialised state.
pub const SCHEMA: u32 = 0;

/// What a mutation brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The topic is known now.
    TopicCreated(TopicId),
    /// The subscription is there; whether it waits for a topic of that name.
    Subscribed {
        /// Nobody here knows the topic yet.
        pending: bool,
    },
    /// The entry is retained.
    Appended {
        /// Its place in the order of delivery of its topic.
        arrival: u64,
        /// Its place in its author's log.
        seq: u64,
    },
    /// It was there already; nothing has changed.
    Duplicate,
    /// Refused; nothing has changed but, for an equivocation, the proof of it.
    Rejected(crate::reject::Reject),
}
