//! The durable state of a node: the fold of all mutations.

mod admit;
mod apply;
mod cursor;
mod document;
mod export;
mod fault;
mod fork;
mod import;
mod outline;
mod query;
mod readmit;
mod rights;
mod room;
mod summary;
mod usage;

use std::net::SocketAddr;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::card::KeyCard;
use crate::clock_stamp::ClockStamp;
use crate::did::Did;
use crate::entry::Entry;
use crate::log::{Log, LogKey};
use crate::mutation::Provenance;
use crate::topic::{Genesis, TopicId};

pub use export::EXPORT_VERSION;
pub use import::ImportError;
pub use query::Counts;
pub use room::Room;
pub use summary::Loss;
pub use usage::Usage;

/// The durable state of a node. A clone shares all maps and takes constant time. Every map is ordered
/// by its keys, so equal states serialise to equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    node: Option<NodeId>,
    topics: OrdMap<TopicId, Topic>,
    logs: OrdMap<LogKey, Log>,
    /// Retained entries by topic and arrival, which is the order of delivery.
    entries: OrdMap<(TopicId, u64), Stored>,
    /// The arrival of the retained entry at each position.
    arrivals: OrdMap<(LogKey, u64), u64>,
    /// The last arrival of each topic. It outlives the topic.
    next_arrivals: OrdMap<TopicId, u64>,
    subscriptions: OrdMap<(String, Provenance), Subscription>,
    peers: OrdMap<Did, Peer>,
    bytes: u64,
    /// Kept apart from the peers, so that a lookup of a peer's key never returns an unsigned one.
    /// States of older builds end without this field.
    #[serde(default)]
    unsigned_keys: OrdMap<Did, UnsignedKey>,
    /// The last arrival that each consumer has processed, by topic and cursor name.
    #[serde(default)]
    cursors: OrdMap<(TopicId, String), u64>,
    /// The last reading of the node's clock and the wall clock together.
    #[serde(default)]
    clock: Option<ClockStamp>,
    #[serde(skip)]
    room: room::KnownRoom,
}

/// The node's identity, network and current epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeId {
    /// The node's identity.
    pub did: Did,
    /// The node's network.
    #[serde(with = "serde_bytes")]
    pub network: [u8; 32],
    /// The epoch that the node's own author logs are in.
    pub epoch: u64,
}

/// A topic that this node knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// The signed declaration by its creator.
    pub genesis: Genesis,
    /// The version of the topic's access rule.
    pub access_version: u32,
    /// How many entries are retained.
    pub entries: u64,
    /// Encoded bytes of the retained entries.
    pub bytes: u64,
    /// The highest arrival that a readmitted entry was given, 0 for none. All retained entries up to it were
    /// readmitted, and no consumer gets them.
    #[serde(default, skip_serializing_if = "document::is_zero")]
    pub readmitted: u64,
}

/// A retained entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The LSN of the record that appended the entry.
    pub lsn: u64,
    /// When the entry was received, by the node's clock in ms. That is about the time since 1970.
    pub received_ms: u64,
    /// The entry with its payload.
    pub entry: Entry,
}

/// A subscription to the entries of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The topic; `None` while this node knows no topic of that name.
    pub topic: Option<TopicId>,
    /// When the subscription was made, in ms since 1970.
    pub since_ms: u64,
}

/// A peer whose key is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The peer's signed X25519 key.
    pub card: KeyCard,
    /// How much this node trusts the peer, of 1000.
    pub trust: u16,
    /// When the key was added, in ms since 1970.
    pub added_ms: u64,
    /// The address at which the peer was last reached.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// Whether the operator named the peer, rather than a link having brought its key.
    #[serde(default)]
    pub named: bool,
}

/// An X25519 key from a source without signatures. It is kept, but nothing is encrypted to it until a
/// card signed by the same identity replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsignedKey {
    /// The X25519 public key.
    #[serde(with = "serde_bytes")]
    pub x25519: [u8; 32],
    /// When the key was added, in ms since 1970.
    pub added_ms: u64,
}

/// The schema version of the serialised state.
pub const SCHEMA: u32 = 0;

/// The result of applying a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The state was changed as asked.
    Done,
    /// The topic with this id was added.
    TopicCreated(TopicId),
    /// The subscription was added.
    Subscribed {
        /// This node does not know the topic yet.
        pending: bool,
    },
    /// The entry was appended to its author log.
    Appended {
        /// The entry's index in its topic's order of delivery.
        arrival: u64,
        /// The entry's sequence number in its author log.
        seq: u64,
    },
    /// The state already was as asked; nothing has changed.
    Duplicate,
    /// The mutation was rejected. Nothing has changed, except that an equivocation's proof is kept.
    Rejected(crate::reject::Reject),
}
