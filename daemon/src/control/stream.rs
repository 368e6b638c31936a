//! A stream: a connection that carries the entries of a topic, each once it is durable.
//!
//! ```text
//! → {"v":1,"cmd":"follow","topic":"coop:ledger","cursor":"billing"}
//! ← {"ok":true,"data":{"topic":"…","pending":false,"after":6,"lsn":90}}
//! ← {"index":7,"lsn":91,"author":"did:icn:…","epoch":"1","seq":4,"time":1764070000123,"text":"hello"}
//! ← {"pruned":{"from":8,"through":11}}
//! → {"v":1,"cmd":"cursor_move","topic":"…","cursor":"billing","arrival":7}
//! ← {"acknowledged":7}
//! ← {"ok":false,"error":{…}}
//! ```
//!
//! A stream stores only its position. It requests the next page once the previous one is written, and
//! sleeps until a notification while there is none. It runs at most 1024 arrivals ahead of its cursor.
//! An error ends the stream.

use std::time::Duration;

use icn_gossip::{Stored, TopicId};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::subscribers::{Arrivals, Slot, Subscribers};
use crate::control::codes;
use crate::control::reply::entries::{Arrival, Entry};
use crate::control::reply::stream::{ArrivalRange, Delivery, StreamLine};
use crate::control::reply::{Begun, CursorMoved, Entries, FromReply, Reply, reply_line};
use crate::control::request::{LINE_BYTES_MAX, Request};
use crate::failure::Failure;
use crate::node::describe;
use crate::shell::inbox::{Call, Input};

/// Entries of a page.
const PAGE_ENTRIES: usize = 256;

/// Arrivals that a stream may be ahead of its cursor; at most these are delivered again after a crash.
const AHEAD_MAX: u64 = 1024;

/// Durable acknowledgements that are not reported yet.
const ACKNOWLEDGED_MAX: usize = 4;

/// How long a consumer may send its last acknowledgements after the stream has ended.
const LINGER: Duration = Duration::from_millis(250);

/// Serves the stream of `request` until either side ends it.
pub(crate) async fn serve(
    read: impl AsyncBufRead + Unpin + Send + 'static,
    mut write: impl AsyncWrite + Unpin,
    request: Request,
    inbox: mpsc::Sender<Input>,
    subscribers: &Subscribers,
    stop: CancellationToken,
) {
    let (acknowledgements, acknowledged) = mpsc::channel(ACKNOWLEDGED_MAX);
    let mut reader = tokio::spawn(read_acknowledgements(read, inbox.clone(), acknowledgements));
    let mut stream = Stream {
        inbox,
        write: &mut write,
        acknowledged,
        arrivals: subscribers.arrivals(),
        feed: Feed::default(),
        cursor_position: None,
    };
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = stream.run(request, subscribers) => ended,
    };
    let Stream { mut acknowledged, .. } = stream;
    if let Err(End::Failed(failure)) = ended {
        // A consumer that does not read does not delay the end.
        let line = reply_line(&Err(failure));
        let _ = tokio::time::timeout(LINGER, write.write_all(line.as_bytes())).await;
    }
    let _ = write.shutdown().await;
    let rest = async { while acknowledged.recv().await.is_some() {} };
    let _ = tokio::time::timeout(LINGER, async { tokio::join!(rest, &mut reader) }).await;
    reader.abort();
}

/// Why a stream ends.
enum End {
    /// The consumer has gone, or the node fails.
    Gone,
    /// The consumer gets this failure.
    Failed(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

struct Stream<'a, W> {
    inbox: mpsc::Sender<Input>,
    write: &'a mut W,
    acknowledged: mpsc::Receiver<Reply>,
    arrivals: watch::Receiver<Arrivals>,
    feed: Feed,
    /// The position of the cursor, if the stream has one.
    cursor_position: Option<u64>,
}

impl<W: AsyncWrite + Unpin> Stream<'_, W> {
    /// # Errors
    /// Why the stream ends; it does not end otherwise.
    async fn run(&mut self, request: Request, subscribers: &Subscribers) -> Result<(), End> {
        let mut slot = subscribers.register()?;
        let topic = self.begin(request, &mut slot).await?;
        let id: TopicId = topic.parse().map_err(|_| End::Gone)?;
        loop {
            let limit = loop {
                let room = self.room();
                if room > 0 {
                    break Some(room);
                }
                let reply = self.acknowledged.recv().await.ok_or(End::Gone)?;
                self.report_acknowledged(reply).await?;
            };
            let (changes, fresh) = {
                let arrivals = self.arrivals.borrow_and_update();
                let mut fresh = arrivals.fresh(&id, self.feed.position);
                fresh.take_if(|fresh| limit.is_some_and(|limit| fresh.len() > limit));
                (arrivals.changes(), fresh)
            };
            let (lines, more) = if let Some(fresh) = fresh {
                (self.feed.fresh_lines(&fresh), false)
            } else {
                let topic = topic.clone();
                let after = self.feed.position;
                let page: Entries = self.ask(Request::Entries { topic, after, limit }).await?;
                let more = page.more;
                (self.feed.lines(page), more)
            };
            self.put(&lines).await?;
            if more {
                loop {
                    match self.acknowledged.try_recv() {
                        Ok(reply) => self.report_acknowledged(reply).await?,
                        Err(TryRecvError::Empty) => break,
                        Err(TryRecvError::Disconnected) => return Err(End::Gone),
                    }
                }
            } else {
                let position = self.feed.position;
                let due = |arrivals: &Arrivals| {
                    arrivals.changes() != changes || arrivals.beyond(&id, position)
                };
                self.wait(due).await?;
            }
        }
    }

    /// Waits until the topic is known and returns its id.
    async fn begin(&mut self, request: Request, slot: &mut Slot) -> Result<String, End> {
        let Request::Follow { topic, cursor, mut after } = request else { return Err(End::Gone) };
        if let Some(cursor) = &cursor {
            slot.claim_cursor(&topic, cursor).await?;
        }
        let mut begun_sent = false;
        loop {
            let changes = self.arrivals.borrow_and_update().changes();
            let topic = topic.clone();
            let cursor = cursor.clone();
            let request = Request::Follow { topic, cursor: cursor.clone(), after };
            let begun: Begun = self.ask(request).await?;
            let id = begun.topic.clone();
            if let (Some(id), Some(cursor)) = (&id, &cursor) {
                slot.claim_cursor(id, cursor).await?;
            }
            self.feed.position = begun.after.unwrap_or(0);
            self.cursor_position = cursor.map(|_| self.feed.position);
            if id.is_some() || !begun_sent {
                self.put(&reply_line(&Ok(begun.into()))).await?;
                begun_sent = true;
            }
            if let Some(id) = id {
                return Ok(id);
            }
            // All entries of a topic that was not known arrive from now on.
            after = after.or(Some(0));
            self.wait(|arrivals| arrivals.changes() != changes).await?;
        }
    }

    /// Entries that may be sent now.
    fn room(&self) -> usize {
        let Some(cursor_position) = self.cursor_position else { return PAGE_ENTRIES };
        let room = (cursor_position + AHEAD_MAX).saturating_sub(self.feed.position);
        usize::try_from(room).map_or(PAGE_ENTRIES, |room| room.min(PAGE_ENTRIES))
    }

    /// Waits for arrivals that are `due`, and reports acknowledgements meanwhile.
    async fn wait(&mut self, due: impl Fn(&Arrivals) -> bool) -> Result<(), End> {
        loop {
            tokio::select! {
                reply = self.acknowledged.recv() => {
                    self.report_acknowledged(reply.ok_or(End::Gone)?).await?;
                }
                changed = self.arrivals.changed() => {
                    changed.map_err(|_| End::Gone)?;
                    if due(&self.arrivals.borrow_and_update()) {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn report_acknowledged(&mut self, reply: Reply) -> Result<(), End> {
        let CursorMoved { arrival, .. } = reply?.try_into()?;
        self.cursor_position = self.cursor_position.max(Some(arrival));
        self.put(&line(&StreamLine::Acknowledged { acknowledged: arrival })).await
    }

    async fn ask<R: FromReply>(&self, request: Request) -> Result<R, End> {
        let (answer, reply) = oneshot::channel();
        self.inbox
            .send(Input::Call(Call { request, reply: answer }))
            .await
            .map_err(|_| End::Gone)?;
        Ok(reply.await.map_err(|_| End::Gone)??.try_into()?)
    }

    async fn put(&mut self, lines: &str) -> Result<(), End> {
        self.write.write_all(lines.as_bytes()).await.map_err(|_| End::Gone)
    }
}

/// Passes acknowledgements to the node, until the consumer ends or sends another request.
async fn read_acknowledgements(
    mut read: impl AsyncBufRead + Unpin,
    inbox: mpsc::Sender<Input>,
    acknowledgements: mpsc::Sender<Reply>,
) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut read).take(LINE_BYTES_MAX as u64);
        match limited.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let reply = match Request::from_line(&line) {
            Ok(request @ Request::CursorMove { .. }) => {
                let (answer, reply) = oneshot::channel();
                if inbox.send(Input::Call(Call { request, reply: answer })).await.is_err() {
                    return;
                }
                let Ok(reply) = reply.await else { return };
                reply
            }
            Ok(_) => {
                let message = "This connection follows a topic: it takes cursor_move only.";
                Err(Failure::new(codes::FOLLOWS_ONLY, message))
            }
            Err(failure) => Err(failure),
        };
        let failed = reply.is_err();
        if acknowledgements.send(reply).await.is_err() || failed {
            return;
        }
    }
}

/// The JSON of a line, with its end.
fn line(line: &StreamLine) -> String {
    // Numbers and texts always have a form.
    serde_json::to_string(line).unwrap_or_default() + "\n"
}

/// The delivery position of a stream.
#[derive(Debug, Default)]
struct Feed {
    position: u64,
}

impl Feed {
    /// The lines for a page of entries after the position, which moves to the end of the page. Pruned
    /// arrivals are reported. Readmitted entries are left out: they may have been delivered before they
    /// were pruned.
    fn lines(&mut self, page: Entries) -> String {
        let mut lines = String::new();
        self.skip(page.readmitted, &mut lines);
        let fresh = page.entries.into_iter().filter(|one| one.arrival > page.readmitted);
        for Arrival { arrival, entry } in fresh {
            self.skip(arrival.saturating_sub(1), &mut lines);
            self.deliver(arrival, entry, &mut lines);
        }
        if !page.more {
            self.skip(page.arrived, &mut lines);
        }
        lines
    }

    /// The lines for the entries right after the position.
    fn fresh_lines(&mut self, fresh: &[(u64, Stored)]) -> String {
        let mut lines = String::new();
        for (index, stored) in fresh {
            self.deliver(*index, describe::entry(stored), &mut lines);
        }
        lines
    }

    fn deliver(&mut self, index: u64, entry: Entry, lines: &mut String) {
        lines.push_str(&line(&StreamLine::Arrived(Delivery { index, entry })));
        self.position = index;
    }

    fn skip(&mut self, through: u64, lines: &mut String) {
        if through > self.position {
            let pruned = ArrivalRange { from: self.position + 1, through };
            lines.push_str(&line(&StreamLine::Pruned { pruned }));
            self.position = through;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::reply::brief::{AccessBrief, TopicBrief};
    use crate::control::reply::entries::{Epoch, Payload};

    fn page(arrivals: &[u64], arrived: u64, more: bool) -> Entries {
        let arrival = |arrival: &u64| {
            let author = "a".to_owned();
            let payload = Payload::Text("x".into());
            let entry = Entry { lsn: 9, author, epoch: Epoch(1), seq: 1, time: 5, payload };
            Arrival { arrival: *arrival, entry }
        };
        let entries = arrivals.iter().map(arrival).collect();
        let topic = TopicBrief {
            id: "1".into(),
            name: "a".into(),
            creator: "a".into(),
            created_here: false,
            access: AccessBrief::Public,
        };
        Entries { entries, last: 0, more, arrived, readmitted: 0, topic }
    }

    #[test]
    fn every_arrival_is_reported_once_as_an_entry_or_as_pruned() {
        let entry = |index| {
            let rest = r#""lsn":9,"author":"a","epoch":"1","seq":1,"time":5,"text":"x""#;
            format!(r#"{{"index":{index},{rest}}}"#)
        };
        let gone = |from, through| format!(r#"{{"pruned":{{"from":{from},"through":{through}}}}}"#);
        let mut feed = Feed { position: 2 };
        for (page, expected, position) in [
            (page(&[3], 9, true), vec![entry(3)], 3),
            (page(&[6], 9, true), vec![gone(4, 5), entry(6)], 6),
            (page(&[], 6, false), vec![], 6),
            (page(&[], 9, false), vec![gone(7, 9)], 9),
            (page(&[], 8, false), vec![], 9),
        ] {
            assert_eq!(feed.lines(page).lines().collect::<Vec<_>>(), expected);
            assert_eq!(feed.position, position);
        }
        // Entries that were readmitted are those that were pruned, under other indexes.
        let readmitted = |page| Entries { readmitted: 12, ..page };
        for (position, page, expected, after) in [
            (9, page(&[11, 12], 14, true), vec![gone(10, 12)], 12),
            (9, page(&[11, 12, 13, 14], 14, false), vec![gone(10, 12), entry(13), entry(14)], 14),
            (12, page(&[13, 14], 14, false), vec![entry(13), entry(14)], 14),
            (14, page(&[], 14, false), vec![], 14),
        ] {
            let mut feed = Feed { position };
            let lines = feed.lines(readmitted(page));
            assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
            assert_eq!(feed.position, after);
        }
    }
}
