//! The server of the control socket: one reply for each request, in order.
//!
//! | queue | size | full |
//! |---|---|---|
//! | inbox of the core | 4 096 inputs | a connection stops reading until there is room |
//! | replies of one connection | 1 024 | the connection stops reading until one is written |
//! | entries of a [stream](super::stream) | 1 page | the next page is not requested |
//! | [connections](crate::connections) | [`CONTROL_CONNECTIONS_MAX`] | the one that has waited longest ends |
//!
//! [`CONTROL_CONNECTIONS_MAX`]: crate::files::CONTROL_CONNECTIONS_MAX

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stream;
use super::subscribers::Subscribers;
use crate::connections::{Connection, Connections};
use crate::control::codes;
use crate::control::reply::{Reply, reply_line};
use crate::control::request::{LINE_BYTES_MAX, Request};
use crate::control::socket::{SocketPath, shown};
use crate::failure::Failure;
use crate::files::REQUEST_MS_MAX;
use crate::shell::inbox::{Call, Input};

/// Requests in flight on one connection.
const REQUESTS_MAX: usize = 1024;

/// Binds the control socket in `directory`. The caller holds the lock of the directory, so an old socket
/// in it is stale and is removed.
///
/// # Errors
/// `ICN-E0120`.
pub(crate) fn bind(directory: &Path) -> Result<UnixListener, Failure> {
    let attempt = || {
        let socket = SocketPath::of(directory)?;
        match std::fs::remove_file(socket.as_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(socket.as_path())?;
        std::fs::set_permissions(socket.as_path(), std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    attempt().map_err(|error: io::Error| {
        Failure::new(
            codes::CONTROL_NOT_SERVED,
            format!("The control socket {} cannot be made: {error}.", shown(directory).display()),
        )
        .caused_by(&error)
    })
}

/// Serves connections until `stop`, then until every request received by then has its reply. Returns the
/// listener.
pub(crate) async fn serve(
    listener: UnixListener,
    inbox: mpsc::Sender<Input>,
    subscribers: Subscribers,
    connections: Arc<Connections>,
    stop: CancellationToken,
) -> UnixListener {
    let tasks = TaskTracker::new();
    loop {
        let (stream, connection) = tokio::select! {
            () = stop.cancelled() => break,
            next = connections.next(&listener) => next,
        };
        let inbox = inbox.clone();
        let subscribers = subscribers.clone();
        tasks.spawn(serve_one(stream, connection, inbox, subscribers, stop.clone()));
    }
    drop(inbox);
    tasks.close();
    tasks.wait().await;
    listener
}

/// Serves one connection, as requests and replies or as a stream.
async fn serve_one(
    stream: UnixStream,
    connection: Arc<Connection>,
    inbox: mpsc::Sender<Input>,
    subscribers: Subscribers,
    stop: CancellationToken,
) {
    let (read, write) = stream.into_split();
    let mut read = BufReader::new(read);
    let (replies, due) = mpsc::channel(REQUESTS_MAX);
    let writer = tokio::spawn(write_replies(write, due, Arc::clone(&connection)));
    let follow = serve_requests(&mut read, replies, &connection, &inbox, &stop).await;
    let Ok(Some(write)) = writer.await else { return };
    if let Some(request) = follow {
        stream::serve(read, write, request, inbox, &subscribers, stop).await;
    }
}

type Replies = mpsc::Sender<oneshot::Receiver<Reply>>;

/// Passes requests to the node, until the connection ends or the client asks for a stream.
async fn serve_requests(
    read: &mut (impl AsyncBufRead + Unpin),
    replies: Replies,
    connection: &Connection,
    inbox: &mpsc::Sender<Input>,
    stop: &CancellationToken,
) -> Option<Request> {
    let mut line = Vec::new();
    loop {
        let got = tokio::select! {
            () = stop.cancelled() => return None,
            // The client takes no reply any more.
            () = replies.closed() => return None,
            () = connection.replaced() => {
                let message = "The node ended this connection for a new one: no other one had waited \
                               longer for its client.";
                Err(Failure::new(codes::CONNECTION_ENDED, message))
            }
            got = next_line(read, &mut line) => match got {
                Ok(0) => return None,
                Ok(_) if line.len() > LINE_BYTES_MAX => {
                    // The start of the next line is unknown.
                    Err(Failure::new(codes::REQUEST_TOO_LONG, "A request is at most 1 MiB long."))
                }
                Ok(_) => Ok(Request::from_line(&line)),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    connection.is_too_slow();
                    let within = REQUEST_MS_MAX / 1000;
                    let message = format!("The rest of a request has not arrived within {within} s.");
                    Err(Failure::new(codes::CONNECTION_ENDED, message))
                }
                Err(_) => return None,
            },
        };
        let (request, is_last) = match got {
            Ok(request) => (request, false),
            Err(failure) => (Err(failure), true),
        };
        connection.begin();
        if let Ok(request @ Request::Follow { .. }) = request {
            return Some(request);
        }
        let (reply, waiting) = oneshot::channel();
        if replies.send(waiting).await.is_err() {
            return None;
        }
        match request {
            Ok(request) => {
                if inbox.send(Input::Call(Call { request, reply })).await.is_err() {
                    return None;
                }
            }
            Err(failure) => drop(reply.send(Err(failure))),
        }
        if is_last {
            return None;
        }
    }
}

/// Reads a line; 0 at the end of the connection. Its first byte may take for ever, its end may not.
async fn next_line(
    read: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<usize> {
    line.clear();
    if read.fill_buf().await?.is_empty() {
        return Ok(0);
    }
    let mut limited = read.take(LINE_BYTES_MAX as u64 + 1);
    let within = Duration::from_millis(REQUEST_MS_MAX);
    timeout(within, limited.read_until(b'\n', line)).await?
}

/// Writes the replies in their order. Returns the connection for a stream, unless its client has gone.
async fn write_replies(
    write: OwnedWriteHalf,
    mut due: mpsc::Receiver<oneshot::Receiver<Reply>>,
    connection: Arc<Connection>,
) -> Option<OwnedWriteHalf> {
    let mut write = BufWriter::new(write);
    while let Some(reply) = due.recv().await {
        // A dropped reply means that the node failed with the request in flight. Only recovery decides
        // whether it took effect, so no reply would be true.
        let Ok(reply) = reply.await else { break };
        let line = reply_line(&reply);
        let is_last = due.is_empty();
        let writing = async {
            write.write_all(line.as_bytes()).await?;
            if is_last { write.flush().await } else { Ok(()) }
        };
        connection.write(writing).await.ok()?;
        connection.end();
    }
    connection.write(write.flush()).await.ok()?;
    Some(write.into_inner())
}
