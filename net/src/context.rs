//! The state that all tasks of a transport share.

use std::sync::Arc;

use icn_gossip::Did;
use quinn::{Endpoint, TransportConfig};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::event::LinkEvent;
use crate::hello::LocalNode;
use crate::link_table::LinkTable;
use crate::stats::TransportStats;
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
