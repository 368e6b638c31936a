//! The thread that acknowledges lines to the node once a reader has taken them, until a signal.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::written::Written;
use crate::control::codes;
use crate::control::reply::Begun;
use crate::control::request::Request;
use crate::exit;
use crate::failure::Failure;

/// Entries of one acknowledgement, and how long fewer of them wait.
const BATCH: u64 = 256;
const PAUSE: Duration = Duration::from_millis(200);

/// How soon to check again whether a written batch was taken: the node sends only a few batches ahead.
const LOOK: Duration = Duration::from_millis(10);

/// How long a signal waits for a line that is being written.
const LINE_WITHIN: Duration = Duration::from_millis(100);

/// How long a stop waits for the node to make the last acknowledgement durable.
const END_WITHIN: Duration = Duration::from_secs(1);

/// The progress of the lines, shared by both threads.
pub(super) struct Progress {
    writing: Mutex<()>,
    topic: Mutex<Option<String>>,
    written: Mutex<Written>,
    more: Notify,
    finished: AtomicBool,
    signal: AtomicU8,
}

/// A line is being written.
pub(super) struct Writing<'a> {
    progress: &'a Progress,
    _guard: MutexGuard<'a, ()>,
}

impl Progress {
    fn new() -> Self {
        Self {
            writing: Mutex::new(()),
            topic: Mutex::new(None),
            written: Mutex::new(Written::new()),
            more: Notify::new(),
            finished: AtomicBool::new(false),
            signal: AtomicU8::new(0),
        }
    }

    /// Records the topic, if this reply names it.
    pub(super) fn begin(&self, begun: &Begun) {
        if let Some(id) = &begun.topic {
            *self.topic.lock() = Some(id.clone());
        }
    }

    /// The right to write a line; none after a signal.
    pub(super) fn write(&self) -> Option<Writing<'_>> {
        let guard = self.writing.lock();
        (self.signal() == 0).then_some(Writing { progress: self, _guard: guard })
    }

    /// The exit code of the received signal, 0 for none.
    pub(super) fn signal(&self) -> u8 {
        self.signal.load(Ordering::Acquire)
    }
}

impl Writing<'_> {
    /// A line of so many bytes about `arrival` was written.
    pub(super) fn line(&self, bytes: u64, arrival: u64) {
        self.progress.written.lock().line(bytes, arrival);
    }

    /// All written lines were flushed.
    pub(super) fn flushed(&self) {
        self.progress.written.lock().flush();
        self.progress.more.notify_one();
    }
}

/// The acknowledging thread.
pub(super) struct Acks {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Acks {
    /// Starts the thread. From now on a signal ends the stream instead of the process.
    ///
    /// # Errors
    /// When the system refuses a thread, a runtime or a signal handler.
    pub(super) fn start(requests: UnixStream, cursor: Option<String>) -> Result<Self, Failure> {
        let refused = |error: io::Error| {
            let message = format!("The system refuses a resource that following needs: {error}.");
            Failure::new(codes::NO_RESOURCES, message)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(refused)?;
        let signals = {
            let _entered = runtime.enter();
            let interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
            (interrupt, signal(SignalKind::terminate()).map_err(refused)?)
        };
        let progress = Arc::new(Progress::new());
        let sender = Sender { requests, cursor, progress: Arc::clone(&progress), sent: 0 };
        let thread = thread::Builder::new().name("acks".into());
        let thread =
            thread.spawn(move || runtime.block_on(sender.run(signals))).map_err(refused)?;
        Ok(Self { progress, thread: Some(thread) })
    }

    /// The progress of the lines.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Acknowledges the remaining lines and ends the thread.
    pub(super) fn finish(&mut self) {
        self.progress.finished.store(true, Ordering::Release);
        self.progress.more.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Signals = (tokio::signal::unix::Signal, tokio::signal::unix::Signal);

struct Sender {
    requests: UnixStream,
    cursor: Option<String>,
    progress: Arc<Progress>,
    sent: u64,
}

impl Sender {
    async fn run(mut self, (mut interrupt, mut terminate): Signals) {
        let mut due = None;
        loop {
            let signal = tokio::select! {
                _ = interrupt.recv() => exit::INTERRUPTED,
                _ = terminate.recv() => exit::TERMINATED,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.send();
                    due = self.next_look();
                    continue;
                }
                () = self.progress.more.notified() => {
                    if self.progress.finished.load(Ordering::Acquire) {
                        self.send();
                        let _ = self.requests.shutdown(Shutdown::Write);
                        return;
                    }
                    if self.taken() - self.sent >= BATCH {
                        self.send();
                    }
                    // A check that is due sooner stays.
                    due = self.next_look().map(|next| due.map_or(next, |due| next.min(due)));
                    continue;
                }
            };
            return self.end(signal).await;
        }
    }

    fn taken(&self) -> u64 {
        self.progress.written.lock().taken()
    }

    fn next_look(&self) -> Option<Instant> {
        let waiting = self.progress.written.lock().last() - self.sent;
        match waiting {
            0 => None,
            few if few < BATCH => Some(Instant::now() + PAUSE),
            _ => Some(Instant::now() + LOOK),
        }
    }

    /// A line that is being written is completed if its reader takes it; no further line is written.
    async fn end(mut self, signal: u8) {
        let writing = self.progress.writing.try_lock_for(LINE_WITHIN);
        self.progress.signal.store(signal, Ordering::Release);
        drop(writing);
        self.send();
        // The node makes the last acknowledgement durable and closes the stream, which ends the other thread.
        let _ = self.requests.shutdown(Shutdown::Write);
        let finished = async {
            while !self.progress.finished.load(Ordering::Acquire) {
                self.progress.more.notified().await;
            }
        };
        if timeout(END_WITHIN, finished).await.is_err() {
            std::process::exit(i32::from(signal));
        }
    }

    fn send(&mut self) {
        let arrival = self.taken();
        let (Some(cursor), Some(topic)) = (&self.cursor, self.progress.topic.lock().clone()) else {
            self.sent = arrival;
            return;
        };
        if arrival > self.sent {
            let request = Request::CursorMove { topic, cursor: cursor.clone(), arrival };
            // The end of the stream reports a node that has gone.
            let _ = writeln!(self.requests, "{}", request.to_line());
            self.sent = arrival;
        }
    }
}
