//! A node's own log: epochs, old copies of the node, and false heads.

use std::collections::BTreeSet;

use icn_gossip::Access;
use icn_gossip::mesh::Message;

use crate::rig::{EPOCH, Log, Node, interest, tag};

/// A copy of a node from before its third entry, and its complete log.
fn old_copy() -> (Node, icn_gossip::TopicId, Log) {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    let log = Log::of(1, topic, &["one", "two", "three"]);
    node.up(8, 2);
    node.receive(8, interest(8, &topic));
    // Signatures are deterministic, so these are the first two entries of the log.
    ["one", "two"].iter().for_each(|text| drop(node.publish(topic, text)));
    node.down(8);
    node.restart();
    (node, topic, log)
}

fn epoch(node: &Node) -> u64 {
    node.state.node().expect("a node").epoch
}

#[test]
fn an_old_copy_begins_its_own_epoch_and_receives_the_entries_it_lost() {
    let (mut node, topic, log) = old_copy();
    // The node does not know that it is a copy.
    node.publish(topic, "four");
    assert_ne!(epoch(&node), EPOCH);
    node.up_with(1, 2, &topic);
    node.receive(1, log.heads(1));
    let want = node.wants(1, &log.key).expect("its own log is wanted");
    assert_eq!(want.after, 2);
    node.receive(1, log.send(want.handle, 3));
    assert_eq!(node.texts(topic), ["one", "two", "four", "three"]);
    assert_eq!(node.state.head(&log.key).head, 3);
    assert!(node.state.heads(topic).all(|(_, log)| log.proof.is_none()));
    assert_eq!(node.closed, []);
}

#[test]
fn every_run_writes_into_its_own_epoch() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.publish(topic, "one");
    node.restart();
    node.publish(topic, "two");
    let second = epoch(&node);
    assert_ne!(second, EPOCH);
    node.publish(topic, "three");
    assert_eq!(epoch(&node), second);
    let heads: BTreeSet<u64> = node.state.heads(topic).map(|(_, log)| log.head).collect();
    assert_eq!(heads, [1, 2].into());
}

#[test]
fn a_false_head_of_its_own_log_does_not_stop_a_node() {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    node.publish(topic, "one");
    node.up_with(1, 2, &topic);
    let mut lie = Log::of(1, topic, &["one"]).head(1);
    lie.seq = 1000;
    let heads =
        Message::Heads { tag: tag(1, &topic), last: true, unsolicited: false, list: vec![lie] };
    node.receive(1, heads);
    node.publish(topic, "two");
    assert_eq!(epoch(&node), EPOCH);
    assert_eq!(node.closed, []);
}
