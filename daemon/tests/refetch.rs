//! Real nodes: what one has pruned comes back from the other when its operator asks for it.

mod harness;

use std::fs::File;
use std::path::PathBuf;
use std::process::Child;

use harness::shifted::Shifted;
use harness::{House, until};
use serde_json::{Value, json};

const DAY: i64 = 24 * 60 * 60;

/// A consumer that writes its lines to a file.
struct Consumer {
    child: Child,
    out: PathBuf,
}

impl Consumer {
    fn start(house: &House, more: &[&str]) -> Self {
        let (file, out) =
            tempfile::NamedTempFile::new_in(house.around()).expect("a file").keep().expect("kept");
        let mut command = house.icnctl(&["--json", "gossip", "subscribe", "--follow", "a"]);
        let stdout = File::options().append(true).open(&out).expect("a file");
        drop(file);
        let child = command.args(more).stdout(stdout).spawn().expect("spawn icnctl");
        Self { child, out }
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.out).expect("read");
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Its lines, once the last one has this text.
    fn up_to(&self, text: &str) -> Vec<Value> {
        until(text, || {
            let lines = self.lines();
            lines.last().is_some_and(|line| line["text"] == text).then_some(lines)
        })
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn entries(house: &House) -> u64 {
    house.get(&["topic", "show", "a"])["topic"]["entries"].as_u64().expect("a number")
}

fn cursor(house: &House) -> Value {
    house.get(&["gossip", "subscriptions"])["cursors"][0].take()
}

fn refetch(house: &House, more: &[&str]) -> Value {
    house.get(&[&["topic", "refetch", "a"], more].concat())
}

fn rfc3339(ms: u64) -> String {
    let ms = i64::try_from(ms).expect("a time");
    jiff::Timestamp::from_millisecond(ms).expect("a time").to_string()
}

#[test]
fn entries_that_a_wrong_clock_has_pruned_come_back_and_reach_no_consumer_twice() {
    let [node, peer] = [Shifted::new(""), Shifted::new("")];
    let peers = peer.start();
    let daemon = node.start_with(&["--peer", &peers.peers()]);
    let id = peer.house.create("a", &["--member", &node.house.did()]);
    node.house.join(&id);
    let early: String = (0..20).map(|number| format!("early {number}\n")).collect();
    assert!(peer.house.publish_lines("a", &early).status.success());
    until("the early entries", || (entries(&node.house) == 20).then_some(()));
    let consumer = Consumer::start(&node.house, &["--cursor", "app", "--from-start"]);
    consumer.up_to("early 19");
    until("its cursor", || (cursor(&node.house)["at"] == 20).then_some(()));
    drop(consumer);
    // Nothing was pruned yet.
    let found = refetch(&node.house, &[]);
    assert_eq!((&found["end"], &found["logs"]), (&json!("done"), &json!(0)));

    // Later than all before, by the clock of the author.
    let last = node.house.get(&["gossip", "entries", "a"])["entries"][19]["time"].take();
    let late_ms = last.as_u64().expect("a time") + 1;
    until("a later ms", || {
        let shown = peer.house.get(&["clock", "show"]);
        (shown["wall"].as_u64() > Some(late_ms)).then_some(())
    });
    assert!(peer.house.publish_lines("a", "late 1\nlate 2\n").status.success());
    until("the late entries", || (entries(&node.house) == 22).then_some(()));

    // After another boot, the operator confirms a wall clock that is 40 days ahead.
    daemon.kill();
    node.shift(40 * DAY);
    node.boot('2');
    let daemon = node.start_with(&["--peer", &peers.peers()]);
    node.house.get(&["clock", "confirm", "--yes"]);
    until("the end of the retention", || (entries(&node.house) == 0).then_some(()));
    daemon.kill();
    peers.kill();
    node.shift(0);
    let daemon = node.start();
    // Without a doubt, entries expire again, and those that come back must not.
    node.house.get(&["clock", "confirm", "--yes"]);
    assert_eq!(refetch(&node.house, &[])["end"], "no_peer");
    daemon.kill();

    let peers = peer.start();
    let daemon = node.start_with(&["--peer", &peers.peers()]);
    until("the peer with the topic", || {
        let listed = node.house.get(&["peer", "list"]);
        (listed["peers"][0]["topics"] == 1).then_some(())
    });
    let found = until("the late entries", || {
        // The peer may not have announced yet that it serves the topic.
        let found = refetch(&node.house, &["--since", &rfc3339(late_ms)]);
        (found["entries"] == 2).then_some(found)
    });
    assert_eq!((&found["end"], &found["authors"]), (&json!("done"), &json!(1)));
    assert_eq!(node.house.texts("a"), ["late 1", "late 2"]);
    let consumer = Consumer::start(&node.house, &["--cursor", "app"]);
    let output = node.house.icnctl(&["topic", "refetch", "a"]).output().expect("run icnctl");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.starts_with("20 entries of a came back ("), "{text}");
    assert!(text.contains("1 author), back to ") && text.contains("Nothing is missing"), "{text}");
    let all = peer.house.texts("a");
    assert_eq!(node.house.texts("a"), all);
    assert_eq!(all.len(), 22);

    // The consumer had the early entries before, and the late ones were pruned before it came.
    peer.house.get(&["gossip", "publish", "a", "new"]);
    let lines = consumer.up_to("new");
    let news: Vec<&Value> = lines.iter().filter(|line| !line["text"].is_null()).collect();
    assert_eq!(news.len(), 1, "{lines:?}");
    assert_eq!(news[0]["index"], 23);
    let pruned = json!({ "pruned": { "from": 21, "through": 22 } });
    assert!(lines.contains(&pruned), "{lines:?}");
    until("its cursor", || (cursor(&node.house)["at"] == 23).then_some(()));
    drop(consumer);
    daemon.kill();

    // All of it is durable.
    let daemon = node.start_with(&["--peer", &peers.peers()]);
    assert_eq!(node.house.texts("a"), [&all[..], &["new".to_owned()]].concat());
    assert_eq!(cursor(&node.house)["at"], 23);
    let first = Consumer::start(&node.house, &["--from-start"]);
    let lines = first.up_to("new");
    assert_eq!(lines.iter().filter(|line| !line["text"].is_null()).count(), 1, "{lines:?}");
    let found = refetch(&node.house, &[]);
    assert_eq!((&found["end"], &found["logs"]), (&json!("done"), &json!(0)));
    node.house.get(&["gossip", "unsubscribe", "a"]);
    assert_eq!(node.house.fails(&["topic", "refetch", "a"]), (1, "ICN-E0318".into()));
    drop(daemon);
}
