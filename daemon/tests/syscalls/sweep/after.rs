//! Checks a node after its next start.

use std::collections::BTreeMap;

use icn_daemon::control::request::Request;
use icn_snapshot::Retention;
use serde_json::{Value, json};

use super::life::{Fate, Friend, Line, Promised, TOPIC};
use crate::harness::House;

/// The digest and its LSN as read from the files alone; `None` when they hold no node yet.
pub(crate) fn digest_of_files(house: &House) -> Option<Value> {
    let (code, mut document) = house.ask(&["state", "digest", "--offline"]);
    (code == 0).then(|| document["data"].take())
}

/// Starts the node undisturbed and compares it with `promised`: every promised item exists once, in
/// order, and no other does. Then the node goes on, and what it acknowledges survives a kill too.
pub(crate) fn check(house: &House, friend: &Friend, promised: &Promised) {
    let before = digest_of_files(house);
    assert!(before.is_some() || !promised.ready, "the files of a node cannot be read");
    let daemon = house.start();
    let mut line = Line::connect(house).expect("connect");
    let mut get = |request: &Request| line.ask(request).expect("an answer").expect("no refusal");

    let digest = get(&Request::Digest { lsn: None });
    match before {
        // Making the node is its first record.
        Some(before) if before["lsn"] != 0 => assert_eq!(digest, before),
        _ => assert!(digest["lsn"].as_u64() > Some(0)),
    }
    if let Fate::Acknowledged(identity) = &promised.identity {
        assert_eq!(&get(&Request::Identity), identity);
    }
    let topics = get(&Request::TopicList)["topics"].take();
    let topic = one_at_most(&topics, &promised.topic, "a topic");
    if let Some(topic) = topic {
        let mut members = [get(&Request::Identity)["did"].clone(), json!(friend.did)];
        members.sort_unstable_by_key(ToString::to_string);
        let mut found = topic["access"]["members"].as_array().expect("members").clone();
        found.sort_unstable_by_key(ToString::to_string);
        assert_eq!(found, members, "exactly its members");
        assert_eq!(
            (&topic["name"], &topic["access"]["kind"]),
            (&json!(TOPIC), &json!("participants"))
        );
        if let Fate::Acknowledged(promised) = &promised.topic {
            assert_eq!(topic["id"], promised["topic"]["id"]);
        }
    }
    let subscriptions = get(&Request::Subscriptions)["subscriptions"].take();
    if let Some(wish) = one_at_most(&subscriptions, &promised.subscription, "a subscription") {
        assert_eq!(&wish["topic"], &json!(TOPIC));
        assert_eq!(&wish["by"], &json!("local"));
        assert_eq!(wish["pending"], topic.is_none());
    }
    let peers = get(&Request::PeerList)["peers"].take();
    if let Some(peer) = one_at_most(&peers, &promised.peer, "a peer") {
        assert_eq!(peer["did"], friend.did);
    }
    let kept = get(&Request::SnapshotList)["snapshots"].take();
    let kept = kept.as_array().expect("snapshots");
    assert!(kept.iter().all(|snapshot| snapshot["verified"] == true), "{kept:?}");
    for snapshot in &promised.snapshots {
        let newer = kept.iter().filter(|other| other["lsn"].as_u64() > snapshot["lsn"].as_u64());
        let there = kept.iter().any(|other| other["id"] == snapshot["id"]);
        assert!(
            there || newer.count() >= Retention::default().keep,
            "{snapshot} is not among {kept:?}"
        );
    }
    if topic.is_some() {
        check_lines(house, promised);
        let published = get(&Request::Publish {
            topic: TOPIC.into(),
            text: Some("afterwards".into()),
            base64: None,
            describe: false,
        });
        assert_eq!(published["seq"], 1, "a place that a copy of the node may have used");
    }
    let digest = get(&Request::Digest { lsn: None });
    daemon.kill();
    assert_eq!(digest_of_files(house), Some(digest), "after one more kill");
}

/// Checks that each line of the topic is in its place.
fn check_lines(house: &House, promised: &Promised) {
    let mut entries = house.get(&["gossip", "entries", TOPIC])["entries"].take();
    let mut found = entries.as_array_mut().expect("entries").drain(..).peekable();
    let mut places = BTreeMap::new();
    for (number, (text, fate)) in promised.lines.iter().enumerate() {
        let is_there = found.peek().is_some_and(|entry| entry["text"] == text.as_str());
        match fate {
            Fate::Acknowledged(_) => assert!(is_there, "line {number} is gone or out of order"),
            Fate::Refused | Fate::NotAsked => assert!(!is_there, "line {number} was refused"),
            Fate::Asked => {}
        }
        if !is_there {
            continue;
        }
        let entry = found.next().expect("an entry");
        let seq = places.entry(entry["epoch"].to_string()).or_insert(0);
        *seq += 1;
        assert_eq!(entry["seq"], *seq, "no gap and no repetition");
        if let Fate::Acknowledged(answer) = fate {
            assert_eq!(&entry["lsn"], &answer["lsn"]);
            assert_eq!(&entry["seq"], &answer["seq"]);
        }
    }
    let rest: Vec<_> = found.collect();
    assert!(rest.is_empty(), "nobody has sent {rest:?}");
}

fn one_at_most<'a>(found: &'a Value, promised: &Fate, what: &str) -> Option<&'a Value> {
    let found = found.as_array().expect("an array");
    match promised {
        Fate::NotAsked | Fate::Refused => assert!(found.is_empty(), "{what} out of nowhere"),
        Fate::Asked => assert!(found.len() <= 1, "{what} came twice"),
        Fate::Acknowledged(_) => assert_eq!(found.len(), 1, "{what} was acknowledged"),
    }
    found.first()
}
