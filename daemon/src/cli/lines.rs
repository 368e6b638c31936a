//! `gossip publish --lines`: many messages in flight, each reported once it is durable.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

use icn_gossip::limits::PAYLOAD_BYTES_MAX;
use parking_lot::Mutex;
use serde::Serialize;

use super::unreadable;
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

/// What the reading thread may send, and has.
#[derive(Default)]
struct Sent {
    lines: u64,
    is_over: bool,
}

/// Reports on standard output, and how many lines they are about.
struct Reports<W: Write> {
    out: BufWriter<W>,
    answered: u64,
    durable: u64,
    /// Durable lines whose reports were passed to the output, and those that it has taken.
    written: u64,
    flushed: u64,
}

impl<W: Write> Reports<W> {
    fn report(&mut self, line: &Line) -> io::Result<()> {
        self.durable += 1;
        // Numbers always have a form.
        writeln!(self.out, "{}", serde_json::to_string(line).unwrap_or_default())?;
        self.written += 1;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.flushed = self.written;
        Ok(())
    }
}

/// Publishes every line of `input`. After a failed message no further one is sent; messages in flight are
/// still reported. A line without a report is indeterminate.
///
/// # Errors
/// The first failure of a message; `ICN-E0512`; `ICN-E0513` with the number of lines that are durable.
pub(super) fn publish(
    directory: &Path,
    topic: &str,
    input: impl Read + Send + 'static,
    out: impl Write,
) -> Result<(), Failure> {
    let mut client = Client::connect(directory)?;
    let requests = client.requests().map_err(|error| {
        let message = format!("The system refuses a resource that publishing needs: {error}.");
        Failure::new(codes::NO_RESOURCES, message).caused_by(&error)
    })?;
    let sent = Arc::new(Mutex::new(Sent::default()));
    let (marks, due) = mpsc::sync_channel(WINDOW);
    let sender = {
        let topic = topic.to_owned();
        let sent = Arc::clone(&sent);
        thread::spawn(move || send(&topic, BufReader::new(input), requests, &marks, &sent))
    };
    let out = BufWriter::new(out);
    let mut reports = Reports { out, answered: 0, durable: 0, written: 0, flushed: 0 };
    let mut first_failure = None;
    // One mark for each request: a reply is awaited only when one is due.
    while let Ok(()) = due.recv() {
        let answer = client.next_answer();
        reports.answered += 1;
        let written = match answer {
            Ok(Published { lsn, seq, .. }) => reports.report(&Line { lsn, seq }),
            Err(failure) => {
                sent.lock().is_over = true;
                let gone = failure.code == codes::NODE_ENDED.code;
                let line = reply::document(Err::<&(), _>(&failure));
                first_failure.get_or_insert(failure);
                let written = writeln!(reports.out, "{line}");
                if gone {
                    break;
                }
                written
            }
        };
        let written =
            written.and_then(|()| if client.would_wait() { reports.flush() } else { Ok(()) });
        if let Err(error) = written {
            return Err(unreported(&error, &mut client, &reports, &sent, &due));
        }
    }
    if let Err(error) = reports.flush() {
        return Err(unreported(&error, &mut client, &reports, &sent, &due));
    }
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

/// Waits for the lines in flight once the output has failed, and counts them: no report shows them. The
/// reading thread may wait for input for ever, so it is not waited for.
fn unreported<W: Write>(
    error: &io::Error,
    client: &mut Client,
    reports: &Reports<W>,
    sent: &Mutex<Sent>,
    due: &mpsc::Receiver<()>,
) -> Failure {
    let lines = {
        let mut sent = sent.lock();
        sent.is_over = true;
        sent.lines
    };
    let Reports { mut answered, mut durable, flushed, .. } = *reports;
    while answered < lines && due.recv().is_ok() {
        match client.next_answer::<Published>() {
            Ok(_) => durable += 1,
            Err(failure) if failure.code == codes::NODE_ENDED.code => break,
            Err(_) => {}
        }
        answered += 1;
    }
    let unknown = match lines - answered {
        0 => String::new(),
        unknown => format!(" It is not known whether {unknown} are."),
    };
    let message = format!(
        "The output cannot be written: {error}. Of the input, {lines} lines were sent and {durable} of them \
         are durable; {flushed} were reported.{unknown} The lines after them were not published."
    );
    let advice =
        "See what was published: icnctl gossip entries TOPIC. Publish the rest of the input.";
    Failure::new(codes::OUTPUT_NOT_WRITTEN, message).with_advice(advice)
}

fn send(
    topic: &str,
    mut input: BufReader<impl Read>,
    requests: UnixStream,
    marks: &mpsc::SyncSender<()>,
    sent: &Mutex<Sent>,
) -> io::Result<()> {
    let mut requests = BufWriter::with_capacity(1 << 16, requests);
    let mut line = Vec::new();
    loop {
        if !input.buffer().contains(&b'\n') {
            // What was read must not wait for the end of the next line.
            let _ = requests.flush();
        }
        if sent.lock().is_over || !next_line(&mut input, &mut line)? {
            break;
        }
        {
            let mut sent = sent.lock();
            if sent.is_over {
                break;
            }
            sent.lines += 1;
        }
        let request = publication(topic, &line, false);
        // The missing reply reports a node that has gone.
        if writeln!(requests, "{}", request.to_line()).is_err() {
            let _ = marks.send(());
            return Ok(());
        }
        match marks.try_send(()) {
            Ok(()) => {}
            Err(mpsc::TrySendError::Full(())) => {
                let _ = requests.flush();
                if marks.send(()).is_err() {
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
