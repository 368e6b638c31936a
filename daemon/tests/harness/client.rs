//! A client of the control socket that sends many requests at once.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::House;

/// Requests that are sent before the first reply is read.
const WINDOW: usize = 500;

/// A connection to the control socket.
pub(crate) struct Client(BufReader<UnixStream>);

impl Client {
    pub(crate) fn connect(house: &House) -> Self {
        let socket = UnixStream::connect(house.path().join("control.sock")).expect("connect");
        Self(BufReader::new(socket))
    }

    /// Sends a line as it is.
    pub(crate) fn send(&mut self, line: &str) {
        self.0.get_mut().write_all(line.as_bytes()).expect("write");
    }

    /// The next reply; `None` at the end of the connection.
    pub(crate) fn reply(&mut self) -> Option<Value> {
        let mut line = String::new();
        let bytes = self.0.read_line(&mut line).expect("read");
        (bytes > 0).then(|| serde_json::from_str(&line).expect("JSON"))
    }

    /// The whole replies, in order.
    pub(crate) fn replies(&mut self, requests: &[Value]) -> Vec<Value> {
        let mut replies = Vec::new();
        for window in requests.chunks(WINDOW) {
            let lines = window.iter().map(|request| {
                let mut request = request.clone();
                request["v"] = 1.into();
                format!("{request}\n")
            });
            self.send(&lines.collect::<String>());
            replies.extend(window.iter().map(|_| self.reply().expect("a reply")));
        }
        replies
    }

    /// The data of the replies, in order. Every request must succeed.
    pub(crate) fn ask(&mut self, requests: &[Value]) -> Vec<Value> {
        let replies = self.replies(requests).into_iter().zip(requests);
        let data = replies.map(|(mut reply, request)| {
            assert_eq!(reply["ok"], true, "{request}: {reply}");
            reply["data"].take()
        });
        data.collect()
    }
}
