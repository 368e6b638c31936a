//! Everything that can change the durable state, and its bytes in the log.
//!
//! ```text
//! kind u16 | schema u16 | rules u16 | 0 u16 | bytes u32 | msgpack of the variant's content
//! ```
//!
//! The kind stands outside the msgpack: renaming a variant changes no byte, and a record of a newer
//! version is recognised without being understood.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::card::KeyCard;
use crate::did::Did;
use crate::entry::Entry;
use crate::topic::{Genesis, TopicId};

const SCHEMA: u16 = 0;
const HEADER_BYTES: usize = 12;
const DEPTH_MAX: usize = 64;

/// The version of the rules that [`State::apply`](crate::State::apply) follows. It stays the same
/// for as long as any retained record was written under it.
pub const RULES: u16 = 0;

/// Who asked for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Provenance {
    /// The operator of this node.
    Local,
    /// A peer.
    Peer(Did),
}

/// One change of the durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Fixes who the node is. The first record of a store.
    Init {
        /// The node's identity.
        did: Did,
        /// Its network.
        network: [u8; 32],
        /// Its first epoch, random.
        epoch: u64,
    },
    /// A topic is known from now on.
    CreateTopic(Genesis),
    /// The topic and its entries are forgotten here; how far its logs have come is not.
    DeleteTopic(TopicId),
    /// Somebody wants the entries of a topic, named or by id. An unknown name stays pending.
    Subscribe {
        /// The name or id.
        topic: String,
        /// Who.
        by: Provenance,
        /// When: ms since 1970.
        time_ms: u64,
    },
    /// The reverse.
    Unsubscribe {
        /// The name or id, as it was given.
        topic: String,
        /// Who.
        by: Provenance,
    },
    /// An entry, own or accepted from a peer.
    Append {
        /// The entry, verified.
        entry: Entry,
        /// When it was received: ms since 1970.
        received_ms: u64,
    },
    /// The oldest entries of a topic are let go.
    Prune {
        /// The topic.
        topic: TopicId,
        /// Up to this arrival.
        through: u64,
    },
    /// A peer's key, verified.
    AddPeer {
        /// The key.
        card: KeyCard,
        /// When it was learned: ms since 1970.
        time_ms: u64,
    },
    /// A peer is forgotten.
    RemovePeer(Did),
    /// The first entry of a log that no peer has from its beginning, or from this node's head, any
    /// more.
    AppendAfterGap {
        /// The entry, verified.
        entry: Entry,
        /// When it was received: ms since 1970.
        received_ms: u64,
    },
    /// Two entries by one author for one place, verified: the log is frozen.
    Freeze(Box<(Entry, Entry)>),
    /// The node's own logs go on in this epoch.
    BeginEpoch(u64),
    /// Where a peer was last reached.
    SetAddress {
        /// The peer.
        did: Did,
        /// The address.
        address: SocketAddr,
    },
    /// A key that is said to be a peer's, from a source without signatures. It replaces nothing.
    AddUnsignedKey {
        /// Whose it is said to be.
        did: Did,
        /// The X25519 key.
        x25519: [u8; 32],
        /// When it was learned: ms since 1970.
        time_ms: u64,
    },
    /// A consumer has what arrived in a topic up to here. The first one makes the cursor.
    MoveCursor {
        /// The topic.
        topic: TopicId,
        /// The name of the cursor, of the same form as a topic's.
        name: String,
        /// Up to this arrival, which must have been. A cursor never goes back.
        arrival: u64,
    },
    /// A cursor is forgotten.
    DeleteCursor {
        /// The topic.
        topic: TopicId,
        /// The name of the cursor.
        name: String,
    },
}

/// An identity, 32 bytes and a number, as two of the records have them.
#[derive(Serialize, Deserialize)]
struct Keyed(Did, #[serde(with = "serde_bytes")] [u8; 32], u64);

/// Why bytes are not a mutation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A newer version wrote them.
    #[error("kind {kind}, schema {schema}, rules {rules} are of a newer version")]
    Newer {
        /// The kind.
        kind: u16,
        /// The schema.
        schema: u16,
        /// The rules.
        rules: u16,
    },
    /// They make no sense.
    #[error("malformed: {0}")]
    Malformed(String),
}

impl Mutation {
    /// Appends the record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let kind: u16 = match self {
            Self::Init { did, network, epoch } => put(out, 1, &Keyed(*did, *network, *epoch)),
            Self::CreateTopic(genesis) => put(out, 2, genesis),
            Self::DeleteTopic(topic) => put(out, 3, topic),
            Self::Subscribe { topic, by, time_ms } => put(out, 4, &(topic, by, time_ms)),
            Self::Unsubscribe { topic, by } => put(out, 5, &(topic, by)),
            Self::Append { entry, received_ms } => put(out, 6, &(received_ms, entry)),
            Self::Prune { topic, through } => put(out, 7, &(topic, through)),
            Self::AddPeer { card, time_ms } => put(out, 8, &(time_ms, card)),
            Self::RemovePeer(did) => put(out, 9, did),
            Self::AddUnsignedKey { did, x25519, time_ms } => {
                put(out, 10, &Keyed(*did, *x25519, *time_ms))
            }
            Self::AppendAfterGap { entry, received_ms } => put(out, 11, &(received_ms, entry)),
            Self::Freeze(entries) => put(out, 12, entries),
            Self::BeginEpoch(epoch) => put(out, 13, epoch),
            Self::SetAddress { did, address } => put(out, 14, &(did, address)),
            Self::MoveCursor { topic, name, arrival } => put(out, 20, &(topic, name, arrival)),
            Self::DeleteCursor { topic, name } => put(out, 21, &(topic, name)),
        };
        let bytes = u32::try_from(out.len() - start - HEADER_BYTES).unwrap_or(u32::MAX);
        let header = &mut out[start..start + HEADER_BYTES];
        header[0..2].copy_from_slice(&kind.to_le_bytes());
        header[2..4].copy_from_slice(&SCHEMA.to_le_bytes());
        header[4..6].copy_from_slice(&RULES.to_le_bytes());
        header[8..12].copy_from_slice(&bytes.to_le_bytes());
    }

    /// The mutation that `bytes` are the record of.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let malformed = |why: &str| DecodeError::Malformed(why.into());
        let (header, body) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(|| malformed("too short"))?;
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let (kind, schema, rules) = (u16_at(0), u16_at(2), u16_at(4));
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if length as usize != body.len() || u16_at(6) != 0 {
            return Err(malformed("its length is not the one it states"));
        }
        if schema > SCHEMA || rules > RULES {
            return Err(DecodeError::Newer { kind, schema, rules });
        }
        Ok(match kind {
            1 => {
                let Keyed(did, network, epoch) = get(body)?;
                Self::Init { did, network, epoch }
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
            8 => {
                let (time_ms, card) = get(body)?;
                Self::AddPeer { card, time_ms }
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
            20 => {
                let (topic, name, arrival) = get(body)?;
                Self::MoveCursor { topic, name, arrival }
            }
            21 => {
                let (topic, name) = get(body)?;
                Self::DeleteCursor { topic, name }
            }
            _ => return Err(DecodeError::Newer { kind, schema, rules }),
        })
    }
}

fn put<T: Serialize>(out: &mut Vec<u8>, kind: u16, content: &T) -> u16 {
    // Writing into memory cannot fail and none of our types refuses to serialise; if one did, the
    // record would be cut short and refused when it is decoded.
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
