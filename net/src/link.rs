//! One link: what is read from it, what is written to it, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use icn_gossip::Did;
pub use icn_gossip::mesh::LinkId;
use parking_lot::Mutex;
use quinn::{Connection, ReadError, RecvStream, SendStream, WriteError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::frame::{Decoder, FRAME_HEADER_BYTES, Frame, TooLarge};
use crate::hello::{HELLO_BYTES_MAX, Peer};
use crate::limits::{FLUSH_TIME_MAX, QUEUED_BYTES_MAX, UNSETTLED_BYTES_MAX, UNSETTLED_FRAME_BYTES};
use crate::stats::Count;
use crate::transport::{Event, Shared};
use crate::why::{CLOSE_MALFORMED, CLOSE_STOPPING, CLOSE_TOO_MANY, Why};

/// The kind of the frames that make a link: the Hello, and the dialler's word that it has accepted.
pub(crate) const KIND_HELLO: u8 = 0;

/// How many queued frames are looked at, and how many bytes are put together, for one write.
const WRITE_FRAMES: usize = 128;
const WRITE_BYTES: usize = 64 << 10;

/// How many pieces are taken from QUIC at a time.
const READ_PIECES: usize = 32;

/// How long the code of a connection may take to follow the end of its stream.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// How often to look whether a peer answers, and how many times in a row it may not have.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: u32 = 3;

/// A frame that came and is not settled. Dropping it lets the link go on reading: at most
/// [`UNSETTLED_BYTES_MAX`] of one peer are out at any time.
#[derive(Debug)]
pub struct Credit {
    _permit: OwnedSemaphorePermit,
}

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
    ended: OnceLock<Why>,
    gone: CancellationToken,
}

impl Link {
    pub(crate) fn id(&self) -> LinkId {
        self.id
    }

    pub(crate) fn peer(&self) -> Did {
        self.peer
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
    pub(crate) fn ended(&self) -> Option<&Why> {
        self.ended.get()
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

    /// Waits until the peer is overdue: it has been asked, and then was not heard of at [`LOOKS`] in a row.
    /// An idle link says nothing of its peer until the next keep-alive.
    pub(crate) async fn overdue(&self) {
        let (mut heard, mut asked) = self.heard_and_asked();
        let mut unanswered = 0;
        while unanswered < LOOKS {
            sleep(LOOK).await;
            let now = self.heard_and_asked();
            if now.0 != heard {
                ((heard, asked), unanswered) = (now, 0);
            } else if now.1 != asked {
                unanswered += 1;
            }
        }
    }

    /// Waits until the peer is heard of.
    pub(crate) async fn answers(&self) {
        let (heard, _) = self.heard_and_asked();
        while self.heard_and_asked().0 == heard {
            sleep(LOOK).await;
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

    /// Bytes have left the queue.
    fn shrink(&self, bytes: usize) {
        if self.queued.fetch_sub(bytes, Ordering::AcqRel) > QUEUED_BYTES_MAX {
            self.shrunk.notify_one();
        }
    }
}

/// A connection over which both Hellos have gone.
pub(crate) struct Ends {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) reader: Reader,
    pub(crate) binding: [u8; 32],
    pub(crate) dialled: bool,
    pub(crate) peer: Peer,
}

/// The two ends of a link's queue and everything that runs it.
pub(crate) struct Running {
    link: Arc<Link>,
    queue: mpsc::UnboundedReceiver<Frame>,
    ends: Ends,
}

impl Running {
    pub(crate) fn new(id: LinkId, ends: Ends) -> Self {
        let (sender, queue) = mpsc::unbounded_channel();
        let link = Arc::new(Link {
            id,
            peer: ends.peer.card.did,
            dialled: ends.dialled,
            since: Instant::now(),
            connection: ends.connection.clone(),
            queue: sender,
            queued: AtomicUsize::new(0),
            shrunk: Notify::new(),
            closed: Mutex::new(None),
            ended: OnceLock::new(),
            gone: CancellationToken::new(),
        });
        Self { link, queue, ends }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// From Up to Down. `old` is the link that this one replaces.
    pub(crate) async fn run(self, shared: Arc<Shared>, old: Option<Arc<Link>>) {
        if let Some(old) = old {
            old.gone().await;
        }
        let Self { link, queue, ends } = self;
        let Ends { connection, send, reader, binding, dialled, peer } = ends;
        let address = link.address();
        tracing::debug!(link = %link.id, peer = %link.peer, %address, dialled, "link up");
        shared.stats.add(Count::LinksUp, 1);
        shared
            .emit(Event::Up {
                link: link.id,
                peer: link.peer,
                card: peer.card,
                binding,
                version: peer.version,
                capabilities: peer.capabilities,
                address,
                dialled,
            })
            .await;
        let writer = shared.tasks.spawn(write(Arc::clone(&shared), Arc::clone(&link), send, queue));
        read(&shared, &link, reader).await;
        let error = connection.closed().await;
        // Nobody may hear of what was sent after the link is down.
        writer.abort();
        let _ = writer.await;
        let why = Why::of(error, link.closed.lock().clone());
        tracing::debug!(link = %link.id, peer = %link.peer, %why, "link down");
        shared.stats.add(why.count(), 1);
        shared.table.remove(&link);
        let _ = link.ended.set(why.clone());
        shared.emit(Event::Down { link: link.id, peer: link.peer, why }).await;
        link.gone.cancel();
    }
}

/// Reads until the connection is closed, here or there.
async fn read(shared: &Shared, link: &Link, mut reader: Reader) {
    let unsettled = Arc::new(Semaphore::new(UNSETTLED_BYTES_MAX));
    loop {
        loop {
            let frame = match reader.decoder.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return link.close(CLOSE_TOO_MANY, &error.to_string()),
            };
            if frame.kind() == KIND_HELLO {
                return link.close(CLOSE_MALFORMED, "a second Hello");
            }
            let bytes = FRAME_HEADER_BYTES + frame.body().len();
            let permit = tokio::select! {
                biased;
                permit = take(&unsettled, bytes + UNSETTLED_FRAME_BYTES) => permit,
                _ = link.connection.closed() => return,
            };
            let Some(permit) = permit else { return };
            shared.stats.add(Count::FramesIn, 1);
            shared.stats.add(Count::BytesIn, bytes);
            let credit = Credit { _permit: permit };
            shared.emit(Event::Frame { link: link.id, frame, credit }).await;
        }
        while link.queued.load(Ordering::Acquire) > QUEUED_BYTES_MAX {
            tokio::select! {
                () = link.shrunk.notified() => {}
                _ = link.connection.closed() => return,
                // Two that do this to each other would wait for ever.
                () = sleep(shared.config.timing.idle) => {
                    return link.close(CLOSE_TOO_MANY, "nothing is taken of what is queued");
                }
            }
        }
        match reader.more().await {
            More::Some => {}
            More::Lost => return,
            More::End => {
                // Who stops ends its stream and then closes.
                if timeout(CLOSE_TIME_MAX, link.connection.closed()).await.is_err() {
                    link.close(CLOSE_MALFORMED, "the stream ended and the link did not");
                }
                return;
            }
        }
    }
}

async fn take(unsettled: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let count = u32::try_from(bytes).ok()?;
    Arc::clone(unsettled).acquire_many_owned(count).await.ok()
}

/// Writes what is queued, as much as there is in one go; when the node stops, the rest and the end.
async fn write(
    shared: Arc<Shared>,
    link: Arc<Link>,
    mut send: SendStream,
    mut queue: mpsc::UnboundedReceiver<Frame>,
) {
    let mut frames = Vec::new();
    loop {
        let more = tokio::select! {
            biased;
            () = shared.stopping.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
            more = queue.recv_many(&mut frames, WRITE_FRAMES) => more,
        };
        if more == 0 {
            break;
        }
        let mut buffer = BytesMut::new();
        let mut count = 0;
        let last = frames.len() - 1;
        for (index, frame) in frames.drain(..).enumerate() {
            frame.encode(&mut buffer);
            count += 1;
            if buffer.len() < WRITE_BYTES && index < last {
                continue;
            }
            let bytes = buffer.len();
            match send.write_chunk(buffer.split().freeze()).await {
                Ok(()) => {}
                Err(WriteError::Stopped(_)) => {
                    return link.close(CLOSE_MALFORMED, "the peer reads no more");
                }
                Err(_) => return,
            }
            link.shrink(bytes);
            shared.stats.add(Count::FramesOut, std::mem::take(&mut count));
            shared.stats.add(Count::BytesOut, bytes);
            shared.emit(Event::Sent { link: link.id, bytes }).await;
        }
    }
    if send.finish().is_ok() {
        let _ = timeout(FLUSH_TIME_MAX, send.stopped()).await;
    }
    link.close(CLOSE_STOPPING, "this node stops");
}

/// Frames as they come.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: RecvStream,
    decoder: Decoder,
    pieces: [Bytes; READ_PIECES],
}

/// What came of waiting for more.
pub(crate) enum More {
    /// There is more.
    Some,
    /// The stream has ended.
    End,
    /// The connection is closed or about to be.
    Lost,
}

/// Why no frame came.
pub(crate) enum NoFrame {
    TooLarge,
    End,
    Lost,
}

impl Reader {
    /// Takes nothing larger than a Hello until [`Reader::open`].
    pub(crate) fn new(stream: RecvStream) -> Self {
        let decoder = Decoder::with_limit(FRAME_HEADER_BYTES + HELLO_BYTES_MAX);
        Self { stream, decoder, pieces: Default::default() }
    }

    /// The peer has said who it is.
    pub(crate) fn open(&mut self) {
        self.decoder.set_limit(crate::FRAME_BYTES_MAX);
    }

    pub(crate) async fn frame(&mut self) -> Result<Frame, NoFrame> {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(TooLarge { .. }) => return Err(NoFrame::TooLarge),
            }
            match self.more().await {
                More::Some => {}
                More::End => return Err(NoFrame::End),
                More::Lost => return Err(NoFrame::Lost),
            }
        }
    }

    async fn more(&mut self) -> More {
        match self.stream.read_chunks(&mut self.pieces).await {
            Ok(Some(count)) => {
                for piece in &mut self.pieces[..count] {
                    self.decoder.push(&std::mem::take(piece));
                }
                More::Some
            }
            // A stream that is reset is one that ended where it should not.
            Ok(None) | Err(ReadError::Reset(_)) => More::End,
            Err(_) => More::Lost,
        }
    }
}
