//! Many subscriptions of one node: every topic is entered, and every message arrives.

mod harness;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use harness::{House, until};
use serde_json::{Value, json};

/// Requests that are sent before the first reply is read.
const WINDOW: usize = 500;

/// A client of the control socket that sends many requests at once.
struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(house: &House) -> Self {
        let socket = UnixStream::connect(house.path().join("control.sock")).expect("connect");
        Self(BufReader::new(socket))
    }

    /// The data of the replies, in order. Every request must succeed.
    fn ask(&mut self, requests: &[Value]) -> Vec<Value> {
        let mut replies = Vec::new();
        for window in requests.chunks(WINDOW) {
            let lines = window.iter().map(|request| {
                let mut request = request.clone();
                request["v"] = 1.into();
                format!("{request}\n")
            });
            let lines: String = lines.collect();
            self.0.get_mut().write_all(lines.as_bytes()).expect("write");
            for request in window {
                let mut line = String::new();
                self.0.read_line(&mut line).expect("read");
                let mut reply: Value = serde_json::from_str(&line).expect("JSON");
                assert_eq!(reply["ok"], true, "{request}: {line}");
                replies.push(reply["data"].take());
            }
        }
        replies
    }

    /// Waits until a figure of the status is `count`, for as long as it grows.
    fn reaches(&mut self, figure: &str, count: usize) {
        let mut last = 0;
        while last < count as u64 {
            last = until(&format!("more than {last} {figure} of {count}"), || {
                let status = &self.ask(&[json!({ "cmd": "status" })])[0];
                let now = status["gossip"][figure].as_u64().expect("a number");
                (now > last).then_some(now)
            });
        }
        assert_eq!(last, count as u64, "{figure}");
    }
}

/// 20 000 topics with `ICN_TOPICS=20000`.
#[test]
fn a_message_in_each_of_many_joined_topics_arrives() {
    let count = std::env::var("ICN_TOPICS").ok().and_then(|text| text.parse().ok()).unwrap_or(9000);
    let [author, reader] = [House::quick(), House::quick()];
    let daemon = author.start();
    let _reading = reader.start_with(&["--peer", &daemon.peers()]);
    let [mut authors, mut readers] = [&author, &reader].map(Client::connect);
    let create = |at| json!({ "cmd": "topic_create", "name": format!("t{at}"), "public": true });
    let created = authors.ask(&(0..count).map(create).collect::<Vec<_>>());
    let ids: Vec<Value> = created.into_iter().map(|mut one| one["topic"]["id"].take()).collect();
    let join = |id| json!({ "cmd": "topic_join", "topic": id });
    readers.ask(&ids.iter().map(join).collect::<Vec<_>>());
    readers.reaches("topics", count);
    let publish =
        |(at, id)| json!({ "cmd": "publish", "topic": id, "text": format!("message {at}") });
    authors.ask(&ids.iter().enumerate().map(publish).collect::<Vec<_>>());
    readers.reaches("entries", count);
    let entries = |id| json!({ "cmd": "entries", "topic": id, "after": 0 });
    let pages = readers.ask(&ids.iter().map(entries).collect::<Vec<_>>());
    for (at, page) in pages.iter().enumerate() {
        assert_eq!(page["entries"][0]["text"], format!("message {at}"));
    }
    let listed = reader.get(&["topic", "list"])["topics"].take();
    assert_eq!(listed.as_array().expect("topics").len(), count);
    let listed = reader.get(&["gossip", "subscriptions"])["subscriptions"].take();
    assert_eq!(listed.as_array().expect("subscriptions").len(), count);
}
