//! `gossip publish --lines`: many messages in flight, each reported once it is durable.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use icn_gossip::limits::PAYLOAD_BYTES_MAX;
use serde::Serialize;

use super::{unreadable, unwritable};
use crate::control::client::Client;
use crate::control::codes;
use crate::control::reply::{self, Published};
use crate::control::request::Request;
use crate::failure::Failure;

/// Messages in flight; memory stays bounded however fast the input is.
const WINDOW: usize = 1024;

/// A message that is durable.
#[derive(Serialize)]
struct Line {
    lsn: u64,
    seq: u64,
}

/// Publishes every line of `input`. After a failed message no further one is sent; messages in flight are
/// still reported. A line without a report is indeterminate.
pub(super) fn publish(
    directory: &Path,
    topic: &str,
    input: impl Read + Send + 'static,
    out: impl Write,
) -> Result<(), Failure> {
    let mut client = Client::connect(directory)?;
    let requests = client.requests().map_err(|error| unwritable(&error))?;
    let failed = Arc::new(AtomicBool::new(false));
    let (sent, due) = mpsc::sync_channel(WINDOW);
    let sender = {
        let topic = topic.to_owned();
        let failed = Arc::clone(&failed);
        thread::spawn(move || send(&topic, BufReader::new(input), requests, &sent, &failed))
    };
    let mut out = BufWriter::new(out);
    let mut first_failure = None;
    // One mark for each request: a reply is awaited only when one is due.
    while let Ok(()) = due.recv() {
        let line = match client.next_answer() {
            Ok(Published { lsn, seq, .. }) => Line { lsn, seq },
            Err(failure) => {
                failed.store(true, Ordering::Release);
                let gone = failure.code == codes::NODE_ENDED.code;
                let line = reply::document(Err::<&(), _>(&failure));
                writeln!(out, "{line}").map_err(|error| unwritable(&error))?;
                first_failure.get_or_insert(failure);
                if gone {
                    break;
                }
                continue;
            }
        };
        // Numbers always have a form.
        let line = serde_json::to_string(&line).unwrap_or_default();
        writeln!(out, "{line}").map_err(|error| unwritable(&error))?;
        if client.would_wait() {
            out.flush().map_err(|error| unwritable(&error))?;
        }
    }
    out.flush().map_err(|error| unwritable(&error))?;
    if let Some(mut failure) = first_failure {
        failure.message = format!("A message failed: {}", failure.message);
        failure.advice.push_str(
            " (Nothing was sent after this was known; lines that were not printed are indeterminate.)",
        );
        return Err(failure);
    }
    match sender.join() {
        Ok(outcome) => outcome.map_err(|error| unreadable(&error)),
        Err(_) => Err(unreadable(&io::Error::other("the reading thread ended"))),
    }
}

fn send(
    topic: &str,
    mut input: BufReader<impl Read>,
    requests: UnixStream,
    sent: &mpsc::SyncSender<()>,
    failed: &AtomicBool,
) -> io::Result<()> {
    let mut requests = BufWriter::with_capacity(1 << 16, requests);
    let mut line = Vec::new();
    loop {
        if input.buffer().is_empty() {
            // A person who types must not wait for the next line.
            let _ = requests.flush();
        }
        if failed.load(Ordering::Acquire) || !next_line(&mut input, &mut line)? {
            break;
        }
        let request = publication(topic, &line, false);
        // The missing reply reports a node that has gone.
        if writeln!(requests, "{}", request.to_line()).is_err() {
            let _ = sent.send(());
            return Ok(());
        }
        match sent.try_send(()) {
            Ok(()) => {}
            Err(mpsc::TrySendError::Full(())) => {
                let _ = requests.flush();
                if sent.send(()).is_err() {
                    return Ok(());
                }
            }
            Err(mpsc::TrySendError::Disconnected(())) => return Ok(()),
        }
    }
    let _ = requests.flush();
    let _ = requests.get_ref().shutdown(Shutdown::Write);
    Ok(())
}

/// The request that publishes `payload`.
pub(super) fn publication(topic: &str, payload: &[u8], describe: bool) -> Request {
    let topic = topic.to_owned();
    match std::str::from_utf8(payload) {
        Ok(text) => Request::Publish { topic, text: Some(text.to_owned()), base64: None, describe },
        Err(_) => {
            let base64 = Some(data_encoding::BASE64.encode(payload));
            Request::Publish { topic, text: None, base64, describe }
        }
    }
}

/// Reads one line without its end into `line`; false at the end of the input. A line that is too long for
/// a message is cut at a length that the node still refuses.
fn next_line(input: &mut BufReader<impl Read>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let limit = PAYLOAD_BYTES_MAX as u64 + 2;
    let got = input.by_ref().take(limit).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if got as u64 == limit {
        input.skip_until(b'\n')?;
    }
    Ok(got > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_split_into_lines_and_an_overlong_line_stays_overlong() {
        let long = "x".repeat(3 * PAYLOAD_BYTES_MAX);
        let text = format!("one\n\n{long}\ntwo");
        let mut input = BufReader::new(text.as_bytes());
        let mut line = Vec::new();
        let mut seen = Vec::new();
        while next_line(&mut input, &mut line).unwrap() {
            seen.push(line.len());
        }
        assert_eq!(seen, [3, 0, PAYLOAD_BYTES_MAX + 2, 3]);
    }
}
