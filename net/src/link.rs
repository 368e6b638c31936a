//! A link as the rest of the node sees it.

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
use crate::limits::QUEUED_BYTES_MAX;

/// How often to look whether a peer answers, and how many times in a row it may not have.
const ANSWER_CHECK_INTERVAL: Duration = Duration::from_secs(1);
const UNANSWERED_CHECKS_MAX: u32 = 3;

/// What others know of a link.
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

impl Link {
    /// A link, and the frames that are queued for it.
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

    /// It was this node that dialled.
    pub(crate) fn dialled(&self) -> bool {
        self.dialled
    }

    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Where the peer is, as far as its packets have told.
    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.connection.remote_address();
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    /// Why it ended, once it has.
    pub(crate) fn close_reason(&self) -> Option<&CloseReason> {
        self.reason.get()
    }

    pub(crate) fn set_close_reason(&self, reason: CloseReason) {
        let _ = self.reason.set(reason);
    }

    /// What this node closed it with, if it did.
    pub(crate) fn local_close(&self) -> Option<(u32, String)> {
        self.closed.lock().clone()
    }

    pub(crate) fn set_gone(&self) {
        self.gone.cancel();
    }

    /// Waits until everybody has been told that it ended.
    pub(crate) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// How many packets have come, and how often something has gone that the peer must say has come. That
    /// includes what asks again for it.
    pub(crate) fn heard_and_asked(&self) -> (u64, u64) {
        let stats = self.connection.stats();
        let sent = stats.frame_tx;
        (stats.udp_rx.datagrams, sent.ping + sent.stream + sent.immediate_ack)
    }

    /// Waits until the peer is overdue: it has been asked, and then was not heard of at [`UNANSWERED_CHECKS_MAX`] in a row.
    /// An idle link says nothing of its peer until the next keep-alive.
    pub(crate) async fn overdue(&self) {
        let (mut heard, mut asked) = self.heard_and_asked();
        let mut unanswered = 0;
        while unanswered < UNANSWERED_CHECKS_MAX {
            sleep(ANSWER_CHECK_INTERVAL).await;
            let now = self.heard_and_asked();
            if now.0 != heard {
                ((heard, asked), unanswered) = (now, 0);
            } else if now.1 != asked {
                unanswered += 1;
            }
        }
    }

    /// Waits until the peer is heard of.
    pub(crate) async fn packet_received(&self) {
        let (heard, _) = self.heard_and_asked();
        while self.heard_and_asked().0 == heard {
            sleep(ANSWER_CHECK_INTERVAL).await;
        }
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

    /// Waits until the queue is no longer too full.
    pub(crate) async fn queue_shrunk(&self) {
        self.shrunk.notified().await;
    }

    /// Bytes have left the queue.
    pub(crate) fn shrink(&self, bytes: usize) {
        if self.queued.fetch_sub(bytes, Ordering::AcqRel) > QUEUED_BYTES_MAX {
            self.shrunk.notify_one();
        }
    }
}
