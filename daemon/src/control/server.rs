//! The server of the control socket: one reply for each request, in order.
//!
//! | queue | size | full |
//! |---|---|---|
//! | inbox of the core | 4 096 inputs | a connection stops reading until there is room |
//! | replies of one connection | 1 024 | the connection stops reading until one is written |
//! | entries of a [stream](super::stream) | 1 page | the next page is not requested |

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stream;
use super::subscribers::Subscribers;
use crate::control::codes;
use crate::control::reply::{Reply, reply_line};
use crate::control::request::{LINE_BYTES_MAX, Request};
use crate::control::socket::{SocketPath, shown};
use crate::failure::Failure;
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
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(socket.as_path())?;
        std::fs::set_permissions(socket.as_path(), std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    attempt().map_err(|error: std::io::Error| {
        Failure::new(
            codes::CONTROL_NOT_SERVED,
            format!("The control socket {} cannot be made: {error}.", shown(directory).display()),
        )
    })
}

/// Serves connections until `stop`, then until every request received by then has its reply. Returns the
/// listener.
pub(crate) async fn serve(
    listener: UnixListener,
    inbox: mpsc::Sender<Input>,
    subscribers: Subscribers,
    stop: CancellationToken,
) -> UnixListener {
    let connections = TaskTracker::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let inbox = inbox.clone();
                    let subscribers = subscribers.clone();
                    connections.spawn(connection(stream, inbox, subscribers, stop.clone()));
                }
                Err(error) => {
                    // Most likely out of file descriptors: wait until other connections end.
                    tracing::warn!("Cannot accept a control connection: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(inbox);
    connections.close();
    connections.wait().await;
    listener
}

async fn connection(
    stream: UnixStream,
    inbox: mpsc::Sender<Input>,
    subscribers: Subscribers,
    stop: CancellationToken,
) {
    let (read, write) = stream.into_split();
    let (replies, mut due) = mpsc::channel::<oneshot::Receiver<Reply>>(REQUESTS_MAX);
    let writer = tokio::spawn(async move {
        let mut write = BufWriter::new(write);
        while let Some(reply) = due.recv().await {
            // A dropped reply means that the node failed with the request in flight. Only recovery decides
            // whether it took effect, so no reply would be true.
            let Ok(reply) = reply.await else { break };
            if write.write_all(reply_line(&reply).as_bytes()).await.is_err() {
                break;
            }
            if due.is_empty() && write.flush().await.is_err() {
                break;
            }
        }
        let _ = write.flush().await;
        write.into_inner()
    });
    let mut stream_request = None;
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let mut limited = (&mut read).take(limit);
        let got = tokio::select! {
            () = stop.cancelled() => break,
            got = limited.read_until(b'\n', &mut line) => got,
        };
        match got {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let too_long = line.len() > LINE_BYTES_MAX;
        let request = if too_long {
            Err(Failure::new(codes::REQUEST_TOO_LONG, "A request is at most 1 MiB long."))
        } else {
            Request::from_line(&line)
        };
        if let Ok(request @ Request::Follow { .. }) = request {
            stream_request = Some(request);
            break;
        }
        let (reply, waiting) = oneshot::channel();
        if replies.send(waiting).await.is_err() {
            break;
        }
        match request {
            Ok(request) => {
                if inbox.send(Input::Call(Call { request, reply })).await.is_err() {
                    break;
                }
            }
            Err(failure) => drop(reply.send(Err(failure))),
        }
        if too_long {
            // The start of the next line is unknown.
            break;
        }
    }
    drop(replies);
    if let (Ok(write), Some(request)) = (writer.await, stream_request) {
        stream::serve(read, write, request, inbox, &subscribers, stop).await;
    }
}
