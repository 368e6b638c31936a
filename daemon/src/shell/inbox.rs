//! The inbox of the core: calls and peer events, each with what its sender waits for.

use tokio::sync::oneshot;

use crate::control::reply::Reply;
use crate::control::request::Request;
use crate::node::PeerEvent;

/// Inputs that the core has not taken yet; when the inbox is full, connections and links wait.
pub(crate) const INBOX_INPUTS_MAX: usize = 4096;

/// One input of the core.
pub(crate) enum Input {
    /// A request of a local client.
    Call(Call),
    /// An event of a link. Its credit is dropped once the node has settled the event, which lets the
    /// link read on.
    Peer(PeerEvent, Option<Credit>),
}

/// A request and the channel for its reply.
pub(crate) struct Call {
    /// The request.
    pub(crate) request: Request,
    /// Where the reply goes.
    pub(crate) reply: ReplySender,
}

/// The channel of one caller. A caller that has gone is no error: its request has taken effect.
pub(crate) type ReplySender = oneshot::Sender<Reply>;

/// A share of a link's receive budget; dropping it returns the share.
pub(crate) type Credit = Box<dyn Send>;
