//! The mutations of the durable state, and their record layout in the write-ahead log.
//!
//! ```text
//! kind u16 | schema u16 | rules u16 | 0 u16 | bytes u32 | msgpack of the variant's content
//! ```
//!
//! The kind is outside the msgpack: renaming a variant changes no byte, and a record of a newer version
//! is recognised without being decoded.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::card::KeyCard;
use crate::clock_stamp::ClockStamp;
use crate::did::Did;
use crate::entry::Entry;
use crate::topic::{Genesis, TopicId};

const SCHEMA: u16 = 0;
const HEADER_BYTES: usize = 12;
const DEPTH_MAX: usize = 64;

/// The version of the rules that [`State::apply`](crate::State::apply) follows. The rules of a version
/// never change while a retained record was written under it.
pub const RULES: u16 = 0;

/// Whose subscription it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Provenance {
    /// The subscription of this node's operator.
    Local,
    /// The subscription of the peer with this identity.
    Peer(Did),
}

/// One change of the durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Fixes the node's identity. The first record of a store.
    Init {
        /// The node's identity.
        did: Did,
        /// The node's network.
        network: [u8; 32],
        /// The node's first epoch, random.
        epoch: u64,
        /// The first reading of the node's clock; older builds recorded none.
        clock: Option<ClockStamp>,
    },
    /// Adds a topic.
    CreateTopic(Genesis),
    /// Removes a topic and its entries here. The heads of its author logs are kept.
    DeleteTopic(TopicId),
    /// Subscribes to a topic. While no such topic is here, the subscription is pending. An id, and a name
    /// with its creator, then join the topic: it is entered when a peer offers it.
    Subscribe {
        /// The topic, as a [`TopicRef`](crate::TopicRef).
        topic: String,
        /// The subscriber.
        by: Provenance,
        /// When the subscription was made, in ms since 1970.
        time_ms: u64,
    },
    /// Removes a subscription.
    Unsubscribe {
        /// The topic's name or id, as it was subscribed to.
        topic: String,
        /// The subscriber.
        by: Provenance,
    },
    /// Appends an entry, the node's own or one accepted from a peer.
    Append {
        /// The entry; its signature has been checked.
        entry: Entry,
        /// When the entry was received, by the node's clock in ms.
        received_ms: u64,
    },
    /// Prunes the oldest entries of a topic.
    Prune {
        /// The topic.
        topic: TopicId,
        /// The last arrival to be pruned.
        through: u64,
    },
    /// Adds a peer's signed key, or replaces an older one.
    AddPeer {
        /// The key card; its signature has been checked.
        card: KeyCard,
        /// Whether the operator named the peer. It stays named until it is removed.
        named: bool,
        /// When the key was added, in ms since 1970.
        time_ms: u64,
    },
    /// Removes a peer and its keys.
    RemovePeer(Did),
    /// Appends an entry after a gap: no peer has the entries between this node's head and it any more.
    AppendAfterGap {
        /// The entry; its signature has been checked.
        entry: Entry,
        /// When the entry was received, by the node's clock in ms.
        received_ms: u64,
    },
    /// Brings back a pruned entry, as the one before the retained entries of its author log. Consumers do
    /// not get it.
    Readmit {
        /// The entry; its signature has been checked.
        entry: Entry,
        /// When the entry was received again, by the node's clock in ms.
        received_ms: u64,
    },
    /// Freezes an author log on the proof of two entries for one position, both with checked signatures. Older
    /// builds wrote it: it freezes a log that is here, and is not replaced.
    Freeze(Box<(Entry, Entry)>),
    /// Freezes an author log from a fork on, by two entries for one position, both with checked signatures. A
    /// proof of a lower position replaces it.
    Fork(Box<(Entry, Entry)>),
    /// Appends an entry of this node with the message that it published before in a forked log of its own.
    PublishAgain {
        /// The new entry.
        entry: Entry,
        /// When the entry was written, by the node's clock in ms.
        received_ms: u64,
        /// The epoch of the forked log.
        epoch: u64,
        /// The position in the forked log.
        seq: u64,
    },
    /// Continues the node's own author logs in this epoch.
    BeginEpoch(u64),
    /// Records where a peer was last reached.
    SetAddress {
        /// The peer.
        did: Did,
        /// The address at which the peer was reached.
        address: SocketAddr,
    },
    /// Adds a peer's key from a source without signatures. It replaces no key.
    AddUnsignedKey {
        /// The identity that the source names as the owner.
        did: Did,
        /// The X25519 key.
        x25519: [u8; 32],
        /// When the key was added, in ms since 1970.
        time_ms: u64,
    },
    /// Moves a consumer's cursor forward; the first move creates the cursor.
    MoveCursor {
        /// The topic.
        topic: TopicId,
        /// The name of the cursor, of the same form as a topic's.
        name: String,
        /// The last arrival that the consumer has processed: never beyond the topic's last arrival, and
        /// never before the cursor.
        arrival: u64,
    },
    /// Records a reading of the node's clock and the wall clock. The node's clock never goes back.
    StampClock(ClockStamp),
    /// Removes a consumer's cursor.
    DeleteCursor {
        /// The topic.
        topic: TopicId,
        /// The name of the cursor.
        name: String,
    },
}

/// The content of the two records that hold an identity, 32 bytes and a number.
#[derive(Serialize, Deserialize)]
struct Keyed(Did, #[serde(with = "serde_bytes")] [u8; 32], u64);

/// Why bytes are no record of a mutation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A newer version wrote the record.
    #[error("kind {kind}, schema {schema}, rules {rules} are of a newer version")]
    Newer {
        /// The record's kind.
        kind: u16,
        /// The record's schema version.
        schema: u16,
        /// The record's rules version.
        rules: u16,
    },
    /// The record is malformed.
    #[error("malformed: {0}")]
    Malformed(String),
}

impl Mutation {
    /// Appends the mutation's record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let kind: u16 = match self {
            Self::Init { did, network, epoch, clock: None } => {
                put(out, 1, &Keyed(*did, *network, *epoch))
            }
            Self::Init { did, network, epoch, clock: Some(stamp) } => {
                put(out, 17, &(Keyed(*did, *network, *epoch), stamp))
            }
            Self::CreateTopic(genesis) => put(out, 2, genesis),
            Self::DeleteTopic(topic) => put(out, 3, topic),
            Self::Subscribe { topic, by, time_ms } => put(out, 4, &(topic, by, time_ms)),
            Self::Unsubscribe { topic, by } => put(out, 5, &(topic, by)),
            Self::Append { entry, received_ms } => put(out, 6, &(received_ms, entry)),
            Self::Prune { topic, through } => put(out, 7, &(topic, through)),
            Self::AddPeer { card, named: false, time_ms } => put(out, 8, &(time_ms, card)),
            Self::AddPeer { card, named: true, time_ms } => put(out, 15, &(time_ms, card)),
            Self::RemovePeer(did) => put(out, 9, did),
            Self::AddUnsignedKey { did, x25519, time_ms } => {
                put(out, 10, &Keyed(*did, *x25519, *time_ms))
            }
            Self::AppendAfterGap { entry, received_ms } => put(out, 11, &(received_ms, entry)),
            Self::Freeze(entries) => put(out, 12, entries),
            Self::BeginEpoch(epoch) => put(out, 13, epoch),
            Self::SetAddress { did, address } => put(out, 14, &(did, address)),
            Self::StampClock(stamp) => put(out, 16, stamp),
            Self::MoveCursor { topic, name, arrival } => put(out, 20, &(topic, name, arrival)),
            Self::DeleteCursor { topic, name } => put(out, 21, &(topic, name)),
            Self::Readmit { entry, received_ms } => put(out, 22, &(received_ms, entry)),
            Self::Fork(entries) => put(out, 23, entries),
            Self::PublishAgain { entry, received_ms, epoch, seq } => {
                put(out, 24, &(received_ms, entry, epoch, seq))
            }
        };
        let bytes = u32::try_from(out.len() - start - HEADER_BYTES).unwrap_or(u32::MAX);
        let header = &mut out[start..start + HEADER_BYTES];
        header[0..2].copy_from_slice(&kind.to_le_bytes());
        header[2..4].copy_from_slice(&SCHEMA.to_le_bytes());
        header[4..6].copy_from_slice(&RULES.to_le_bytes());
        header[8..12].copy_from_slice(&bytes.to_le_bytes());
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// [`DecodeError::Newer`] for a record of a newer version, [`DecodeError::Malformed`] for bytes that
    /// are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let malformed = |why: &str| DecodeError::Malformed(why.into());
        let (header, body) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(|| malformed("too short"))?;
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let kind = u16_at(0);
        let schema = u16_at(2);
        let rules = u16_at(4);
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if length as usize != body.len() || u16_at(6) != 0 {
            return Err(malformed("the record's length is not the one in its header"));
        }
        if schema > SCHEMA || rules > RULES {
            return Err(DecodeError::Newer { kind, schema, rules });
        }
        Ok(match kind {
            1 => {
                let Keyed(did, network, epoch) = get(body)?;
                Self::Init { did, network, epoch, clock: None }
            }
            17 => {
                let (Keyed(did, network, epoch), stamp) = get(body)?;
                Self::Init { did, network, epoch, clock: Some(stamp) }
            }
            2 => Self::CreateTopic(get(body)?),
            3 => Self::DeleteTopic(get(body)?),
            4 => {
                let (topic, by, time_ms) = get(body)?;
                Self::Subscribe { topic, by, time_ms }
            }
            5 => {
                let (topic, by) = get(body)?;
                Self::Unsubscribe { topic, by }
            }
            6 => {
                let (received_ms, entry) = get(body)?;
                Self::Append { entry, received_ms }
            }
            7 => {
                let (topic, through) = get(body)?;
                Self::Prune { topic, through }
            }
            8 | 15 => {
                let (time_ms, card) = get(body)?;
                Self::AddPeer { card, named: kind == 15, time_ms }
            }
            9 => Self::RemovePeer(get(body)?),
            10 => {
                let Keyed(did, x25519, time_ms) = get(body)?;
                Self::AddUnsignedKey { did, x25519, time_ms }
            }
            11 => {
                let (received_ms, entry) = get(body)?;
                Self::AppendAfterGap { entry, received_ms }
            }
            12 => Self::Freeze(get(body)?),
            13 => Self::BeginEpoch(get(body)?),
            14 => {
                let (did, address) = get(body)?;
                Self::SetAddress { did, address }
            }
            16 => Self::StampClock(get(body)?),
            20 => {
                let (topic, name, arrival) = get(body)?;
                Self::MoveCursor { topic, name, arrival }
            }
            21 => {
                let (topic, name) = get(body)?;
                Self::DeleteCursor { topic, name }
            }
            22 => {
                let (received_ms, entry) = get(body)?;
                Self::Readmit { entry, received_ms }
            }
            23 => Self::Fork(get(body)?),
            24 => {
                let (received_ms, entry, epoch, seq) = get(body)?;
                Self::PublishAgain { entry, received_ms, epoch, seq }
            }
            _ => return Err(DecodeError::Newer { kind, schema, rules }),
        })
    }
}

fn put<T: Serialize>(out: &mut Vec<u8>, kind: u16, content: &T) -> u16 {
    // Writing into memory cannot fail, and none of our types refuses to serialise. If one did, the
    // record would be truncated and refused when it is decoded.
    let _ = rmp_serde::encode::write(out, content);
    kind
}

fn get<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    let mut decoder = rmp_serde::Deserializer::new(body);
    decoder.set_max_depth(DEPTH_MAX);
    let content =
        T::deserialize(&mut decoder).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if decoder.get_ref().is_empty() {
        Ok(content)
    } else {
        Err(DecodeError::Malformed("bytes are left over".into()))
    }
}
