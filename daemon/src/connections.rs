//! The connections of one socket: how many there may be, and which one ends for a new one.
//!
//! A connection *waits* while its client owes it something: a request, or room for a reply. At the bound,
//! the one that has waited longest ends in favour of a new one. A connection whose request is in flight
//! does not end; then the new one waits until there is a place. So clients that only connect keep no
//! other client out.

use std::collections::BTreeMap;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::files::{self, UNREAD_MS_MAX};
use crate::http::meter::ConnectionMeter;

/// After this time a reply that the client does not take makes its connection one that waits.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// How soon to look again for a connection that can be replaced, and for a file for a new one.
const RETRY: Duration = Duration::from_millis(100);

/// The connections of one socket.
pub(crate) struct Connections {
    free: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    meter: ConnectionMeter,
    unread_max: Duration,
    stop: CancellationToken,
    /// Whether the last connection could not be accepted, of which the log has a line.
    is_refused: AtomicBool,
}

/// The connections that wait, by the order in which they began to.
#[derive(Default)]
struct Waiting {
    next: u64,
    since: BTreeMap<u64, CancellationToken>,
}

/// One connection and its place.
pub(crate) struct Connection {
    all: Arc<Connections>,
    replaced: CancellationToken,
    state: Mutex<State>,
    _place: OwnedSemaphorePermit,
}

#[derive(Default)]
struct State {
    in_flight: usize,
    is_stalled: bool,
    /// Its place among those that wait.
    since: Option<u64>,
}

/// A socket that connections are accepted from.
pub(crate) trait Listener: Sync {
    /// An accepted connection.
    type Stream: Send;

    /// Waits for a connection.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Connections {
    /// At most `most` connections. After `stop`, none waits for a client that does not read.
    pub(crate) fn new(most: usize, meter: ConnectionMeter, stop: CancellationToken) -> Arc<Self> {
        meter.most(most);
        Arc::new(Self {
            free: Arc::new(Semaphore::new(most)),
            waiting: Mutex::default(),
            meter,
            unread_max: Duration::from_millis(UNREAD_MS_MAX),
            stop,
            is_refused: AtomicBool::new(false),
        })
    }

    /// The next connection of `listener`, once there is a place for it.
    pub(crate) async fn next<L: Listener>(
        self: &Arc<Self>,
        listener: &L,
    ) -> (L::Stream, Arc<Connection>) {
        let stream = self.accept(listener).await;
        let place = self.place().await;
        self.meter.open.increment(1);
        let connection = Connection {
            all: Arc::clone(self),
            replaced: CancellationToken::new(),
            state: Mutex::default(),
            _place: place,
        };
        connection.change(|_| {});
        (stream, Arc::new(connection))
    }

    async fn accept<L: Listener>(&self, listener: &L) -> L::Stream {
        loop {
            match listener.next().await {
                Ok(stream) => {
                    self.is_refused.store(false, Ordering::Relaxed);
                    return stream;
                }
                Err(error) => {
                    // A line for each attempt would fill the log.
                    if !self.is_refused.swap(true, Ordering::Relaxed) {
                        let (why, advice) = files::shortage(&error).unwrap_or_default();
                        let kind = self.meter.kind;
                        tracing::warn!(
                            "No {kind} connection can be accepted: {error}. {why} {advice}"
                        );
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn place(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
                return place;
            }
            self.replace_one();
            // If all have a request in flight, one may wait for its client a moment later.
            let freed = timeout(RETRY, Arc::clone(&self.free).acquire_owned());
            if let Ok(Ok(place)) = freed.await {
                return place;
            }
        }
    }

    fn replace_one(&self) {
        if let Some((_, longest)) = self.waiting.lock().since.pop_first() {
            self.meter.replaced.increment(1);
            longest.cancel();
        }
    }
}

impl Connection {
    /// A request was received whole.
    pub(crate) fn begin(&self) {
        self.change(|state| state.in_flight += 1);
    }

    /// The reply to a request was written, or passed on to be written.
    pub(crate) fn end(&self) {
        self.change(|state| state.in_flight -= 1);
    }

    /// Completes when the connection must end in favour of a new one.
    pub(crate) async fn replaced(&self) {
        self.replaced.cancelled().await;
    }

    /// Counts a connection that ends since its client was too slow.
    pub(crate) fn is_too_slow(&self) {
        self.all.meter.slow.increment(1);
    }

    /// Does `writing`, which ends early with an error if the client does not read.
    pub(crate) async fn write(
        &self,
        writing: impl Future<Output = io::Result<()>>,
    ) -> io::Result<()> {
        let mut writing = pin!(writing);
        if let Ok(written) = timeout(STALLED_AFTER, &mut writing).await {
            return written;
        }
        self.change(|state| state.is_stalled = true);
        let written = tokio::select! {
            written = &mut writing => written,
            () = self.replaced() => Err(io::ErrorKind::ConnectionAborted.into()),
            () = self.all.stop.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
            () = sleep(self.all.unread_max) => {
                self.is_too_slow();
                Err(io::ErrorKind::TimedOut.into())
            }
        };
        self.change(|state| state.is_stalled = false);
        written
    }

    /// Changes the state, and whether the connection counts as one that waits.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let waits = state.in_flight == 0 || state.is_stalled;
        let mut waiting = self.all.waiting.lock();
        match state.since {
            None if waits && !self.replaced.is_cancelled() => {
                let since = waiting.next;
                waiting.next += 1;
                waiting.since.insert(since, self.replaced.clone());
                state.since = Some(since);
            }
            Some(since) if !waits => {
                waiting.since.remove(&since);
                state.since = None;
            }
            _ => {}
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(since) = self.state.get_mut().since {
            self.all.waiting.lock().since.remove(&since);
        }
        self.all.meter.open.decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::http::meter::Meter;

    fn connections(most: usize, unread_max: Duration) -> Arc<Connections> {
        let meter = Meter::new().unwrap().control_connections();
        let mut all = Connections::new(most, meter, CancellationToken::new());
        Arc::get_mut(&mut all).unwrap().unread_max = unread_max;
        all
    }

    struct Always;

    impl Listener for Always {
        type Stream = ();

        async fn next(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_connection_that_has_waited_longest_makes_room_and_none_with_a_request_does() {
        let all = connections(3, Duration::MAX);
        let (_, busy) = all.next(&Always).await;
        let (_, first) = all.next(&Always).await;
        let (_, second) = all.next(&Always).await;
        busy.begin();
        // It has waited for less time than the second one now.
        first.begin();
        first.end();
        let mut next = pin!(all.next(&Always));
        tokio::select! {
            _ = &mut next => panic!("there was no place"),
            () = second.replaced() => {}
        }
        drop(second);
        let (_, third) = next.await;
        third.begin();
        let mut next = pin!(all.next(&Always));
        tokio::select! {
            _ = &mut next => panic!("there was no place"),
            () = first.replaced() => {}
        }
        drop(first);
        let (_, fourth) = next.await;
        fourth.begin();
        let mut next = pin!(all.next(&Always));
        let ended = timeout(3 * RETRY, &mut next).await;
        assert!(ended.is_err(), "every request in flight stays");
        busy.end();
        tokio::select! {
            _ = &mut next => panic!("there was no place"),
            () = busy.replaced() => {}
        }
    }

    #[tokio::test]
    async fn a_reply_that_stays_unread_ends_its_connection() {
        let all = connections(1, Duration::ZERO);
        let (_, connection) = all.next(&Always).await;
        connection.begin();
        let written = connection.write(pending()).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let all = connections(1, Duration::MAX);
        let (_, connection) = all.next(&Always).await;
        connection.begin();
        let mut next = pin!(all.next(&Always));
        let written = tokio::select! {
            _ = &mut next => panic!("there was no place"),
            written = connection.write(pending()) => written,
        };
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
