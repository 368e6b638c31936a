//! How a node receives topics that it subscribes to.

use std::collections::BTreeSet;

use icn_gossip::mesh::{Interest, Message, Root, Tag};
use icn_gossip::{Access, Genesis, Mutation};

use crate::rig::{Node, binding, did, genesis, tag};

fn missing(tag: Tag, named: bool) -> Message {
    Message::Interests { more: false, list: vec![Interest { tag, missing: true, named }] }
}

fn offered(sent: &[Message]) -> usize {
    sent.iter().filter(|message| matches!(message, Message::Topics(_))).count()
}

#[test]
fn a_request_by_name_or_id_is_answered_with_the_genesis_every_time() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.up(1, 2);
    for (tag, named) in [(Tag::of_name(&binding(1), "a"), true), (tag(1, &topic), false)] {
        for _ in 0..2 {
            node.take_sent(1);
            node.receive(1, missing(tag, named));
            assert_eq!(offered(&node.take_sent(1)), 1, "the peer may have had no room for it");
        }
    }
    node.receive(1, missing(Tag::of_name(&binding(1), "b"), true));
    assert_eq!(offered(&node.take_sent(1)), 0);
}

#[test]
fn only_the_first_topic_of_a_name_is_accepted() {
    let mut node = Node::new(1);
    node.subscribe("b");
    node.up(1, 2);
    node.up(2, 3);
    let members = Access::participants(vec![did(1), did(2)]);
    let first = genesis(2, "b", &members, 1);
    let more = (2..50).map(|nonce| genesis(2, "b", &Access::public(), nonce));
    let offers = std::iter::once(first.clone()).chain(more).collect();
    node.receive(1, Message::Topics(offers));
    node.receive(2, Message::Topics(vec![genesis(3, "b", &Access::public(), 1)]));
    let topics: Vec<_> = node.state.topics().map(|(id, _)| *id).collect();
    assert_eq!(topics, [first.id()]);
    assert!(node.state.may_read(&first.id(), &did(3)).is_err(), "the rule is the first one's");
    // A topic whose name no subscription waits for is refused.
    node.receive(1, Message::Topics(vec![genesis(2, "c", &Access::public(), 1)]));
    assert_eq!(node.state.topics().count(), 1);
    assert_eq!(node.count("topic_not_wanted"), 50);
    assert_eq!(node.closed, []);
}

#[test]
fn a_subscription_by_id_accepts_only_that_topic() {
    let mut node = Node::new(1);
    let wanted = genesis(2, "b", &Access::public(), 1);
    node.subscribe(&wanted.id().to_string());
    node.up(1, 3);
    node.receive(1, Message::Topics(vec![genesis(3, "b", &Access::public(), 1)]));
    assert_eq!(node.state.topics().count(), 0);
    node.receive(1, Message::Topics(vec![wanted.clone()]));
    assert!(node.state.topic(&wanted.id()).is_some());
}

#[test]
fn offers_of_topics_already_received_are_no_fault() {
    let mut node = Node::new(1);
    let topics: Vec<_> =
        (0..300).map(|at| genesis(2, &format!("t{at}"), &Access::public(), at)).collect();
    for at in 0..300 {
        node.subscribe(&format!("t{at}"));
    }
    for (link, peer) in [(1, 2), (2, 3)] {
        node.up(link, peer);
        for genesis in &topics {
            node.receive(link, Message::Topics(vec![genesis.clone()]));
        }
    }
    assert_eq!(node.state.topics().count(), 300);
    assert_eq!(node.closed, []);
}

#[test]
fn subscribing_to_many_topics_stays_within_a_peers_budget() {
    let mut node = Node::new(1);
    let topics: Vec<_> =
        (0..300).map(|at| genesis(2, &format!("t{at}"), &Access::public(), at)).collect();
    node.up(1, 2);
    let list = topics.iter().map(|genesis| {
        let tag = tag(1, &genesis.id());
        Interest { tag, missing: false, named: false }
    });
    node.receive(1, Message::Interests { more: false, list: list.collect() });
    for genesis in &topics {
        node.commit(Mutation::CreateTopic(genesis.clone()));
        node.subscribe(&genesis.spec.name);
    }
    for two in topics.chunks(2) {
        let root = |genesis: &Genesis| (tag(1, &genesis.id()), Root([3; 16]));
        node.receive(1, Message::Roots(two.iter().map(root).collect()));
    }
    let counts = |sent: Vec<Message>| {
        let mut asked = Vec::new();
        let mut announced = Vec::new();
        for message in sent {
            match message {
                Message::Ask(list) => asked.push(list.len()),
                Message::Roots(list) => announced.push(list),
                _ => {}
            }
        }
        (asked, announced)
    };
    let at_once = counts(node.take_sent(1));
    let messages = at_once.0.len() + at_once.1.len();
    assert!(messages <= 100, "{messages} at once");
    node.advance(1000);
    let later = counts(node.take_sent(1));
    assert_eq!(at_once.0.iter().chain(&later.0).sum::<usize>(), 300);
    let announced: BTreeSet<_> =
        at_once.1.iter().chain(&later.1).flatten().map(|(tag, _)| tag).collect();
    assert_eq!(announced.len(), 300);
    assert!(later.0.len() + later.1.len() <= 3, "{later:?}");
}

#[test]
fn a_topic_refused_for_lack_of_room_is_requested_again() {
    let mut node = Node::new(1);
    node.subscribe("b");
    node.up(1, 2);
    node.full = true;
    let offer = Message::Topics(vec![genesis(2, "b", &Access::public(), 1)]);
    node.receive(1, offer.clone());
    node.take_sent(1);
    node.full = false;
    node.advance(20_000);
    let asked =
        |message: &Message| matches!(message, Message::Interests { list, .. } if list[0].missing);
    assert!(node.take_sent(1).iter().any(asked));
    node.receive(1, offer);
    assert_eq!(node.state.topics().count(), 1);
}

#[test]
fn a_subscription_is_kept_for_a_topic_that_becomes_known_later() {
    let mut node = Node::new(1);
    let wanted = genesis(2, "b", &Access::public(), 1);
    node.up(1, 3);
    node.receive(1, crate::rig::interest(1, &wanted.id()));
    node.commit(Mutation::CreateTopic(wanted));
    node.work();
    let by = icn_gossip::Provenance::Peer(did(3));
    assert!(node.state.subscriptions().any(|(_, whose, _)| whose == by));
}
