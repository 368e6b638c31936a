//! A real node whose topics fill its room for messages.

mod harness;

use data_encoding::BASE64;
use harness::checks::Watched;
use harness::client::Client;
use harness::{House, until};
use icn_daemon::limits;
use icn_gossip::limits::{PAYLOAD_BYTES_MAX, TOPIC_BYTES_MAX};
use serde_json::{Value, json};

/// Requests that are sent at once.
const AT_ONCE: usize = 16;

fn bytes(house: &House, topic: &str) -> u64 {
    house.get(&["topic", "show", topic])["topic"]["bytes"].as_u64().expect("a number")
}

#[test]
fn large_topics_fill_the_room_and_every_small_one_goes_on() {
    let [house, peer] = [House::new(), House::quick()];
    // A snapshot of 1 GiB every few seconds would test the disk.
    house.configure("[snapshot]\nlog_mib = 100000\n");
    let daemon = house.start();
    let others = peer.start_with(&["--peer", &daemon.peers()]);
    let room = Watched { house: &house, daemon: &daemon, name: "room" };
    for large in ["large-0", "large-1", "large-2", "large-3"] {
        house.create(large, &["--public"]);
    }
    let mut client = Client::connect(&house);
    let payload = BASE64.encode(&vec![0; PAYLOAD_BYTES_MAX]);
    let mut fill = |topic: &str, bytes: u64| {
        let publish = json!({ "cmd": "publish", "topic": topic, "base64": payload });
        let publish = vec![publish; AT_ONCE];
        let mut sent = 0;
        while sent < bytes {
            for reply in client.replies(&publish) {
                if reply["ok"] != true {
                    return Some(reply["error"]["code"].clone());
                }
                sent += PAYLOAD_BYTES_MAX as u64;
            }
        }
        None
    };
    // A topic retains so much, and its oldest messages expire.
    assert_eq!(fill("large-0", TOPIC_BYTES_MAX + (8 << 20)), None);
    until("the end of the oldest messages", || {
        (bytes(&house, "large-0") <= TOPIC_BYTES_MAX).then_some(())
    });
    for large in ["large-1", "large-2"] {
        assert_eq!(fill(large, TOPIC_BYTES_MAX - (1 << 20)), None);
    }
    assert_eq!(fill("large-3", 40 << 20), None);
    room.warns("The largest: large-");
    let full = fill("large-3", TOPIC_BYTES_MAX);
    assert_eq!(full, Some(Value::from("ICN-E0316")));
    let most = limits::ROOM.most + 4 * limits::SHARE.most;
    let used = house.get(&["status"])["gossip"]["bytes"].as_u64().expect("a number");
    assert!(used <= most && used + (PAYLOAD_BYTES_MAX as u64) * 2 > most, "{used} of {most}");

    // The messages of a peer in a large topic wait there, and are fetched when there is room.
    let id = house.get(&["topic", "show", "large-3"])["topic"]["id"].take();
    peer.join(id.as_str().expect("an id"));
    let long = "waits".repeat(10_000);
    peer.get(&["gossip", "publish", "large-3", &long]);
    peer.get(&["gossip", "publish", "large-3", &long]);
    let waiting = Watched { house: &house, daemon: &daemon, name: "waiting" };
    waiting.warns("1 topic");

    // A small topic, also one made now, goes on.
    house.get(&["topic", "create", "small"]);
    house.get(&["gossip", "publish", "small", &"x".repeat(PAYLOAD_BYTES_MAX)]);

    house.get(&["topic", "delete", "large-1", "--yes"]);
    room.is_over();
    house.get(&["gossip", "publish", "large-3", "there is room"]);
    waiting.is_over();
    drop(others);
}
