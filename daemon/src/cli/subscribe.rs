//! `gossip subscribe --follow`: the arrivals of a topic as lines, and the progress of writing them.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::acks::{Acks, Progress, Writing};
use super::render::Show;
use crate::control::client::Client;
use crate::control::codes;
use crate::control::reply::stream::{Delivery, StreamLine};
use crate::control::reply::{Begun, reply_from_line};
use crate::control::request::Request;
use crate::failure::Failure;
use crate::stdout::{Kind, unwritable};
use crate::text::command::located;

/// Lines that are written between two flushes while more are buffered.
const UNFLUSHED_MAX: u64 = 64;

/// The topic to follow, and where to start.
pub(super) struct Wanted {
    pub(super) topic: String,
    pub(super) cursor: Option<String>,
    pub(super) after: Option<u64>,
}

/// Writes a line for every entry, until a signal or until the reader of standard output has gone.
///
/// # Errors
/// The node's refusal; `ICN-E0145` when the node ends; `ICN-E0513` with a cursor and without a reader; a silent 130 or 143 after a signal.
pub(super) fn follow(directory: &Path, wanted: Wanted, as_json: bool) -> Result<(), Failure> {
    let Wanted { topic, cursor, after } = wanted;
    let mut client = Client::connect(directory)?;
    let request = Request::Follow { topic: topic.clone(), cursor: cursor.clone(), after };
    let begun: Begun = client.ask(&request)?;
    let (answers, requests) = client.into_stream()?;
    let mut acks = Acks::start(requests, cursor.clone())?;
    if begun.pending {
        let pending = format!(
            "Pending: no topic {topic} was created or joined here. The entries follow once one was:\n  \
             icnctl topic join ID, or icnctl topic join NAME --creator DID"
        );
        let _ = writeln!(io::stderr(), "{}", located(&pending));
    }
    acks.progress().begin(&begun);
    let out = BufWriter::new(io::stdout());
    let lines = Lines { answers, out, as_json, cursor, unflushed: 0 };
    let ended = lines.copy(acks.progress());
    acks.finish();
    match acks.progress().signal() {
        0 => ended.and_then(|()| Err(stopped())),
        code => Err(Failure::silent(code)),
    }
}

struct Lines<W: Write> {
    answers: BufReader<UnixStream>,
    out: BufWriter<W>,
    as_json: bool,
    cursor: Option<String>,
    unflushed: u64,
}

impl<W: Write> Lines<W> {
    /// Copies lines until the stream ends.
    fn copy(mut self, progress: &Progress) -> Result<(), Failure> {
        let mut line = Vec::new();
        loop {
            if self.answers.buffer().is_empty() && !wait(self.answers.get_ref()) {
                return Err(self.unwritable(&io::ErrorKind::BrokenPipe.into()));
            }
            line.clear();
            let got = self.answers.read_until(b'\n', &mut line);
            // A line without its end was cut when the node ended.
            if got.is_err() || line.last() != Some(&b'\n') {
                return Ok(());
            }
            let Ok(received) = serde_json::from_slice::<StreamLine>(&line) else {
                // Either the topic is known now, or the node refuses to continue. An unreadable line ends the
                // stream: if it were an entry, a later acknowledgement would move the cursor past it.
                progress.begin(&reply_from_line(&line)?);
                continue;
            };
            // After a signal, no line is written after the last acknowledged one.
            let Some(writing) = progress.write() else { continue };
            let shown = self.show(&received, &line, &writing);
            shown.map_err(|error| self.unwritable(&error))?;
            let idle = self.answers.buffer().is_empty();
            if self.unflushed >= UNFLUSHED_MAX || (idle && self.unflushed > 0) {
                self.out.flush().map_err(|error| self.unwritable(&error))?;
                writing.flushed();
                self.unflushed = 0;
            }
        }
    }

    /// Without a cursor the lines are for this reader alone. With one, those that it left are for the next.
    fn unwritable(&self, error: &io::Error) -> Failure {
        let Some(cursor) = &self.cursor else { return unwritable(Kind::Query, error) };
        let message = format!("The output cannot be written, and the delivery has ended: {error}.");
        let advice = format!(
            "Nothing is lost: follow again with --cursor {cursor}. It goes on after the last line that was \
             taken."
        );
        Failure::new(codes::OUTPUT_NOT_WRITTEN, message).with_advice(advice)
    }

    fn show(
        &mut self,
        received: &StreamLine,
        line: &[u8],
        writing: &Writing<'_>,
    ) -> io::Result<()> {
        let arrival = match received {
            StreamLine::Arrived(Delivery { index, .. }) => *index,
            StreamLine::Pruned { pruned } => pruned.through,
            StreamLine::Acknowledged { .. } => return Ok(()),
        };
        let mut text = Vec::new();
        let line = if self.as_json {
            line
        } else {
            received.show(&mut text)?;
            &text
        };
        self.out.write_all(line)?;
        self.unflushed += 1;
        writing.line(line.len() as u64, arrival);
        Ok(())
    }
}

/// Waits for a line of the node; false when the reader of standard output has gone. While no line is
/// written, only this poll detects that.
fn wait(answers: &UnixStream) -> bool {
    let stdout = io::stdout();
    loop {
        let mut both =
            [PollFd::new(answers, PollFlags::IN), PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut both, None) {
            Err(Errno::INTR) => {}
            // Where polling fails, the read itself waits.
            Err(_) => return true,
            Ok(_) => return both[1].revents().is_empty(),
        }
    }
}

fn stopped() -> Failure {
    Failure::new(codes::DELIVERY_ENDED, "The node has stopped, and with it the delivery.")
}
