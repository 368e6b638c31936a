//! The control socket of a node that takes no requests: it is starting, or it is stopping.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::control::reply::reply_line;
use crate::control::request::LINE_BYTES_MAX;
use crate::failure::Failure;

/// Connections at the same time; further ones wait until one ends.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection may take for a request.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);

/// What each request is answered with.
pub(crate) type Answer = Arc<dyn Fn() -> Failure + Send + Sync>;

/// How long the clients of a starting node wait for a reply that it starts. Most starts are over by
/// then, and a script that waits for its first reply gets that of a node that is ready.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Answers every request with a failure, from `patience` on until `end`. Then it returns the listener, with the
/// connections that it has not accepted.
pub(crate) async fn serve(
    listener: UnixListener,
    answer: Answer,
    patience: Duration,
    end: CancellationToken,
) -> UnixListener {
    tokio::select! {
        () = end.cancelled() => return listener,
        () = sleep(patience) => {}
    }
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return listener,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else { continue };
        let (answer, end) = (Arc::clone(&answer), end.clone());
        // Not ended with the others: its client may be about to send, and would get no reply.
        tokio::spawn(async move {
            connection(stream, &answer, &end).await;
            drop(place);
        });
    }
}

async fn accept(
    listener: &UnixListener,
    places: &Arc<Semaphore>,
) -> Option<(UnixStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            // Most likely out of file descriptors: wait until other connections end.
            tracing::warn!("Cannot accept a control connection: {error}");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection(stream: UnixStream, answer: &Answer, end: &CancellationToken) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut read).take(LINE_BYTES_MAX as u64 + 1);
        match timeout(REQUEST_TIME_MAX, limited.read_until(b'\n', &mut line)).await {
            Ok(Ok(bytes)) if bytes > 0 => {}
            _ => return,
        }
        let reply = reply_line(&Err(answer()));
        let written = timeout(REQUEST_TIME_MAX, write.write_all(reply.as_bytes())).await;
        // The start of the line after one that is too long is unknown.
        let goes_on = line.ends_with(b"\n") && !end.is_cancelled();
        if !matches!(written, Ok(Ok(()))) || !goes_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::http::health::{Health, Phase};

    async fn ask(client: &mut BufReader<UnixStream>, line: &str) -> String {
        client.write_all(line.as_bytes()).await.expect("write");
        let mut reply = String::new();
        client.read_line(&mut reply).await.expect("read");
        reply
    }

    #[tokio::test]
    async fn each_request_is_answered_and_a_late_one_of_an_open_connection_too() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).expect("bind");
        let health = Arc::new(Health::new(0));
        let answer = {
            let health = Arc::clone(&health);
            move || health.not_ready()
        };
        let end = CancellationToken::new();
        let served: JoinHandle<_> =
            tokio::spawn(serve(listener, Arc::new(answer), Duration::ZERO, end.clone()));
        let mut client = BufReader::new(UnixStream::connect(&path).await.expect("connect"));
        health.replayed(7);
        assert!(ask(&mut client, "{}\n").await.contains("7 records"));
        health.enter(Phase::Stopping);
        assert!(ask(&mut client, "anything\n").await.contains("ICN-E0147"));
        let too_long = "x".repeat(LINE_BYTES_MAX + 1);
        let mut second = BufReader::new(UnixStream::connect(&path).await.expect("connect"));
        assert!(ask(&mut second, &too_long).await.contains("ICN-E0147"));
        assert_eq!(ask(&mut second, "").await, "", "the end");
        end.cancel();
        served.await.expect("the listener");
        assert!(
            ask(&mut client, "{}\n").await.contains("ICN-E0147"),
            "it may have been sent before"
        );
        assert_eq!(ask(&mut client, "").await, "", "the end");
    }
}
