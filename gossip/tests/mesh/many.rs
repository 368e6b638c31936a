//! Topics with many logs: which heads are announced.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use icn_gossip::mesh::{Ask, Digests, Head, Message};
use icn_gossip::{Access, Mutation, TopicId};
use proptest::collection::btree_set;
use proptest::prelude::*;

use crate::rig::{Log, Node, binding, genesis, interest, root, tag};

const LINK: u64 = 1;

fn topic() -> TopicId {
    genesis(1, "a", &Access::public(), 7).id()
}

/// A thousand logs, written by five authors in many runs.
static LOGS: LazyLock<Vec<Log>> = LazyLock::new(|| {
    let log = |at: u64| {
        let epoch = u64::from_le_bytes(*binding(at).first_chunk().expect("8 bytes"));
        let mut log = Log::new(4 + (at % 5) as u8, topic(), epoch);
        log.push("one");
        log.push("two");
        log
    };
    (0..1000).map(log).collect()
});

/// A node with the logs `whole`, of which those in `half` have only their first entry.
fn node(seed: u8, whole: impl IntoIterator<Item = usize>, half: &BTreeSet<usize>) -> Node {
    let mut node = Node::new(seed);
    node.commit(Mutation::CreateTopic(genesis(1, "a", &Access::public(), 7)));
    node.subscribe("a");
    for at in whole {
        for entry in &LOGS[at].entries[..if half.contains(&at) { 1 } else { 2 }] {
            node.commit(Mutation::Append { entry: entry.clone(), received_ms: 6 });
        }
    }
    node
}

/// The heads that `server` announces to a peer with the logs of `client`.
fn announced(server: &mut Node, client: &Node) -> (Ask, Vec<Head>) {
    server.up(LINK, 9);
    server.receive(LINK, interest(LINK, &topic()));
    server.take_sent(LINK);
    let digests = Digests::of(&client.state, topic(), &binding(LINK));
    let ask = Ask { tag: tag(LINK, &topic()), digests };
    server.receive(LINK, Message::Ask(vec![ask.clone()]));
    let mut heads = Vec::new();
    let mut complete = false;
    for message in server.take_sent(LINK) {
        if let Message::Heads { list, last, .. } = message {
            heads.extend(list);
            complete |= last;
        }
    }
    assert!(complete);
    (ask, heads)
}

fn head(log: &Log) -> Head {
    log.head(log.entries.len() as u64)
}

#[test]
fn only_heads_of_differing_parts_are_announced() {
    let none = BTreeSet::new();
    let lacks = node(3, 0..999, &none);
    let is_behind = node(3, 0..1000, &BTreeSet::from([999]));
    for client in [&lacks, &is_behind] {
        let (ask, heads) = announced(&mut node(2, 0..1000, &none), client);
        assert!(heads.contains(&head(&LOGS[999])));
        assert!(heads.len() < 64, "{} heads for one log", heads.len());
        let (_, body) = Message::Ask(vec![ask]).encode();
        assert!(body.len() < 600, "{} bytes to ask", body.len());
    }
    let (_, heads) = announced(&mut node(2, 0..999, &none), &lacks);
    assert_eq!(heads, []);
}

#[test]
fn a_peer_with_few_logs_is_sent_all_heads() {
    let none = BTreeSet::new();
    let (_, heads) = announced(&mut node(2, 0..1000, &none), &node(3, 0..20, &none));
    assert_eq!(heads.len(), 1000);
}

#[test]
fn digests_differ_from_link_to_link() {
    let client = node(3, 0..100, &BTreeSet::new());
    let digests = |link| Digests::of(&client.state, topic(), &binding(link));
    assert_eq!(digests(1), digests(1));
    assert_ne!(digests(1), digests(2));
}

#[test]
fn a_node_that_has_many_logs_asks_with_digests() {
    let mut node = node(3, 0..100, &BTreeSet::new());
    node.up(LINK, 2);
    node.receive(LINK, interest(LINK, &topic()));
    node.take_sent(LINK);
    node.receive(LINK, Message::Roots(vec![(tag(LINK, &topic()), root(LINK))]));
    let digests = Digests::of(&node.state, topic(), &binding(LINK));
    assert_ne!(digests, Digests::default());
    let ask = Ask { tag: tag(LINK, &topic()), digests };
    assert!(node.take_sent(LINK).contains(&Message::Ask(vec![ask])));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_log_with_a_further_head_is_announced(
        has in btree_set(0..300_usize, 0..300),
        had in btree_set(0..300_usize, 0..300),
        behind in btree_set(0..300_usize, 0..20),
    ) {
        let none = BTreeSet::new();
        let (_, heads) =
            announced(&mut node(2, has.iter().copied(), &none), &node(3, had.iter().copied(), &behind));
        for at in has.iter().filter(|at| !had.contains(at) || behind.contains(at)) {
            prop_assert!(heads.contains(&head(&LOGS[*at])), "log {at}");
        }
    }
}
