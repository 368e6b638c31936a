//! The events that a transport reports about its links.

use std::net::SocketAddr;

use icn_gossip::mesh::LinkId;
use icn_gossip::{Did, KeyCard};
use tokio::sync::OwnedSemaphorePermit;

use crate::close_reason::CloseReason;
use crate::doubled::Doubled;
use crate::frame::Frame;

/// An event of a link. `Up` is the first event of each link and `Down` the last. A link that
/// replaces another is `Up` after the other is `Down`.
#[derive(Debug)]
pub enum LinkEvent {
    /// The link is up: both ends have accepted each other's Hello.
    Up {
        /// The id of the link.
        link: LinkId,
        /// The identity of the peer.
        peer: Did,
        /// The X25519 key of the peer, signed by its identity.
        card: KeyCard,
        /// 32 bytes exported from the TLS session; only its two ends know them.
        binding: [u8; 32],
        /// The protocol version to speak: the newest that both ends know.
        version: u16,
        /// The capability bits that the peer offers and demands.
        capabilities: u64,
        /// The address of the peer; other nodes may reach the peer there, too.
        address: SocketAddr,
        /// True iff this node dialled.
        dialled: bool,
    },
    /// The peer sent a frame.
    Frame {
        /// The id of the link.
        link: LinkId,
        /// The frame. Its kind is never 0, which is that of the Hello.
        frame: Frame,
        /// The caller drops it when the frame is processed.
        credit: Credit,
    },
    /// Frames left the queue of the link for QUIC.
    Sent {
        /// The id of the link.
        link: LinkId,
        /// The size of these frames in bytes, headers included.
        bytes: usize,
    },
    /// Two processes use one identity. It belongs to no link.
    Doubled(Doubled),
    /// The link has ended. Frames that QUIC had not yet delivered are lost, even those that were
    /// [`LinkEvent::Sent`].
    Down {
        /// The id of the link.
        link: LinkId,
        /// The identity of the peer.
        peer: Did,
        /// Why the link ended.
        reason: CloseReason,
    },
}

/// The share of one received frame in the bytes that a peer may have unsettled. Dropping the credit
/// settles the frame. A link reads on only while less than
/// [`UNSETTLED_BYTES_MAX`](crate::limits::UNSETTLED_BYTES_MAX) is unsettled.
#[derive(Debug)]
pub struct Credit {
    _permit: OwnedSemaphorePermit,
}

impl Credit {
    pub(crate) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: permit }
    }
}
