//! One turn of the node: its inputs, and its outputs with the LSN that each waits for.

use bytes::Bytes;
use icn_gossip::mesh::{Batch, LinkId};

use super::notifications::Notifications;
use super::peer_event::PeerEvent;
use super::snapshots::Draft;
use super::work::Work;
use crate::control::reply::Reply;
use crate::control::request::Request;

/// The inputs of one turn. `T` identifies a caller to the shell.
#[derive(Clone, Debug)]
pub struct Inputs<T> {
    /// Events of the links, which the node handles before the requests.
    pub events: Vec<PeerEvent>,
    /// Requests of local clients.
    pub requests: Vec<(T, Request)>,
    /// Whether the turn also does what is due by time: pruning, a snapshot, a scrub.
    pub tick: bool,
    /// Whether the node verifies a few signatures within the turn. Batches must stay in order: set it
    /// only while no batch of an earlier turn is still being verified.
    pub verify_inline: bool,
}

impl<T> Default for Inputs<T> {
    fn default() -> Self {
        Self { events: Vec::new(), requests: Vec::new(), tick: false, verify_inline: false }
    }
}

impl<T> Inputs<T> {
    /// Requests alone.
    #[must_use]
    pub fn requests(requests: Vec<(T, Request)>) -> Self {
        Self { requests, ..Self::default() }
    }

    /// A turn for what is due by time alone.
    #[must_use]
    pub fn tick() -> Self {
        Self { tick: true, ..Self::default() }
    }
}

/// The outputs of one turn.
#[derive(Debug)]
pub struct Turn<T> {
    /// Effects, in the order in which they must leave.
    pub outputs: Vec<Output<T>>,
    /// Batches whose signatures another thread verifies, in order; [`PeerEvent::Verified`] returns the
    /// verdict. They wait for nothing.
    pub to_verify: Vec<Batch>,
    /// What changed for subscribers; it leaves after the outputs.
    pub notifications: Option<Notifications>,
}

impl<T> Turn<T> {
    pub(super) fn new() -> Self {
        Self { outputs: Vec::new(), to_verify: Vec::new(), notifications: None }
    }

    /// Whether nothing has to pass the release gate.
    pub(crate) fn releases_nothing(&self) -> bool {
        self.outputs.is_empty() && self.notifications.is_none()
    }
}

/// An effect, and the LSN that must be durable before it leaves the node.
#[derive(Debug)]
pub struct Output<T> {
    /// The last LSN that the effect depends on, 0 for none.
    pub after: u64,
    /// The effect.
    pub effect: Effect<T>,
}

/// An effect outside the node. `T` identifies the caller that gets the reply, if there is one.
#[derive(Debug)]
pub enum Effect<T> {
    /// A caller gets a reply.
    Reply(T, Reply),
    /// The worker writes a snapshot.
    Save(Box<Draft>, Option<T>),
    /// A peer gets a frame.
    Send {
        /// The link to the peer.
        link: LinkId,
        /// The kind of the frame.
        kind: u8,
        /// The body of the frame.
        body: Bytes,
    },
    /// A link is closed.
    Close {
        /// The link.
        link: LinkId,
        /// The QUIC error code.
        code: u32,
        /// The name of the code.
        name: &'static str,
    },
    /// The worker does work that takes longer than a turn may.
    Work(Work, Option<T>),
}
