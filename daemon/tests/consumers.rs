//! `icnctl gossip subscribe --follow`: consumers that start, stop, are killed or do not read.

mod harness;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use harness::{Dice, House, until};
use serde_json::{Value, json};

const TOPIC: &str = "coop:ledger";

/// A consumer and the lines that it has printed.
struct Consumer {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    reader: Option<thread::JoinHandle<()>>,
    errors: std::path::PathBuf,
}

impl Consumer {
    fn start(house: &House, more: &[&str]) -> Self {
        let (mut consumer, stdout) = Self::unread(house, more);
        let lines = Arc::clone(&consumer.lines);
        consumer.reader = Some(thread::spawn(move || take(stdout, &lines)));
        consumer
    }

    /// A consumer whose output stays unread.
    fn unread(house: &House, more: &[&str]) -> (Self, ChildStdout) {
        let errors = tempfile::NamedTempFile::new_in(house.around()).expect("a file");
        let (errors, path) = errors.keep().expect("a file");
        let mut command = house.icnctl(&["--json", "gossip", "subscribe", "--follow"]);
        let command = command.args(more).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().expect("spawn icnctl");
        let stdout = child.stdout.take().expect("stdout");
        (Self { child, lines: Arc::default(), reader: None, errors: path }, stdout)
    }

    fn lines(&self) -> Vec<Value> {
        self.lines.lock().expect("lines").clone()
    }

    fn indexes(&self) -> Vec<u64> {
        self.lines().iter().filter_map(|line| line["index"].as_u64()).collect()
    }

    fn texts(&self) -> Vec<String> {
        let text = |line: &Value| line["text"].as_str().map(ToOwned::to_owned);
        self.lines().iter().filter_map(text).collect()
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(&self.errors).expect("read")
    }

    /// Waits for exactly `count` lines.
    fn gets(&mut self, count: usize) {
        until(&format!("line {count}"), || {
            if let Some(status) = self.child.try_wait().expect("wait") {
                panic!("it ended with {status} after {:?}: {}", self.lines(), self.errors());
            }
            (self.lines.lock().expect("lines").len() >= count).then_some(())
        });
        assert_eq!(self.lines().len(), count, "{:?}", self.lines());
    }

    /// Sends a signal, waits for the end and returns the exit code.
    fn signal(&mut self, name: &str) -> Option<i32> {
        // Its cursor exists before it handles signals; until then a signal ends it at once.
        until("that it catches signals", || self.catches(name).then_some(()));
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
        self.end()
    }

    fn catches(&self, name: &str) -> bool {
        let number = if name == "INT" { 2 } else { 15 };
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("a status");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("signals");
        let caught = u64::from_str_radix(caught.trim(), 16).expect("a mask");
        caught >> (number - 1) & 1 == 1
    }

    fn end(&mut self) -> Option<i32> {
        let status = until("the end of a consumer", || self.child.try_wait().expect("wait"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("join");
        }
        status.code()
    }

    /// The exit code and the error code that it ends with.
    fn fails(&mut self) -> (Option<i32>, String) {
        let code = self.end();
        let lines = self.lines();
        let last = lines.last().expect("a line");
        (code, last["error"]["code"].as_str().expect("a code").to_owned())
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects whole lines only: the last line of a killed process may be cut.
fn take(stdout: impl Read, lines: &Mutex<Vec<Value>>) {
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    while stdout.read_line(&mut line).is_ok_and(|got| got > 0) && line.ends_with('\n') {
        lines.lock().expect("lines").push(serde_json::from_str(&line).expect("a JSON line"));
        line.clear();
    }
}

fn publish(house: &House, texts: impl IntoIterator<Item = impl AsRef<str>>) {
    let lines: String = texts.into_iter().map(|text| format!("{}\n", text.as_ref())).collect();
    let output = house.publish_lines(TOPIC, &lines);
    assert!(output.status.success(), "{output:?}");
}

/// The position of a cursor, and how many arrivals follow it.
fn cursor(house: &House, name: &str) -> Option<(u64, u64)> {
    let data = house.get(&["gossip", "subscriptions"]);
    let cursors = data["cursors"].as_array().expect("cursors");
    let cursor = cursors.iter().find(|cursor| cursor["cursor"] == name)?;
    Some((cursor["at"].as_u64().expect("a number"), cursor["behind"].as_u64().expect("a number")))
}

fn until_cursor(house: &House, name: &str, at: u64) {
    until(&format!("cursor {name} at {at}"), || (cursor(house, name)?.0 >= at).then_some(()));
}

#[test]
fn a_cursor_misses_no_entry_through_kills_of_the_node_and_its_consumer() {
    const ROUNDS: u64 = 20;
    let house = House::new();
    let mut dice = Dice(0x1c9_0b5e_55ed);
    let mut daemon = house.start();
    house.get(&["topic", "create", TOPIC]);
    let arguments = [TOPIC, "--cursor", "app", "--from-start"];
    let mut consumer = Consumer::start(&house, &arguments);
    let mut acknowledged = Vec::new();
    let mut seen: BTreeMap<u64, Value> = BTreeMap::new();
    let mut stood = 0;
    let mut repeated = 0;
    let mut collect = |consumer: &Consumer| {
        for line in consumer.lines() {
            let Some(index) = line["index"].as_u64() else { continue };
            if let Some(before) = seen.insert(index, line.clone()) {
                assert_eq!(before, line, "one index is one entry");
                repeated += 1;
            }
        }
    };
    for round in 0..ROUNDS {
        let lines: String = (0..200).map(|number| format!("{round}:{number}\n")).collect();
        let mut publisher = house
            .icnctl(&["gossip", "publish", TOPIC, "--lines"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("spawn");
        publisher.stdin.take().expect("stdin").write_all(lines.as_bytes()).expect("write");
        // The kill falls into the publishing or into the acknowledging.
        let within = [40_000, 400_000][usize::from(round % 4 < 2)];
        thread::sleep(Duration::from_micros(dice.below(within)));
        if round % 2 == 0 {
            daemon.kill();
            let ended = consumer.fails();
            assert_eq!(ended, (Some(13), "ICN-E0145".into()));
            daemon = house.start();
        } else {
            consumer.child.kill().expect("kill");
            consumer.end();
        }
        let output = publisher.wait_with_output().expect("wait");
        let answers = String::from_utf8(output.stdout).expect("UTF-8");
        let answers = answers.lines().filter(|answer| answer.contains("\"seq\"")).count();
        acknowledged.extend((0..answers).map(|number| format!("{round}:{number}")));
        collect(&consumer);
        let seen_last = consumer.indexes().last().copied().unwrap_or(0);
        let (stands, _) = cursor(&house, "app").expect("a cursor");
        assert!(stands >= stood, "round {round}: a cursor never goes back");
        consumer = Consumer::start(&house, &arguments);
        let (_, behind) = cursor(&house, "app").expect("a cursor");
        if behind > 0 {
            assert!(seen_last.saturating_sub(stands) <= 1024, "that many come again");
            let first = until("a line", || consumer.indexes().first().copied());
            let on = stands + 1..=stands.max(seen_last) + 1;
            assert!(on.contains(&first), "round {round}: it goes on at {first}, not in {on:?}");
        }
        stood = stands;
    }
    publish(&house, ["the last"]);
    until("the last line", || (consumer.texts().last()? == "the last").then_some(()));
    collect(&consumer);
    let last = *seen.last_key_value().expect("lines").0;
    let indexes: Vec<_> = seen.keys().copied().collect();
    assert_eq!(indexes, (1..=last).collect::<Vec<_>>(), "every arrival, the unacknowledged too");
    let texts: Vec<_> = seen.values().map(|line| line["text"].as_str().expect("text")).collect();
    assert_eq!(texts, house.texts(TOPIC));
    for text in &acknowledged {
        assert!(texts.contains(&text.as_str()), "{text} was acknowledged");
    }
    assert!(acknowledged.len() > 200, "{} were", acknowledged.len());
    println!("{} acknowledged, {last} seen, {repeated} of them again", acknowledged.len());
    // A position that the node has shown survives a kill.
    until_cursor(&house, "app", last);
    daemon.kill();
    let _daemon = house.start();
    assert_eq!(cursor(&house, "app"), Some((last, 0)));
}

#[test]
fn an_unread_consumer_delays_no_other_and_acknowledges_nothing() {
    let house = House::new();
    let mut daemon = house.start();
    house.get(&["topic", "create", TOPIC]);
    let (mut stalled, stdout) = Consumer::unread(&house, &[TOPIC, "--cursor", "slow"]);
    let mut other = Consumer::start(&house, &[TOPIC, "--cursor", "fast"]);
    until("both cursors", || cursor(&house, "slow").and(cursor(&house, "fast")));
    // More bytes than all the pipes and sockets on the way hold.
    let long = "x".repeat(50_000);
    publish(&house, (0..200).map(|number| format!("{number} {long}")));
    other.gets(200);
    until_cursor(&house, "fast", 200);
    publish(&house, ["more"]);
    other.gets(201);
    for _ in 0..50 {
        let (at, _) = cursor(&house, "slow").expect("a cursor");
        assert_eq!(at, 0, "what is in a pipe may never be read");
        thread::sleep(Duration::from_millis(10));
    }
    // The unread consumer is killed, and the next one on its cursor gets the rest.
    stalled.child.kill().expect("kill");
    stalled.end();
    take(stdout, &stalled.lines);
    let mut next = Consumer::start(&house, &[TOPIC, "--cursor", "slow"]);
    until("the rest", || (next.indexes().last()? == &201).then_some(()));
    let mut all = [stalled.indexes(), next.indexes()].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (1..=201).collect::<Vec<_>>());
    // Unread consumers do not delay the end of the node either.
    let (_stalled, _stdout) = Consumer::unread(&house, &[TOPIC, "--from-start"]);
    let (mut stuck, _stuck) = Consumer::unread(&house, &[TOPIC, "--cursor=stuck", "--from-start"]);
    until("its cursor", || cursor(&house, "stuck"));
    assert_eq!(stuck.signal("INT"), Some(130));
    assert_eq!(cursor(&house, "stuck"), Some((0, 201)));
    assert_eq!(next.signal("INT"), Some(130));
    assert_eq!(daemon.stop("TERM"), Some(0));
    assert_eq!(other.fails(), (Some(13), "ICN-E0145".into()));
}

#[test]
fn an_orderly_end_of_node_or_consumer_repeats_no_entry() {
    let house = House::new();
    let mut daemon = house.start();
    house.get(&["topic", "create", TOPIC]);
    let follow = [TOPIC, "--cursor", "app", "--from-start"];
    for (round, signal) in (1..).zip([("INT", 130), ("TERM", 143)]) {
        publish(&house, ["one"]);
        let mut consumer = Consumer::start(&house, &follow);
        consumer.gets(1);
        assert_eq!(consumer.signal(signal.0), Some(signal.1));
        assert_eq!(consumer.indexes(), [round]);
        assert_eq!(cursor(&house, "app"), Some((round, 0)), "after SIG{}", signal.0);
    }
    publish(&house, ["three"]);
    let mut consumer = Consumer::start(&house, &follow);
    consumer.gets(1);
    assert_eq!(daemon.stop("TERM"), Some(0));
    assert_eq!(consumer.fails(), (Some(13), "ICN-E0145".into()));
    let _daemon = house.start();
    assert_eq!(cursor(&house, "app"), Some((3, 0)), "after the stop of the node");

    // The reader closes the pipe while no line is written. It has taken two lines of three.
    publish(&house, ["four", "five", "six"]);
    let (mut consumer, mut stdout) = Consumer::unread(&house, &follow);
    let mut taken = Vec::new();
    while taken.iter().filter(|byte| **byte == b'\n').count() < 2 {
        let mut byte = [0];
        stdout.read_exact(&mut byte).expect("a byte");
        taken.extend(byte);
    }
    until_cursor(&house, "app", 5);
    drop(stdout);
    // Lines that were written and not read count as delivered, so the end is no success.
    assert_eq!(consumer.end(), Some(1));
    let errors = consumer.errors();
    assert!(errors.contains("ICN-E0513"), "{errors}");
    assert_eq!(cursor(&house, "app"), Some((5, 1)));
}

#[test]
fn a_consumer_begins_at_the_position_its_options_name() {
    let house = House::new();
    let _daemon = house.start();
    house.get(&["topic", "create", TOPIC]);
    publish(&house, ["one", "two"]);
    let mut all = Consumer::start(&house, &[TOPIC, "--from-start"]);
    let mut some = Consumer::start(&house, &[TOPIC, "--after", "1"]);
    all.gets(2);
    some.gets(1);
    let mut new = Consumer::start(&house, &[TOPIC, "--cursor", "new"]);
    until("its cursor", || cursor(&house, "new"));
    publish(&house, ["three\u{1}"]);
    for (consumer, count) in [(&mut all, 3), (&mut some, 2), (&mut new, 1)] {
        consumer.gets(count);
        let lines = consumer.lines();
        let entries = house.get(&["gossip", "entries", TOPIC, "--after", "2"]);
        let mut entry = entries["entries"][0].clone();
        let arrival = entry.as_object_mut().expect("an object").remove("arrival");
        entry["index"] = arrival.expect("an arrival");
        assert_eq!(lines.last(), Some(&entry));
    }
    until_cursor(&house, "new", 3);
    // The node is subscribed now, once.
    let wishes = house.get(&["gossip", "subscriptions"]);
    assert_eq!(wishes["subscriptions"].as_array().map(Vec::len), Some(1), "{wishes}");
    assert_eq!(wishes, house.get(&["gossip", "subscriptions", "--offline"]));
    // The text for people.
    let out = house.around().join("text");
    let mut command = house.icnctl(&["gossip", "subscribe", TOPIC, "--follow", "--after", "1"]);
    let mut child = command.stdout(File::create(&out).expect("create")).spawn().expect("spawn");
    let text = until("two lines", || {
        let text = std::fs::read_to_string(&out).expect("read");
        (text.lines().count() == 2).then_some(text)
    });
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert!(text.starts_with("2       ") && text.ends_with("three\u{fffd}\n"), "{text}");
}

#[test]
fn a_consumer_waits_for_a_topic_that_is_not_known_yet() {
    let house = House::new();
    let _daemon = house.start();
    let mut consumer = Consumer::start(&house, &[TOPIC, "--cursor", "app"]);
    until("a warning", || consumer.errors().contains("no topic coop:ledger").then_some(()));
    house.get(&["topic", "create", "other"]);
    let mut second = Consumer::start(&house, &[TOPIC, "--cursor", "app"]);
    assert_eq!(second.fails(), (Some(19), "ICN-E0333".into()));
    house.get(&["topic", "create", TOPIC]);
    publish(&house, ["one"]);
    publish(&house, ["two"]);
    consumer.gets(2);
    assert_eq!(consumer.indexes(), [1, 2]);
    until_cursor(&house, "app", 2);
    // Deleting the topic ends the consumer.
    house.get(&["topic", "delete", TOPIC, "--yes"]);
    assert_eq!(consumer.fails(), (Some(1), "ICN-E0302".into()));
    assert_eq!(cursor(&house, "app"), None);
}

#[test]
fn pruned_entries_are_reported_to_their_consumer() {
    let house = House::new();
    let _daemon = house.start();
    house.get(&["topic", "create", TOPIC, "--max-entries", "5"]);
    publish(&house, ["1"]);
    let mut consumer = Consumer::start(&house, &[TOPIC, "--cursor", "app", "--from-start"]);
    consumer.gets(1);
    assert_eq!(consumer.signal("INT"), Some(130));
    publish(&house, (2..=20).map(|number| number.to_string()));
    until("the pruning", || {
        (house.get(&["topic", "show", TOPIC])["topic"]["entries"] == 5).then_some(())
    });
    assert_eq!(cursor(&house, "app"), Some((1, 19)));
    let mut consumer = Consumer::start(&house, &[TOPIC, "--cursor", "app"]);
    consumer.gets(6);
    assert_eq!(consumer.lines()[0], json!({ "pruned": { "from": 2, "through": 15 } }));
    assert_eq!(consumer.indexes(), (16..=20).collect::<Vec<_>>());
    until_cursor(&house, "app", 20);
}

#[test]
fn a_restore_reuses_no_index_and_moves_no_cursor_back() {
    let house = House::new();
    let _daemon = house.start();
    let without = house.get(&["snapshot", "create", "--pin"]);
    house.get(&["topic", "create", TOPIC]);
    publish(&house, ["one"]);
    let mut consumer = Consumer::start(&house, &[TOPIC, "--cursor", "app", "--from-start"]);
    consumer.gets(1);
    until_cursor(&house, "app", 1);
    let snapshot = house.get(&["snapshot", "create"]);
    publish(&house, ["two", "three"]);
    consumer.gets(3);
    until_cursor(&house, "app", 3);
    house.get(&["snapshot", "restore", snapshot["id"].as_str().expect("id"), "--yes"]);
    assert_eq!(house.texts(TOPIC), ["one"]);
    assert_eq!(cursor(&house, "app"), Some((3, 0)));
    publish(&house, ["four"]);
    consumer.gets(4);
    assert_eq!(consumer.indexes(), [1, 2, 3, 4]);
    // This snapshot was taken before the topic existed.
    house.get(&["snapshot", "restore", without["id"].as_str().expect("id"), "--yes"]);
    assert_eq!(consumer.fails(), (Some(1), "ICN-E0302".into()));
}

#[test]
fn an_invalid_or_taken_cursor_is_refused() {
    let house = House::new();
    let _daemon = house.start();
    house.get(&["topic", "create", TOPIC]);
    let refused = |arguments: &[&str]| Consumer::start(&house, arguments).fails();
    for name in ["App", "a b", "", "ü", &"a".repeat(129)] {
        let arguments = [TOPIC, &format!("--cursor={name}")];
        assert_eq!(refused(&arguments), (Some(1), "ICN-E0330".into()), "{name:?}");
    }
    assert_eq!(refused(&["No topic"]), (Some(1), "ICN-E0302".into()));
    let ahead = [TOPIC, "--cursor", "app", "--after", "1"];
    assert_eq!(refused(&ahead), (Some(1), "ICN-E0332".into()));
    assert_eq!(cursor(&house, "app"), None);
    let delete = ["gossip", "cursor", "delete", TOPIC, "app"];
    assert_eq!(house.fails(&delete), (1, "ICN-E0331".into()));
    for wrong in [&["--cursor", "app"][..], &["--from-start"], &["--follow", "--after", "x"]] {
        let mut command = house.icnctl(&["gossip", "subscribe", TOPIC]);
        let output = command.args(wrong).output().expect("run");
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }

    let mut consumer = Consumer::start(&house, &[TOPIC, "--cursor", "app"]);
    until("its cursor", || cursor(&house, "app"));
    assert_eq!(refused(&[TOPIC, "--cursor", "app"]), (Some(19), "ICN-E0333".into()));
    let id = house.get(&["topic", "show", TOPIC])["topic"]["id"].clone();
    let by_id = [id.as_str().expect("an id"), "--cursor", "app"];
    assert_eq!(refused(&by_id), (Some(19), "ICN-E0333".into()));
    // The consumer of a deleted cursor does not make it again.
    assert_eq!(house.get(&delete)["deleted"], "app");
    publish(&house, ["one"]);
    assert_eq!(consumer.fails(), (Some(1), "ICN-E0331".into()));
    assert_eq!(cursor(&house, "app"), None);
    let dump = house.icnctl(&["wal", "dump", "--json", "--type", "cursor,cursor-gone"]);
    let lines = { dump }.output().expect("run").stdout;
    assert_eq!(String::from_utf8(lines).expect("UTF-8").lines().count(), 2);
}

#[test]
fn a_stream_runs_at_most_1024_arrivals_ahead_of_its_cursor() {
    let house = House::new();
    let _daemon = house.start();
    house.get(&["topic", "create", TOPIC]);
    publish(&house, (1..=1500).map(|number| number.to_string()));
    let mut socket = UnixStream::connect(house.path().join("control.sock")).expect("connect");
    let follow = json!({ "v": 1, "cmd": "follow", "topic": TOPIC, "cursor": "app", "after": 0 });
    writeln!(socket, "{follow}").expect("write");
    let answers = BufReader::new(socket.try_clone().expect("a clone"));
    let mut lines = answers.lines().map(|line| line.expect("a line"));
    let mut next = || serde_json::from_str::<Value>(&lines.next().expect("a line")).expect("JSON");
    assert_eq!(next()["data"]["after"], 0);
    for index in 1..=1024 {
        assert_eq!(next()["index"], index);
    }
    // The stream pauses here until an acknowledgement arrives.
    let moved = json!({
        "v": 1, "cmd": "cursor_move", "topic": TOPIC, "cursor": "app", "arrival": 100,
    });
    writeln!(socket, "{moved}").expect("write");
    assert_eq!(next(), json!({ "acknowledged": 100 }));
    for index in 1025..=1124 {
        assert_eq!(next()["index"], index);
    }
    writeln!(socket, "{moved}").expect("write");
    assert_eq!(next(), json!({ "acknowledged": 100 }), "it stands where it stood");
}

#[test]
fn a_stream_accepts_only_acknowledgements() {
    let house = House::new();
    let _daemon = house.start();
    house.get(&["topic", "create", TOPIC]);
    for (second, code) in [
        (json!({ "v": 1, "cmd": "status" }).to_string(), "ICN-E0509"),
        (json!({ "v": 1, "cmd": "follow", "topic": TOPIC }).to_string(), "ICN-E0509"),
        ("nonsense".into(), "ICN-E0501"),
        (
            json!({ "v": 1, "cmd": "cursor_move", "topic": TOPIC, "cursor": "x", "arrival": 0 })
                .to_string(),
            "ICN-E0331",
        ),
    ] {
        let mut socket = UnixStream::connect(house.path().join("control.sock")).expect("connect");
        // Replies to earlier requests come first.
        let first = json!({ "v": 1, "cmd": "status" });
        let follow = json!({ "v": 1, "cmd": "follow", "topic": TOPIC });
        write!(socket, "{first}\n{follow}\n{second}\n").expect("write");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("the stream ends");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(lines[0]["data"]["node"]["state"], "ready");
        assert_eq!(lines[1]["data"]["after"], 0);
        assert_eq!(lines[2]["error"]["code"], code, "{text}");
    }
}
