//! Forks: two histories by one author.

use icn_gossip::mesh::{Message, Root, StopReason};
use icn_gossip::{Access, Entry, Mutation, Outcome, TopicId};

use crate::rig::{EPOCH, Log, Node, ask, tag};

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
    // From the fork on, the log is no longer served, accepted or wanted; other logs of the author are.
    node.receive(2, log.want(2, 6, 1));
    let stopped = Message::Stop { handle: 6, reason: StopReason::Frozen };
    assert_eq!(node.take_sent(2), [stopped]);
    node.receive(2, log.want(2, 7, 0));
    assert_eq!(
        node.take_sent(2),
        [Log { entries: log.entries[..1].into(), ..log.clone() }.send(7, 1)]
    );
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

/// A node that missed part of a log, or all of it, and hears of the fork first.
#[test]
fn what_is_before_a_fork_still_arrives_after_the_proof() {
    for known in [0, 2] {
        let (mut node, topic) = Node::with_topic(1, &Access::public());
        let log = Log::of(4, topic, &["one", "two", "three", "four", "five"]);
        let other = Log::of(4, topic, &["one", "two", "three", "another"]);
        for entry in &log.entries[..known] {
            node.commit(Mutation::Append { entry: entry.clone(), received_ms: 1 });
        }
        node.up_with(1, 2, &topic);
        let both = Box::new((other.entries[3].clone(), log.entries[3].clone()));
        node.receive(1, Message::Proof(both));
        assert_eq!(node.state.head(&log.key).fork(), Some(4));
        for message in node.take_sent(1) {
            if let Message::Cease(handle) = message {
                node.receive(1, Message::Stop { handle, reason: StopReason::Ceased });
            }
        }
        // The peer announces what it has before the fork.
        let list = vec![log.head(3)];
        let heads = Message::Heads { tag: tag(1, &topic), last: true, unsolicited: false, list };
        node.receive(1, heads);
        let want = node.wants(1, &log.key).expect("the rest is wanted");
        assert_eq!(want.after, known as u64);
        let before = Log { entries: log.entries[..3].into(), ..log.clone() };
        node.receive(1, before.send(want.handle, known + 1));
        assert_eq!(node.texts(topic), ["one", "two", "three"]);
        assert!(!node.state.head(&log.key).is_open());
        let root = Root::of(&node.state, topic);
        let mut whole = Node::with_topic(1, &Access::public()).0;
        for entry in &log.entries {
            whole.commit(Mutation::Append { entry: entry.clone(), received_ms: 1 });
        }
        whole.commit(Mutation::Append { entry: other.entries[3].clone(), received_ms: 1 });
        assert_eq!(Root::of(&whole.state, topic), root);
        assert_eq!(node.closed, []);
    }
}

/// The two copies of an author have written at many places each before they hear of each other.
#[test]
fn the_author_searches_for_the_lowest_fork_and_a_lower_proof_replaces_a_higher_one() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    let texts: Vec<String> = (1..=40).map(|number| number.to_string()).collect();
    texts.iter().for_each(|text| drop(node.publish(topic, text)));
    let own = Log::of(1, topic, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let mut copy = Log { entries: own.entries[..11].into(), ..own.clone() };
    (12..=40).for_each(|number| copy.push(&format!("copy {number}")));
    node.up_with(1, 2, &topic);
    node.take_sent(1);
    node.receive(1, Message::Dispute(Box::new(copy.entries[39].clone())));
    let mut rounds = 0;
    // The peer answers each dispute at a place where it has another entry.
    loop {
        let disputed = node.take_sent(1).into_iter().filter_map(|message| match message {
            Message::Dispute(entry) => usize::try_from(entry.header().seq).ok(),
            _ => None,
        });
        let differing: Vec<usize> = disputed.filter(|seq| (12..=40).contains(seq)).collect();
        let Some(lowest) = differing.into_iter().min() else { break };
        rounds += 1;
        let both = (copy.entries[lowest - 1].clone(), own.entries[lowest - 1].clone());
        node.receive(1, Message::Proof(Box::new(both)));
    }
    let log = node.state.head(&own.key);
    assert_eq!((log.fork(), log.is_fork_exact()), (Some(12), true));
    assert!(rounds <= 5, "{rounds}");
    assert_eq!(log.proof.as_ref().map(|proof| proof.0.hash()), Some(own.entries[11].hash()));
    assert_eq!(node.closed, []);
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

/// The other copy may have forked this one's logs of the epoch in other topics, too.
#[test]
fn a_node_without_room_for_the_new_epoch_begins_it_before_its_next_entry_in_any_topic() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.publish(topic, "one");
    node.up_with(1, 2, &topic);
    let other = Log::of(1, topic, &["another"]);
    let proof =
        (node.state.entry_at(&other.key, 1).expect("own").entry.clone(), other.entries[0].clone());
    node.commit(Mutation::Fork(Box::new(proof)));
    node.full = true;
    node.work();
    assert_eq!(node.state.node().expect("a node").epoch, EPOCH);
    assert!(node.mesh.must_begin_epoch());
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
            let freeze = Mutation::Fork(Box::new((one, other)));
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
    // Neither what follows a fork nor the order of arrival changes the root.
    assert_eq!(root(&[&one], true), root(&[], false));
    assert_eq!(root(&[&one, &elsewhere], true), root(&[&elsewhere], false));
    assert_eq!(root(&[&elsewhere, &one], false), root(&[&one, &elsewhere], false));
}
