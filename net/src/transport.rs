//! The transport: one UDP socket, its links, and the targets it dials.

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
use crate::doubled::OwnSessions;
use crate::error::BindError;
use crate::event::LinkEvent;
use crate::frame::Frame;
use crate::half_open::{Admission, HALF_OPEN_MAX, HalfOpen};
use crate::handshake;
use crate::limits::{FLUSH_TIME_MAX, INCOMING_BYTES_MAX, INCOMING_BYTES_TOTAL_MAX, SOCKET_BYTES};
use crate::link::LinkId;
use crate::link_table::LinkTable;
use crate::probe::probe;
use crate::quic;
use crate::stats::{Stat, TransportStats};
use crate::target::Target;
use crate::tls::TlsIdentity;

/// One UDP socket, the links over it, and the targets it dials. Cheap to clone; dropping the last
/// clone closes every link at once.
#[derive(Clone, Debug)]
pub struct Transport {
    pub(crate) context: Arc<Context>,
    pub(crate) dialler: Arc<Dialler>,
    _dead: Arc<DropGuard>,
}

impl Transport {
    /// Listens, on the tokio runtime of the caller, and reports on `events`. While that channel is
    /// full, no link reads from its peer.
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
        // A smaller buffer only loses packets of a burst, which QUIC retransmits.
        if let Err(error) = SockRef::from(&socket).set_recv_buffer_size(SOCKET_BYTES) {
            tracing::warn!(%error, "the receive buffer of the socket keeps its size");
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
            own_sessions: OwnSessions::default(),
            // Without random numbers the process number of two machines may be equal, and is likely not.
            run: getrandom::u64().unwrap_or_else(|_| std::process::id().into()),
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

    /// The UDP address this transport listens on.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.context.endpoint.local_addr()
    }

    /// The identity of this node.
    #[must_use]
    pub fn did(&self) -> Did {
        self.context.did
    }

    /// Queues a frame and returns at once. Returns false, and drops the frame, iff the link has
    /// ended. The queue is unbounded: the caller bounds it by subtracting the bytes of
    /// [`LinkEvent::Sent`] from the bytes it has queued.
    pub fn send(&self, link: LinkId, frame: Frame) -> bool {
        self.context.table.link(link).is_some_and(|link| link.send(frame))
    }

    /// Closes a link at once and drops its queued frames. The peer receives code and reason;
    /// [`LinkEvent::Down`] follows.
    pub fn close(&self, link: LinkId, code: u32, reason: &str) {
        if let Some(link) = self.context.table.link(link) {
            link.close(code, reason);
        }
    }

    /// Maintains a link to this target from now on. Returns false if the target is this node
    /// itself, or there are already [`TARGETS_MAX`](crate::limits::TARGETS_MAX) targets.
    pub fn dial(&self, target: Target) -> bool {
        self.dialler.add(target, TargetSource::Requested)
    }

    /// Maintains a link to a peer at the address of its last link. This address replaces the one
    /// learnt before, so that a peer that moves often has one learnt target. Targets of
    /// [`Transport::dial`] stay. Returns what [`Transport::dial`] returns.
    pub fn learn(&self, peer: Did, address: SocketAddr) -> bool {
        self.dialler.learn(Target::new(Some(peer), address))
    }

    /// Stops dialling a target of [`Transport::dial`]. An existing link stays up.
    pub fn forget(&self, target: &Target) {
        self.dialler.remove(target, TargetSource::Requested);
    }

    /// The machine was suspended until now, so timers stood still. Dials every target without a link
    /// at once, and probes every link. A link whose peer does not answer within
    /// [`ANSWER_TIME_MAX`](crate::limits::ANSWER_TIME_MAX) ends with
    /// [`CLOSE_UNANSWERED`](crate::CLOSE_UNANSWERED), and its targets are dialled. Must be called on a tokio
    /// runtime.
    pub fn resumed(&self) {
        let context = &self.context;
        context.stats.add(Stat::Resumes, 1);
        self.dialler.end_backoffs();
        for link in context.table.all() {
            context.tasks.spawn(probe(Arc::clone(context), link));
        }
    }

    /// The status of each target, in no order.
    #[must_use]
    pub fn targets(&self) -> Vec<TargetStatus> {
        self.dialler.status()
    }

    /// The counters of this transport.
    #[must_use]
    pub fn stats(&self) -> &Arc<TransportStats> {
        &self.context.stats
    }

    /// Sends the queued frames, closes every link with [`CLOSE_STOPPING`] and ends all tasks.
    /// Returns within a few seconds whatever peers do, and reports events until then.
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

/// Closes the socket when the transport ends. Not a tracked task: shutdown waits for those first.
async fn close_when_dead(endpoint: Endpoint, dead: CancellationToken) {
    dead.cancelled().await;
    endpoint.close(CLOSE_STOPPING.into(), b"this node stops");
}
