//! Many subscriptions: long lists in pages, within the limits and within a peer's budget.

use std::collections::BTreeSet;

use icn_gossip::limits::{BATCH_BYTES_MAX, INTERESTS_MAX, INTERESTS_PER_MESSAGE};
use icn_gossip::mesh::{Interest, LinkId, Message, Tag};
use icn_gossip::{Access, Mutation, Provenance, TopicId};

use crate::rig::{Node, genesis, tag};

const LINK: u64 = 1;

/// Adds public topics `t0`, `t1` …, made by the node with this seed.
fn create(node: &mut Node, seed: u8, topics: std::ops::Range<usize>) -> Vec<TopicId> {
    let mut add = |at: usize| {
        let topic = genesis(seed, &format!("t{at}"), &Access::public(), at as u64);
        let id = topic.id();
        node.commit(Mutation::CreateTopic(topic));
        id
    };
    topics.map(&mut add).collect()
}

/// Subscribes to all topics in one turn.
fn subscribe(node: &mut Node, topics: &[TopicId]) {
    for topic in topics {
        let topic = topic.to_string();
        node.commit(Mutation::Subscribe { topic, by: Provenance::Local, time_ms: 5 });
    }
    node.work();
}

fn unsubscribe(node: &mut Node, topics: &[TopicId]) {
    for topic in topics {
        let topic = topic.to_string();
        node.commit(Mutation::Unsubscribe { topic, by: Provenance::Local });
    }
    node.work();
}

/// The pages of interests among the messages, and whether each says that more follow.
fn pages(sent: &[Message]) -> Vec<(bool, &[Interest])> {
    let page = |message| match message {
        &Message::Interests { more, ref list } => Some((more, list.as_slice())),
        _ => None,
    };
    sent.iter().filter_map(page).collect()
}

fn tags(topics: &[TopicId]) -> BTreeSet<Tag> {
    topics.iter().map(|topic| tag(LINK, topic)).collect()
}

/// Passes all messages between two nodes, and tells each that the network accepted its frames.
/// Returns the number of passed messages.
fn pass(nodes: &mut [Node; 2]) -> usize {
    let mut passed = 0;
    for from in [0, 1] {
        let messages = nodes[from].take_sent(LINK);
        passed += messages.len();
        messages.into_iter().for_each(|message| nodes[1 - from].receive(LINK, message));
        let in_flight = nodes[from].view(LINK).in_flight;
        nodes[from].mesh.sent(LinkId(LINK), in_flight);
        nodes[from].work();
    }
    passed
}

fn run(nodes: &mut [Node; 2], seconds: usize) {
    for _ in 0..2 * seconds {
        while pass(nodes) > 0 {}
        nodes.iter_mut().for_each(|node| node.advance(500));
    }
    assert_eq!(nodes.each_ref().map(|node| node.closed.len()), [0, 0]);
}

#[test]
fn a_long_list_of_interests_is_sent_in_pages_and_only_when_it_has_changed() {
    let count = 2 * INTERESTS_PER_MESSAGE + 7;
    let mut node = Node::new(1);
    let topics = create(&mut node, 2, 0..count + 1);
    subscribe(&mut node, &topics[1..]);
    node.up(LINK, 3);
    let sent = node.take_sent(LINK);
    let list = pages(&sent);
    let sizes: Vec<_> = list.iter().map(|(more, page)| (*more, page.len())).collect();
    let full = INTERESTS_PER_MESSAGE;
    assert_eq!(sizes, [(true, full), (true, full), (false, 7)]);
    let all: Vec<Tag> = list.iter().flat_map(|(_, page)| *page).map(|one| one.tag).collect();
    assert!(all.is_sorted(), "the order shows nothing");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), tags(&topics[1..]));
    for message in &sent {
        assert!(message.encode().1.len() <= BATCH_BYTES_MAX, "a page is small");
    }
    subscribe(&mut node, &topics[1..]);
    node.advance(60_000);
    assert_eq!(pages(&node.take_sent(LINK)), [], "the list is unchanged");
    subscribe(&mut node, &topics[..1]);
    node.advance(1000);
    let sent = node.take_sent(LINK);
    let all = pages(&sent).into_iter().flat_map(|(_, page)| page).map(|one| one.tag);
    assert_eq!(all.collect::<BTreeSet<_>>(), tags(&topics));
}

#[test]
fn a_peer_learns_a_list_when_its_last_page_is_here() {
    let count = INTERESTS_PER_MESSAGE + 1;
    let mut node = Node::new(1);
    let topics = create(&mut node, 2, 0..count);
    node.up(LINK, 3);
    let interest = |topic: &TopicId| Interest { tag: tag(LINK, topic), missing: false };
    let page = |more, topics: &[TopicId]| Message::Interests {
        more,
        list: topics.iter().map(interest).collect(),
    };
    node.receive(LINK, page(true, &topics[1..]));
    assert_eq!(node.view(LINK).shared.len(), 0);
    node.receive(LINK, page(false, &topics[..1]));
    assert_eq!(node.view(LINK).shared.len(), count);
    let subscribed = node.state.subscriptions().count();
    assert_eq!(subscribed, count, "the peer's subscriptions are durable");
    // The next list replaces the whole list.
    node.receive(LINK, page(true, &topics[..1]));
    node.receive(LINK, page(false, &topics[1..2]));
    assert_eq!(node.view(LINK).shared.len(), 2);
    // The roots of all topics were announced, in pages.
    let roots = node.take_sent(LINK).into_iter().filter_map(|message| match message {
        Message::Roots(list) => Some(list),
        _ => None,
    });
    let roots: Vec<_> = roots.collect();
    assert!(roots.iter().all(|page| page.len() * 32 <= BATCH_BYTES_MAX));
    let announced: BTreeSet<Tag> = roots.iter().flatten().map(|(tag, _)| *tag).collect();
    assert_eq!(announced, tags(&topics));
}

#[test]
fn beyond_the_limit_of_interests_the_operator_is_told_how_many_are_left_out() {
    let mut node = Node::new(1);
    let topics = create(&mut node, 2, 0..INTERESTS_MAX + 5);
    subscribe(&mut node, &topics[5..]);
    let mut nodes = [node, Node::new(3)];
    nodes.iter_mut().zip([3, 1]).for_each(|(node, peer)| node.up(LINK, peer));
    run(&mut nodes, 1);
    assert_eq!(nodes[0].mesh.left_out(), 0);
    subscribe(&mut nodes[0], &topics);
    run(&mut nodes, 2);
    assert_eq!(nodes[0].mesh.left_out(), 5);
    assert_eq!(nodes[0].count("interests_left_out"), 1);
    unsubscribe(&mut nodes[0], &topics[..5]);
    run(&mut nodes, 2);
    assert_eq!(nodes[0].mesh.left_out(), 0);
}

#[test]
fn a_long_list_that_changes_all_the_time_stays_within_a_peers_budget() {
    let mut node = Node::new(1);
    let topics = create(&mut node, 2, 0..INTERESTS_PER_MESSAGE * 5 + 100);
    subscribe(&mut node, &topics[100..]);
    let mut nodes = [node, Node::new(3)];
    nodes.iter_mut().zip([3, 1]).for_each(|(node, peer)| node.up(LINK, peer));
    let mut messages = 0;
    for topic in &topics[..100] {
        subscribe(&mut nodes[0], &[*topic]);
        messages +=
            pages(&nodes[0].sent.iter().map(|(_, sent)| sent.clone()).collect::<Vec<_>>()).len();
        while pass(&mut nodes) > 0 {}
        nodes.iter_mut().for_each(|node| node.wait(100));
    }
    assert!((60..=110).contains(&messages), "{messages} in 10 s");
    run(&mut nodes, 2);
    assert_eq!(nodes[0].closed, []);
}

/// 20 000 topics with `ICN_TOPICS=20000`.
#[test]
fn many_topics_joined_by_id_are_entered_and_followed() {
    let count = std::env::var("ICN_TOPICS").ok().and_then(|text| text.parse().ok()).unwrap_or(9000);
    let mut nodes = [Node::new(1), Node::new(2)];
    nodes.iter_mut().zip([2, 1]).for_each(|(node, peer)| node.up(LINK, peer));
    let topics = create(&mut nodes[0], 1, 0..count);
    run(&mut nodes, 2);
    subscribe(&mut nodes[1], &topics);
    run(&mut nodes, 25);
    assert_eq!(nodes[1].state.counts().topics, count);
    for topic in &topics {
        nodes[0].publish(*topic, "one");
    }
    run(&mut nodes, 5);
    assert_eq!(nodes[1].state.counts().entries, count);
    assert_eq!(nodes[1].count("duplicate"), 0);
    assert_eq!(nodes[1].mesh.left_out(), 0);
}
