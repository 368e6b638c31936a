//! Entries ahead of the clock, and the notice to their author.

use icn_gossip::limits::FUTURE_MS_MAX;
use icn_gossip::mesh::Message;
use icn_gossip::{Access, TopicId};

use crate::rig::{Log, Node, tag};

fn held(sent: &[Message]) -> usize {
    sent.iter().filter(|message| matches!(message, Message::Held { .. })).count()
}

#[test]
fn the_author_of_held_entries_is_notified_alone_and_at_a_pace_it_accepts() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.up_with(1, 2, &topic);
    node.up_with(2, 3, &topic);
    let mut notices = 0;
    for epoch in 1..=120 {
        let mut log = Log::new(2, topic, epoch);
        log.time_ms = node.now_ms + FUTURE_MS_MAX + 7_200_000;
        log.push("early");
        node.receive(1, log.heads(1));
        let want = node.wants(1, &log.key).expect("a want");
        node.receive(1, log.send(want.handle, 1));
        notices += held(&node.take_sent(1));
    }
    assert!((1..=50).contains(&notices), "{notices} at once");
    for _ in 0..8 {
        node.advance(1000);
        let more = held(&node.take_sent(1));
        assert!(more <= 20, "{more} in a second");
        notices += more;
    }
    assert_eq!(notices, 120);
    assert_eq!(held(&node.take_sent(2)), 0);
}

#[test]
fn a_report_counts_for_the_present_epoch_while_it_is_repeated() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.publish(topic, "own");
    let epoch = node.state.node().expect("a node").epoch;
    node.up_with(1, 2, &topic);
    let report =
        |topic: &TopicId, epoch, ahead_ms| Message::Held { tag: tag(1, topic), epoch, ahead_ms };
    for (topic, epoch, ahead_ms) in [
        (topic, epoch + 1, 7_200_000),
        (TopicId::from_bytes([5; 32]), epoch, 7_200_000),
        (topic, epoch, FUTURE_MS_MAX),
    ] {
        node.receive(1, report(&topic, epoch, ahead_ms));
        assert_eq!(node.mesh.held_back(&node.state, node.now()), None);
    }
    node.receive(1, report(&topic, epoch, u64::MAX));
    let found = node.mesh.held_back(&node.state, node.now()).expect("a report");
    assert_eq!(found.peers, 1);
    assert!(found.ahead_ms <= 1 << 42, "{found:?}");
    node.advance(16 * 60_000);
    assert_eq!(node.mesh.held_back(&node.state, node.now()), None, "the peer repeats it no more");
    node.receive(1, report(&topic, epoch, 7_200_000));
    node.begin_epoch();
    assert_eq!(node.mesh.held_back(&node.state, node.now()), None, "later entries do not wait");
    let earlier = node.mesh.held_earlier(&node.state, node.now()).expect("the entries before");
    assert_eq!((earlier.peers, earlier.ahead_ms), (1, 7_200_000));
    node.advance(16 * 60_000);
    assert_eq!(node.mesh.held_earlier(&node.state, node.now()), None, "they have arrived");
    assert_eq!(node.closed, []);
}
