//! Peers and their keys.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// All peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Peers {
    /// The peers.
    pub peers: Vec<Peer>,
}

/// A peer, with the fields that its state has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// The DID of the peer.
    pub did: String,
    /// What the node has of the peer.
    pub state: PeerState,
    /// The X25519 key, in hexadecimal; absent for a connected peer whose key was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x25519: Option<String>,
    /// How much the peer is trusted, of 1000; absent with the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<u16>,
    /// The address where the peer was last reached; null if it never was, absent without a signed key.
    #[serde(
        default,
        deserialize_with = "null_is_present",
        skip_serializing_if = "Option::is_none"
    )]
    pub address: Option<Option<String>>,
    /// How many topics the link synchronises; absent without a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<u64>,
    /// How many logs the node wants from the peer; absent without a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs_from: Option<u64>,
    /// How many logs the node serves to the peer; absent without a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs_to: Option<u64>,
    /// How far the peer's wall clock is ahead of this node's, in ms; negative if this node's is ahead. It is
    /// null until the peer has sent its time, which may be any, and absent without a link.
    #[serde(
        default,
        deserialize_with = "null_is_present",
        skip_serializing_if = "Option::is_none"
    )]
    pub clock_ahead_ms: Option<Option<i64>>,
}

/// What a node has of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// A key that the peer has signed.
    Known,
    /// A key that the peer has not signed.
    Unsigned,
    /// A link.
    Connected,
}

/// A peer's key was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerAdded {
    /// The LSN of the change.
    pub lsn: u64,
    /// The DID of the peer.
    pub did: String,
    /// Whether the key was known already.
    pub already: bool,
}

/// A peer was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerRemoved {
    /// The LSN of the change.
    pub lsn: u64,
    /// Whether there was such a peer.
    pub was_known: bool,
    /// Whether the peer is connected, so that its next connection adds it again.
    pub connected: bool,
}

fn null_is_present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    source: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(source).map(Some)
}
