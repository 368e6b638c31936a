//! The scenarios of the first design of a restart that peers do not notice, under its names.

mod harness;

use harness::{House, until};
use serde_json::{Value, json};

/// The vector clock of a topic with one author: the sum of its heads over all epochs.
fn clock(house: &House, topic: &str) -> u64 {
    let shown = house.get(&["topic", "show", topic]);
    let heads = shown["clock"].as_array().expect("a clock").iter();
    heads.map(|head| head["head"].as_u64().expect("a head")).sum()
}

#[test]
fn graceful_restart_preserves_state() {
    let house = House::new();
    let mut daemon = house.start();
    house.get(&["topic", "create", "test:topic"]);
    house.get(&["gossip", "subscribe", "test:topic"]);
    for text in ["one", "two", "three"] {
        house.get(&["gossip", "publish", "test:topic", text]);
    }
    let subscriptions = house.get(&["gossip", "subscriptions"]);
    assert_eq!(daemon.stop("TERM"), Some(0));
    let _daemon = house.start();
    assert_eq!(clock(&house, "test:topic"), 3);
    assert_eq!(house.get(&["gossip", "subscriptions"]), subscriptions);
    house.get(&["gossip", "publish", "test:topic", "four"]);
    assert_eq!(clock(&house, "test:topic"), 4);
    assert_eq!(house.texts("test:topic"), ["one", "two", "three", "four"]);
}

#[test]
fn x25519_keys_persist_across_restart() {
    let [house, friend] = [House::new(), House::new()];
    let own = friend.init();
    let mut daemon = house.start();
    let listen = daemon.peers();
    let friends = friend.start_with(&["--peer", &listen]);
    let known = || {
        let peers = house.get(&["peer", "list", "--all"])["peers"].take();
        peers.as_array().expect("peers").iter().find(|peer| peer["did"] == own.as_str()).cloned()
    };
    let key = until("the key of the peer", known)["x25519"].clone();
    assert_eq!(key.as_str().map(str::len), Some(64));
    friends.kill();
    assert_eq!(daemon.stop("TERM"), Some(0));
    let _daemon = house.start();
    assert_eq!(known().expect("the peer")["x25519"], key);
}

#[test]
fn participants_acl_persistence() {
    let [house, member, stranger] = [House::new(), House::new(), House::new()];
    let member = member.init();
    let stranger = stranger.init();
    let daemon = house.start();
    house.get(&["topic", "create", "private", "--private", "--member", &member]);
    let access = house.get(&["topic", "show", "private"])["topic"]["access"].clone();
    daemon.kill();
    let _daemon = house.start();
    let after = house.get(&["topic", "show", "private"])["topic"]["access"].clone();
    assert_eq!(after, access);
    assert_eq!(after["kind"], "participants");
    let members = after["members"].as_array().expect("members");
    assert!(members.contains(&json!(member)) && members.contains(&json!(house.did())));
    assert!(!members.contains(&json!(stranger)));
}

#[test]
fn subscription_restore_creates_missing_entries() {
    let house = House::new();
    let daemon = house.start();
    house.get(&["topic", "create", "kept"]);
    house.get(&["gossip", "subscribe", "kept"]);
    daemon.kill();
    let _daemon = house.start();
    let rows = house.get(&["gossip", "subscriptions"])["subscriptions"].take();
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    assert_eq!(&rows[0]["topic"], &json!("kept"));
    assert_eq!(&rows[0]["pending"], &Value::Bool(false));
}

#[test]
fn subscription_restore_warns_on_missing_topic() {
    let house = House::new();
    let daemon = house.start();
    let answer = house.get(&["gossip", "subscribe", "not:here"]);
    assert_eq!(answer["pending"], true);
    daemon.kill();
    let daemon = house.start();
    let rows = house.get(&["gossip", "subscriptions"])["subscriptions"].take();
    assert_eq!(&rows[0]["topic"], &json!("not:here"));
    assert_eq!(&rows[0]["pending"], &Value::Bool(true));
    assert!(daemon.log().contains("not:here"), "{}", daemon.log());
}
