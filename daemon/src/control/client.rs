//! The client of the control socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::control::codes;
use crate::control::reply::{FromReply, reply_from_line};
use crate::control::request::Request;
use crate::control::socket::{SocketPath, shown};
use crate::data::{access, datadir, keyfile};
use crate::failure::Failure;

/// How long one reply may take; a snapshot of a large state takes seconds.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);

/// A connection to a running node.
pub(crate) struct Client {
    answers: BufReader<UnixStream>,
    requests: UnixStream,
}

impl Client {
    /// Connects to the node in `directory`.
    pub(crate) fn connect(directory: &Path) -> Result<Self, Failure> {
        let attempt = || {
            let requests = UnixStream::connect(SocketPath::of(directory)?.as_path())?;
            requests.set_read_timeout(Some(ANSWERS_WITHIN))?;
            Ok(Self { answers: BufReader::new(requests.try_clone()?), requests })
        };
        attempt().map_err(|error: io::Error| unreachable(directory, &error))
    }

    /// Sends a request and waits for its reply.
    pub(crate) fn ask<R: FromReply>(&mut self, request: &Request) -> Result<R, Failure> {
        let mut line = request.to_line();
        line.push('\n');
        self.requests.write_all(line.as_bytes()).map_err(|error| lost(&error))?;
        self.next_answer()
    }

    /// Waits for the next reply; replies come in the order of the requests.
    pub(crate) fn next_answer<R: FromReply>(&mut self) -> Result<R, Failure> {
        let mut line = Vec::new();
        match self.answers.read_until(b'\n', &mut line) {
            Ok(0) => Err(lost(&io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => reply_from_line(&line),
            Err(error) => Err(lost(&error)),
        }
    }

    /// Whether no further reply is buffered.
    pub(crate) fn would_wait(&self) -> bool {
        self.answers.buffer().is_empty()
    }

    /// The two directions of a stream, without a timeout: the next line may take for ever.
    pub(crate) fn into_stream(self) -> Result<(BufReader<UnixStream>, UnixStream), Failure> {
        self.requests.set_read_timeout(None).map_err(|error| lost(&error))?;
        Ok((self.answers, self.requests))
    }

    /// A second handle for a thread that only sends.
    pub(crate) fn requests(&self) -> io::Result<UnixStream> {
        self.requests.try_clone()
    }
}

fn unreachable(directory: &Path, error: &io::Error) -> Failure {
    let socket = shown(directory);
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            access::denied_with(codes::NO_PERMISSION, &socket, directory)
        }
        _ if matches!(keyfile::exists(directory), Ok(false)) => datadir::no_node(directory),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Failure::new(
            codes::NOT_RUNNING,
            format!("The node in {} is not running.", directory.display()),
        ),
        _ => Failure::new(
            codes::CONTROL_UNUSABLE,
            format!("The control socket {} cannot be used: {error}.", socket.display()),
        ),
    }
}

fn lost(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::new(
            codes::TIMED_OUT,
            format!("The node has not answered within {} s.", ANSWERS_WITHIN.as_secs()),
        ),
        _ => Failure::new(codes::NODE_ENDED, "The node ended before it answered."),
    }
}
