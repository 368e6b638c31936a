//! Members of a world that run a script in place of a node.

use bytes::Bytes;
use icn_gossip::Did;
use icn_gossip::mesh::LinkId;

/// An event that a script handles.
pub enum ScriptEvent<'a> {
    /// A link is up.
    Up {
        /// The id of the link.
        link: LinkId,
        /// The identity of the peer.
        peer: Did,
        /// The secret that the two ends share.
        binding: [u8; 32],
    },
    /// A frame has arrived.
    Frame {
        /// The id of the link that carried the frame.
        link: LinkId,
        /// The kind of the frame.
        kind: u8,
        /// The body of the frame.
        body: &'a [u8],
    },
    /// A link is down.
    Down {
        /// The id of the link that ended.
        link: LinkId,
    },
    /// Half a second has passed since the last tick.
    Tick,
}

/// Frames to send, each with its link and kind.
pub type Frames = Vec<(LinkId, u8, Bytes)>;

/// Speaks for a member, with its key and without the rules of the protocol.
pub trait Script {
    /// Handles an event, and returns the frames to send.
    fn handle(&mut self, now_ms: u64, event: ScriptEvent<'_>) -> Frames;
}
