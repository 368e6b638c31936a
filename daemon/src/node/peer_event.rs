//! Events of the links, as the node takes them: the transport's, and verdicts of the verify thread.

use std::net::SocketAddr;

use bytes::Bytes;
use icn_gossip::KeyCard;
use icn_gossip::mesh::{Batch, LinkId};
use icn_net::Doubled;

/// An event of a link to a peer.
#[derive(Clone, Debug)]
pub enum PeerEvent {
    /// A link to an authenticated peer is up.
    Up {
        /// The link.
        link: LinkId,
        /// The peer's X25519 key, signed by its identity.
        card: KeyCard,
        /// The exporter secret of the TLS session, known to its two ends only.
        binding: [u8; 32],
        /// The peer's address.
        address: SocketAddr,
    },
    /// A frame was received.
    Frame {
        /// The link.
        link: LinkId,
        /// The kind of the frame.
        kind: u8,
        /// The body of the frame.
        body: Bytes,
    },
    /// Frames were written to the network.
    Sent {
        /// The link.
        link: LinkId,
        /// Their bytes.
        bytes: usize,
    },
    /// A link is down.
    Down {
        /// The link.
        link: LinkId,
    },
    /// Two processes use one identity.
    Doubled(Doubled),
    /// The signatures of a batch of [`Turn::to_verify`](super::Turn::to_verify) were verified.
    Verified {
        /// The batch.
        batch: Batch,
        /// Whether all signatures are valid.
        valid: bool,
    },
}
