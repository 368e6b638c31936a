//! The handle of a link: its identity, its queue and its state.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use icn_gossip::Did;
pub use icn_gossip::mesh::LinkId;
use parking_lot::Mutex;
use quinn::Connection;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::close_reason::CloseReason;
use crate::frame::{FRAME_HEADER_BYTES, Frame};
use crate::limits::{QUEUED_BYTES_MAX, WINDOW_BYTES};

/// How often a link checks whether its peer answers, and how many checks in a row may fail.
const ANSWER_CHECK_INTERVAL: Duration = Duration::from_secs(1);
const UNANSWERED_CHECKS_MAX: u32 = 3;

/// The handle of a link, shared by its task, the table and the dialler.
#[derive(Debug)]
pub(crate) struct Link {
    id: LinkId,
    peer: Did,
    dialled: bool,
    since: Instant,
    connection: Connection,
    queue: mpsc::UnboundedSender<Frame>,
    queued: AtomicUsize,
    shrunk: Notify,
    closed: Mutex<Option<(u32, String)>>,
    reason: OnceLock<CloseReason>,
    gone: CancellationToken,
}

/// What a link has sent and received since it is up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activity {
    /// The packets that have arrived.
    pub(crate) received: u64,
    /// The frames sent that the peer must acknowledge, probes and retransmissions included.
    pub(crate) sent: u64,
}

impl Link {
    /// Returns the handle of a new link, and the receiver of its queued frames.
    pub(crate) fn new(
        id: LinkId,
        peer: Did,
        dialled: bool,
        connection: Connection,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Frame>) {
        let (sender, queue) = mpsc::unbounded_channel();
        let link = Self {
            id,
            peer,
            dialled,
            since: Instant::now(),
            connection,
            queue: sender,
            queued: AtomicUsize::new(0),
            shrunk: Notify::new(),
            closed: Mutex::new(None),
            reason: OnceLock::new(),
            gone: CancellationToken::new(),
        };
        (Arc::new(link), queue)
    }

    pub(crate) fn id(&self) -> LinkId {
        self.id
    }

    pub(crate) fn peer(&self) -> Did {
        self.peer
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// True iff this node dialled.
    pub(crate) fn dialled(&self) -> bool {
        self.dialled
    }

    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// The address from which the packets of the peer come.
    pub(crate) fn address(&self) -> SocketAddr {
        canonical(self.connection.remote_address())
    }

    /// Why the link ended, or `None` while it is up.
    pub(crate) fn close_reason(&self) -> Option<&CloseReason> {
        self.reason.get()
    }

    pub(crate) fn set_close_reason(&self, reason: CloseReason) {
        let _ = self.reason.set(reason);
    }

    /// The code and text with which this node closed the link, if it did.
    pub(crate) fn local_close(&self) -> Option<(u32, String)> {
        self.closed.lock().clone()
    }

    pub(crate) fn set_gone(&self) {
        self.gone.cancel();
    }

    /// Waits until the caller has received [`LinkEvent::Down`](crate::LinkEvent::Down).
    pub(crate) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    pub(crate) fn activity(&self) -> Activity {
        let stats = self.connection.stats();
        let sent = stats.frame_tx;
        Activity {
            received: stats.udp_rx.datagrams,
            sent: sent.ping + sent.stream + sent.max_data + sent.immediate_ack,
        }
    }

    /// Waits until the peer is overdue: in [`UNANSWERED_CHECKS_MAX`] checks in a row this node had
    /// sent frames to acknowledge, and no packet had arrived. An idle link learns nothing about its
    /// peer until the next keep-alive.
    pub(crate) async fn overdue(&self) {
        let mut last = self.activity();
        let mut unanswered = 0;
        while unanswered < UNANSWERED_CHECKS_MAX {
            sleep(ANSWER_CHECK_INTERVAL).await;
            let now = self.activity();
            if now.received != last.received {
                last = now;
                unanswered = 0;
            } else if now.sent != last.sent {
                unanswered += 1;
            }
        }
    }

    /// Waits for the next packet of the peer.
    pub(crate) async fn packet_received(&self) {
        self.packet_after(self.activity().received).await;
    }

    async fn packet_after(&self, received: u64) {
        while self.activity().received == received {
            sleep(ANSWER_CHECK_INTERVAL).await;
        }
    }

    /// Makes QUIC at the other end answer, and waits for a packet. A peer that reads no frame answers as
    /// well: a frame of this node would wait for room in the stream.
    pub(crate) async fn answered(&self) {
        let received = self.activity().received;
        // A window that grows is reported to the peer, which acknowledges the report.
        self.connection.set_receive_window((WINDOW_BYTES + 1).into());
        self.connection.set_receive_window(WINDOW_BYTES.into());
        self.packet_after(received).await;
    }

    pub(crate) fn send(&self, frame: Frame) -> bool {
        let bytes = FRAME_HEADER_BYTES + frame.body().len();
        self.queued.fetch_add(bytes, Ordering::Relaxed);
        self.queue.send(frame).is_ok()
    }

    pub(crate) fn close(&self, code: u32, reason: &str) {
        self.closed.lock().get_or_insert_with(|| (code, reason.to_owned()));
        self.connection.close(code.into(), reason.as_bytes());
    }

    pub(crate) fn is_queue_full(&self) -> bool {
        self.queued.load(Ordering::Acquire) > QUEUED_BYTES_MAX
    }

    /// Waits until the queue has shrunk below the limit.
    pub(crate) async fn queue_shrunk(&self) {
        self.shrunk.notified().await;
    }

    /// Takes bytes that were written off the size of the queue.
    pub(crate) fn shrink(&self, bytes: usize) {
        if self.queued.fetch_sub(bytes, Ordering::AcqRel) > QUEUED_BYTES_MAX {
            self.shrunk.notify_one();
        }
    }
}

/// An address in the one form that a socket for both versions of IP and one for IPv4 agree on.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
