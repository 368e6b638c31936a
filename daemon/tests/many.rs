//! Many subscriptions of one node: every topic is entered, and every message arrives.

mod harness;

use harness::client::Client;
use harness::{House, until};
use serde_json::{Value, json};

/// Waits until a figure of the status is `count`, for as long as it grows.
fn reaches(client: &mut Client, figure: &str, count: usize) {
    let mut last = 0;
    while last < count as u64 {
        last = until(&format!("more than {last} {figure} of {count}"), || {
            let status = &client.ask(&[json!({ "cmd": "status" })])[0];
            let now = status["gossip"][figure].as_u64().expect("a number");
            (now > last).then_some(now)
        });
    }
    assert_eq!(last, count as u64, "{figure}");
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
    reaches(&mut readers, "topics", count);
    let publish =
        |(at, id)| json!({ "cmd": "publish", "topic": id, "text": format!("message {at}") });
    authors.ask(&ids.iter().enumerate().map(publish).collect::<Vec<_>>());
    reaches(&mut readers, "entries", count);
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
