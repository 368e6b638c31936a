//! A peer costs no more memory than the limits allow, whatever it sends and whether it reads or not.

use icn_gossip::limits::{FUTURE_MS_MAX, SERVED_MAX, WANTS_MAX};
use icn_gossip::mesh::{Head, Message};
use icn_gossip::{Access, Mutation};

use crate::rig::{EPOCH, Log, Node, did, genesis, tag};

#[test]
fn announced_heads_are_kept_up_to_a_limit() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.up_with(1, 2, &topic);
    let pages = SERVED_MAX as u64 / 1000 + 20;
    for page in 0..pages {
        let head =
            |at: u64| Head { author: did(3), epoch: page * 1000 + at, seq: 1, hash: [1; 16] };
        let list = (0..1000).map(head).collect();
        node.receive(
            1,
            Message::Heads { tag: tag(1, &topic), last: true, unsolicited: false, list },
        );
    }
    let view = node.view(1);
    assert_eq!(view.wants, WANTS_MAX, "more would exceed the server's limit");
    assert!(view.tracked_items < 4 * SERVED_MAX, "{view:?}");
    assert_eq!(node.count("head_not_remembered"), pages * 1000 - SERVED_MAX as u64);
    // The operator is told so.
    assert_eq!(node.count("log_left_out"), (SERVED_MAX - WANTS_MAX) as u64);
    assert_eq!(node.mesh.full_links(), 1);
    // Messages of other peers are still accepted.
    let log = Log::of(4, topic, &["one"]);
    node.up_with(2, 4, &topic);
    node.receive(2, log.heads(2));
    let want = node.wants(2, &log.key).expect("a want");
    node.receive(2, log.send(want.handle, 1));
    assert_eq!(node.texts(topic), ["one"]);
}

#[test]
fn records_of_long_past_pauses_are_removed() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.up_with(1, 2, &topic);
    for epoch in 1..=20 {
        let mut log = Log::new(3, topic, epoch);
        log.time_ms = node.now_ms + FUTURE_MS_MAX + 5000;
        log.push("early");
        node.receive(1, log.heads(1));
        let want = node.wants(1, &log.key).expect("a want");
        node.receive(1, log.send(want.handle, 1));
    }
    assert_eq!(node.mesh.paused_logs(), 20);
    node.advance(20 * 60_000);
    assert_eq!(node.mesh.paused_logs(), 0);
}

#[test]
fn wants_that_replace_each_other_leak_no_memory() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.publish(topic, &".".repeat(60_000));
    node.up_with(1, 2, &topic);
    let own = Log::new(1, topic, EPOCH);
    for handle in 0..20_000 {
        node.receive(1, own.want(1, handle, 0));
        if handle % 2 == 0 {
            node.receive(1, Message::Cease(handle));
        }
    }
    let view = node.view(1);
    assert!(view.tracked_items < 200 && view.cursors <= 1, "{view:?}");
    // The entry is sent once for each want, within the limit of bytes in flight.
    let entries =
        node.take_sent(1).into_iter().filter(|one| matches!(one, Message::Entries { .. }));
    assert!(entries.count() < 20);
}

#[test]
fn a_peer_that_does_not_read_costs_bounded_memory() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    (0..30).for_each(|_| drop(node.publish(topic, &".".repeat(60_000))));
    node.up_with(1, 2, &topic);
    node.receive(1, Log::new(1, topic, EPOCH).want(1, 0, 0));
    let full = node.view(1).in_flight;
    for at in 0..500 {
        let name = format!("t{at}");
        node.commit(Mutation::CreateTopic(genesis(3, &name, &Access::public(), at)));
        node.subscribe(&name);
        let log = Log::of(u8::try_from(10 + at % 200).expect("few"), topic, &["one"]);
        node.up_with(100 + at, log.seed, &topic);
        node.receive(100 + at, log.heads(100 + at));
        if let Some(want) = node.wants(100 + at, &log.key) {
            node.receive(100 + at, log.send(want.handle, 1));
        }
        node.down(100 + at);
        node.advance(1000);
    }
    let view = node.view(1);
    assert!(view.in_flight < full + 70_000, "{full} {view:?}");
    assert!(view.tracked_items < 1500, "{view:?}");
}

#[test]
fn disputes_and_proofs_wait_for_a_peer_that_does_not_read() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.up_with(1, 2, &topic);
    let large = ".".repeat(60_000);
    for epoch in 0..60 {
        let mut log = Log::new(4, topic, epoch);
        log.push(&large);
        node.receive(1, log.heads(1));
        let want = node.wants(1, &log.key).expect("a want");
        node.receive(1, log.send(want.handle, 1));
    }
    node.up_with(2, 3, &topic);
    let list = (0..60).map(|epoch| Head { author: did(4), epoch, seq: 1, hash: [8; 16] }).collect();
    node.receive(2, Message::Heads { tag: tag(2, &topic), last: true, unsolicited: false, list });
    for epoch in 0..60 {
        let mut other = Log::new(4, topic, epoch);
        other.push("other");
        node.receive(1, Message::Dispute(Box::new(other.entries[0].clone())));
    }
    for link in [1, 2] {
        let view = node.view(link);
        assert!(view.in_flight < (1 << 20) + (130 << 10), "{view:?}");
    }
    let mut proofs = 0;
    for _ in 0..200 {
        let bytes = node.view(2).in_flight;
        node.mesh.sent(icn_gossip::mesh::LinkId(2), bytes);
        node.work();
        proofs += node.take_sent(2).iter().filter(|one| matches!(one, Message::Proof(_))).count();
    }
    assert_eq!(proofs, 60, "all proofs are sent in the end");
}
