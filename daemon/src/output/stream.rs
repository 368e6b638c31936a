//! A stream that no caller waits for: a bounded queue of lines, and a thread that writes them.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Lines that wait to be written; further ones are dropped.
pub const LINES_MAX: usize = 4096;

/// Bytes of the lines that wait to be written; a line that would exceed them is dropped.
pub const BYTES_MAX: usize = 1 << 20;

/// How many lines were dropped, because they found no room or could not be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// All since the start.
    pub dropped: u64,
    /// Those that no written line has reported yet.
    pub unreported: u64,
}

/// The line that stands for so many dropped ones.
type DroppedLine = fn(u64) -> String;

/// A stream of lines.
pub(super) struct Stream(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the writer.
    filled: Condvar,
    /// Wakes callers that wait for the last line.
    drained: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    /// Lines dropped after the last one of `lines`.
    dropped: u64,
    counts: LineCounts,
    /// Whether the writer has taken a line that is not written yet.
    writing: bool,
}

struct Line {
    text: Vec<u8>,
    /// Lines dropped directly before this one.
    dropped: u64,
}

impl Stream {
    /// Starts the thread `name`, which writes lines to `out`.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub(super) fn start(
        name: &str,
        out: impl Write + Send + 'static,
        dropped_line: Option<DroppedLine>,
    ) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let writer = Arc::clone(&shared);
        let run = move || write_lines(&writer, out, dropped_line);
        thread::Builder::new().name(name.into()).spawn(run)?;
        Ok(Self(shared))
    }

    /// Adds a line, with its line break. Drops it when there is no room.
    pub(super) fn push(&self, text: Vec<u8>) {
        let mut queue = self.0.queue.lock();
        if queue.lines.len() >= LINES_MAX || queue.bytes + text.len() > BYTES_MAX {
            queue.dropped += 1;
            queue.counts.dropped += 1;
            queue.counts.unreported += 1;
            return;
        }
        self.add(&mut queue, text);
    }

    /// Adds a line for which there is always room.
    pub(super) fn push_last(&self, text: Vec<u8>) {
        self.add(&mut self.0.queue.lock(), text);
    }

    fn add(&self, queue: &mut Queue, text: Vec<u8>) {
        queue.bytes += text.len();
        let dropped = std::mem::take(&mut queue.dropped);
        queue.lines.push_back(Line { text, dropped });
        self.0.filled.notify_one();
    }

    /// How many lines were dropped.
    pub(super) fn counts(&self) -> LineCounts {
        self.0.queue.lock().counts
    }

    /// Waits until every line is written, no longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let mut queue = self.0.queue.lock();
        self.0.drained.wait_while_for(&mut queue, |queue| !queue.is_drained(), limit);
    }
}

impl Queue {
    fn is_drained(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0 && !self.writing
    }

    /// The next line to write; an empty one for lines that were dropped at the end.
    fn take(&mut self) -> Option<Line> {
        let dropped = match self.lines.pop_front() {
            Some(line) => {
                self.bytes -= line.text.len();
                return Some(line);
            }
            None => std::mem::take(&mut self.dropped),
        };
        (dropped > 0).then(|| Line { text: Vec::new(), dropped })
    }
}

fn write_lines(shared: &Shared, mut out: impl Write, dropped_line: Option<DroppedLine>) {
    // Lines that no written line has reported.
    let mut lost = 0;
    let mut queue = shared.queue.lock();
    loop {
        let Some(line) = queue.take() else {
            shared.drained.notify_all();
            shared.filled.wait(&mut queue);
            continue;
        };
        queue.writing = true;
        drop(queue);
        lost += line.dropped;
        let mut text = match dropped_line {
            Some(dropped_line) if lost > 0 => dropped_line(lost).into_bytes(),
            _ => Vec::new(),
        };
        text.extend_from_slice(&line.text);
        let written = out.write_all(&text).and_then(|()| out.flush());
        queue = shared.queue.lock();
        queue.writing = false;
        if written.is_ok() {
            queue.counts.unreported -= lost;
            lost = 0;
        } else if !line.text.is_empty() {
            // A closed pipe or a full disk: the next line tries again.
            queue.counts.dropped += 1;
            queue.counts.unreported += 1;
            lost += 1;
        }
    }
}

/// Writes to the file descriptor itself. It takes no lock of the standard library, which a stuck writer would
/// keep, and no other descriptor, which the system may refuse.
pub(super) struct Descriptor<S>(pub(super) S);

impl<S: AsFd> Write for Descriptor<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(&self.0, bytes) {
                // Another process has set the pipe or terminal that they share to non-blocking.
                Err(Errno::AGAIN) => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                other => return Ok(other?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, ErrorKind, PipeReader, pipe};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn dropped_line(dropped: u64) -> String {
        format!("{dropped} dropped\n")
    }

    /// A stream into a pipe that is full.
    fn stuck() -> (Stream, BufReader<PipeReader>) {
        let (reader, writer) = pipe().expect("a pipe");
        let stream = Stream::start("test", writer, Some(dropped_line)).expect("a thread");
        // More than a pipe holds, so the writer waits with a part of it.
        stream.push([vec![b'x'; BYTES_MAX - 1], vec![b'\n']].concat());
        while !stream.0.queue.lock().writing {
            thread::yield_now();
        }
        (stream, BufReader::new(reader))
    }

    fn lines(reader: &mut impl BufRead, count: usize) -> Vec<String> {
        reader.lines().take(count).map(|line| line.expect("a line")).collect()
    }

    #[test]
    fn lines_beyond_the_queue_are_dropped_counted_and_reported_in_their_place() {
        let (stream, mut reader) = stuck();
        for number in 0..LINES_MAX + 7 {
            stream.push(format!("{number}\n").into_bytes());
        }
        assert_eq!(stream.counts(), LineCounts { dropped: 7, unreported: 7 });
        stream.push_last(b"last\n".to_vec());
        stream.flush(Duration::from_millis(1));
        let read = lines(&mut reader, LINES_MAX + 3);
        let tail: Vec<_> = read[LINES_MAX..].iter().map(String::as_str).collect();
        assert_eq!(tail, [&(LINES_MAX - 1).to_string(), "7 dropped", "last"]);
        stream.flush(LONG);
        assert_eq!(stream.counts(), LineCounts { dropped: 7, unreported: 0 });
    }

    #[test]
    fn lines_dropped_at_the_end_are_reported_without_a_further_line() {
        let (stream, mut reader) = stuck();
        stream.push(vec![b'y'; BYTES_MAX]);
        stream.push(b"no room\n".to_vec());
        stream.push(vec![b'z'; BYTES_MAX + 1]);
        lines(&mut reader, 1);
        let read = lines(&mut reader, 1);
        assert_eq!(read[0].len(), BYTES_MAX + "2 dropped".len(), "one line, then the report");
        assert!(read[0].ends_with("y2 dropped"));
    }

    /// Fails until it is told that there is room.
    struct Full(Arc<Mutex<(bool, Vec<u8>)>>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (full, written) = &mut *self.0.lock();
            if *full {
                return Err(ErrorKind::StorageFull.into());
            }
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_dropped_and_reported_with_the_next_that_can() {
        let place = Arc::new(Mutex::new((true, Vec::new())));
        let out = Full(Arc::clone(&place));
        let stream = Stream::start("test", out, Some(dropped_line)).expect("a thread");
        stream.push(b"one\n".to_vec());
        stream.push(b"two\n".to_vec());
        stream.flush(LONG);
        assert_eq!(stream.counts(), LineCounts { dropped: 2, unreported: 2 });
        place.lock().0 = false;
        stream.push(b"three\n".to_vec());
        stream.flush(LONG);
        assert_eq!(stream.counts(), LineCounts { dropped: 2, unreported: 0 });
        assert_eq!(place.lock().1, b"2 dropped\nthree\n");
    }
}
