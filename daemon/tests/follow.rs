//! `icnctl wal dump --follow` while its node starts, stops and is killed.

mod harness;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use harness::{House, until};
use serde_json::Value;

/// A follower and the records that it has shown.
struct Following {
    child: Child,
    records: Arc<Mutex<Vec<Value>>>,
}

impl Following {
    fn start(house: &House, more: &[&str]) -> Self {
        let mut child = follower(house, more);
        let stdout = BufReader::new(child.stdout.take().expect("stdout"));
        let records = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&records);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let record = serde_json::from_str(&line).expect("a JSON line");
                shown.lock().expect("records").push(record);
            }
        });
        Self { child, records }
    }

    fn lsns(&self) -> Vec<u64> {
        let records = self.records.lock().expect("records");
        records.iter().map(|record| record["lsn"].as_u64().expect("an LSN")).collect()
    }

    /// Waits until record `lsn` is shown, and checks that all up to it came once and in order.
    fn reaches(&mut self, lsn: u64) {
        until(&format!("the showing of #{lsn}"), || {
            if let Some(status) = self.child.try_wait().expect("wait") {
                panic!("the follower ended with {status} at {:?}", self.lsns().last());
            }
            (self.lsns().last() >= Some(&lsn)).then_some(())
        });
        assert_eq!(self.lsns(), (1..=lsn).collect::<Vec<_>>());
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follower(house: &House, more: &[&str]) -> Child {
    let mut command = house.icnctl(&["wal", "dump", "--follow", "--json"]);
    command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawn icnctl")
}

/// Whether `process` ignores SIGINT, as every process does that a shell starts in the background.
fn ignores_interrupts(process: u32) -> bool {
    const INTERRUPT: u64 = 1 << 1;
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).expect("a mask") & INTERRUPT > 0)
}

fn publish(house: &House, text: &str) -> u64 {
    house.get(&["gossip", "publish", "a", text])["lsn"].as_u64().expect("an LSN")
}

#[test]
fn a_follower_shows_every_record_once_through_rotation_compaction_and_kill() {
    let house = House::new();
    house.configure("[snapshot]\nkeep_hours = 0\n");
    let daemon = house.start();
    house.get(&["topic", "create", "a"]);
    let mut following = Following::start(&house, &[]);
    following.reaches(2);
    // The messages fill further segments, and snapshots let the first segments be dropped.
    let line = "x".repeat(50_000);
    let mut last = 0;
    for _ in 0..5 {
        let lines = format!("{line}\n").repeat(20);
        assert!(house.publish_lines("a", &lines).status.success());
        last = publish(&house, "and");
        following.reaches(last);
        house.get(&["snapshot", "create"]);
    }
    let segments = house.get(&["wal", "list"]);
    assert!(segments["segments"][0]["segment"].as_u64() > Some(1), "none was dropped: {segments}");
    daemon.kill();
    for round in 0..3 {
        let daemon = house.start();
        // One record for the epoch of this run, one for the message.
        last += 2;
        assert_eq!(publish(&house, &format!("after start {round}")), last);
        following.reaches(last);
        daemon.kill();
    }
    let mut daemon = house.start();
    last += 2;
    assert_eq!(publish(&house, "the last"), last);
    assert_eq!(daemon.stop("TERM"), Some(0));
    following.reaches(last);
    let process = following.child.id();
    let signal = if ignores_interrupts(process) { "TERM" } else { "INT" };
    let arguments = ["-s", signal, &process.to_string()];
    assert!(Command::new("kill").args(arguments).status().expect("kill").success());
    let status = until("the end", || following.child.try_wait().expect("wait"));
    assert_eq!(status.code(), None, "Ctrl-C ends it");
}

#[test]
fn a_follower_ends_at_its_limit_or_when_its_reader_closes_the_pipe() {
    let house = House::new();
    let _daemon = house.start();
    house.get(&["topic", "create", "a"]);
    let mut following = Following::start(&house, &["--type", "entry", "--limit", "2"]);
    for text in ["one", "two", "three"] {
        publish(&house, text);
    }
    let status = until("the end", || following.child.try_wait().expect("wait"));
    assert_eq!(status.code(), Some(0));
    // Another thread reads the lines.
    until("its two lines", || (following.lsns() == [3, 4]).then_some(()));

    // The node is idle: only the closed pipe can end the follower.
    let mut child = follower(&house, &["--from", "3"]);
    let mut first = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
    stdout.read_line(&mut first).expect("a line");
    assert!(first.contains("\"lsn\":3"), "{first}");
    drop(stdout);
    let status = until("the end", || child.try_wait().expect("wait"));
    assert_eq!(status.code(), Some(0));

    let output = house.icnctl(&["wal", "dump", "--follow", "--until", "1h"]).output().expect("run");
    assert_eq!(output.status.code(), Some(2), "no record comes from before");
}

#[test]
fn dropped_records_are_reported_as_dropped_and_not_as_damage() {
    let house = House::new();
    house.configure("[snapshot]\nrecords = 1\nkeep_hours = 0\n");
    let daemon = house.start();
    house.get(&["topic", "create", "a"]);
    // Each start begins a segment, and the snapshots need none of the first segments.
    daemon.kill();
    for text in ["one", "two", "three", "four", "five"] {
        let daemon = house.start();
        publish(&house, text);
        house.get(&["snapshot", "create"]);
        daemon.kill();
    }
    let first = house.get(&["wal", "list"])["segments"][0]["first_lsn"].as_u64();
    assert!(first > Some(1), "{first:?}");
    assert_eq!(house.fails(&["wal", "dump", "--from", "2"]), (1, "ICN-E0217".into()));
    let mut follower = follower(&house, &["--from", "2"]);
    let status = until("the end", || follower.try_wait().expect("wait"));
    assert_eq!(status.code(), Some(1));
}
