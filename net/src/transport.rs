//! A node's place on the network.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::{Did, KeyCard, Keypair};
use quinn::{Endpoint, ServerConfig, TokioRuntime, TransportConfig};
use socket2::SockRef;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::dialler::{Dialler, Source, TargetStatus};
use crate::discovery::discover;
use crate::frame::Frame;
use crate::handshake;
use crate::hello::{CAPABILITIES_KNOWN, Local, SPOKEN, Versions};
use crate::limits::{
    Admission, FLUSH_TIME_MAX, HALF_OPEN_MAX, HalfOpen, INCOMING_BYTES_MAX,
    INCOMING_BYTES_TOTAL_MAX, SOCKET_BYTES,
};
use crate::link::{Credit, LinkId};
use crate::quic;
use crate::stats::{Count, Stats};
use crate::table::Table;
use crate::target::Target;
use crate::tls::Identity;
use crate::why::{CLOSE_STOPPING, Why};

/// What a transport is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The UDP address to listen at and to dial from; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who this node is.
    pub keypair: Arc<Keypair>,
    /// Its X25519 key.
    pub card: KeyCard,
    /// Its network, see [`network_id`](crate::network_id).
    pub network: [u8; 32],
    /// The versions of the protocol it speaks.
    pub versions: Versions,
    /// What it offers and demands.
    pub capabilities: u64,
    /// Whether to tell the local network of this node, and to dial who is heard there.
    pub discovery: bool,
    /// How long things may take.
    pub timing: Timing,
}

/// How long things may take. The defaults are for every network; tests have less patience.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From a TLS session to a link: 3 s.
    pub hello: Duration,
    /// How often a silent link is shown to live: 15 s.
    pub keep_alive: Duration,
    /// How long a peer may be silent: 45 s. At least three times `keep_alive`.
    pub idle: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(3),
            keep_alive: Duration::from_secs(15),
            idle: Duration::from_secs(45),
        }
    }
}

impl Config {
    /// What this build speaks, with the default timing and without discovery.
    #[must_use]
    pub fn new(
        listen: SocketAddr,
        keypair: Arc<Keypair>,
        card: KeyCard,
        network: [u8; 32],
    ) -> Self {
        let (versions, capabilities) = (SPOKEN, CAPABILITIES_KNOWN);
        Self {
            listen,
            keypair,
            card,
            network,
            versions,
            capabilities,
            discovery: false,
            timing: Timing::default(),
        }
    }
}

/// What happens on links. Of one link: `Up`, then the others, and `Down` as the last. The link that
/// replaces another is `Up` after that one is `Down`.
#[derive(Debug)]
pub enum Event {
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
    /// The link has ended. Frames that were not [`Event::Sent`] may be lost, and those before it too.
    Down {
        /// Which link.
        link: LinkId,
        /// Who was at the other end.
        peer: Did,
        /// Why.
        why: Why,
    },
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened at.
    #[error("cannot listen at udp {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The key card is that of another identity.
    #[error("the key card belongs to another identity than the key pair")]
    Card,
    /// The timing is impossible.
    #[error("an idle timeout has to be at least three times the keep-alive, and below 2^62 ms")]
    Timing,
    /// Called without a tokio runtime.
    #[error("there is no tokio runtime here")]
    NoRuntime,
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A node's place on the network: one UDP socket, and the links over it. Cheap to clone; when the
/// last clone is dropped, everything ends at once.
#[derive(Clone, Debug)]
pub struct Transport {
    pub(crate) shared: Arc<Shared>,
    _dead: Arc<DropGuard>,
}

/// What all tasks of a transport share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) did: Did,
    pub(crate) config: Config,
    pub(crate) endpoint: Endpoint,
    pub(crate) identity: Identity,
    /// Of the connections that are dialled.
    pub(crate) dialling: Arc<TransportConfig>,
    pub(crate) table: Arc<Table>,
    pub(crate) dialler: Dialler,
    pub(crate) stats: Arc<Stats>,
    pub(crate) tasks: TaskTracker,
    /// No new links; those that are there say goodbye.
    pub(crate) stopping: CancellationToken,
    /// Nobody listens any more.
    dead: CancellationToken,
    events: mpsc::Sender<Event>,
}

impl Transport {
    /// Listens, on the tokio runtime of the caller. What happens is told through `events`; while
    /// they are not taken, nothing is read from anybody.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(config: Config, events: mpsc::Sender<Event>) -> Result<Self, BindError> {
        tokio::runtime::Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let did = config.keypair.did();
        if config.card.did != did {
            return Err(BindError::Card);
        }
        let identity = Identity::new(Arc::clone(&config.keypair));
        let mut server = ServerConfig::with_crypto(Arc::new(identity.server()?));
        server
            .transport_config(Arc::new(quic::links(&config.timing, 1)?))
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
            quic::endpoint(&config.keypair),
            Some(server),
            socket,
            Arc::new(TokioRuntime),
        )
        .map_err(listen)?;
        let dead = CancellationToken::new();
        let shared = Arc::new(Shared {
            did,
            dialling: Arc::new(quic::links(&config.timing, 0)?),
            config,
            endpoint,
            identity,
            table: Table::new(did),
            dialler: Dialler::default(),
            stats: Arc::new(Stats::new()),
            tasks: TaskTracker::new(),
            stopping: dead.child_token(),
            dead: dead.clone(),
            events,
        });
        shared.tasks.spawn(take_connections(Arc::clone(&shared)));
        tokio::spawn(close_when_dead(shared.endpoint.clone(), dead.clone()));
        if shared.config.discovery {
            shared.tasks.spawn(discover(Arc::clone(&shared)));
        }
        Ok(Self { shared, _dead: Arc::new(dead.drop_guard()) })
    }

    /// Where this listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.endpoint.local_addr()
    }

    /// Who this is.
    #[must_use]
    pub fn did(&self) -> Did {
        self.shared.did
    }

    /// Queues a frame and returns at once. Says whether the link is still there; if it is not, the
    /// frame is dropped. Nothing bounds the queue but the caller, who counts what it has queued
    /// against [`Event::Sent`].
    pub fn send(&self, link: LinkId, frame: Frame) -> bool {
        self.shared.table.get(link).is_some_and(|link| link.send(frame))
    }

    /// Closes a link at once: what is queued is not sent any more. The peer is told both, and
    /// [`Event::Down`] follows.
    pub fn close(&self, link: LinkId, code: u32, reason: &str) {
        if let Some(link) = self.shared.table.get(link) {
            link.close(code, reason);
        }
    }

    /// Keeps a link to this target from now on. Says whether it will: not to this node itself, and
    /// not beyond [`TARGETS_MAX`](crate::limits::TARGETS_MAX).
    pub fn dial(&self, target: Target) -> bool {
        self.shared.dialler.add(&self.shared, target, Source::Asked)
    }

    /// Keeps a link to a peer at the address where it was met, and no longer where it was met
    /// before: of a peer that moves often one address is known. Targets that were asked for by
    /// [`Transport::dial`] stay. Says what that says.
    pub fn learn(&self, peer: Did, address: SocketAddr) -> bool {
        self.shared.dialler.learn(&self.shared, Target::new(Some(peer), address))
    }

    /// Does not dial this target any more. A link that is there stays.
    pub fn forget(&self, target: &Target) {
        self.shared.dialler.remove(target, Source::Asked);
    }

    /// How the targets fare, in no order.
    #[must_use]
    pub fn targets(&self) -> Vec<TargetStatus> {
        self.shared.dialler.status(&self.shared)
    }

    /// What happened, counted.
    #[must_use]
    pub fn stats(&self) -> &Arc<Stats> {
        &self.shared.stats
    }

    /// Sends what is queued, closes every link with the code of a node that stops, and ends all
    /// tasks. Takes some seconds at most, however peers behave; events go on until then.
    pub async fn shutdown(&self) {
        let shared = &self.shared;
        shared.stopping.cancel();
        shared.endpoint.set_server_config(None);
        shared.tasks.close();
        let _ = timeout(2 * FLUSH_TIME_MAX, shared.tasks.wait()).await;
        for link in shared.table.all() {
            link.close(CLOSE_STOPPING, "this node stops");
        }
        let _ = timeout(FLUSH_TIME_MAX, shared.endpoint.wait_idle()).await;
        shared.dead.cancel();
        let _ = timeout(FLUSH_TIME_MAX, shared.tasks.wait()).await;
    }
}

impl Shared {
    /// What this node says of itself.
    pub(crate) fn local(&self) -> Local<'_> {
        Local {
            keypair: &self.config.keypair,
            card: &self.config.card,
            network: self.config.network,
            versions: self.config.versions,
            capabilities: self.config.capabilities,
        }
    }

    /// Tells the caller, and waits until there is room.
    pub(crate) async fn emit(&self, event: Event) {
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

async fn take_connections(shared: Arc<Shared>) {
    let half_open = Arc::new(HalfOpen::default());
    loop {
        let incoming = tokio::select! {
            () = shared.stopping.cancelled() => break,
            incoming = shared.endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let proven = incoming.remote_address_validated() || !incoming.may_retry();
        match half_open.admit(incoming.remote_address().ip(), proven) {
            Admission::Take(place) => {
                shared.tasks.spawn(handshake::accept(Arc::clone(&shared), incoming, place));
            }
            Admission::Prove => {
                shared.stats.add(Count::ProofDemanded, 1);
                let _ = incoming.retry();
            }
            Admission::Refuse => {
                shared.stats.add(Count::HalfOpenRefused, 1);
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
