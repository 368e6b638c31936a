//! A topic's signed genesis, which fixes its name, access rule and retention.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::access::AccessBytes;
use crate::bytes::ByteReader;
use crate::did::{BadSignature, Did};
use crate::keypair::Keypair;
use crate::limits::{RETENTION_MS_DEFAULT, TOPIC_ENTRIES_DEFAULT, TOPIC_NAME_BYTES_MAX};

const DOMAIN: &[u8] = b"icn/genesis/v0\0";

/// The hash of a topic's genesis. A topic can therefore never be redeclared with another access rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicId(#[serde(with = "serde_bytes")] [u8; 32]);

impl TopicId {
    /// The id with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a topic id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a topic id has 64 hexadecimal digits")]
pub struct BadTopicId;

impl FromStr for TopicId {
    type Err = BadTopicId;

    fn from_str(text: &str) -> Result<Self, BadTopicId> {
        let mut bytes = [0; 32];
        // Upper-case digits and signs would parse as well; an id has one spelling.
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 64 || !text.bytes().all(is_digit) {
            return Err(BadTopicId);
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[index * 2..index * 2 + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| BadTopicId)?;
        }
        Ok(Self(bytes))
    }
}

/// How far a topic is intended to spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// The local network only.
    Local,
    /// The region only.
    Regional,
    /// Everywhere.
    Global,
}

/// The properties of a topic that its creator chooses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSpec {
    /// The topic's name: a local alias, not an identity.
    pub name: String,
    /// The access rule: who may read and write.
    pub access: AccessBytes,
    /// How far the topic spreads.
    pub scope: Scope,
    /// The most entries retained.
    pub max_entries: u32,
    /// How long an entry is retained after it was received, in ms.
    pub retention_ms: u64,
    /// When the topic was created, by the creator's clock, in ms since 1970.
    pub created_ms: u64,
}

impl TopicSpec {
    /// A specification with the default scope and retention.
    #[must_use]
    pub fn new(name: String, access: AccessBytes, created_ms: u64) -> Self {
        let scope = Scope::Global;
        let max_entries = TOPIC_ENTRIES_DEFAULT;
        Self { name, access, scope, max_entries, retention_ms: RETENTION_MS_DEFAULT, created_ms }
    }
}

/// A topic's declaration, signed by its creator, who may always read and write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// The network that the topic belongs to.
    #[serde(with = "serde_bytes")]
    pub network: [u8; 32],
    /// The identity that declared the topic.
    pub creator: Did,
    /// The declared properties.
    pub spec: TopicSpec,
    /// A random number: keeps two topics apart that one creator declares in the same ms.
    pub nonce: u64,
    #[serde(with = "serde_bytes")]
    pub(crate) signature: [u8; 64],
}

impl Genesis {
    /// Declares and signs a topic.
    #[must_use]
    pub fn sign(keypair: &Keypair, network: [u8; 32], spec: TopicSpec, nonce: u64) -> Self {
        let mut genesis = Self { network, creator: keypair.did(), spec, nonce, signature: [0; 64] };
        genesis.signature = keypair.sign(&genesis.signed());
        genesis
    }

    /// Checks the creator's signature.
    ///
    /// # Errors
    /// [`BadSignature`] when the creator did not sign the genesis.
    pub fn verify(&self) -> Result<(), BadSignature> {
        self.creator.verify(&self.signed(), &self.signature)
    }

    /// The id of the topic.
    #[must_use]
    pub fn id(&self) -> TopicId {
        TopicId(*blake3::hash(&self.signed()).as_bytes())
    }

    /// The canonical encoding, for messages.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&self.signed()[DOMAIN.len()..], &self.signature].concat()
    }

    /// Decodes a genesis. Only its form is checked, not its signature.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader(bytes);
        let network = reader.array()?;
        let creator = Did::from_key(reader.array()?).ok()?;
        let nonce = reader.u64()?;
        let created_ms = reader.u64()?;
        let retention_ms = reader.u64()?;
        let max_entries = reader.u32()?;
        let scope = match reader.u8()? {
            1 => Scope::Local,
            2 => Scope::Regional,
            3 => Scope::Global,
            _ => return None,
        };
        let mut part = || {
            let bytes = usize::try_from(reader.u64()?).ok()?;
            reader.slice(bytes)
        };
        let name = str::from_utf8(part()?).ok()?.to_owned();
        let access = AccessBytes::from_bytes(part()?.to_vec());
        let spec = TopicSpec { name, access, scope, max_entries, retention_ms, created_ms };
        let signature = reader.array()?;
        reader.0.is_empty().then_some(Self { network, creator, spec, nonce, signature })
    }

    fn signed(&self) -> Vec<u8> {
        let mut out = DOMAIN.to_vec();
        out.extend_from_slice(&self.network);
        out.extend_from_slice(self.creator.key());
        out.extend_from_slice(&self.nonce.to_le_bytes());
        out.extend_from_slice(&self.spec.created_ms.to_le_bytes());
        out.extend_from_slice(&self.spec.retention_ms.to_le_bytes());
        out.extend_from_slice(&self.spec.max_entries.to_le_bytes());
        out.push(match self.spec.scope {
            Scope::Local => 1,
            Scope::Regional => 2,
            Scope::Global => 3,
        });
        for part in [self.spec.name.as_bytes(), self.spec.access.as_bytes()] {
            out.extend_from_slice(&(part.len() as u64).to_le_bytes());
            out.extend_from_slice(part);
        }
        out
    }
}

/// Whether `name` is a valid topic name: 1 to 128 of a–z, 0–9, `:`, `.`, `_`, `-`. The first is a
/// letter or digit. 64 hexadecimal digits are an id, not a name.
#[must_use]
pub fn name_is_valid(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b":._-".contains(&byte);
    name.len() <= TOPIC_NAME_BYTES_MAX
        && name.bytes().all(allowed)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.parse::<TopicId>().is_err()
}
