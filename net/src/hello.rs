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
mod tests {
    use super::*;

    struct Node {
        keypair: Keypair,
        card: KeyCard,
    }

    impl Node {
        fn new(seed: u8) -> Self {
            let keypair = Keypair::from_seed([seed; 32]);
            let card = KeyCard::sign(&keypair, [seed; 32], 1);
            Self { keypair, card }
        }

        fn local(&self) -> LocalNode<'_> {
            LocalNode {
                keypair: &self.keypair,
                card: &self.card,
                network: crate::network_id("icn"),
                versions: Versions { oldest: 2, newest: 4 },
                capabilities: 5,
            }
        }
    }

    fn session(role: Role, peer: &Node) -> TlsSession {
        TlsSession { binding: [9; 32], role, peer: peer.keypair.did() }
    }

    #[test]
    fn each_end_learns_the_identity_of_the_other() {
        let ana = Node::new(1);
        let ben = Node::new(2);
        for (role, other) in [(Role::Dialler, Role::Acceptor), (Role::Acceptor, Role::Dialler)] {
            let hello = Hello::sign(&ana.local(), &session(role, &ben));
            let local = LocalNode { versions: Versions { oldest: 1, newest: 3 }, ..ben.local() };
            let peer = Hello::accept(&hello, &local, &session(other, &ana));
            let card = ana.card.clone();
            assert_eq!(peer, Ok(AcceptedHello { card, version: 3, capabilities: 5 }));
        }
    }

    #[test]
    fn a_changed_or_cut_hello_is_refused() {
        let ana = Node::new(1);
        let ben = Node::new(2);
        let hello = Hello::sign(&ana.local(), &session(Role::Dialler, &ben));
        let accept =
            |bytes: &[u8]| Hello::accept(bytes, &ben.local(), &session(Role::Acceptor, &ana));
        assert!(accept(&hello).is_ok());
        for bit in 0..hello.len() * 8 {
            let mut changed = hello.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(accept(&changed).is_err(), "bit {bit}");
        }
        for end in 0..hello.len() {
            assert!(accept(&hello[..end]).is_err(), "{end} bytes");
        }
        assert_eq!(accept(&vec![b'I'; HELLO_BYTES_MAX + 1]), Err(Refusal::Malformed));
    }

    #[test]
    fn a_hello_is_valid_on_one_connection_only() {
        let ana = Node::new(1);
        let ben = Node::new(2);
        let eve = Node::new(3);
        let hello = Hello::sign(&ana.local(), &session(Role::Dialler, &ben));
        let there = session(Role::Acceptor, &ana);
        let other_session = TlsSession { binding: [8; 32], ..there };
        assert_eq!(Hello::accept(&hello, &ben.local(), &other_session), Err(Refusal::Unbound));
        let reflected = TlsSession { role: Role::Dialler, ..there };
        assert_eq!(Hello::accept(&hello, &ben.local(), &reflected), Err(Refusal::Unbound));
        // Eve holds the key of the session and replays a Hello that she received from Ana.
        let heard = TlsSession { peer: eve.keypair.did(), ..there };
        assert_eq!(Hello::accept(&hello, &ben.local(), &heard), Err(Refusal::NotTheKey));
        let ourselves = session(Role::Acceptor, &ana);
        assert_eq!(Hello::accept(&hello, &ana.local(), &ourselves), Err(Refusal::Ourselves));
    }

    #[test]
    fn each_mismatch_has_its_own_refusal() {
        let ana = Node::new(1);
        let ben = Node::new(2);
        let ours = ben.local().versions;
        let judge = |local: LocalNode<'_>| {
            let hello = Hello::sign(&local, &session(Role::Dialler, &ben));
            Hello::accept(&hello, &ben.local(), &session(Role::Acceptor, &ana))
        };
        let speaking =
            |oldest, newest| LocalNode { versions: Versions { oldest, newest }, ..ana.local() };
        for (oldest, newest, common) in [(0, 2, 2), (4, 9, 4), (3, 3, 3), (0, 9, 4)] {
            assert_eq!(judge(speaking(oldest, newest)).map(|peer| peer.version), Ok(common));
        }
        let theirs = Versions { oldest: 0, newest: 1 };
        assert_eq!(judge(speaking(0, 1)), Err(Refusal::TooOld { ours, theirs }));
        let theirs = Versions { oldest: 5, newest: 6 };
        assert_eq!(judge(speaking(5, 6)), Err(Refusal::TooNew { ours, theirs }));
        assert_eq!(judge(speaking(4, 3)), Err(Refusal::Malformed));
        let network = crate::network_id("other");
        assert_eq!(judge(LocalNode { network, ..ana.local() }), Err(Refusal::OtherNetwork));
        let bits = 1 << 60;
        let capabilities = bits | 3;
        assert_eq!(
            judge(LocalNode { capabilities, ..ana.local() }),
            Err(Refusal::Demands { bits })
        );
    }

    #[test]
    fn a_hello_with_fields_of_a_later_version_is_accepted() {
        let ana = Node::new(1);
        let ben = Node::new(2);
        let here = session(Role::Dialler, &ben);
        let mut longer = Hello::sign(&ana.local(), &here);
        longer.truncate(CARD_END);
        longer.extend_from_slice(b"what version 3 will add");
        let longer = seal(longer, &ana.keypair, &here);
        assert!(Hello::accept(&longer, &ben.local(), &session(Role::Acceptor, &ana)).is_ok());
    }
}
