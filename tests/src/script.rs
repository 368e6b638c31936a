//! Members of a world that are no nodes.

use bytes::Bytes;
use icn_gossip::Did;
use icn_gossip::mesh::LinkId;

/// What a script sees.
pub enum ScriptEvent<'a> {
    /// A peer is there.
    Up {
        /// What the link is called.
        link: LinkId,
        /// Who is at the other end.
        peer: Did,
        /// What the two ends have in common.
        binding: [u8; 32],
    },
    /// A frame has come.
    Frame {
        /// Over which link.
        link: LinkId,
        /// Its kind.
        kind: u8,
        /// Its body.
        body: &'a [u8],
    },
    /// A link has gone.
    Down {
        /// Which.
        link: LinkId,
    },
    /// Half a second has passed.
    Tick,
}

/// Frames that leave, each with its link and kind.
pub type Frames = Vec<(LinkId, u8, Bytes)>;

/// Speaks in the name of a member, with its key and no rules.
pub trait Script {
    /// Something has happened; what it says to that.
    fn handle(&mut self, now_ms: u64, event: ScriptEvent<'_>) -> Frames;
}
