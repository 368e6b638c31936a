//! The layout of an exported state: its JSON fields, in order.
//!
//! Derived fields are for people. The import derives them again and refuses a document in which they
//! differ.

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;

use data_encoding::{BASE64, Encoding, HEXLOWER};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::access::{AccessBytes, Policy, View};
use crate::clock_stamp::ClockStamp;
use crate::did::Did;
use crate::display::{is_tricky, moment};
use crate::entry::Entry;
use crate::mutation::Provenance;
use crate::topic::{Scope, TopicId};

/// The value of the first field.
pub(super) const FORMAT: &str = "icn-state";

/// The word for a rule that the writing build could not decode.
pub(super) const SEALED: &str = "sealed";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document<
    T = Vec<TopicDoc>,
    H = Vec<HistoryDoc>,
    S = Vec<SubscriptionDoc>,
    P = Vec<PeerDoc>,
    U = Vec<UnsignedDoc>,
    C = Vec<CursorDoc>,
> {
    pub(super) format: String,
    pub(super) version: u32,
    /// The digest of the whole state, as a store computes it. An operator who edits a document removes it.
    pub(super) digest: Option<Hex<32>>,
    pub(super) node: Option<NodeDoc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) clock: Option<ClockStamp>,
    /// Derived: the bytes of all retained entries.
    pub(super) bytes: u64,
    pub(super) topics: T,
    pub(super) histories: H,
    pub(super) subscriptions: S,
    pub(super) peers: P,
    pub(super) unsigned_keys: U,
    pub(super) cursors: C,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeDoc {
    pub(super) did: Text<Did>,
    pub(super) network: Hex<32>,
    pub(super) epoch: Text<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TopicDoc<E = Vec<StoredDoc>> {
    pub(super) name: String,
    /// Derived.
    pub(super) id: Text<TopicId>,
    pub(super) creator: Text<Did>,
    pub(super) scope: Scope,
    pub(super) access: AccessDoc,
    pub(super) access_version: u32,
    pub(super) max_entries: u32,
    pub(super) retention_ms: u64,
    /// Derived.
    pub(super) retention: String,
    pub(super) created_ms: u64,
    /// Derived.
    pub(super) created: String,
    pub(super) nonce: Text<u64>,
    pub(super) signature: Hex<64>,
    /// Derived: the bytes of the entries below.
    pub(super) bytes: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) readmitted: u64,
    pub(super) entries: E,
}

/// An access rule: the bytes, and derived from them the identities admitted in addition to the creator.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessDoc {
    pub(super) bytes: HexBytes,
    pub(super) read: Vec<String>,
    pub(super) write: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredDoc {
    pub(super) arrival: u64,
    pub(super) lsn: u64,
    pub(super) received_ms: u64,
    /// Derived.
    pub(super) received: String,
    pub(super) entry: EntryDoc,
}

/// An entry. Its network is the node's, its topic the enclosing one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryDoc {
    pub(super) author: Text<Did>,
    pub(super) epoch: Text<u64>,
    pub(super) seq: u64,
    pub(super) kind: u8,
    pub(super) access_version: u32,
    pub(super) time_ms: u64,
    /// Derived.
    pub(super) time: String,
    pub(super) previous: Hex<32>,
    /// Derived.
    pub(super) hash: Hex<32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) base64: Option<Base64Bytes>,
    pub(super) signature: Hex<64>,
}

/// What is kept of a topic for ever, whether the topic is known or not.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryDoc<L = Vec<LogDoc>> {
    pub(super) topic: Text<TopicId>,
    /// Derived: the topic's name, if the topic is known.
    pub(super) name: Option<String>,
    pub(super) arrivals: u64,
    pub(super) logs: L,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogDoc {
    pub(super) author: Text<Did>,
    pub(super) epoch: Text<u64>,
    pub(super) head: u64,
    pub(super) head_hash: Hex<32>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) base: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) again: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proof: Option<Box<(EntryDoc, EntryDoc)>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionDoc {
    /// The name or id that was subscribed to.
    pub(super) topic: String,
    pub(super) by: Text<By>,
    /// The subscribed topic; null while no topic of that name is known.
    pub(super) id: Option<Text<TopicId>>,
    pub(super) since_ms: u64,
    /// Derived.
    pub(super) since: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerDoc {
    pub(super) did: Text<Did>,
    pub(super) x25519: Hex<32>,
    pub(super) issued_ms: u64,
    /// Derived.
    pub(super) issued: String,
    pub(super) signature: Hex<64>,
    pub(super) trust: u16,
    pub(super) added_ms: u64,
    /// Derived.
    pub(super) added: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<Text<SocketAddr>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) named: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnsignedDoc {
    pub(super) did: Text<Did>,
    pub(super) x25519: Hex<32>,
    pub(super) added_ms: u64,
    /// Derived.
    pub(super) added: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde requires this signature")]
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CursorDoc {
    pub(super) topic: Text<TopicId>,
    pub(super) name: String,
    /// The last arrival that the consumer has processed.
    pub(super) arrival: u64,
}

/// Whose subscription it is: `local`, or the DID of a peer.
pub(super) struct By(pub(super) Provenance);

impl Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Provenance::Local => f.write_str("local"),
            Provenance::Peer(did) => did.fmt(f),
        }
    }
}

impl FromStr for By {
    type Err = crate::did::DidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(if text == "local" { Provenance::Local } else { Provenance::Peer(text.parse()?) }))
    }
}

impl AccessDoc {
    pub(super) fn of(access: &AccessBytes) -> Self {
        let (read, write) = match access.view() {
            View::Sealed => (vec![SEALED.into()], vec![SEALED.into()]),
            View::Open(access) => (admitted(&access.read), admitted(&access.write)),
        };
        Self { bytes: HexBytes(access.as_bytes().to_vec()), read, write }
    }
}

fn admitted(policy: &Policy) -> Vec<String> {
    match policy {
        Policy::Public => vec!["everybody".into()],
        Policy::Participants(members) => members.iter().map(ToString::to_string).collect(),
        Policy::MinTrust(trust) => vec![format!("trusted at least {trust} of 1000")],
    }
}

impl EntryDoc {
    pub(super) fn of(entry: &Entry) -> Self {
        let header = entry.header();
        let text = std::str::from_utf8(entry.payload()).ok().filter(|text| is_readable(text));
        let base64 = text.is_none().then(|| Base64Bytes(entry.payload().to_vec()));
        Self {
            author: Text(header.author),
            epoch: Text(header.epoch),
            seq: header.seq,
            kind: header.kind,
            access_version: header.access_version,
            time_ms: header.time_ms,
            time: moment(header.time_ms),
            previous: Hex(header.previous),
            hash: Hex(entry.hash()),
            text: text.map(ToOwned::to_owned),
            base64,
            signature: Hex(*entry.signature()),
        }
    }
}

fn is_readable(text: &str) -> bool {
    !text.chars().any(|character| is_tricky(character) && !"\n\t".contains(character))
}

/// A value as text, in its one spelling.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: Display> + Display> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let value: T = text.parse().map_err(de::Error::custom)?;
        if value.to_string() == text {
            Ok(Self(value))
        } else {
            Err(de::Error::custom("the spelling is not the canonical one"))
        }
    }
}

/// `N` bytes in lower-case hexadecimal digits.
pub(super) struct Hex<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&HEXLOWER.encode_display(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = encoded(deserializer, &HEXLOWER)?;
        let wrong = |_| de::Error::custom(format_args!("needs {} hexadecimal digits", 2 * N));
        Ok(Self(bytes.try_into().map_err(wrong)?))
    }
}

/// Any number of bytes in lower-case hexadecimal digits.
pub(super) struct HexBytes(pub(super) Vec<u8>);

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&HEXLOWER.encode_display(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        encoded(deserializer, &HEXLOWER).map(Self)
    }
}

/// Bytes in base64.
pub(super) struct Base64Bytes(pub(super) Vec<u8>);

impl Serialize for Base64Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&BASE64.encode_display(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        encoded(deserializer, &BASE64).map(Self)
    }
}

fn encoded<'de, D: Deserializer<'de>>(
    deserializer: D,
    encoding: &Encoding,
) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    encoding.decode(text.as_bytes()).map_err(de::Error::custom)
}
