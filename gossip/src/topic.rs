//! What a topic is: the signed genesis that fixes its name, its access and what it retains.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::access::AccessBytes;
use crate::bytes::ByteReader;
use crate::did::{BadSignature, Did};
use crate::keypair::Keypair;
use crate::limits::{RETENTION_MS_DEFAULT, TOPIC_ENTRIES_DEFAULT, TOPIC_NAME_BYTES_MAX};

const DOMAIN: &[u8] = b"icn/genesis/v0\0";

/// The hash of a topic's genesis: a topic cannot be declared again with another access rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicId(#[serde(with = "serde_bytes")] [u8; 32]);

impl TopicId {
    /// The id with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
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
        if text.len() != 64 || !text.is_ascii() {
            return Err(BadTopicId);
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[index * 2..index * 2 + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| BadTopicId)?;
        }
        let id = Self(bytes);
        // Upper case and signs parse too, and one id has one spelling.
        if id.to_string() == text { Ok(id) } else { Err(BadTopicId) }
    }
}

/// How far a topic is meant to spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// The local network.
    Local,
    /// The region.
    Regional,
    /// Everywhere.
    Global,
}

/// What the creator of a topic decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSpec {
    /// Its name: a local alias, not an identity.
    pub name: String,
    /// Who may read and write.
    pub access: AccessBytes,
    /// How far it spreads.
    pub scope: Scope,
    /// How many entries are retained.
    pub max_entries: u32,
    /// For how long they are retained after they were received, in ms.
    pub retention_ms: u64,
    /// When it was created, by the creator's clock: ms since 1970.
    pub created_ms: u64,
}

impl TopicSpec {
    /// A topic that retains what topics retain unless somebody says otherwise.
    #[must_use]
    pub fn new(name: String, access: AccessBytes, created_ms: u64) -> Self {
        let (scope, max_entries) = (Scope::Global, TOPIC_ENTRIES_DEFAULT);
        Self { name, access, scope, max_entries, retention_ms: RETENTION_MS_DEFAULT, created_ms }
    }
}

/// A topic's declaration, signed by its creator, who is always a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// The network it belongs to.
    #[serde(with = "serde_bytes")]
    pub network: [u8; 32],
    /// Who declared it.
    pub creator: Did,
    /// What was declared.
    pub spec: TopicSpec,
    /// Random: two topics of one creator and one moment are still two.
    pub nonce: u64,
    #[serde(with = "serde_bytes")]
    pub(crate) signature: [u8; 64],
}

impl Genesis {
    /// Declares a topic.
    #[must_use]
    pub fn sign(keypair: &Keypair, network: [u8; 32], spec: TopicSpec, nonce: u64) -> Self {
        let mut genesis = Self { network, creator: keypair.did(), spec, nonce, signature: [0; 64] };
        genesis.signature = keypair.sign(&genesis.signed());
        genesis
    }

    /// Checks that the creator signed this.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self) -> Result<(), BadSignature> {
        self.creator.verify(&self.signed(), &self.signature)
    }

    /// The id of the topic.
    #[must_use]
    pub fn id(&self) -> TopicId {
        TopicId(*blake3::hash(&self.signed()).as_bytes())
    }

    /// Whether somebody who asks for `name` may mean this topic.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.spec.name == name || name.parse() == Ok(self.id())
    }

    /// The one encoding for a wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&self.signed()[DOMAIN.len()..], &self.signature].concat()
    }

    /// The genesis that `bytes` are the encoding of; nothing about it is verified but its form.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader(bytes);
        let network = reader.array()?;
        let creator = Did::from_key(reader.array()?).ok()?;
        let nonce = reader.u64()?;
        let (created_ms, retention_ms) = (reader.u64()?, reader.u64()?);
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

/// Whether `name` may name a topic: 1 to 128 of a–z, 0–9, `:`, `.`, `_`, `-`, the first a letter or
/// digit; never 64 digits that could be an id.
#[must_use]
pub fn name_is_valid(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b":._-".contains(&byte);
    name.len() <= TOPIC_NAME_BYTES_MAX
        && name.bytes().all(allowed)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.parse::<TopicId>().is_err()
}
