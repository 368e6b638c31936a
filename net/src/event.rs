//! What a transport reports of its links.

use std::net::SocketAddr;

use icn_gossip::mesh::LinkId;
use icn_gossip::{Did, KeyCard};
use tokio::sync::OwnedSemaphorePermit;

use crate::close_reason::CloseReason;
use crate::frame::Frame;

/// What happens on links. Of one link: `Up`, then the others, and `Down` as the last. The link that
/// replaces another is `Up` after that one is `Down`.
#[derive(Debug)]
pub enum LinkEvent {
    /// A link came about: both ends have accepted each other's Hello.
    Up {
        /// Which link.
        link: LinkId,
        /// Who is at the other end.
        peer: Did,
        /// Its X25519 key, under its identity.
        card: KeyCard,
        /// What only the two ends of this TLS session know.
        binding: [u8; 32],
        /// The version of the protocol to speak.
        version: u16,
        /// What the peer offers and demands.
        capabilities: u64,
        /// Where the peer is; others may reach it there, too.
        address: SocketAddr,
        /// It was this node that dialled.
        dialled: bool,
    },
    /// A frame came.
    Frame {
        /// On which link.
        link: LinkId,
        /// The frame. Its kind is not 0.
        frame: Frame,
        /// To be dropped when what the frame was for is done.
        credit: Credit,
    },
    /// Frames were given to QUIC and are in no queue here any more.
    Sent {
        /// On which link.
        link: LinkId,
        /// Their bytes, headers included.
        bytes: usize,
    },
    /// The link has ended. Frames that were not [`LinkEvent::Sent`] may be lost, and those before it too.
    Down {
        /// Which link.
        link: LinkId,
        /// Who was at the other end.
        peer: Did,
        /// Why.
        reason: CloseReason,
    },
}

/// A frame that came and is not settled. Dropping it lets the link go on reading: at most
/// [`UNSETTLED_BYTES_MAX`](crate::limits::UNSETTLED_BYTES_MAX) of one peer are out at any time.
#[derive(Debug)]
pub struct Credit {
    _permit: OwnedSemaphorePermit,
}

impl Credit {
    pub(crate) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: permit }
    }
}
