//! The commands of an operator, from the first start on.

mod harness;

use harness::{House, until};
use serde_json::json;

#[test]
fn a_subscription_outlives_a_restart_in_the_manual_session() {
    let house = House::new();
    let mut daemon = house.start();
    let did = house.did();
    let out = daemon.out();
    for told in [did.as_str(), "control.sock", "http://127.0.0.1:", "a new node", "topic create"] {
        assert!(out.contains(told), "{told} in {out}");
    }
    house.get(&["topic", "create", "coop:ledger"]);
    house.get(&["gossip", "subscribe", "coop:ledger"]);
    assert_eq!(daemon.stop("INT"), Some(0));
    let log = daemon.log();
    for phrase in [
        "Received SIGINT, shutting down gracefully",
        "Saving state snapshot before shutdown",
        "State snapshot saved to ",
        "ICNd stopped",
    ] {
        assert!(log.contains(phrase), "{phrase} in {log}");
    }

    let daemon = house.start();
    assert!(!daemon.out().contains("topic create"), "{}", daemon.out());
    let log = daemon.log();
    assert!(log.contains("Found state snapshot (version "), "{log}");
    assert!(log.contains("Gossip state restored"), "{log}");
    assert_eq!(house.did(), did);
    house.get(&["gossip", "publish", "coop:ledger", "hello"]);
    assert_eq!(house.texts("coop:ledger"), ["hello"]);
    let wishes = house.get(&["gossip", "subscriptions"]);
    assert_eq!(wishes["subscriptions"].as_array().map(Vec::len), Some(1));
    assert_eq!(wishes["subscriptions"][0]["by"], "local");
    assert_eq!(wishes["subscriptions"][0]["pending"], false);
}

#[test]
fn operators_find_the_phrases_they_grep_for() {
    let house = House::new();
    let friend = House::new();
    assert_eq!(friend.run(&["init"]).0, 0);
    let friend = friend.get(&["identity", "show", "--offline"]);
    let mut daemon = house.start();
    house.get(&["peer", "add", friend["card"].as_str().expect("card")]);
    assert_eq!(daemon.stop("TERM"), Some(0));
    let log = daemon.log();
    let saved = log.lines().find(|line| line.contains("State snapshot saved to "));
    let saved = saved.unwrap_or_else(|| panic!("{log}"));
    let (path, rest) =
        saved.split_once("saved to ").expect("a path").1.split_once(" in ").expect("in");
    assert!(std::path::Path::new(path).is_file(), "{path}");
    assert!(rest.ends_with('s') && rest[..rest.len() - 1].parse::<f64>().is_ok(), "{rest}");
    assert!(log.contains("Received SIGTERM, shutting down gracefully"));

    let daemon = house.start();
    let log = daemon.log();
    for phrase in [
        "Found state snapshot (version 0)",
        "Gossip state restored",
        "Restored 1 peer X25519 keys from snapshot",
    ] {
        assert!(log.contains(phrase), "{phrase} in {log}");
    }
}

#[test]
fn snapshots_are_taken_listed_verified_restored_and_deleted() {
    let house = House::new();
    let daemon = house.start();
    house.get(&["topic", "create", "a"]);
    house.get(&["gossip", "publish", "a", "first"]);
    let first = house.get(&["snapshot", "create"]);
    let first = first["id"].as_str().expect("id");
    house.get(&["topic", "create", "b"]);
    house.get(&["gossip", "publish", "a", "second"]);
    let second = house.get(&["snapshot", "create"]);
    let listed = house.get(&["snapshot", "list"]);
    assert_eq!(listed, house.get(&["snapshot", "list", "--offline"]));
    assert_eq!(listed["snapshots"][0]["id"], first);
    assert_eq!(listed["snapshots"][1], second);
    assert_eq!(listed["snapshots"][1]["kept_because"], "newest");
    house.get(&["snapshot", "verify", first]);
    assert_eq!(house.get(&["snapshot", "show", first]), listed["snapshots"][0]);

    assert_eq!(house.fails(&["snapshot", "restore", first]), (17, "ICN-E0511".into()));
    let restored = house.get(&["snapshot", "restore", first, "--yes"]);
    assert_eq!(restored["timeline"], 1);
    assert_eq!(house.fails(&["topic", "show", "b"]), (1, "ICN-E0302".into()));
    // A restore is a new record: LSNs go on, and it survives a kill.
    let lsn = restored["lsn"].as_u64().expect("lsn");
    assert!(lsn > second["lsn"].as_u64().expect("lsn"));
    let digest = house.get(&["state", "digest"]);
    assert_eq!(digest["lsn"], lsn);
    daemon.kill();
    let _daemon = house.start();
    assert_eq!(house.get(&["state", "digest"]), digest);
    house.get(&["gossip", "publish", "a", "third"]);

    let newest = house.get(&["snapshot", "create"]);
    let newest = newest["id"].as_str().expect("id");
    assert_eq!(house.fails(&["snapshot", "delete", newest]).1, "ICN-E0213");
    assert_eq!(house.fails(&["snapshot", "delete", first]).1, "ICN-E0213", "a restore needs it");
    let listed = house.get(&["snapshot", "list"]);
    let listed = listed["snapshots"].as_array().expect("snapshots");
    let spare = listed.iter().rfind(|one| one["kept_because"] == "one of the newest 3");
    let spare = spare.expect("one that nothing needs")["id"].as_str().expect("id");
    house.get(&["snapshot", "delete", spare]);
    assert_eq!(house.fails(&["snapshot", "delete", "../identity.key"]), (2, "ICN-E0216".into()));
    assert_eq!(house.fails(&["snapshot", "delete", "77-77"]).1, "ICN-E0212");
    assert_eq!(house.fails(&["snapshot", "verify", spare]).1, "ICN-E0212");
}

#[test]
fn offline_reads_give_the_same_answers_as_the_running_node() {
    let house = House::new();
    let mut daemon = house.start();
    house.get(&["topic", "create", "coop:ledger", "--private", "--max-entries", "9"]);
    house.get(&["gossip", "subscribe", "coop:ledger"]);
    house.get(&["gossip", "subscribe", "not:yet"]);
    let output = house.publish_lines("coop:ledger", "one\n\nthree\u{1}\n");
    assert!(output.status.success());
    let questions: [&[&str]; 8] = [
        &["topic", "list"],
        &["topic", "show", "coop:ledger"],
        &["gossip", "subscriptions"],
        &["gossip", "entries", "coop:ledger"],
        &["peer", "list"],
        &["snapshot", "list"],
        &["state", "digest"],
        &["identity", "show"],
    ];
    let online: Vec<_> = questions.iter().map(|question| house.get(question)).collect();
    let offline = |question: &[&str]| house.get(&[question, &["--offline"]].concat());
    for (question, answer) in questions.iter().zip(&online) {
        assert_eq!(&offline(question), answer, "{question:?} beside the running node");
    }
    assert_eq!(daemon.stop("TERM"), Some(0));
    for (question, answer) in questions.iter().zip(&online) {
        if question != &["snapshot", "list"] {
            assert_eq!(&offline(question), answer, "{question:?} after it has stopped");
        }
    }
    assert_eq!(house.fails(&["status"]), (13, "ICN-E0140".into()));

    let dump = house.icnctl(&["wal", "dump", "--json"]).output().expect("run");
    let lines = String::from_utf8(dump.stdout).expect("UTF-8");
    let records: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let kinds: Vec<_> = records.iter().map(|record| record["type"].clone()).collect();
    let expected = json!(["init", "topic", "subscribe", "subscribe", "entry", "entry", "entry"]);
    assert_eq!(json!(kinds), expected);
    for (filter, wanted) in [
        (&["--type", "entry,topic"][..], &[2, 5, 6, 7][..]),
        (&["--type", "entry", "--from", "6", "--limit", "1"], &[6]),
        (&["--to", "3"], &[1, 2, 3]),
        (&["--since", "1h"], &[1, 2, 3, 4, 5, 6, 7]),
        (&["--until", "1h"], &[]),
        (
            &["--since", "1970-01-01T00:00:00Z", "--until", "2999-12-31T00:00:00Z"],
            &[1, 2, 3, 4, 5, 6, 7],
        ),
        (&["--since", "2999-12-31T00:00:00Z"], &[]),
    ] {
        assert_eq!(house.dumped(filter), wanted, "{filter:?}");
    }
    for (wrong, told) in [(["--type", "letter"], "topic-gone"), (["--since", "soon"], "15m")] {
        let output = house.icnctl(&["wal", "dump"]).args(wrong).output().expect("run");
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(told), "{text}");
    }
    assert_eq!(house.get(&["wal", "verify"])["records"], 7);
    let listed = house.get(&["wal", "list"]);
    let segment = &listed["segments"][0];
    for (field, wanted) in [
        ("segment", json!(1)),
        ("state", json!("sealed")),
        ("incarnation", json!(1)),
        ("first_lsn", json!(1)),
        ("last_lsn", json!(7)),
        ("records", json!(7)),
        ("torn_bytes", json!(0)),
        ("bytes", json!(1 << 20)),
        ("first_time", records[0]["time"].clone()),
        ("last_time", records[6]["time"].clone()),
    ] {
        assert_eq!(segment[field], wanted, "{field} in {listed}");
    }
    let _daemon = house.start();
    house.get(&["gossip", "publish", "coop:ledger", "four"]);
    let listed = house.get(&["wal", "list"]);
    let states: Vec<_> = (0..2).map(|at| listed["segments"][at]["state"].clone()).collect();
    assert_eq!(json!(states), json!(["sealed", "active"]));
    // One record for the epoch of this run, one for the message.
    assert_eq!(
        (&listed["segments"][1]["incarnation"], &listed["last_lsn"]),
        (&json!(2), &json!(9))
    );
}

#[test]
fn a_topic_is_for_its_creator_alone_unless_a_flag_admits_others() {
    let [house, friend] = [House::new(), House::new()];
    let member = friend.init();
    let _daemon = house.start();
    let own = house.did();
    let create = |name: &str, flags: &[&str]| {
        house.get(&[&["topic", "create", name], flags].concat())["topic"]["access"].take()
    };
    let alone = json!({ "kind": "participants", "members": [own] });
    assert_eq!(create("a", &[]), alone);
    assert_eq!(create("b", &["--private"]), alone);
    for (name, flags) in
        [("c", &["--member", &member][..]), ("d", &["--private", "--member", &member])]
    {
        let access = create(name, flags);
        let members = access["members"].as_array().expect("members");
        assert_eq!(members.len(), 2, "{access}");
        assert!(members.contains(&json!(member)) && members.contains(&json!(own)), "{access}");
    }
    assert_eq!(create("e", &["--public"]), json!({ "kind": "public" }));
    let trusted = |least: u16| json!({ "kind": "min_trust", "min_trust": least });
    assert_eq!(create("f", &["--min-trust", "1"]), trusted(1));
    assert_eq!(create("g", &["--min-trust", "1000"]), trusted(1000));

    for (flags, told) in [
        (&["--public", "--private"][..], "'--public' cannot be used with"),
        (&["--public", "--member", &member], "'--public' cannot be used with"),
        (&["--public", "--min-trust", "5"], "'--public' cannot be used with"),
        (&["--min-trust", "0"], "0 is not in 1..=1000"),
        (&["--min-trust", "1001"], "1001 is not in 1..=1000"),
    ] {
        let mut command = house.icnctl(&[&["topic", "create", "h"], flags].concat());
        let output = command.output().expect("run icnctl");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {errors}");
        assert!(errors.contains(told), "{flags:?}: {errors}");
    }
    assert_eq!(house.fails(&["topic", "show", "h"]).1, "ICN-E0302");
}

#[test]
fn a_data_directory_too_long_for_a_socket_address_works() {
    let house = House::at(&format!("{}/{}", "d".repeat(120), "e".repeat(60)));
    let _daemon = house.start();
    house.get(&["topic", "create", "a"]);
}

#[test]
fn a_removed_peer_stays_listed_while_connected_and_is_known_on_reconnect() {
    let house = House::new();
    let other = House::new();
    let mut daemon = house.start();
    let friend = other.start_with(&["--peer", &daemon.peers()]);
    let peer = other.did();
    let row = || {
        let list = house.get(&["peer", "list"]);
        let mut peers = list["peers"].as_array().expect("peers").iter();
        peers.find(|row| row["did"] == peer.as_str()).cloned()
    };
    until("the link", || row().filter(|row| row["x25519"].is_string()));
    let remove = |did: &str| {
        let output = house.icnctl(&["peer", "remove", did]).output().expect("icnctl");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(remove(&peer).contains("will be known again"));
    let removed = row().expect("still connected");
    assert!(removed["x25519"].is_null(), "{removed}");
    assert_eq!(daemon.stop("TERM"), Some(0));
    let _daemon = house.start_with(&["--peer", &friend.peers()]);
    until("the link", || row().filter(|row| row["x25519"].is_string()));
    assert_eq!(remove(&house.did()), "There was no such peer.\n");
}
