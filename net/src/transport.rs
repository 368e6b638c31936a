//! A node's place on the network.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use icn_gossip::Did;
use quinn::{Endpoint, ServerConfig, TokioRuntime};
use socket2::SockRef;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::close_reason::CLOSE_STOPPING;
use crate::config::Config;
use crate::context::Context;
use crate::dialler::{Dialler, TargetSource, TargetStatus};
use crate::discovery::discover;
use crate::error::BindError;
use crate::event::LinkEvent;
use crate::frame::Frame;
use crate::half_open::{Admission, HALF_OPEN_MAX, HalfOpen};
use crate::handshake;
use crate::limits::{FLUSH_TIME_MAX, INCOMING_BYTES_MAX, INCOMING_BYTES_TOTAL_MAX, SOCKET_BYTES};
use crate::link::LinkId;
use crate::link_table::LinkTable;
use crate::quic;
use crate::stats::{Stat, TransportStats};
use crate::target::Target;
use crate::tls::TlsIdentity;

/// A node's place on the network: one UDP socket, and the links over it. Cheap to clone; when the
/// last clone is dropped, everything ends at once.
#[derive(Clone, Debug)]
pub struct Transport {
    pub(crate) context: Arc<Context>,
    pub(crate) dialler: Arc<Dialler>,
    _dead: Arc<DropGuard>,
}

impl Transport {
    /// Listens, on the tokio runtime of the caller. What happens is told through `events`; while
    /// they are not taken, nothing is read from anybody.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(config: Config, events: mpsc::Sender<LinkEvent>) -> Result<Self, BindError> {
        tokio::runtime::Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let did = config.keypair.did();
        if config.card.did != did {
            return Err(BindError::Card);
        }
        let identity = TlsIdentity::new(Arc::clone(&config.keypair));
        let mut server = ServerConfig::with_crypto(Arc::new(identity.server()?));
        server
            .transport_config(Arc::new(quic::transport_config(&config.timing, 1)?))
            .max_incoming(HALF_OPEN_MAX)
            .incoming_buffer_size(INCOMING_BYTES_MAX)
            .incoming_buffer_size_total(INCOMING_BYTES_TOTAL_MAX);
        let address = config.listen;
        let listen = |source| BindError::Listen { address, source };
        let socket = UdpSocket::bind(address).map_err(listen)?;
        // As much as the system grants; with less, what a link sends at once is lost and sent again.
        if let Err(error) = SockRef::from(&socket).set_recv_buffer_size(SOCKET_BYTES) {
            tracing::warn!(%error, "the socket keeps the buffer it has");
        }
        let endpoint = Endpoint::new(
            quic::endpoint_config(&config.keypair),
            Some(server),
            socket,
            Arc::new(TokioRuntime),
        )
        .map_err(listen)?;
        let dead = CancellationToken::new();
        let context = Arc::new(Context {
            did,
            dialling: Arc::new(quic::transport_config(&config.timing, 0)?),
            config,
            endpoint,
            identity,
            table: LinkTable::new(did),
            stats: Arc::new(TransportStats::new()),
            tasks: TaskTracker::new(),
            stopping: dead.child_token(),
            dead: dead.clone(),
            events,
        });
        let dialler = Dialler::new(Arc::clone(&context));
        context.tasks.spawn(take_connections(Arc::clone(&context)));
        tokio::spawn(close_when_dead(context.endpoint.clone(), dead.clone()));
        if context.config.discovery {
            context.tasks.spawn(discover(Arc::clone(&dialler)));
        }
        Ok(Self { context, dialler, _dead: Arc::new(dead.drop_guard()) })
    }

    /// Where this listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.context.endpoint.local_addr()
    }

    /// Who this is.
    #[must_use]
    pub fn did(&self) -> Did {
        self.context.did
    }

    /// Queues a frame and returns at once. Says whether the link is still there; if it is not, the
    /// frame is dropped. Nothing bounds the queue but the caller, who counts what it has queued
    /// against [`LinkEvent::Sent`].
    pub fn send(&self, link: LinkId, frame: Frame) -> bool {
        self.context.table.link(link).is_some_and(|link| link.send(frame))
    }

    /// Closes a link at once: what is queued is not sent any more. The peer is told both, and
    /// [`LinkEvent::Down`] follows.
    pub fn close(&self, link: LinkId, code: u32, reason: &str) {
        if let Some(link) = self.context.table.link(link) {
            link.close(code, reason);
        }
    }

    /// Keeps a link to this target from now on. Says whether it will: not to this node itself, and
    /// not beyond [`TARGETS_MAX`](crate::limits::TARGETS_MAX).
    pub fn dial(&self, target: Target) -> bool {
        self.dialler.add(target, TargetSource::Requested)
    }

    /// Keeps a link to a peer at the address where it was met, and no longer where it was met
    /// before: of a peer that moves often one address is known. Targets that were asked for by
    /// [`Transport::dial`] stay. Says what that says.
    pub fn learn(&self, peer: Did, address: SocketAddr) -> bool {
        self.dialler.learn(Target::new(Some(peer), address))
    }

    /// Does not dial this target any more. A link that is there stays.
    pub fn forget(&self, target: &Target) {
        self.dialler.remove(target, TargetSource::Requested);
    }

    /// How the targets fare, in no order.
    #[must_use]
    pub fn targets(&self) -> Vec<TargetStatus> {
        self.dialler.status()
    }

    /// What happened, counted.
    #[must_use]
    pub fn stats(&self) -> &Arc<TransportStats> {
        &self.context.stats
    }

    /// Sends what is queued, closes every link with the code of a node that stops, and ends all
    /// tasks. Takes some seconds at most, however peers behave; events go on until then.
    pub async fn shutdown(&self) {
        let context = &self.context;
        context.stopping.cancel();
        context.endpoint.set_server_config(None);
        context.tasks.close();
        let _ = timeout(2 * FLUSH_TIME_MAX, context.tasks.wait()).await;
        for link in context.table.all() {
            link.close(CLOSE_STOPPING, "this node stops");
        }
        let _ = timeout(FLUSH_TIME_MAX, context.endpoint.wait_idle()).await;
        context.dead.cancel();
        let _ = timeout(FLUSH_TIME_MAX, context.tasks.wait()).await;
    }
}

async fn take_connections(context: Arc<Context>) {
    let half_open = Arc::new(HalfOpen::default());
    loop {
        let incoming = tokio::select! {
            () = context.stopping.cancelled() => break,
            incoming = context.endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let proven = incoming.remote_address_validated() || !incoming.may_retry();
        match half_open.admit(incoming.remote_address().ip(), proven) {
            Admission::Admit(permit) => {
                context.tasks.spawn(handshake::accept(Arc::clone(&context), incoming, permit));
            }
            Admission::Prove => {
                context.stats.add(Stat::ProofDemanded, 1);
                let _ = incoming.retry();
            }
            Admission::Refuse => {
                context.stats.add(Stat::HalfOpenRefused, 1);
                incoming.refuse();
            }
        }
    }
}

/// Not one of the tasks: those are waited for before anybody is dead.
async fn close_when_dead(endpoint: Endpoint, dead: CancellationToken) {
    dead.cancelled().await;
    endpoint.close(CLOSE_STOPPING.into(), b"this node stops");
}
