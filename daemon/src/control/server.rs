//! The control socket: lines in, lines out, in order.
//!
//! | queue | size | full |
//! |---|---|---|
//! | inbox of the core | 4 096 requests | a connection stops reading until there is room |
//! | answers of one connection | 1 024 requests | the connection stops reading until one is written |
//! | entries for a connection that [follows](super::stream) | 1 page | no further one is asked for |

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stream;
use crate::control::request::{LINE_BYTES_MAX, Reply, Request, reply_line};
use crate::control::socket::{SocketPath, shown};
use crate::control::subscribers::Followers;
use crate::failure::{Failure, exit};
use crate::shell::inbox::{Call, Input};

/// Requests of one connection that may be under way.
const WINDOW: usize = 1024;

/// Binds the control socket in `directory`. The caller owns the directory's lock, so whatever
/// socket is there belongs to nobody any more.
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
            "ICN-E0120",
            exit::FAILED,
            format!("The control socket {} cannot be made: {error}.", shown(directory).display()),
            "",
        )
    })
}

/// Serves connections until `stop`, then until everything asked by then is answered.
pub(crate) async fn serve(
    listener: UnixListener,
    inbox: mpsc::Sender<Input>,
    followers: Followers,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (inbox, followers) = (inbox.clone(), followers.clone());
                    connections.spawn(connection(stream, inbox, followers, stop.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: leave the others time to finish.
                    tracing::warn!("cannot accept a control connection: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(inbox);
    connections.close();
    connections.wait().await;
}

async fn connection(
    stream: UnixStream,
    inbox: mpsc::Sender<Input>,
    followers: Followers,
    stop: CancellationToken,
) {
    let (read, write) = stream.into_split();
    let (answers, mut due) = mpsc::channel::<oneshot::Receiver<Reply>>(WINDOW);
    let writer = tokio::spawn(async move {
        let mut write = BufWriter::new(write);
        while let Some(answer) = due.recv().await {
            // A request whose answer will never come was under way when the node failed: whether
            // it took effect is for recovery to say, so there is nothing true to answer.
            let Ok(reply) = answer.await else { break };
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
    let mut following = None;
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
            let message = "A request is at most 1 MiB long.";
            Err(Failure::new("ICN-E0506", exit::USAGE, message, "Send less at once."))
        } else {
            Request::from_line(&line)
        };
        if let Ok(request @ Request::Follow { .. }) = request {
            following = Some(request);
            break;
        }
        let (answer, waiting) = oneshot::channel();
        if answers.send(waiting).await.is_err() {
            break;
        }
        match request {
            Ok(request) => {
                if inbox.send(Input::Call(Call { request, reply: answer })).await.is_err() {
                    break;
                }
            }
            Err(failure) => drop(answer.send(Err(failure))),
        }
        if too_long {
            // Where the next line starts is unknown.
            break;
        }
    }
    drop(answers);
    if let (Ok(write), Some(request)) = (writer.await, following) {
        stream::serve(read, write, request, inbox, &followers, stop).await;
    }
}
