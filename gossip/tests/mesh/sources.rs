//! The source of each log: choice, replacement and gaps.

use icn_gossip::mesh::{Head, LinkId, Message, StopReason};
use icn_gossip::{Access, Mutation, Provenance, TopicId};

use crate::rig::{EPOCH, Log, Node, ask, did, genesis, interest, root, tag};

fn public() -> (Node, TopicId) {
    Node::with_topic(1, &Access::public())
}

/// A node that wants a log from peer 2 on link 1; returns the log and the want's handle.
fn wanting(author: u8, texts: &[&str]) -> (Node, Log, u64) {
    let (mut node, topic) = public();
    let log = Log::of(author, topic, texts);
    node.up_with(1, 2, &topic);
    node.receive(1, log.heads(1));
    let handle = node.wants(1, &log.key).expect("a want").handle;
    (node, log, handle)
}

fn stop(handle: u64, reason: StopReason) -> Message {
    Message::Stop { handle, reason }
}

#[test]
fn a_log_is_received_from_its_author_once_linked() {
    let (mut node, log, first) = wanting(3, &["one", "two", "three"]);
    let topic = log.key.topic;
    node.up_with(2, 3, &topic);
    node.receive(2, log.heads(2));
    assert!(node.take_sent(1).contains(&Message::Cease(first)));
    assert_eq!(node.wants(2, &log.key), None, "one source at a time");
    // Entries in flight are accepted.
    node.receive(1, log.send(first, 1));
    node.receive(1, stop(first, StopReason::Ceased));
    let want = node.wants(2, &log.key).expect("from the author");
    assert_eq!(want.after, 3);
    let mut more = log.clone();
    more.push("four");
    node.receive(2, more.send(want.handle, 4));
    assert_eq!(node.texts(topic), ["one", "two", "three", "four"]);
    assert_eq!(node.closed.len(), 0);
    assert_eq!(node.count("duplicate"), 0);
}

#[test]
fn an_author_that_connects_during_checks_becomes_the_source() {
    let (mut node, log, first) = wanting(3, &["one", "two"]);
    let topic = log.key.topic;
    node.slow = true;
    node.receive(1, log.send(first, 1));
    node.up_with(2, 3, &topic);
    node.receive(2, log.heads(2));
    assert!(
        !node.take_sent(1).contains(&Message::Cease(first)),
        "the head is unknown while entries are being checked"
    );
    node.check_signatures();
    assert!(node.take_sent(1).contains(&Message::Cease(first)));
}

#[test]
fn a_silent_source_is_replaced_by_a_peer_with_more_entries() {
    let (mut node, log, first) = wanting(4, &["one", "two"]);
    let topic = log.key.topic;
    node.advance(10_000);
    assert!(!node.take_sent(1).contains(&Message::Cease(first)), "no other peer has it");
    node.up_with(2, 3, &topic);
    node.receive(2, log.heads(2));
    node.advance(1000);
    assert!(node.take_sent(1).contains(&Message::Cease(first)));
    node.receive(1, stop(first, StopReason::Ceased));
    let want = node.wants(2, &log.key).expect("a want");
    node.receive(2, log.send(want.handle, 1));
    assert_eq!(node.texts(topic).len(), 2);
}

#[test]
fn a_source_that_ignores_cease_is_replaced() {
    let (mut node, log, first) = wanting(4, &["one", "two"]);
    let topic = log.key.topic;
    node.up_with(2, 3, &topic);
    node.receive(2, log.heads(2));
    node.advance(6000);
    assert_eq!(node.count("never_stopped"), 1);
    let want = node.wants(2, &log.key).expect("a want");
    node.receive(2, log.send(want.handle, 1));
    assert_eq!(node.texts(topic).len(), 2);
    // Late entries are no fault, are not accepted, and do not change the source.
    node.receive(1, log.send(first, 1));
    node.receive(1, stop(first, StopReason::Ceased));
    let mut more = log.clone();
    more.push("three");
    node.receive(2, more.send(want.handle, 3));
    assert_eq!(node.texts(topic).len(), 3);
    assert_eq!(node.closed.len(), 0);
    assert_eq!(node.count("duplicate"), 0);
}

#[test]
fn a_slow_source_is_replaced_after_a_while() {
    let texts: Vec<String> = (0..100).map(|number: u32| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (mut node, log, drip) = wanting(4, &texts);
    let topic = log.key.topic;
    node.up_with(2, 3, &topic);
    node.receive(2, log.heads(2));
    for seq in 1..=30_usize {
        let one = Log { entries: log.entries[..seq].to_vec(), ..log.clone() };
        node.receive(1, one.send(drip, seq));
        node.advance(1000);
    }
    assert!(node.take_sent(1).contains(&Message::Cease(drip)));
    node.receive(1, stop(drip, StopReason::Ceased));
    let want = node.wants(2, &log.key).expect("a want");
    assert_eq!(want.after, 30);
    node.receive(2, log.send(want.handle, 31));
    assert_eq!(node.texts(topic).len(), 100);
}

#[test]
fn a_replaced_source_is_asked_again_when_it_is_the_only_one() {
    let (mut node, log, first) = wanting(4, &["one", "two"]);
    let topic = log.key.topic;
    node.up_with(2, 3, &topic);
    node.receive(2, log.heads(2));
    node.advance(3000);
    node.receive(1, stop(first, StopReason::Ceased));
    node.down(2);
    node.take_sent(1);
    node.receive(1, Message::Roots(vec![(tag(1, &topic), root(1))]));
    assert!(node.take_sent(1).contains(&ask(1, &topic)));
    node.receive(1, log.heads(1));
    assert!(node.wants(1, &log.key).is_some());
}

#[test]
fn a_lost_source_is_replaced_by_another_peer() {
    let (mut node, log, first) = wanting(4, &["one", "two"]);
    let topic = log.key.topic;
    node.up_with(2, 3, &topic);
    node.receive(2, log.heads(2));
    let one = Log { entries: log.entries[..1].to_vec(), ..log.clone() };
    node.receive(1, one.send(first, 1));
    node.take_sent(2);
    node.down(1);
    let sent = node.take_sent(2);
    let asked = |message: &Message| matches!(message, Message::Ask(_));
    assert!(sent.iter().any(asked), "other peers may have the lost peer's entries");
    node.sent.extend(sent.into_iter().map(|message| (2, message)));
    let want = node.wants(2, &log.key).expect("a want");
    assert_eq!(want.after, 1);
    node.receive(2, log.send(want.handle, 2));
    assert_eq!(node.texts(topic), ["one", "two"]);
}

#[test]
fn a_gap_is_accepted_only_if_no_peer_has_the_missing_entries() {
    let (mut node, topic) = public();
    let log = Log::of(4, topic, &["one", "two", "three", "four"]);
    let base = |handle| Message::Base { handle, seq: 2, hash: log.hash(2) };
    node.up_with(1, 4, &topic);
    node.receive(1, log.heads(1));
    let author = node.wants(1, &log.key).expect("a want").handle;
    node.up_with(2, 2, &topic);
    node.receive(2, log.heads(2));
    // The author has pruned the first entries; another peer may have them.
    node.receive(1, base(author));
    assert!(node.take_sent(1).contains(&Message::Cease(author)));
    node.receive(1, log.send(author, 3));
    node.receive(1, stop(author, StopReason::Ceased));
    let other = node.wants(2, &log.key).expect("a want").handle;
    assert_eq!(node.wants(1, &log.key), None);
    // No peer has them: after the time to announce them has passed, the gap is accepted.
    node.receive(2, base(other));
    node.receive(2, stop(other, StopReason::Ceased));
    assert_eq!(node.wants(1, &log.key), None);
    assert_eq!(node.wants(2, &log.key), None);
    node.advance(3000);
    let again = node.wants(1, &log.key).expect("a want").handle;
    node.receive(1, base(again));
    node.receive(1, log.send(again, 3));
    assert_eq!(node.texts(topic), ["three", "four"]);
    assert_eq!(node.state.head(&log.key).base, 2);
    assert_eq!(node.closed, []);
    // The log is new here and is announced to the other peer.
    let sent = node.take_sent(2);
    let announced = |message: &Message| matches!(message, Message::Heads { unsolicited: true, list, .. } if list.contains(&log.head(4)));
    assert!(sent.iter().any(announced));
}

#[test]
fn a_base_with_a_wrong_hash_fails_at_the_next_entry() {
    let (mut node, log, handle) = wanting(4, &["one", "two", "three"]);
    let base = |handle| Message::Base { handle, seq: 2, hash: [5; 32] };
    node.receive(1, base(handle));
    node.receive(1, stop(handle, StopReason::Ceased));
    node.advance(3000);
    let again = node.wants(1, &log.key).expect("a want").handle;
    node.receive(1, base(again));
    node.receive(1, log.send(again, 3));
    assert_eq!(node.closed, [(1, "bad_signature")]);
    assert_eq!(node.state.head(&log.key).head, 0);
}

#[test]
fn two_nodes_that_wait_for_each_other_stop_and_announce_new_entries() {
    let (mut node, topic) = public();
    let mut log = Log::of(4, topic, &["one"]);
    node.up_with(1, 2, &topic);
    node.receive(1, log.heads(1));
    let handle = node.wants(1, &log.key).expect("a want").handle;
    node.receive(1, log.send(handle, 1));
    node.take_sent(1);
    // The peer wants a log that this node receives only from it.
    node.receive(1, log.want(1, 3, 1));
    assert_eq!(node.take_sent(1), [stop(3, StopReason::NoSource)]);
    // The peer declines likewise.
    node.receive(1, stop(handle, StopReason::NoSource));
    node.up_with(2, 4, &topic);
    log.push("two");
    node.receive(2, log.heads(2));
    let handle = node.wants(2, &log.key).expect("a want").handle;
    node.receive(2, log.send(handle, 2));
    let list = vec![log.head(2)];
    let heads = Message::Heads { tag: tag(1, &topic), last: false, unsolicited: true, list };
    assert!(node.take_sent(1).contains(&heads));
}

#[test]
fn a_source_lost_during_checks_causes_no_duplicates() {
    // The race: the last entries are checked while their source disconnects or stops.
    for stops in [false, true] {
        for checked_first in [true, false] {
            let (mut node, log, first) = wanting(4, &["one", "two", "three"]);
            let topic = log.key.topic;
            node.up_with(2, 3, &topic);
            node.receive(2, log.heads(2));
            if stops {
                // By now the log is wanted from another peer.
                node.advance(2500);
            }
            node.take_sent(2);
            node.slow = true;
            node.receive(1, log.send(first, 1));
            let batch = node.unchecked.pop_front().expect("a batch");
            if checked_first {
                node.mesh.verified(&node.state, node.now(), batch.clone(), true);
            }
            if stops {
                let (kind, body) = stop(first, StopReason::Ceased).encode();
                node.mesh.receive(&node.state, node.now(), LinkId(1), kind, &body);
            } else {
                node.mesh.down(&node.state, node.now(), LinkId(1));
            }
            if !checked_first {
                node.mesh.verified(&node.state, node.now(), batch, true);
            }
            node.work();
            let want = node.wants(2, &log.key).expect("from the other");
            assert_eq!(want.after, 3, "stops: {stops}, checked first: {checked_first}");
            assert_eq!(node.texts(topic).len(), 3);
        }
    }
}

#[test]
fn duplicates_are_counted() {
    let (mut node, topic) = public();
    let log = Log::of(4, topic, &["one", "two"]);
    node.slow = true;
    node.up_with(1, 2, &topic);
    node.receive(1, log.heads(1));
    let first = node.wants(1, &log.key).expect("a want").handle;
    node.receive(1, log.send(first, 1));
    let batch = node.unchecked.front().cloned().expect("a batch");
    node.check_signatures();
    assert_eq!(node.texts(topic).len(), 2);
    node.mesh.verified(&node.state, node.now(), batch, true);
    node.work();
    assert_eq!(node.texts(topic).len(), 2);
    assert_eq!(node.count("duplicate"), 2);
}

#[test]
fn a_paused_log_is_wanted_again_after_its_pause() {
    let (mut node, log, first) = wanting(4, &["one", "two"]);
    let topic = log.key.topic;
    node.full = true;
    node.receive(1, log.send(first, 1));
    assert_eq!(node.count("no_room"), 1);
    assert!(node.take_sent(1).contains(&Message::Cease(first)));
    node.receive(1, stop(first, StopReason::Ceased));
    node.full = false;
    assert_eq!(node.wants(1, &log.key), None, "paused");
    node.advance(11_000);
    let again = node.wants(1, &log.key).expect("a want").handle;
    node.receive(1, log.send(again, 1));
    assert_eq!(node.texts(topic).len(), 2);
}

#[test]
fn a_clock_set_back_stops_no_timer() {
    let (mut node, topic) = public();
    let log = Log::of(4, topic, &["one"]);
    node.up_with(1, 2, &topic);
    node.receive(1, log.heads(1));
    node.take_sent(1);
    node.advance(1000);
    node.now_ms -= 900_000;
    node.up_with(2, 3, &topic);
    node.receive(2, log.heads(2));
    let other = genesis(1, "something-else", &Access::public(), 1);
    node.commit(Mutation::CreateTopic(other));
    node.subscribe("something-else");
    node.advance(20_000);
    let sent = node.take_sent(2);
    assert!(sent.iter().any(|message| matches!(message, Message::Roots(_))), "{sent:?}");
    let listed =
        |message: &Message| matches!(message, Message::Interests { list, .. } if list.len() == 2);
    assert!(sent.iter().any(listed));
    assert!(sent.iter().any(|message| matches!(message, Message::Want(_))), "not stalled");
    for _ in 0..20 {
        (0..20).for_each(|_| node.receive(2, interest(2, &topic)));
        node.advance(1000);
    }
    assert_eq!(node.closed, []);
}

#[test]
fn a_clock_of_the_node_that_advances_at_once_fires_no_timer_and_ends_no_pause() {
    let (mut node, topic) = public();
    node.up_with(1, 2, &topic);
    let mut early = Log::new(2, topic, 1);
    early.time_ms = node.now_ms + 100 * 24 * 60 * 60 * 1000;
    early.push("early");
    node.receive(1, early.heads(1));
    let want = node.wants(1, &early.key).expect("a want");
    node.receive(1, early.send(want.handle, 1));
    node.receive(1, stop(want.handle, StopReason::Ceased));
    node.receive(1, early.heads(1));
    node.advance(1000);
    node.take_sent(1);
    // The time that the node was down, which its operator confirms.
    node.node_ms += 42 * 24 * 60 * 60 * 1000;
    node.advance(500);
    assert_eq!(node.take_sent(1), [], "neither a round nor the paused log is due");
    node.advance(600_000);
    let wants = |message: &Message| matches!(message, Message::Want(_));
    assert!(node.take_sent(1).iter().any(wants), "the pause is over");
}

#[test]
fn heads_are_announced_again_after_a_renewed_subscription() {
    let (mut node, log, first) = wanting(4, &["one"]);
    let topic = log.key.topic;
    node.unsubscribe("a");
    assert!(node.take_sent(1).contains(&Message::Cease(first)));
    node.receive(1, stop(first, StopReason::Ceased));
    node.subscribe("a");
    // The peer announces the same root as before.
    node.receive(1, Message::Roots(vec![(tag(1, &topic), root(1))]));
    assert!(node.take_sent(1).contains(&ask(1, &topic)));
    node.receive(1, log.heads(1));
    assert!(node.wants(1, &log.key).is_some());
}

#[test]
fn an_entry_for_a_full_link_is_sent_later() {
    let (mut node, topic) = public();
    let mut log = Log::new(4, topic, EPOCH);
    (0..40).for_each(|_| log.push(&".".repeat(60_000)));
    node.up_with(1, 4, &topic);
    node.receive(1, log.heads(1));
    let handle = node.wants(1, &log.key).expect("a want").handle;
    for (at, entry) in log.entries.iter().enumerate() {
        let list = vec![crate::rig::wire(entry)];
        node.receive(1, Message::Entries { handle, first: at as u64 + 1, list });
    }
    node.up_with(2, 2, &topic);
    node.take_sent(2);
    node.receive(2, log.want(2, 0, 0));
    let count = |node: &mut Node| {
        let sent = node.take_sent(2).into_iter().filter_map(|message| match message {
            Message::Entries { list, .. } => Some(list.len()),
            _ => None,
        });
        sent.sum::<usize>()
    };
    let first = count(&mut node);
    assert!((16..=20).contains(&first), "{first} of 60 kB in flight");
    assert!(node.view(2).in_flight < (1 << 20) + (64 << 10));
    // Rounds of roots pass meanwhile and cost nothing while the peer does not read.
    for _ in 0..100 {
        node.advance(1000);
    }
    let mut arrived = first;
    while arrived < 40 {
        let before = arrived;
        node.mesh.sent(LinkId(2), 61_000);
        node.work();
        arrived += count(&mut node);
        assert!(arrived > before, "after {arrived}");
    }
    assert_eq!(arrived, 40);
    assert!(node.texts(topic).len() == 40 && node.closed.is_empty());
}

#[test]
fn false_heads_stop_nothing() {
    let (mut node, topic) = public();
    let log = Log::of(4, topic, &["one", "two"]);
    node.up_with(1, 2, &topic);
    let lie = |epoch| Head { author: did(4), epoch, seq: u64::MAX, hash: [3; 16] };
    let list = vec![lie(EPOCH), lie(77), Head { author: did(1), ..lie(EPOCH) }];
    node.receive(1, Message::Heads { tag: tag(1, &topic), last: true, unsolicited: false, list });
    node.up_with(2, 3, &topic);
    node.receive(2, log.heads(2));
    node.advance(6000);
    let want = node.wants(2, &log.key).expect("a want");
    node.receive(2, log.send(want.handle, 1));
    assert_eq!(node.texts(topic), ["one", "two"]);
    node.publish(topic, "mine");
    assert_eq!(node.closed, []);
}

#[test]
fn unsent_wants_are_withdrawn_and_messages_stay_within_limits() {
    let (mut node, topic) = public();
    node.up_with(1, 2, &topic);
    // More wants than fit into one message, all at once.
    let head = |epoch| Head { author: did(4), epoch, seq: 1, hash: [1; 16] };
    let heads = |from: u64| (from..from + 1000).map(head).collect();
    for page in 0..6 {
        let list = heads(page * 1000);
        let message =
            Message::Heads { tag: tag(1, &topic), last: page == 5, unsolicited: false, list };
        let (kind, body) = message.encode();
        node.mesh.receive(&node.state, node.now(), LinkId(1), kind, &body);
    }
    let by = Provenance::Local;
    node.state.apply(99, Mutation::Unsubscribe { topic: "a".into(), by });
    node.mesh.interests_changed();
    node.work();
    let sent = node.take_sent(1);
    let of_wants = |message: &&Message| matches!(message, Message::Want(_) | Message::Cease(_));
    assert_eq!(sent.iter().filter(of_wants).count(), 0);
    assert_eq!(node.view(1).wants, 0);
}

#[test]
fn a_peer_that_stops_without_cease_is_not_asked_in_a_loop() {
    let (mut node, log, first) = wanting(4, &["one"]);
    node.receive(1, stop(first, StopReason::Ceased));
    assert_eq!(node.wants(1, &log.key), None, "asked again at once");
    node.receive(1, log.heads(1));
    assert!(node.wants(1, &log.key).is_some(), "the peer has announced it again");
}
