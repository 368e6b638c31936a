//! A peer that may not read a topic learns nothing of it.

use icn_gossip::Access;
use icn_gossip::mesh::{Interest, Message, Root, Tag};

use crate::rig::{Log, Node, ask, binding, did, interest, tag};

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
    let name = Tag::of_name(&binding(2), "a");
    let list = vec![
        Interest { tag: tag(2, &topic), missing: true, named: false },
        Interest { tag: name, missing: true, named: true },
    ];
    node.receive(2, Message::Interests { more: false, list });
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
    let unknown = icn_gossip::TopicId::from_bytes([5; 32]);
    node.receive(1, Log::new(2, unknown, 1).want(1, 4, 0));
    assert_eq!(unreadable, node.take_sent(1));
    assert_eq!(unreadable.len(), 1);
}
