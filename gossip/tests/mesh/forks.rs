//! Forks: two histories by one author.

use icn_gossip::mesh::{Message, Root, StopReason};
use icn_gossip::{Access, Entry, Mutation, Outcome, TopicId};

use crate::rig::{EPOCH, Log, Node, ask};

/// A node that has received a log from peer 2, and is linked to peer 3 too.
fn with_log(texts: &[&str]) -> (Node, TopicId, Log, u64) {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    let log = Log::of(4, topic, texts);
    node.up_with(1, 2, &topic);
    node.up_with(2, 3, &topic);
    node.receive(1, log.heads(1));
    let handle = node.wants(1, &log.key).expect("a want").handle;
    node.receive(1, log.send(handle, 1));
    node.take_sent(1);
    node.take_sent(2);
    (node, topic, log, handle)
}

fn proof(node: &Node, log: &Log) -> Option<(Entry, Entry)> {
    node.state.head(&log.key).proof.map(|proof| *proof)
}

#[test]
fn a_different_hash_in_heads_or_a_want_is_answered_by_a_dispute() {
    for by_want in [false, true] {
        let (mut node, topic, log, _) = with_log(&["one", "two"]);
        let other = Log::of(4, topic, &["one", "another"]);
        node.receive(2, if by_want { other.want(2, 7, 2) } else { other.heads(2) });
        let sent = node.take_sent(2);
        assert!(sent.contains(&Message::Dispute(Box::new(log.entries[1].clone()))), "{sent:?}");
        let stop = Message::Stop { handle: 7, reason: StopReason::Forked };
        assert_eq!(sent.contains(&stop), by_want);
        // A second difference sends no second dispute.
        node.receive(2, other.heads(2));
        assert!(!node.take_sent(2).iter().any(|message| matches!(message, Message::Dispute(_))));
    }
}

#[test]
fn a_want_ahead_of_the_server_is_compared_once_its_position_is_reached() {
    let (mut node, topic, mut log, handle) = with_log(&["one"]);
    let other = Log::of(4, topic, &["one", "another"]);
    node.receive(2, other.want(2, 7, 2));
    assert_eq!(node.take_sent(2), []);
    log.push("two");
    log.push("three");
    node.receive(1, log.send(handle, 2));
    let sent = node.take_sent(2);
    assert!(sent.contains(&Message::Stop { handle: 7, reason: StopReason::Forked }), "{sent:?}");
    assert!(sent.contains(&Message::Dispute(Box::new(log.entries[1].clone()))));
}

#[test]
fn a_dispute_freezes_the_log_and_every_sharing_peer_gets_the_proof() {
    let (mut node, topic, log, handle) = with_log(&["one", "two"]);
    node.receive(2, log.want(2, 5, 0));
    node.take_sent(2);
    let other = Log::of(4, topic, &["one", "another"]);
    node.receive(1, Message::Dispute(Box::new(other.entries[1].clone())));
    let both = (log.entries[1].clone(), other.entries[1].clone());
    assert_eq!(proof(&node, &log), Some(both.clone()));
    let proof = Message::Proof(Box::new(both));
    let to_one = node.take_sent(1);
    let to_other = node.take_sent(2);
    assert!(to_one.contains(&proof) && to_one.contains(&Message::Cease(handle)));
    let frozen = Message::Stop { handle: 5, reason: StopReason::Frozen };
    assert!(to_other.contains(&proof) && to_other.contains(&frozen));
    // The log is no longer served, accepted or wanted; other logs of the author are.
    node.receive(2, log.want(2, 6, 0));
    let stopped = Message::Stop { handle: 6, reason: StopReason::Frozen };
    assert_eq!(node.take_sent(2), [stopped]);
    let mut longer = log.clone();
    longer.push("three");
    node.receive(2, longer.heads(2));
    assert_eq!(node.wants(2, &log.key), None);
    node.receive(1, Message::Stop { handle, reason: StopReason::Ceased });
    let mut next = Log::new(4, topic, EPOCH + 1);
    next.push("again");
    node.receive(1, next.heads(1));
    let handle = node.wants(1, &next.key).expect("another log").handle;
    node.receive(1, next.send(handle, 1));
    assert_eq!(node.texts(topic), ["one", "two", "again"]);
    assert_eq!(node.closed, []);
}

#[test]
fn a_peer_that_connects_later_gets_the_proof_with_the_heads() {
    let (mut node, topic, log, _) = with_log(&["one"]);
    let other = Log::of(4, topic, &["another"]);
    node.receive(1, Message::Dispute(Box::new(other.entries[0].clone())));
    let mut late = Node::new(5);
    let genesis = node.state.topic(&topic).expect("a topic").genesis.clone();
    late.commit(Mutation::CreateTopic(genesis));
    late.subscribe("a");
    let entry = log.entries[0].clone();
    let received_ms = 1;
    late.commit(Mutation::Append { entry, received_ms });
    late.up_with(9, 1, &topic);
    node.up_with(9, 5, &topic);
    node.take_sent(9);
    node.receive(9, ask(9, &topic));
    for message in node.take_sent(9) {
        late.receive(9, message);
    }
    assert_eq!(proof(&late, &log), proof(&node, &log));
    let root = |node: &Node| Root::of(&node.state, topic);
    assert_eq!(root(&late), root(&node));
}

#[test]
fn a_proof_that_proves_nothing_has_no_effect() {
    let (mut node, topic, log, _) = with_log(&["one", "two"]);
    let longer = Log::of(4, topic, &["one", "another"]);
    let one = log.entries[0].clone();
    let two = log.entries[1].clone();
    let same = (two.clone(), two.clone());
    let places = (one, longer.entries[1].clone());
    let authors = (two, Log::of(5, topic, &["one", "two"]).entries[1].clone());
    let unknown = TopicId::from_bytes([4; 32]);
    let elsewhere = |text| Log::of(4, unknown, &[text]).entries[0].clone();
    for proof in [same, places, authors, (elsewhere("a"), elsewhere("b"))] {
        node.receive(1, Message::Proof(Box::new(proof)));
    }
    node.receive(1, Message::Dispute(Box::new(log.entries[1].clone())));
    assert_eq!(proof(&node, &log), None);
    assert_eq!(node.count("proof_without_effect"), 4);
    assert_eq!(node.count("dispute_without_effect"), 1);
    assert_eq!(node.closed, []);
}

#[test]
fn late_proofs_are_no_fault() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.up_with(1, 2, &topic);
    node.up_with(2, 3, &topic);
    for epoch in 0..300 {
        let [mut one, mut other] = [Log::new(4, topic, epoch), Log::new(4, topic, epoch)];
        one.push("one");
        other.push("other");
        let entry = one.entries[0].clone();
        let received_ms = 1;
        node.commit(Mutation::Append { entry, received_ms });
        let proof = Message::Proof(Box::new((one.entries[0].clone(), other.entries[0].clone())));
        node.receive(1, proof.clone());
        assert!(node.state.head(&one.key).proof.is_some());
        node.receive(2, proof);
    }
    assert_eq!(node.closed, []);
    assert_eq!(node.count("proof_without_effect"), 300);
}

#[test]
fn a_node_whose_own_log_is_frozen_begins_another_epoch() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.publish(topic, "one");
    node.up_with(1, 2, &topic);
    let other = Log::of(1, topic, &["another"]);
    node.receive(1, Message::Dispute(Box::new(other.entries[0].clone())));
    assert_ne!(node.state.node().expect("a node").epoch, EPOCH);
    node.publish(topic, "two");
    assert_eq!(node.texts(topic), ["one", "two"]);
}

#[test]
fn roots_differ_iff_the_unfrozen_logs_differ() {
    let (base, topic) = Node::with_topic(1, &Access::public());
    let root = |logs: &[&Log], frozen: bool| {
        let mut state = base.state.clone();
        for (lsn, entry) in (10..).zip(logs.iter().flat_map(|log| &log.entries)) {
            let append = Mutation::Append { entry: entry.clone(), received_ms: 6 };
            assert!(matches!(state.apply(lsn, append), Outcome::Appended { .. }));
        }
        if frozen {
            let other = Log::of(4, topic, &["other"]).entries[0].clone();
            let one = logs[0].entries[0].clone();
            let freeze = Mutation::Freeze(Box::new((one, other)));
            assert_eq!(state.apply(99, freeze), Outcome::Done);
        }
        Root::of(&state, topic)
    };
    let one = Log::of(4, topic, &["one"]);
    let mut elsewhere = Log::new(4, topic, EPOCH + 1);
    elsewhere.push("one");
    let longer = Log::of(4, topic, &["one", "two"]);
    let roots = [
        root(&[], false),
        root(&[&one], false),
        root(&[&longer], false),
        root(&[&Log::of(4, topic, &["another"])], false),
        root(&[&Log::of(5, topic, &["one"])], false),
        root(&[&elsewhere], false),
        root(&[&one, &elsewhere], false),
    ];
    for (at, root) in roots.iter().enumerate() {
        assert!(!roots[..at].contains(root), "{at}");
    }
    // Neither frozen logs nor the order of arrival change the root.
    assert_eq!(root(&[&one], true), root(&[], false));
    assert_eq!(root(&[&one, &elsewhere], true), root(&[&elsewhere], false));
    assert_eq!(root(&[&elsewhere, &one], false), root(&[&one, &elsewhere], false));
}
