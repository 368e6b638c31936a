//! Which violations close a link, and which faults do not.

use icn_gossip::limits::{INTERESTS_MAX, INTERESTS_PER_MESSAGE, SERVED_MAX};
use icn_gossip::mesh::{Interest, Message, StopReason, Tag, Want};
use icn_gossip::{Access, Genesis};

use crate::rig::{Log, Node, ask, genesis, interest, root, tag};

fn public() -> (Node, icn_gossip::TopicId) {
    Node::with_topic(1, &Access::public())
}

#[test]
fn a_malformed_body_closes_the_link() {
    let (_, topic) = public();
    let log = Log::of(2, topic, &["one"]);
    for message in [
        interest(1, &topic),
        Message::Topics(vec![genesis(2, "b", &Access::public(), 1)]),
        Message::Roots(vec![(tag(1, &topic), root(7))]),
        ask(1, &topic),
        log.heads(1),
        log.want(1, 0, 0),
        log.send(0, 1),
        Message::Cease(300),
        Message::Stop { handle: 300, reason: StopReason::Frozen },
        Message::Dispute(Box::new(log.entries[0].clone())),
        Message::Proof(Box::new((log.entries[0].clone(), log.entries[0].clone()))),
        Message::Base { handle: 0, seq: 1, hash: [0; 32] },
    ] {
        let (kind, body) = message.encode();
        for cut in 0..body.len() {
            let (mut node, _) = public();
            node.up(1, 2);
            node.receive_bytes(1, kind, &body[..cut]);
            assert_eq!(node.closed, [(1, "malformed")], "{message:?} cut at {cut}");
        }
        let (mut node, _) = public();
        node.up(1, 2);
        node.receive_bytes(1, kind, &[&body[..], &[0]].concat());
        assert_eq!(node.closed, [(1, "malformed")], "{message:?} and more");
        assert_eq!(node.count("malformed"), 1);
    }
}

#[test]
fn an_unknown_kind_closes_the_link_only_if_it_must_be_understood() {
    let (mut node, _) = public();
    node.up(1, 2);
    node.receive_bytes(1, 0x7F, &[1, 2, 3]);
    assert_eq!(node.closed, []);
    node.receive_bytes(1, 0x80, &[]);
    assert_eq!(node.closed, [(1, "unknown_kind")]);
    node.receive_bytes(1, 0x80, &[]);
    assert_eq!(node.closed.len(), 1, "it has gone");
    assert_eq!(node.count("unknown_kind"), 1, "it has gone");
}

#[test]
fn a_bad_signature_closes_the_link() {
    let (mut node, topic) = public();
    let mut log = Log::of(2, topic, &["one", "two"]);
    node.up_with(1, 2, &topic);
    node.receive(1, log.heads(1));
    let want = node.wants(1, &log.key).expect("a want");
    let Message::Entries { handle, first, mut list } = log.send(want.handle, 1) else {
        unreachable!()
    };
    list[1].signature[5] ^= 1;
    node.receive(1, Message::Entries { handle, first, list });
    assert_eq!(node.closed.pop(), Some((1, "bad_signature")));
    assert_eq!(node.texts(topic), Vec::<String>::new(), "nothing of a batch that is not whole");

    // The same holds for a dispute and a proof, and for a genesis that was asked for.
    let joined = genesis(3, "b", &Access::public(), 1);
    node.up(2, 3);
    node.receive(2, Message::Topics(vec![joined.clone()]));
    node.subscribe(&joined.id().to_string());
    let mut forged = joined.encode();
    *forged.last_mut().expect("a signature") ^= 1;
    let forged = Genesis::decode(&forged).expect("well-formed");
    node.receive(2, Message::Topics(vec![forged]));
    assert_eq!(node.closed.pop(), Some((2, "bad_signature")));

    node.up_with(3, 3, &topic);
    node.receive(3, log.heads(3));
    let want = node.wants(3, &log.key).expect("a want");
    node.receive(3, log.send(want.handle, 1));
    assert_eq!(node.texts(topic), ["one", "two"]);
    log.seed = 3;
    log.entries.pop();
    log.push("another");
    node.receive(3, Message::Dispute(Box::new(forge(&log, 2))));
    assert_eq!(node.closed.pop(), Some((3, "bad_signature")));
    node.up_with(4, 3, &topic);
    node.receive(4, Message::Proof(Box::new((log.entries[0].clone(), forge(&log, 1)))));
    assert_eq!(node.closed.pop(), Some((4, "bad_signature")));
    assert!(node.state.head(&log.key).proof.is_none());
    assert_eq!(node.count("bad_signature"), 4);
}

/// An entry at position `seq` of a log in its author's name, without the author's signature.
fn forge(log: &Log, seq: usize) -> icn_gossip::Entry {
    let mut bytes = log.entries[seq - 1].encode();
    let author = log.key.author;
    bytes[65..97].copy_from_slice(author.key());
    bytes[200] ^= 1;
    icn_gossip::Entry::decode(&bytes).expect("an entry")
}

#[test]
fn unrequested_entries_close_the_link() {
    let (_, topic) = public();
    let log = Log::of(2, topic, &["one", "two", "three"]);
    type Case = (&'static str, fn(&Log, u64) -> Message);
    let cases: [Case; 4] = [
        ("an unknown handle", |log, handle| log.send(handle + 1, 1)),
        ("not in order", |log, handle| log.send(handle, 2)),
        ("a base of an unknown handle", |_, handle| Message::Base {
            handle: handle + 1,
            seq: 9,
            hash: [1; 32],
        }),
        ("a base that goes back", |_, handle| Message::Base { handle, seq: 0, hash: [0; 32] }),
    ];
    for (why, message) in cases {
        let (mut node, _) = public();
        node.up_with(1, 2, &topic);
        node.receive(1, log.heads(1));
        let want = node.wants(1, &log.key).expect("a want");
        node.receive(1, message(&log, want.handle));
        assert_eq!(node.closed, [(1, "unasked")], "{why}");
    }
    // A repeated frame is unrequested as well.
    let (mut node, _) = public();
    node.up_with(1, 2, &topic);
    node.receive(1, log.heads(1));
    let want = node.wants(1, &log.key).expect("a want");
    node.receive(1, log.send(want.handle, 1));
    node.receive(1, log.send(want.handle, 1));
    assert_eq!(node.closed, [(1, "unasked")]);
    assert_eq!(node.count("unasked"), 1);
    assert_eq!(node.texts(topic).len(), 3);
}

#[test]
fn exceeding_a_limit_closes_the_link() {
    let (mut node, topic) = public();
    node.up(1, 2);
    let one = Interest { tag: Tag([0; 16]), missing: false };
    let page = Message::Interests { more: true, list: vec![one; INTERESTS_PER_MESSAGE] };
    for _ in 0..=INTERESTS_MAX / INTERESTS_PER_MESSAGE {
        assert_eq!(node.closed, []);
        node.receive(1, page.clone());
    }
    assert_eq!(node.closed.pop(), Some((1, "too_many")));

    node.up_with(2, 2, &topic);
    let log = Log::new(1, topic, 0);
    let want = |handle: u64| {
        let Message::Want(list) = log.want(2, handle, 0) else { unreachable!() };
        Want { epoch: handle, ..list[0] }
    };
    for page in 0..=SERVED_MAX as u64 / 1000 {
        assert_eq!(node.closed, []);
        node.receive(2, Message::Want((page * 1000..(page + 1) * 1000).map(want).collect()));
    }
    assert_eq!(node.closed.pop(), Some((2, "too_many")));

    for flood in [
        interest(3, &topic),
        ask(3, &topic),
        Message::Roots(vec![(tag(3, &topic), root(7))]),
        Message::Find(Tag([1; 16])),
        Message::Found { tag: Tag([1; 16]), list: Vec::new() },
        Log::new(2, icn_gossip::TopicId::from_bytes([5; 32]), 1).want(3, 4, 0),
        Message::Dispute(Box::new(Log::of(3, topic, &["x"]).entries[0].clone())),
    ] {
        node.up_with(3, 2, &topic);
        let mut received = 0;
        while node.closed.is_empty() && received < 1000 {
            node.receive(3, flood.clone());
            received += 1;
        }
        assert_eq!(node.closed.pop(), Some((3, "too_many")), "{flood:?}");
        assert!((100..300).contains(&received), "{received}");
    }
    assert_eq!(node.count("too_many"), 9);
}

#[test]
fn a_handle_in_use_closes_the_link() {
    let (mut node, topic) = public();
    node.up_with(1, 2, &topic);
    node.receive(1, Log::new(1, topic, 1).want(1, 5, 0));
    node.receive(1, Log::new(1, topic, 2).want(1, 5, 0));
    assert_eq!(node.closed, [(1, "malformed")]);
}

#[test]
fn sequence_numbers_beyond_the_limit_are_malformed() {
    let (mut node, topic) = public();
    let log = Log::of(2, topic, &["one"]);
    let mut link = 0;
    let mut up = |node: &mut Node| {
        link += 1;
        node.up_with(link, 2, &topic);
        node.receive(link, log.heads(link));
        (link, node.wants(link, &log.key).expect("a want").handle)
    };
    for seq in [u64::MAX, u64::MAX - 1, 1 << 63] {
        let (link, handle) = up(&mut node);
        node.receive(link, Message::Base { handle, seq, hash: [1; 32] });
        assert_eq!(node.closed.pop(), Some((link, "malformed")));
        let (link, _) = up(&mut node);
        node.receive(link, log.want(link, 1, seq));
        assert_eq!(node.closed.pop(), Some((link, "malformed")));
        let (link, handle) = up(&mut node);
        let Message::Entries { list, .. } = log.send(handle, 1) else { unreachable!() };
        node.receive(link, Message::Entries { handle, first: seq, list });
        assert_eq!(node.closed.pop(), Some((link, "malformed")));
    }
    let (link, handle) = up(&mut node);
    // A head may announce any sequence number.
    let mut head = log.head(1);
    head.seq = u64::MAX;
    let list = vec![head];
    node.receive(
        link,
        Message::Heads { tag: tag(link, &topic), last: true, unsolicited: false, list },
    );
    node.receive(link, log.send(handle, 1));
    assert_eq!(node.closed.len(), 0);
    assert_eq!(node.texts(topic).len(), 1);
}

#[test]
fn faults_that_a_third_party_may_cause_close_no_link() {
    let access = Access::participants(vec![crate::rig::did(2)]);
    let (mut node, topic) = Node::with_topic(1, &access);
    node.up_with(1, 2, &topic);
    // The log of an author without access is not wanted.
    let foreign = Log::of(3, topic, &["one"]);
    node.receive(1, foreign.heads(1));
    assert_eq!(node.wants(1, &foreign.key), None);
    assert_eq!(node.count("head_without_access"), 1);
    // A time in the future.
    let mut early = Log::new(2, topic, 5);
    early.time_ms = node.now_ms + 3_600_000;
    early.push("early");
    node.receive(1, early.heads(1));
    let want = node.wants(1, &early.key).expect("a want");
    node.receive(1, early.send(want.handle, 1));
    assert_eq!(node.count("future"), 1);
    // The log is paused, and wanted again after the pause.
    assert!(node.take_sent(1).contains(&Message::Cease(want.handle)));
    node.receive(1, stop(want.handle));
    node.advance(500_000);
    assert_eq!(node.wants(1, &early.key), None);
    node.advance(3_100_000);
    let want = node.wants(1, &early.key).expect("a want");
    node.receive(1, early.send(want.handle, 1));
    // An unknown topic.
    let unknown = icn_gossip::TopicId::from_bytes([7; 32]);
    node.receive(1, interest(1, &unknown));
    node.receive(1, Log::new(2, unknown, 1).want(1, 0, 0));
    assert_eq!(node.texts(topic), ["early"]);
    assert_eq!(node.closed, []);
}

fn stop(handle: u64) -> Message {
    Message::Stop { handle, reason: StopReason::Ceased }
}
