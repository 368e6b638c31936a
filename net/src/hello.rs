//! The Hello: the first frame in each direction, which binds an identity to one TLS session.
//!
//! ```text
//! offset bytes field             (little-endian)
//!      0     4 magic             "ICNh"
//!      4     2 oldest version    of the protocol that the sender speaks
//!      6     2 newest version
//!      8    32 network           id of the network
//!     40     8 capabilities      bits 0..48 are offers, bits 48..64 are demands
//!     48   136 key card          identity, X25519 key, time, signature of the identity
//!    184     n                   fields of later versions, at most 3840 bytes, ignored
//!  184+n    64 signature         of the identity over the domain, the role of the sender, the
//!                                binding of the TLS session and all bytes before
//! ```
//!
//! Magic, versions and the final signature have the same place in every version. So two nodes without
//! a common version can report that to each other.

use icn_gossip::{CARD_BYTES, Did, KeyCard, Keypair};

const MAGIC: [u8; 4] = *b"ICNh";
const DOMAIN: &[u8] = b"icn/hello/v0\0";
const VERSIONS_END: usize = 8;
const CARD_AT: usize = 48;
const CARD_END: usize = CARD_AT + CARD_BYTES;
const SIGNATURE_BYTES: usize = 64;
const EXTENSION_BYTES_MAX: usize = 3840;

/// The largest Hello in bytes. A peer without a proven identity can send no larger frame.
pub const HELLO_BYTES_MAX: usize = CARD_END + EXTENSION_BYTES_MAX + SIGNATURE_BYTES;

/// The capability bits that this build knows.
pub const CAPABILITIES_KNOWN: u64 = 0;

/// The capability bits that are demands: a peer that does not know one of them must refuse.
pub const CAPABILITIES_REQUIRED: u64 = 0xFFFF << 48;

/// The protocol versions that this build speaks. Version 0 may still change.
pub const VERSIONS_SPOKEN: Versions = Versions { oldest: 1, newest: 1 };

/// A range of protocol versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest version of the range.
    pub oldest: u16,
    /// The newest version of the range.
    pub newest: u16,
}

/// Which end of the connection a node is. The signature covers the role, so a Hello reflected to
/// its sender is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The node that opened the connection.
    Dialler,
    /// The node that accepted the connection.
    Acceptor,
}

/// The fields of this node's Hello, the same on every connection.
#[derive(Debug)]
pub struct LocalNode<'a> {
    /// This node's signing key.
    pub keypair: &'a Keypair,
    /// This node's X25519 key, signed by its identity.
    pub card: &'a KeyCard,
    /// The id of this node's network.
    pub network: [u8; 32],
    /// The protocol versions this node speaks.
    pub versions: Versions,
    /// The capability bits this node offers and demands.
    pub capabilities: u64,
}

/// One TLS session, as this end sees it.
#[derive(Clone, Copy, Debug)]
pub struct TlsSession {
    /// 32 bytes exported from the session's secrets (RFC 5705): the same at both ends, and
    /// different in every other session.
    pub binding: [u8; 32],
    /// The end that this node is.
    pub role: Role,
    /// The identity whose key the peer has proven to hold.
    pub peer: Did,
}

/// The fields of a peer's Hello that this node has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedHello {
    /// The X25519 key of the peer, signed by its identity.
    pub card: KeyCard,
    /// The protocol version to speak: the newest that both ends know.
    pub version: u16,
    /// The capability bits that the peer offers and demands.
    pub capabilities: u64,
}

/// Why a Hello is refused. Every refusal has a close code and a metric label; codes and labels are
/// only ever added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The first frame is not a Hello.
    #[error("the first frame is not a Hello")]
    Malformed,
    /// The peer speaks older versions only.
    #[error("the peer speaks protocol {}–{}, this node {}–{}; the peer must be upgraded", .theirs.oldest, .theirs.newest, .ours.oldest, .ours.newest)]
    TooOld {
        /// What this node speaks.
        ours: Versions,
        /// What the peer speaks.
        theirs: Versions,
    },
    /// The peer speaks newer versions only.
    #[error("the peer speaks protocol {}–{}, this node {}–{}; this node must be upgraded", .theirs.oldest, .theirs.newest, .ours.oldest, .ours.newest)]
    TooNew {
        /// What this node speaks.
        ours: Versions,
        /// What the peer speaks.
        theirs: Versions,
    },
    /// The peer demands a capability that this node does not know.
    #[error("the peer demands capabilities that this node does not have ({bits:#x})")]
    Demands {
        /// The demanded bits that this node does not know.
        bits: u64,
    },
    /// The peer belongs to another network.
    #[error("the peer belongs to another network")]
    OtherNetwork,
    /// The peer is this node.
    #[error("the other end is this node itself")]
    Ourselves,
    /// The key card belongs to another identity than the key of the TLS session.
    #[error("the Hello belongs to another identity than the key of the TLS session")]
    NotTheKey,
    /// The signature does not cover this TLS session: the Hello is a copy from another connection.
    #[error("the Hello was made for another TLS session")]
    Unbound,
}

impl Refusal {
    /// The code with which the connection is closed.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::Malformed => 0x10,
            Self::TooOld { .. } => 0x11,
            Self::TooNew { .. } => 0x12,
            Self::Demands { .. } => 0x13,
            Self::OtherNetwork => 0x14,
            Self::Ourselves => 0x15,
            Self::NotTheKey => 0x16,
            Self::Unbound => 0x17,
        }
    }

    /// The label of the metric that counts this refusal.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooOld { .. } => "too_old",
            Self::TooNew { .. } => "too_new",
            Self::Demands { .. } => "demands",
            Self::OtherNetwork => "other_network",
            Self::Ourselves => "ourselves",
            Self::NotTheKey => "not_the_key",
            Self::Unbound => "unbound",
        }
    }
}

impl Versions {
    /// Returns the newest version that both nodes speak.
    ///
    /// # Errors
    /// [`Refusal::TooOld`] if `theirs` ends before this range, [`Refusal::TooNew`] if it begins
    /// after.
    pub fn common(self, theirs: Self) -> Result<u16, Refusal> {
        let ours = self;
        if theirs.newest < ours.oldest {
            Err(Refusal::TooOld { ours, theirs })
        } else if theirs.oldest > ours.newest {
            Err(Refusal::TooNew { ours, theirs })
        } else {
            Ok(ours.newest.min(theirs.newest))
        }
    }
}

impl Role {
    fn code(self) -> u8 {
        match self {
            Self::Dialler => 1,
            Self::Acceptor => 2,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

/// Signs and verifies the first frame of a stream.
#[derive(Debug)]
pub struct Hello;

impl Hello {
    /// Encodes and signs this node's Hello for `session`.
    #[must_use]
    pub fn sign(local: &LocalNode<'_>, session: &TlsSession) -> Vec<u8> {
        let mut out = Vec::with_capacity(CARD_END + SIGNATURE_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&local.versions.oldest.to_le_bytes());
        out.extend_from_slice(&local.versions.newest.to_le_bytes());
        out.extend_from_slice(&local.network);
        out.extend_from_slice(&local.capabilities.to_le_bytes());
        out.extend_from_slice(&local.card.to_bytes());
        seal(out, local.keypair, session)
    }

    /// Verifies the peer's Hello. Version and network are checked before the identity, so that an
    /// operator reads the refusal that helps most.
    ///
    /// # Errors
    /// A [`Refusal`]; the caller closes the connection with its code.
    pub fn accept(
        bytes: &[u8],
        local: &LocalNode<'_>,
        session: &TlsSession,
    ) -> Result<AcceptedHello, Refusal> {
        let (signed, signature) =
            bytes.split_last_chunk::<SIGNATURE_BYTES>().ok_or(Refusal::Malformed)?;
        if !signed.starts_with(&MAGIC) || bytes.len() > HELLO_BYTES_MAX {
            return Err(Refusal::Malformed);
        }
        let theirs = signed.get(MAGIC.len()..VERSIONS_END).ok_or(Refusal::Malformed)?;
        let theirs = Versions {
            oldest: u16::from_le_bytes([theirs[0], theirs[1]]),
            newest: u16::from_le_bytes([theirs[2], theirs[3]]),
        };
        if theirs.oldest > theirs.newest {
            return Err(Refusal::Malformed);
        }
        let version = local.versions.common(theirs)?;
        // The layout from here on is that of a version both ends know.
        let body = signed.get(VERSIONS_END..CARD_END).ok_or(Refusal::Malformed)?;
        let (network, body) = body.split_first_chunk::<32>().ok_or(Refusal::Malformed)?;
        let (capabilities, card) = body.split_first_chunk::<8>().ok_or(Refusal::Malformed)?;
        if *network != local.network {
            return Err(Refusal::OtherNetwork);
        }
        let capabilities = u64::from_le_bytes(*capabilities);
        let bits = capabilities & CAPABILITIES_REQUIRED & !CAPABILITIES_KNOWN;
        if bits != 0 {
            return Err(Refusal::Demands { bits });
        }
        if session.peer == local.keypair.did() {
            return Err(Refusal::Ourselves);
        }
        let card = card.try_into().map_err(|_| Refusal::Malformed)?;
        let card = KeyCard::from_bytes(card).map_err(|_| Refusal::NotTheKey)?;
        if card.did != session.peer {
            return Err(Refusal::NotTheKey);
        }
        let message = message(signed, session.role.other(), &session.binding);
        session.peer.verify(&message, signature).map_err(|_| Refusal::Unbound)?;
        Ok(AcceptedHello { card, version, capabilities })
    }
}

fn seal(mut bytes: Vec<u8>, keypair: &Keypair, session: &TlsSession) -> Vec<u8> {
    let signature = keypair.sign(&message(&bytes, session.role, &session.binding));
    bytes.extend_from_slice(&signature);
    bytes
}

fn message(signed: &[u8], sender: Role, binding: &[u8; 32]) -> Vec<u8> {
    [DOMAIN, &[sender.code()], binding, signed].concat()
}

#[cfg(test)]
mod tests;
