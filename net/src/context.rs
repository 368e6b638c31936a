//! The state that all tasks of a transport share.

use std::net::SocketAddr;
use std::sync::Arc;

use icn_gossip::Did;
use quinn::{Endpoint, TransportConfig};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::doubled::{Doubled, OwnSessions};
use crate::event::LinkEvent;
use crate::hello::LocalNode;
use crate::link_table::LinkTable;
use crate::stats::{Stat, TransportStats};
use crate::tls::TlsIdentity;

/// The state that all tasks of a transport share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) did: Did,
    pub(crate) config: Config,
    pub(crate) endpoint: Endpoint,
    pub(crate) identity: TlsIdentity,
    /// The QUIC settings of connections that this node dials.
    pub(crate) dialling: Arc<TransportConfig>,
    pub(crate) table: Arc<LinkTable>,
    /// Sessions of this process with itself.
    pub(crate) own_sessions: OwnSessions,
    /// A number of this process, by which it knows its own advertisement.
    pub(crate) run: u64,
    pub(crate) stats: Arc<TransportStats>,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the node stops: no new link is accepted, and existing links are flushed and
    /// closed.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when the last [`Transport`](crate::Transport) is dropped or has shut down.
    pub(crate) dead: CancellationToken,
    pub(crate) events: mpsc::Sender<LinkEvent>,
}

impl Context {
    /// The fields of this node's Hello.
    pub(crate) fn local(&self) -> LocalNode<'_> {
        LocalNode {
            keypair: &self.config.keypair,
            card: &self.config.card,
            network: self.config.network,
            versions: self.config.versions,
            capabilities: self.config.capabilities,
        }
    }

    /// Reports that another process runs with the identity of this node.
    pub(crate) async fn emit_ours(&self, place: String) {
        self.stats.add(Stat::DoubledOurs, 1);
        self.emit(LinkEvent::Doubled(Doubled::Ours(place))).await;
    }

    /// Reports that two processes use the identity of a peer.
    pub(crate) async fn emit_contested(&self, did: Did, addresses: [SocketAddr; 2]) {
        self.stats.add(Stat::DoubledPeer, 1);
        self.emit(LinkEvent::Doubled(Doubled::Peer { did, addresses })).await;
    }

    /// Reports an event to the caller, and waits while the channel is full.
    pub(crate) async fn emit(&self, event: LinkEvent) {
        match self.events.try_send(event) {
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(event)) => {
                tokio::select! {
                    biased;
                    () = self.dead.cancelled() => {}
                    _ = self.events.send(event) => {}
                }
            }
        }
    }
}
