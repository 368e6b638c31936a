//! Real nodes whose wall clock is wrong, set, or put right.

mod harness;

use std::process::Command;

use harness::shifted::Shifted;
use harness::{Daemon, House, until};
use serde_json::Value;

const DAY: i64 = 24 * 60 * 60;

impl Shifted {
    /// The DIDs of the connected peers.
    fn connected(&self) -> Vec<String> {
        let listed = self.house.get(&["peer", "list"]);
        let peers = listed["peers"].as_array().expect("peers").iter();
        peers.map(|peer| peer["did"].as_str().expect("a DID").to_owned()).collect()
    }

    fn doubt(&self) -> Value {
        self.house.get(&["status"])["clock_doubt"].take()
    }

    fn wait_for_doubt(&self, is_expected: bool) -> Value {
        until("a change of the doubt", || {
            let doubt = self.doubt();
            (doubt.is_null() != is_expected).then_some(doubt)
        })
    }

    fn publish(&self, count: usize) {
        let lines: String = (0..count).map(|number| format!("{number}\n")).collect();
        assert!(self.house.publish_lines("a", &lines).status.success());
    }

    fn entries(&self) -> u64 {
        let shown = self.house.get(&["topic", "show", "a"]);
        shown["topic"]["entries"].as_u64().expect("a number")
    }

    fn snapshots(&self) -> usize {
        let listed = self.house.get(&["snapshot", "list"]);
        listed["snapshots"].as_array().expect("snapshots").len()
    }
}

fn health(daemon: &Daemon) -> String {
    daemon.http("/healthz", "localhost").1
}

#[test]
fn a_clock_set_back_stops_no_snapshot_and_health_says_so() {
    let node = Shifted::new("[snapshot]\ninterval_seconds = 1\n");
    let daemon = node.start();
    node.house.get(&["topic", "create", "a"]);
    until("a snapshot", || (node.snapshots() > 0).then_some(()));
    for seconds in [-7200, 7200 * 24] {
        node.shift(seconds);
        let doubt = node.wait_for_doubt(true);
        assert_eq!(doubt["kind"], "moved");
        let off = doubt["ms"].as_i64().expect("a number") - seconds * 1000;
        assert!(off.abs() < 1000, "{doubt}");
        until("a word in health", || health(&daemon).contains(" clock confirm").then_some(()));
        let before = node.house.get(&["snapshot", "list"])["window"]["last"].as_u64();
        node.publish(3);
        until("a later snapshot", || {
            let listed = node.house.get(&["snapshot", "list"])["snapshots"].take();
            let lsns = listed.as_array()?.iter().filter_map(|one| one["lsn"].as_u64());
            (lsns.max() > before).then_some(())
        });
        node.shift(0);
        node.wait_for_doubt(false);
    }
    until("no word in health", || (!health(&daemon).contains("clock confirm")).then_some(()));
    assert!(daemon.log().contains("The wall clock was set back by 2 h"), "{}", daemon.log());
}

#[test]
fn a_wrong_clock_expires_nothing_while_the_node_runs_or_over_a_restart() {
    let node = Shifted::new("");
    let mut daemon = node.start();
    node.house.get(&["topic", "create", "a"]);
    node.publish(100);
    node.shift(40 * DAY);
    node.wait_for_doubt(true);
    assert_eq!(node.entries(), 100);
    daemon.kill();
    for digit in ['a', 'b'] {
        node.boot(digit);
        daemon = node.start();
        assert_eq!(node.doubt()["kind"], "down");
        node.publish(1);
        daemon.kill();
    }
    // A clock without a battery begins in 1970.
    node.shift(-50 * 365 * DAY);
    daemon = node.start();
    assert_eq!(node.doubt()["kind"], "down");
    node.publish(1);
    // The network puts it right while the node runs.
    node.shift(0);
    node.wait_for_doubt(false);
    assert_eq!(node.entries(), 103);
    daemon.kill();
    daemon = node.start();
    assert_eq!(node.doubt(), Value::Null);
    assert_eq!(node.entries(), 103);
    drop(daemon);
}

#[test]
fn a_clock_moved_in_a_boot_stays_in_doubt_over_restarts_until_it_is_put_back() {
    let node = Shifted::new("");
    let mut daemon = node.start();
    node.house.get(&["topic", "create", "a", "--retention-days", "1"]);
    node.publish(10);
    node.shift(3 * DAY);
    node.wait_for_doubt(true);
    daemon.kill();
    // Less than 7 days, which would be believed of a machine that was off.
    for days in [3, -2, 5] {
        node.shift(days * DAY);
        daemon = node.start();
        let doubt = node.doubt();
        assert_eq!(doubt["kind"], "moved");
        let off = doubt["ms"].as_i64().expect("a number") - days * DAY * 1000;
        assert!(off.abs() < 1000, "{doubt}");
        until("a tick", || health(&daemon).contains(" clock confirm").then_some(()));
        assert_eq!(node.entries(), 10);
        daemon.kill();
    }
    daemon = node.start();
    node.shift(0);
    node.wait_for_doubt(false);
    assert_eq!(node.entries(), 10);
    drop(daemon);
}

#[test]
fn a_confirmed_clock_counts_the_time_that_the_node_was_down() {
    let node = Shifted::new("");
    let daemon = node.start();
    node.house.get(&["topic", "create", "a"]);
    node.publish(10);
    daemon.kill();
    node.shift(40 * DAY);
    node.boot('a');
    let daemon = node.start();
    assert_eq!(node.doubt()["kind"], "down");
    assert_eq!(node.entries(), 10);
    assert_eq!(node.house.get(&["clock", "show"])["would_expire"], 10);
    assert_eq!(node.house.fails(&["clock", "confirm"]), (17, "ICN-E0511".into()));
    assert_eq!(node.house.get(&["clock", "confirm", "--yes"])["doubt"], Value::Null);
    until("the end of the retention", || (node.entries() == 0).then_some(()));
    node.publish(1);
    daemon.kill();
    let daemon = node.start();
    assert_eq!(node.doubt(), Value::Null);
    assert_eq!(node.entries(), 1);
    // A few days without the node need no operator.
    daemon.kill();
    node.shift(45 * DAY);
    node.boot('b');
    let _daemon = node.start();
    assert_eq!(node.doubt(), Value::Null);
    assert_eq!(node.entries(), 1);
}

#[test]
fn messages_arrive_at_once_after_a_clock_that_was_ahead_is_put_right() {
    let author = Shifted::new("");
    author.shift(7200);
    let daemon = author.start();
    let reader = House::quick();
    let _readers = reader.start_with(&["--peer", &daemon.peers()]);
    let id = author.house.create("a", &["--public"]);
    reader.join(&id);
    author.house.get(&["gossip", "publish", "a", "two hours ahead"]);
    until("a peer that holds it back", || {
        (reader.get(&["status"])["network"]["future"].as_u64() > Some(0)).then_some(())
    });
    let held = until("the report to the author", || {
        let held = author.house.get(&["status"])["held_back"].take();
        (!held.is_null()).then_some(held)
    });
    assert_eq!(held["peers"], 1);
    let ahead = held["ahead_ms"].as_u64().expect("a number");
    assert!(ahead.abs_diff(7_200_000) < 60_000, "{held}");
    let warned = author.house.get(&["gossip", "publish", "a", "ahead as well"]);
    assert_eq!(warned["held_back"]["peers"], 1);
    until("a word in health", || health(&daemon).contains(" clock show").then_some(()));
    author.shift(0);
    author.wait_for_doubt(true);
    for text in ["right", "again"] {
        author.house.get(&["gossip", "publish", "a", text]);
    }
    until("the later messages", || (reader.texts("a") == ["right", "again"]).then_some(()));
    // Those written before are not forgotten: they arrive when their time has come.
    let earlier = author.house.get(&["clock", "show"]);
    assert_eq!(earlier["held_back"], Value::Null);
    assert_eq!(earlier["held_earlier"]["peers"], 1, "{earlier}");
    until("a word in health", || health(&daemon).contains("arrive within 2 h").then_some(()));
    drop(daemon);
}

#[test]
fn after_a_resume_only_the_link_of_a_peer_that_does_not_answer_ends() {
    let node = Shifted::new("");
    let [alive, stopped] = [House::quick(), House::quick()];
    let daemons = [alive.start(), stopped.start()];
    let [to_alive, to_stopped] = [&daemons[0], &daemons[1]].map(Daemon::peers);
    let daemon = node.start_with(&["--peer", &to_alive, "--peer", &to_stopped]);
    until("two links", || (node.connected().len() == 2).then_some(()));
    send("STOP", &daemons[1]);
    node.suspend(3600);
    until("the end of the dead link", || (node.connected() == [alive.did()]).then_some(()));
    let log = daemon.log();
    assert!(log.contains("The machine was suspended for 1 h 0 min"), "{log}");
    assert!(log.contains("no answer after the machine was suspended"), "{log}");
    let metrics = daemon.http("/metrics", "localhost").1;
    assert!(metrics.contains("icn_network_resumes_total 1"), "{metrics}");
    send("CONT", &daemons[1]);
    until("the link again", || (node.connected().len() == 2).then_some(()));
    assert_eq!(node.doubt(), Value::Null);
    assert!(!daemon.log().contains(&format!("Lost the link to {}", alive.did())));
}

#[test]
fn each_of_two_nodes_shows_the_others_clock_and_believes_its_own() {
    let ahead = Shifted::new("");
    ahead.shift(7200);
    let daemon = ahead.start();
    let right = House::quick();
    let _rights = right.start_with(&["--peer", &daemon.peers()]);
    let difference =
        |house: &House| house.get(&["peer", "list"])["peers"][0]["clock_ahead_ms"].as_i64();
    for (house, expected_ms) in [(&right, 7_200_000), (&ahead.house, -7_200_000)] {
        let shown = until("a time of the peer", || difference(house));
        assert!(shown.abs_diff(expected_ms) < 60_000, "{shown}");
        assert_eq!(house.get(&["clock", "show"])["peers_apart"], 1);
        assert_eq!(house.get(&["status"])["clock_doubt"], Value::Null);
    }
    let listed = right.icnctl(&["peer", "list"]).output().expect("run icnctl").stdout;
    let listed = String::from_utf8(listed).expect("UTF-8");
    assert!(listed.contains("  +2 h 0 min") || listed.contains("  +1 h 59 min"), "{listed}");
    ahead.shift(0);
    until("clocks in step", || (difference(&ahead.house)?.abs() < 60_000).then_some(()));
}

/// Sends a signal to a node.
fn send(signal: &str, to: &Daemon) {
    let sent = Command::new("kill").args(["-s", signal, &to.id().to_string()]).status();
    assert!(sent.expect("kill").success());
}
