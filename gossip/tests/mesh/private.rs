//! A peer that may not read a topic learns nothing of it.

use icn_gossip::mesh::{Interest, Message, Root, Tag};
use icn_gossip::{Access, Mutation, TopicId};

use crate::rig::{Log, Node, ask, binding, did, genesis, interest, tag};

#[test]
fn an_outsider_learns_nothing_even_with_the_id_and_entries() {
    let (mut node, topic) = Node::with_topic(1, &Access::participants(vec![did(2)]));
    node.up_with(1, 2, &topic);
    let log = Log::of(2, topic, &["secret"]);
    node.receive(1, log.heads(1));
    let want = node.wants(1, &log.key).expect("a want");
    node.receive(1, log.send(want.handle, 1));
    assert_eq!(node.texts(topic), ["secret"]);
    node.publish(topic, "also");

    node.up(2, 3);
    let list = vec![Interest { tag: tag(2, &topic), missing: true }];
    node.receive(2, Message::Interests { more: false, list });
    node.receive(2, Message::Find(Tag::of_name(&binding(2), "a")));
    node.receive(2, interest(2, &topic));
    node.receive(2, Message::Roots(vec![(tag(2, &topic), Root([7; 16]))]));
    node.receive(2, ask(2, &topic));
    node.receive(2, log.want(2, 0, 0));
    // A different entry at a position that the outsider knows.
    let another = Log::of(2, topic, &["other"]);
    node.receive(2, another.heads(2));
    node.receive(2, another.want(2, 1, 1));
    node.receive(2, Log::of(2, topic, &["secret", "more"]).heads(2));
    node.receive(2, Message::Dispute(Box::new(another.entries[0].clone())));
    node.receive(2, Message::Proof(Box::new((log.entries[0].clone(), another.entries[0].clone()))));
    node.publish(topic, "later");
    node.advance(60_000);
    assert_eq!(node.revealed(2), []);
    assert_eq!(node.state.head(&log.key).proof, None);
    let by = icn_gossip::Provenance::Peer(did(3));
    assert!(node.state.subscriptions().all(|(_, whose, _)| whose != by));

    // A member still receives the whole log: the outsider has disturbed nothing.
    node.receive(1, log.want(1, 9, 0));
    let served = |message: &Message| matches!(message, Message::Entries { handle: 9, .. });
    assert!(node.take_sent(1).iter().any(served));
}

#[test]
fn a_want_for_an_unreadable_topic_is_answered_like_one_for_an_unknown_topic() {
    let (mut node, topic) = Node::with_topic(1, &Access::participants(vec![did(2)]));
    node.up(1, 3);
    node.take_sent(1);
    node.receive(1, Log::new(2, topic, 1).want(1, 4, 0));
    let unreadable = node.take_sent(1);
    let unknown = TopicId::from_bytes([5; 32]);
    node.receive(1, Log::new(2, unknown, 1).want(1, 4, 0));
    assert_eq!(unreadable, node.take_sent(1));
    assert_eq!(unreadable.len(), 1);
}

/// A node with one public topic and, if `secrets`, with private ones, joins and a pending subscription.
fn node(secrets: bool) -> (Node, Vec<TopicId>) {
    let mut node = Node::new(1);
    let public = genesis(1, "open", &Access::public(), 1);
    let members = Access::participants(vec![did(1), did(2)]);
    let [made, joined, missing] =
        [(1, 2), (2, 3), (2, 4)].map(|(creator, nonce)| genesis(creator, "shut", &members, nonce));
    node.commit(Mutation::CreateTopic(public.clone()));
    node.subscribe("open");
    let ids = [&public, &made, &joined, &missing].map(icn_gossip::Genesis::id).to_vec();
    if secrets {
        for genesis in [made, joined] {
            let id = genesis.id().to_string();
            node.commit(Mutation::CreateTopic(genesis));
            node.subscribe(&id);
        }
        node.subscribe(&missing.id().to_string());
        node.subscribe("coop:ledger");
        node.subscribe(&format!("coop:plans@{}", did(2)));
    }
    (node, ids)
}

/// All that a stranger with every id and a dictionary of names is sent, message by message.
fn transcript(secrets: bool) -> Vec<Vec<Message>> {
    let (mut node, ids) = node(secrets);
    let mut transcript = Vec::new();
    node.up(7, 2);
    node.up(1, 3);
    let mut tell = |node: &mut Node, message: Option<Message>| {
        if let Some(message) = message {
            node.receive(1, message);
        }
        transcript.push(node.take_sent(1));
    };
    tell(&mut node, None);
    let all = |missing: bool| {
        let interest = |id: &TopicId| Interest { tag: tag(1, id), missing };
        Message::Interests { more: false, list: ids.iter().map(interest).collect() }
    };
    tell(&mut node, Some(all(true)));
    tell(&mut node, Some(all(false)));
    for name in ["open", "shut", "coop:ledger", "coop:plans"] {
        tell(&mut node, Some(Message::Find(Tag::of_name(&binding(1), name))));
        // Topics of the stranger's own that name this node, and forged ones by others.
        let members = Access::participants(vec![did(1), did(3)]);
        let trap = genesis(3, name, &members, 1);
        tell(&mut node, Some(Message::Topics(vec![trap.clone()])));
        let tag = Tag::of_name(&binding(1), name);
        tell(&mut node, Some(Message::Found { tag, list: vec![trap] }));
    }
    for (handle, id) in (1..).zip(&ids) {
        tell(&mut node, Some(Message::Roots(vec![(tag(1, id), Root([7; 16]))])));
        tell(&mut node, Some(ask(1, id)));
        tell(&mut node, Some(Log::new(2, *id, 9).want(1, handle, 0)));
        let entry = Log::of(2, *id, &["forged"]).entries[0].clone();
        tell(&mut node, Some(Message::Dispute(Box::new(entry))));
    }
    // The operator goes on, and a member comes and goes.
    if secrets {
        node.publish(ids[1], "secret");
        node.publish(ids[2], "secret");
        node.unsubscribe(&ids[2].to_string());
        node.subscribe("coop:other");
        node.mesh.search(node.now(), "coop:other");
        node.work();
    }
    node.down(7);
    node.up(8, 2);
    for _ in 0..120 {
        node.advance(1000);
        tell(&mut node, None);
    }
    assert_eq!(node.closed, []);
    transcript
}

#[test]
fn a_stranger_with_every_id_and_name_is_sent_the_same_whatever_the_node_holds_back() {
    let bare = transcript(false);
    assert!(bare.iter().flatten().count() > 10, "a stranger shares the public topic");
    assert_eq!(transcript(true), bare);
}
