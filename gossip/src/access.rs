//! Access rules: who may read a topic and write to it. A rule that cannot be decoded seals the topic.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::bytes::ByteReader;
use crate::did::Did;
use crate::limits::{PARTICIPANTS_MAX, TRUST_MAX};

const VERSION: u8 = 1;
/// In place of a version: a rule of the earlier implementation, as text. No build decodes it.
const LEGACY: u8 = 0xFF;
const PUBLIC: u8 = 1;
const PARTICIPANTS: u8 = 2;
const MIN_TRUST: u8 = 3;

const _: () = assert!(LEGACY != VERSION);

/// Which identities one side of an access rule admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// All identities.
    Public,
    /// These identities, sorted and without duplicates.
    Participants(Vec<Did>),
    /// Identities that this node trusts at least this much, 1 to 1000. An unknown one has 0.
    MinTrust(u16),
}

/// The access rule of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The identities that may read.
    pub read: Policy,
    /// The identities that may write.
    pub write: Policy,
}

/// An encoded access rule, kept byte by byte and decoded on first use. A rule of a newer version is
/// kept unchanged, and seals the topic until a build can decode it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccessBytes {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    /// Cached: every entry consults the rule, and checking each member's key costs microseconds.
    #[serde(skip)]
    view: OnceLock<Arc<View>>,
}

impl PartialEq for AccessBytes {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for AccessBytes {}

/// An access rule in short: which identities may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessSummary {
    /// All identities.
    Public,
    /// So many members.
    Members(usize),
    /// Identities that the node trusts at least this much, of 1000.
    MinTrust(u16),
    /// None: this build cannot decode the rule.
    Sealed,
}

/// An [`AccessBytes`] as this build decodes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// A rule that this build applies.
    Open(Access),
    /// A rule that this build cannot decode: entries are neither served nor accepted, the rule is kept.
    Sealed,
}

impl View {
    /// The rule in short.
    #[must_use]
    pub fn summary(&self) -> AccessSummary {
        match self {
            Self::Sealed => AccessSummary::Sealed,
            Self::Open(access) => match &access.read {
                Policy::Public => AccessSummary::Public,
                Policy::Participants(members) => AccessSummary::Members(members.len()),
                Policy::MinTrust(least) => AccessSummary::MinTrust(*least),
            },
        }
    }

    /// Whether this build can decode the rule.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// Whether the rule admits `did`, trusted `trust` of 1000, as a reader.
    #[must_use]
    pub fn admits(&self, did: &Did, trust: u16) -> bool {
        matches!(self, Self::Open(access) if access.read.admits(did, trust))
    }
}

impl Access {
    /// A rule by which all identities read and write.
    #[must_use]
    pub fn public() -> Self {
        Self { read: Policy::Public, write: Policy::Public }
    }

    /// A rule by which only `members` read and write.
    #[must_use]
    pub fn participants(mut members: Vec<Did>) -> Self {
        members.sort_unstable();
        members.dedup();
        Self { read: Policy::Participants(members.clone()), write: Policy::Participants(members) }
    }

    /// A rule by which identities trusted at least `trust` of 1000 read and write. A `trust` of 0 counts
    /// as 1: a rule for 0 would admit all identities without being public.
    #[must_use]
    pub fn min_trust(trust: u16) -> Self {
        let policy = Policy::MinTrust(trust.clamp(1, TRUST_MAX));
        Self { read: policy.clone(), write: policy }
    }

    /// The encoded rule, to be stored and signed.
    #[must_use]
    pub fn encode(&self) -> AccessBytes {
        let mut out = vec![VERSION];
        self.read.encode(&mut out);
        self.write.encode(&mut out);
        AccessBytes::from_bytes(out)
    }
}

impl Policy {
    /// Whether the policy admits `did`, trusted `trust` of 1000.
    #[must_use]
    pub fn admits(&self, did: &Did, trust: u16) -> bool {
        match self {
            Self::Public => true,
            Self::Participants(members) => members.binary_search(did).is_ok(),
            Self::MinTrust(least) => trust >= *least,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Public => out.push(PUBLIC),
            Self::Participants(members) => {
                out.push(PARTICIPANTS);
                out.extend_from_slice(
                    &u16::try_from(members.len()).unwrap_or(u16::MAX).to_le_bytes(),
                );
                members.iter().for_each(|member| out.extend_from_slice(member.key()));
            }
            Self::MinTrust(trust) => {
                out.push(MIN_TRUST);
                out.extend_from_slice(&trust.to_le_bytes());
            }
        }
    }

    fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        match reader.u8()? {
            PUBLIC => Some(Self::Public),
            PARTICIPANTS => {
                let count = usize::from(reader.u16()?);
                if count > PARTICIPANTS_MAX {
                    return None;
                }
                let keys = reader.slice(count * 32)?.chunks_exact(32);
                let members: Option<Vec<Did>> =
                    keys.map(|key| Did::from_key(key.try_into().ok()?).ok()).collect();
                let members = members?;
                members.is_sorted_by(|a, b| a < b).then_some(Self::Participants(members))
            }
            MIN_TRUST => {
                let trust = reader.u16()?;
                (1..=TRUST_MAX).contains(&trust).then_some(Self::MinTrust(trust))
            }
            _ => None,
        }
    }
}

impl AccessBytes {
    /// Wraps encoded bytes, whether this build can decode them or not.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, view: OnceLock::new() }
    }

    /// Keeps a rule of the earlier implementation as text; it always seals the topic.
    pub(crate) fn legacy(rule: &str) -> Self {
        Self::from_bytes([&[LEGACY], rule.as_bytes()].concat())
    }

    /// The encoded rule.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Decodes the rule. An unknown, unsorted, truncated or overlong encoding is [`View::Sealed`], and so
    /// is a least trust outside 1 to 1000.
    pub fn view(&self) -> &View {
        self.view.get_or_init(|| Arc::new(self.decode().map_or(View::Sealed, View::Open)))
    }

    fn decode(&self) -> Option<Access> {
        let mut reader = ByteReader(&self.bytes);
        if reader.u8()? != VERSION {
            return None;
        }
        let read = Policy::decode(&mut reader)?;
        let write = Policy::decode(&mut reader)?;
        reader.0.is_empty().then_some(Access { read, write })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keypair::Keypair;

    fn private() -> Access {
        Access::participants((1..4).map(|seed| Keypair::from_seed([seed; 32]).did()).collect())
    }

    #[test]
    fn rules_round_trip() {
        for access in [Access::public(), private(), Access::min_trust(1), Access::min_trust(1000)] {
            assert_eq!(*access.encode().view(), View::Open(access));
        }
    }

    #[test]
    fn no_single_change_makes_a_private_topic_public() {
        let bytes = private().encode().bytes;
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let View::Open(access) = AccessBytes::from_bytes(changed).view() {
                assert!(access.read != Policy::Public && access.write != Policy::Public, "{bit}");
            }
        }
        for length in 0..bytes.len() {
            assert_eq!(*AccessBytes::from_bytes(bytes[..length].to_vec()).view(), View::Sealed);
        }
    }

    #[test]
    fn a_rule_for_no_trust_is_never_made_and_seals_a_topic_that_has_it() {
        let unknown = Keypair::from_seed([9; 32]).did();
        for (asked, least) in [(0, 1), (1, 1), (TRUST_MAX, TRUST_MAX), (u16::MAX, TRUST_MAX)] {
            let access = Access::min_trust(asked);
            assert_eq!(access.read, Policy::MinTrust(least));
            assert_eq!(access.write, Policy::MinTrust(least));
            assert!(!access.read.admits(&unknown, 0), "{asked}");
        }
        let rule = |read, write| Access { read, write }.encode();
        for least in [0, TRUST_MAX + 1, u16::MAX] {
            let bad = Policy::MinTrust(least);
            for (read, write) in
                [(bad.clone(), bad.clone()), (Policy::Public, bad.clone()), (bad, Policy::Public)]
            {
                assert_eq!(*rule(read, write).view(), View::Sealed, "{least}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_decodable_rule_has_one_encoding(bytes in prop::collection::vec(0..5u8, 0..12)) {
            let bytes = AccessBytes::from_bytes(bytes);
            if let View::Open(access) = bytes.view() {
                prop_assert_eq!(access.encode(), bytes);
            }
        }
    }
}
