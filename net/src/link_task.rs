//! The task that runs a link from Up to Down: one loop reads its frames, another writes them.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use quinn::{Connection, SendStream, WriteError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::close_reason::{
    CLOSE_MALFORMED, CLOSE_REPLACED, CLOSE_STOPPING, CLOSE_TOO_MANY, CloseReason,
};
use crate::context::Context;
use crate::event::{Credit, LinkEvent};
use crate::frame::{FRAME_HEADER_BYTES, Frame};
use crate::frame_reader::{FrameReader, ReadOutcome};
use crate::hello::AcceptedHello;
use crate::limits::{FLUSH_TIME_MAX, UNSETTLED_BYTES_MAX, UNSETTLED_FRAME_BYTES};
use crate::link::{Link, LinkId};
use crate::stats::Stat;

/// The kind of the two handshake frames: the Hello, and the empty confirmation of the dialler.
pub(crate) const KIND_HELLO: u8 = 0;

/// The most queued frames taken from the queue at a time, and about how many bytes one write has.
const WRITE_FRAMES: usize = 128;
const WRITE_BYTES: usize = 64 << 10;

/// The most time between the end of a peer's stream and the close of its connection.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// A connection whose handshake is complete at this end.
pub(crate) struct Handshaken {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) reader: FrameReader,
    pub(crate) binding: [u8; 32],
    pub(crate) dialled: bool,
    pub(crate) peer: AcceptedHello,
}

/// The task of one link: its handle, the receiver of its queue, and its connection.
pub(crate) struct LinkTask {
    link: Arc<Link>,
    queue: mpsc::UnboundedReceiver<Frame>,
    ends: Handshaken,
}

impl LinkTask {
    pub(crate) fn new(id: LinkId, ends: Handshaken) -> Self {
        let peer = ends.peer.card.did;
        let (link, queue) = Link::new(id, peer, ends.dialled, ends.connection.clone());
        Self { link, queue, ends }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Runs the link from Up to Down. `old` is the link that this one replaces; its Down comes
    /// first.
    pub(crate) async fn run(self, context: Arc<Context>, old: Option<Arc<Link>>) {
        if let Some(old) = old {
            old.gone().await;
        }
        let Self { link, queue, ends } = self;
        let Handshaken { connection, send, reader, binding, dialled, peer } = ends;
        let address = link.address();
        tracing::debug!(link = %link.id(), peer = %link.peer(), %address, dialled, "link up");
        context.stats.add(Stat::LinksUp, 1);
        context
            .emit(LinkEvent::Up {
                link: link.id(),
                peer: link.peer(),
                card: peer.card,
                binding,
                version: peer.version,
                capabilities: peer.capabilities,
                address,
                dialled,
            })
            .await;
        let writer =
            context.tasks.spawn(write(Arc::clone(&context), Arc::clone(&link), send, queue));
        read(&context, &link, reader).await;
        let error = connection.closed().await;
        // No Sent may follow Down.
        writer.abort();
        let _ = writer.await;
        let reason = CloseReason::from_error(error, link.local_close());
        tracing::debug!(link = %link.id(), peer = %link.peer(), %reason, "link down");
        context.stats.add(reason.stat(), 1);
        let replaced = matches!(reason, CloseReason::Theirs { code: CLOSE_REPLACED, .. });
        let elsewhere = context.table.remove(&link, replaced);
        link.set_close_reason(reason.clone());
        context.emit(LinkEvent::Down { link: link.id(), peer: link.peer(), reason }).await;
        link.set_gone();
        if elsewhere {
            let peer = link.peer();
            context
                .emit_ours(format!("its links replace those of this node, such as at {peer}"))
                .await;
        }
    }
}

/// Reads frames until either end closes the connection.
async fn read(context: &Context, link: &Link, mut reader: FrameReader) {
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
                _ = link.connection().closed() => return,
            };
            let Some(permit) = permit else { return };
            context.stats.add(Stat::FramesIn, 1);
            context.stats.add(Stat::BytesIn, bytes);
            let credit = Credit::new(permit);
            context.emit(LinkEvent::Frame { link: link.id(), frame, credit }).await;
        }
        while link.is_queue_full() {
            tokio::select! {
                () = link.queue_shrunk() => {}
                _ = link.connection().closed() => return,
                // Two nodes whose queues are both full would wait for each other for ever.
                () = sleep(context.config.timing.idle) => {
                    return link.close(CLOSE_TOO_MANY, "the peer does not read its queued frames");
                }
            }
        }
        match reader.read_more().await {
            ReadOutcome::Data => {}
            ReadOutcome::Lost => return,
            ReadOutcome::End => {
                // A node that stops ends its stream first and then closes the connection.
                if timeout(CLOSE_TIME_MAX, link.connection().closed()).await.is_err() {
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

/// Writes the queued frames in batches. When the node stops, it writes the rest and ends the
/// stream.
async fn write(
    context: Arc<Context>,
    link: Arc<Link>,
    mut send: SendStream,
    mut queue: mpsc::UnboundedReceiver<Frame>,
) {
    let mut frames = Vec::new();
    loop {
        let more = tokio::select! {
            biased;
            () = context.stopping.cancelled(), if !queue.is_closed() => {
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
            context.stats.add(Stat::FramesOut, std::mem::take(&mut count));
            context.stats.add(Stat::BytesOut, bytes);
            context.emit(LinkEvent::Sent { link: link.id(), bytes }).await;
        }
    }
    if send.finish().is_ok() {
        let _ = timeout(FLUSH_TIME_MAX, send.stopped()).await;
    }
    link.close(CLOSE_STOPPING, "this node stops");
}
