//! What was pruned here and is retained elsewhere comes back when the operator asks for it.

use std::collections::{BTreeSet, VecDeque};

use icn_gossip::limits::{FETCHES_MAX, REFETCH_LOGS_MAX, REFETCHES_MAX};
use icn_gossip::mesh::{LinkId, Message, RefetchEnd, RefetchProgress, TooManyRefetches, Want};
use icn_gossip::{Access, Entry, Mutation, TopicId};

use crate::rig::{EPOCH, Log, Node, genesis, tag, wire};

/// A node that has received these logs and pruned them.
fn pruned(logs: &[&Log]) -> (Node, TopicId) {
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    hold(&mut node, logs);
    let through = node.state.last_arrival(&topic);
    node.commit(Mutation::Prune { topic, through });
    assert_eq!(node.state.entries(topic, 0).count(), 0);
    (node, topic)
}

/// The topic of [`pruned`].
fn topic() -> TopicId {
    genesis(1, "a", &Access::public(), 7).id()
}

fn hold(node: &mut Node, logs: &[&Log]) {
    for entry in logs.iter().flat_map(|log| &log.entries) {
        node.commit(Mutation::Append { entry: entry.clone(), received_ms: node.node_ms });
    }
    node.work();
}

fn begin(node: &mut Node, topic: TopicId, since_ms: u64) {
    let now = node.now();
    node.mesh.begin_refetch(&node.state, now, topic, since_ms).expect("room");
    node.work();
}

fn progress(node: &Node, topic: TopicId) -> RefetchProgress {
    node.mesh.refetch(&topic).expect("a refetch").clone()
}

fn end(node: &Node, topic: TopicId) -> Option<RefetchEnd> {
    progress(node, topic).end
}

/// The FETCH messages sent over a link since the last call.
fn fetches(node: &mut Node, link: u64) -> Vec<Want> {
    let fetch = |message| match message {
        Message::Fetch(want) => Some(want),
        _ => None,
    };
    node.take_sent(link).into_iter().filter_map(fetch).collect()
}

fn only_fetch(node: &mut Node, link: u64) -> Want {
    let fetches = fetches(node, link);
    assert_eq!(fetches.len(), 1, "{fetches:?}");
    fetches[0]
}

/// The answer with the entries `first` to `last` of a log.
fn page(log: &Log, handle: u64, first: usize, last: usize) -> Message {
    let list = log.entries[first - 1..last].iter().map(wire).collect();
    Message::Fetched { handle, previous: log.hash(first - 1), list }
}

fn empty(handle: u64) -> Message {
    Message::Fetched { handle, previous: [0; 32], list: Vec::new() }
}

fn texts(log: &Log) -> Vec<String> {
    let text = |entry: &Entry| String::from_utf8_lossy(entry.payload()).into_owned();
    log.entries.iter().map(text).collect()
}

/// Carries all messages between two nodes over link 1; returns the FETCH that were sent.
fn converse(one: &mut Node, other: &mut Node) -> usize {
    let mut fetched = 0;
    loop {
        let sent = [one.take_sent(1), other.take_sent(1)];
        if sent.iter().all(Vec::is_empty) {
            return fetched;
        }
        let [from_one, from_other] = sent;
        fetched += from_one.iter().filter(|one| matches!(one, Message::Fetch(_))).count();
        from_one.into_iter().for_each(|message| other.receive(1, message));
        from_other.into_iter().for_each(|message| one.receive(1, message));
        for node in [&mut *one, &mut *other] {
            let bytes = node.view(1).in_flight;
            node.mesh.sent(LinkId(1), bytes);
            node.work();
        }
    }
}

/// So many logs of one author, with an entry each.
fn short_logs(count: u64) -> Vec<Log> {
    let log = |epoch| {
        let mut log = Log::new(3, topic(), epoch);
        log.push("x");
        log
    };
    (0..count).map(log).collect()
}

#[test]
fn pruned_entries_of_several_logs_come_back_page_by_page_and_are_no_arrivals() {
    let logs: Vec<Log> = (0..7_u8)
        .map(|at| {
            let mut log = Log::new(3 + at / 2, topic(), u64::from(at));
            let (count, text) = if at == 4 { (150, "long ".repeat(400)) } else { (3, "x".into()) };
            (0..count).for_each(|number| log.push(&format!("{at} {number} {text}")));
            log
        })
        .collect();
    let all: Vec<&Log> = logs.iter().collect();
    let (mut node, topic) = pruned(&all);
    let mut peer = Node::new(2);
    peer.commit(Mutation::CreateTopic(genesis(1, "a", &Access::public(), 7)));
    peer.subscribe("a");
    hold(&mut peer, &all);
    node.up(1, 2);
    peer.up(1, 1);
    converse(&mut node, &mut peer);
    let last = node.state.last_arrival(&topic);
    begin(&mut node, topic, 0);
    assert_eq!(node.mesh.refetch(&topic).expect("one").end, None);
    let fetches = converse(&mut node, &mut peer);
    // The long log takes 300 KB in pages of at most 64 KiB.
    assert_eq!(fetches, 6 + 5);
    let found = progress(&node, topic);
    assert_eq!(found.end, Some(RefetchEnd::Done));
    let (entries, bytes) = (node.state.counts().entries as u64, node.state.counts().bytes);
    assert_eq!((found.entries, found.bytes, entries), (168, bytes, 168));
    assert_eq!((found.logs, found.unavailable, found.authors.len()), (7, 0, 4));
    assert_eq!(found.oldest_ms, Some(6));
    let mut back = node.texts(topic);
    for log in &logs {
        let of_log: Vec<String> = texts(log);
        let came: Vec<&String> = back.iter().filter(|text| of_log.contains(text)).collect();
        assert_eq!(came, of_log.iter().collect::<Vec<_>>(), "in the order of their log");
    }
    back.sort();
    back.dedup();
    assert_eq!(back.len(), 168);
    assert_eq!(node.state.last_arrival(&topic), last);
    assert_eq!(node.state.topic(&topic).expect("a topic").readmitted, last);
    // Nothing is missing any more.
    begin(&mut node, topic, 0);
    let found = progress(&node, topic);
    assert_eq!((found.end, found.logs), (Some(RefetchEnd::Done), 0));
    assert_eq!((&node.closed, &peer.closed), (&vec![], &vec![]));
}

#[test]
fn a_page_with_another_entry_is_dropped_and_its_sender_not_asked_again() {
    let log = Log::of(3, topic(), &["one", "two", "three"]);
    let forged = Log::of(3, topic(), &["one", "2", "three"]);
    let lies: [fn(&Log, &Log, u64) -> Message; 6] = [
        |_, forged, handle| page(forged, handle, 1, 3),
        |log, _, handle| page(log, handle, 1, 2),
        |log, _, handle| Message::Fetched {
            handle,
            previous: [7; 32],
            list: log.entries[1..].iter().map(wire).collect(),
        },
        |log, _, handle| Message::Fetched {
            handle,
            previous: [0; 32],
            list: log.entries.iter().chain(&log.entries).map(wire).collect(),
        },
        |log, _, handle| Message::Fetched {
            handle,
            previous: log.hash(2),
            list: vec![wire(&log.entries[1])],
        },
        |log, _, handle| {
            let mut list = vec![wire(&log.entries[2])];
            list[0].signature[5] ^= 1;
            Message::Fetched { handle, previous: log.hash(2), list }
        },
    ];
    for (at, lie) in lies.iter().enumerate() {
        let (mut node, topic) = pruned(&[&log]);
        node.up_with(1, 2, &topic);
        begin(&mut node, topic, 0);
        let want = only_fetch(&mut node, 1);
        assert_eq!((want.after, want.hash), (3, log.head(3).hash));
        node.up_with(2, 4, &topic);
        node.receive(1, lie(&log, &forged, want.handle));
        assert_eq!(node.count("fetched_other"), 1, "lie {at}");
        assert_eq!(node.state.entries(topic, 0).count(), 0, "lie {at}");
        assert_eq!(fetches(&mut node, 1), []);
        let want = only_fetch(&mut node, 2);
        node.receive(2, page(&log, want.handle, 2, 3));
        let want = only_fetch(&mut node, 2);
        assert_eq!((want.after, want.hash), (1, log.head(1).hash));
        node.receive(2, page(&log, want.handle, 1, 1));
        assert_eq!(node.texts(topic), ["one", "two", "three"]);
        assert_eq!((end(&node, topic), node.closed.len()), (Some(RefetchEnd::Done), 0));
    }
}

#[test]
fn an_entry_whose_signature_is_bad_stays_out_without_a_fault_of_the_peer() {
    // A document that an operator has edited may name any hash as that of a head.
    let log = Log::of(3, topic(), &["one"]);
    let mut bytes = log.entries[0].encode();
    bytes[200] ^= 1;
    let entry = Entry::decode(&bytes).expect("an entry");
    let edited = Log { entries: vec![entry], ..log };
    let (mut node, topic) = pruned(&[&edited]);
    node.up_with(1, 2, &topic);
    begin(&mut node, topic, 0);
    let want = only_fetch(&mut node, 1);
    node.receive(1, page(&edited, want.handle, 1, 1));
    assert_eq!(node.state.entries(topic, 0).count(), 0);
    let found = progress(&node, topic);
    assert_eq!((found.end, found.unavailable), (Some(RefetchEnd::Done), 1));
    assert_eq!(node.closed, []);
}

#[test]
fn an_unasked_page_closes_the_link() {
    let log = Log::of(3, topic(), &["one"]);
    let (mut node, topic) = pruned(&[&log]);
    node.up_with(1, 2, &topic);
    node.up_with(2, 4, &topic);
    node.receive(1, page(&log, 0, 1, 1));
    assert_eq!(node.closed, [(1, "unasked")]);
    begin(&mut node, topic, 0);
    let want = only_fetch(&mut node, 2);
    node.receive(2, page(&log, want.handle, 1, 1));
    node.receive(2, page(&log, want.handle, 1, 1));
    assert_eq!(node.closed, [(1, "unasked"), (2, "unasked")], "an answer counts once");
    assert_eq!(node.texts(topic), ["one"]);
}

#[test]
fn a_peer_that_does_not_answer_is_passed_over_and_may_answer_late() {
    let log = Log::of(3, topic(), &["one"]);
    let (mut node, topic) = pruned(&[&log]);
    node.up_with(1, 2, &topic);
    begin(&mut node, topic, 0);
    let late = only_fetch(&mut node, 1);
    node.up_with(2, 5, &topic);
    node.advance(9000);
    assert_eq!(fetches(&mut node, 2), []);
    node.advance(1500);
    let want = only_fetch(&mut node, 2);
    node.receive(2, empty(want.handle));
    let found = progress(&node, topic);
    assert_eq!((found.end, found.unavailable), (Some(RefetchEnd::Done), 1));
    assert_eq!(found.unanswered, 1);
    // It is asked for nothing else until it has answered.
    begin(&mut node, topic, 0);
    assert_eq!(fetches(&mut node, 1), []);
    let want = only_fetch(&mut node, 2);
    node.receive(2, empty(want.handle));
    assert_eq!(progress(&node, topic).unanswered, 1);
    node.receive(1, page(&log, late.handle, 1, 1));
    assert_eq!(node.state.entries(topic, 0).count(), 0, "the refetch is over");
    begin(&mut node, topic, 0);
    let want = only_fetch(&mut node, 2);
    node.receive(2, empty(want.handle));
    let want = only_fetch(&mut node, 1);
    node.receive(1, page(&log, want.handle, 1, 1));
    assert_eq!(node.texts(topic), ["one"]);
    assert_eq!(node.closed, []);
}

#[test]
fn what_one_peer_has_pruned_comes_from_another_or_stays_missing() {
    let log = Log::of(3, topic(), &["one", "two", "three"]);
    let (mut node, topic) = pruned(&[&log]);
    node.up_with(1, 2, &topic);
    begin(&mut node, topic, 0);
    let want = only_fetch(&mut node, 1);
    node.receive(1, page(&log, want.handle, 3, 3));
    let want = only_fetch(&mut node, 1);
    assert_eq!(want.after, 2);
    node.up_with(2, 4, &topic);
    node.receive(1, empty(want.handle));
    let want = only_fetch(&mut node, 2);
    node.receive(2, page(&log, want.handle, 2, 2));
    let want = only_fetch(&mut node, 2);
    node.receive(2, empty(want.handle));
    assert_eq!(node.texts(topic), ["two", "three"]);
    let found = progress(&node, topic);
    assert_eq!((found.end, found.entries), (Some(RefetchEnd::Done), 2));
    assert_eq!((found.logs, found.unavailable, found.unanswered), (1, 1, 0));
}

#[test]
fn entries_older_than_the_given_time_are_left_out() {
    let mut log = Log::new(3, topic(), EPOCH);
    for time_ms in [100, 300, 200, 400] {
        log.time_ms = time_ms;
        log.push(&time_ms.to_string());
    }
    let (mut node, topic) = pruned(&[&log]);
    node.up_with(1, 2, &topic);
    begin(&mut node, topic, 200);
    let want = only_fetch(&mut node, 1);
    node.receive(1, page(&log, want.handle, 1, 4));
    assert_eq!(node.texts(topic), ["300", "200", "400"]);
    let found = progress(&node, topic);
    assert_eq!((found.end, found.oldest_ms), (Some(RefetchEnd::Done), Some(200)));
    assert_eq!((found.since_ms, found.unavailable), (200, 0));
    // A later request with an earlier time replaces the refetch.
    begin(&mut node, topic, 0);
    let want = only_fetch(&mut node, 1);
    node.receive(1, page(&log, want.handle, 1, 1));
    assert_eq!(progress(&node, topic).entries, 1);
}

#[test]
fn a_refetch_ends_without_peers_room_or_topic_and_asks_others_when_a_link_ends() {
    let log = Log::of(3, topic(), &["one", "two"]);
    let (mut node, topic) = pruned(&[&log]);
    node.up(3, 9);
    begin(&mut node, topic, 0);
    assert_eq!(end(&node, topic), Some(RefetchEnd::NoPeer));
    node.up_with(1, 2, &topic);
    node.up_with(2, 4, &topic);
    begin(&mut node, topic, 0);
    only_fetch(&mut node, 1);
    node.down(1);
    let want = only_fetch(&mut node, 2);
    node.slow = true;
    node.receive(2, page(&log, want.handle, 1, 2));
    // The state is restored while the signatures are checked.
    node.mesh.restored();
    node.work();
    node.slow = false;
    node.work();
    assert_eq!(end(&node, topic), Some(RefetchEnd::Stopped));
    assert_eq!(node.state.entries(topic, 0).count(), 0);

    let (mut node, topic) = pruned(&[&log]);
    node.up_with(1, 2, &topic);
    begin(&mut node, topic, 0);
    let want = only_fetch(&mut node, 1);
    node.full = true;
    node.receive(1, page(&log, want.handle, 1, 2));
    assert_eq!((end(&node, topic), node.closed.len()), (Some(RefetchEnd::NoRoom), 0));
    assert_eq!(fetches(&mut node, 1), []);
    node.full = false;
    node.unsubscribe("a");
    begin(&mut node, topic, 0);
    assert_eq!(end(&node, topic), Some(RefetchEnd::Stopped));
}

#[test]
fn few_logs_are_asked_for_at_a_time_and_at_a_pace_the_peer_accepts() {
    let logs = short_logs(150);
    let (mut node, topic) = pruned(&logs.iter().collect::<Vec<_>>());
    node.up_with(1, 2, &topic);
    node.advance(10_000);
    node.take_sent(1);
    begin(&mut node, topic, 0);
    let answer = |node: &mut Node| {
        let mut sent = 0;
        loop {
            let wants = fetches(node, 1);
            assert!(wants.len() <= REFETCH_LOGS_MAX, "{wants:?}");
            if wants.is_empty() {
                return sent;
            }
            sent += wants.len();
            for want in wants {
                let epoch = usize::try_from(want.epoch).expect("small");
                node.receive(1, page(&logs[epoch], want.handle, 1, 1));
            }
        }
    };
    let mut sent = answer(&mut node);
    assert!((1..=50).contains(&sent), "{sent} at once");
    for _ in 0..10 {
        node.advance(1000);
        let more = answer(&mut node);
        assert!(more <= 20, "{more} in a second");
        sent += more;
    }
    assert_eq!((sent, end(&node, topic)), (150, Some(RefetchEnd::Done)));
}

#[test]
fn the_number_of_refetches_is_limited_and_results_are_forgotten() {
    let log = Log::of(3, topic(), &["one"]);
    let (mut node, first) = pruned(&[&log]);
    node.up_with(1, 2, &first);
    begin(&mut node, first, 0);
    let mut running = vec![first];
    for nonce in 0..REFETCHES_MAX as u64 {
        let name = format!("t{nonce}");
        let genesis = genesis(1, &name, &Access::public(), nonce);
        let topic = genesis.id();
        node.commit(Mutation::CreateTopic(genesis));
        node.subscribe(&name);
        hold(&mut node, &[&Log::of(3, topic, &["one"])]);
        node.commit(Mutation::Prune { topic, through: 1 });
        node.up_with(2 + nonce, 5, &topic);
        let now = node.now();
        let begun = node.mesh.begin_refetch(&node.state, now, topic, 0);
        node.work();
        running.push(topic);
        assert_eq!(begun.is_ok(), running.len() <= REFETCHES_MAX, "{nonce}");
        assert!(begun.is_ok() || begun == Err(TooManyRefetches));
    }
    let want = only_fetch(&mut node, 1);
    node.receive(1, page(&log, want.handle, 1, 1));
    assert_eq!(end(&node, first), Some(RefetchEnd::Done));
    // One that is over gives way.
    let last = running[REFETCHES_MAX];
    begin(&mut node, last, 0);
    assert_eq!(node.mesh.refetch(&first), None);
    node.advance(11_000);
    assert!(node.mesh.refetch(&last).is_some());
    node.advance(601_000);
    assert_eq!(node.mesh.refetch(&last), None);
}

#[test]
fn fetch_is_answered_for_shared_topics_and_accepted_entries_alone() {
    let log = Log::of(3, topic(), &["one", "two"]);
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    hold(&mut node, &[&log]);
    node.up(1, 2);
    let fetch = |log: &Log, handle, seq| match log.want(1, handle, seq) {
        Message::Want(list) => Message::Fetch(list[0]),
        other => panic!("{other:?}"),
    };
    let answer = |node: &mut Node, message| {
        node.take_sent(1);
        node.receive(1, message);
        let sent = node.take_sent(1);
        sent.into_iter().find(|message| matches!(message, Message::Fetched { .. }))
    };
    assert_eq!(answer(&mut node, fetch(&log, 7, 2)), Some(empty(7)), "it is no subscriber");
    let unknown = Log::of(3, TopicId::from_bytes([5; 32]), &["one"]);
    assert_eq!(answer(&mut node, fetch(&unknown, 7, 1)), Some(empty(7)));
    node.receive(1, crate::rig::interest(1, &topic));
    assert_eq!(answer(&mut node, fetch(&log, 8, 2)), Some(page(&log, 8, 1, 2)));
    assert_eq!(answer(&mut node, fetch(&log, 9, 1)), Some(page(&log, 9, 1, 1)));
    let other = Log::of(3, topic, &["one", "2"]);
    assert_eq!(answer(&mut node, fetch(&other, 7, 2)), Some(empty(7)));
    assert_eq!(answer(&mut node, fetch(&log, 7, 0)), Some(empty(7)));
    node.commit(Mutation::Prune { topic, through: 1 });
    assert_eq!(answer(&mut node, fetch(&log, 8, 2)), Some(page(&log, 8, 2, 2)));
    assert_eq!(answer(&mut node, fetch(&log, 7, 1)), Some(empty(7)));
    let proof = (log.entries[1].clone(), other.entries[1].clone());
    node.commit(Mutation::Freeze(Box::new(proof)));
    assert_eq!(answer(&mut node, fetch(&log, 7, 2)), Some(empty(7)));
    assert_eq!(node.closed, []);
}

#[test]
fn too_many_fetch_close_the_link() {
    let mut log = Log::new(1, topic(), EPOCH);
    log.push(&"x".repeat(60_000));
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    hold(&mut node, &[&log]);
    let fetch = |link, handle| {
        let head = log.head(1);
        let tag = tag(link, &topic);
        let (author, epoch, after, hash) = (head.author, head.epoch, head.seq, head.hash);
        Message::Fetch(Want { handle, tag, author, epoch, after, hash })
    };
    // A peer that does not read has about 1 MiB on the way, and its other requests wait.
    node.up_with(1, 2, &topic);
    let answered = (1 << 20) / 60_000 + 1;
    (0..answered + FETCHES_MAX as u64).for_each(|handle| node.receive(1, fetch(1, handle)));
    assert_eq!(node.closed, []);
    let view = node.view(1);
    assert!(view.in_flight < (1 << 20) + (65 << 10), "{view:?}");
    node.receive(1, fetch(1, 1000));
    assert_eq!(node.closed, [(1, "too_many")]);
    // One that reads is charged for each request.
    node.up_with(2, 2, &topic);
    for handle in 0..250 {
        if node.closed.len() > 1 {
            assert!(handle > 190, "{handle}");
            return;
        }
        node.receive(2, fetch(2, handle));
        let bytes = node.mesh.links().next().map_or(0, |(_, view)| view.in_flight);
        node.mesh.sent(LinkId(2), bytes);
        node.work();
    }
    panic!("the link is still open");
}

#[test]
fn an_idle_log_whose_entries_came_back_is_announced_when_it_grows() {
    let mut log = Log::of(3, topic(), &["one"]);
    let (mut node, topic) = pruned(&[&log]);
    node.advance(3 * 24 * 60 * 60 * 1000);
    node.up_with(1, 2, &topic);
    begin(&mut node, topic, 0);
    let want = only_fetch(&mut node, 1);
    node.receive(1, page(&log, want.handle, 1, 1));
    assert_eq!(node.texts(topic), ["one"]);
    node.take_sent(1);
    // No peer follows the log, and its last entry was received anew just now.
    log.push("two");
    let received_ms = node.node_ms;
    node.commit(Mutation::Append { entry: log.entries[1].clone(), received_ms });
    node.work();
    let announced = node.take_sent(1);
    let head = [log.head(2)];
    let is_announced = |one: &Message| match one {
        Message::Heads { unsolicited, list, .. } => *unsolicited && *list == head,
        _ => false,
    };
    assert!(announced.iter().any(is_announced), "{announced:?}");
}

#[test]
fn a_slow_peer_does_not_hold_up_what_a_fast_one_has() {
    let mut log = Log::new(3, topic(), EPOCH);
    (0..20).for_each(|n| log.push(&n.to_string()));
    let (mut node, topic) = pruned(&[&log]);
    // The slow one may even be the author.
    node.up_with(1, 3, &topic);
    node.up_with(2, 4, &topic);
    begin(&mut node, topic, 0);
    let want = only_fetch(&mut node, 1);
    node.advance(9500);
    node.receive(1, page(&log, want.handle, 20, 20));
    for last in (1..20).rev() {
        let want = only_fetch(&mut node, 2);
        assert_eq!(want.after, last as u64);
        node.receive(2, page(&log, want.handle, last, last));
    }
    assert_eq!((end(&node, topic), fetches(&mut node, 1)), (Some(RefetchEnd::Done), vec![]));
    assert_eq!(progress(&node, topic).entries, 20);
}

#[test]
fn a_peer_on_a_slow_link_has_the_full_time_for_each_page() {
    // At 200 kbit/s a page takes 3 s, and those of four logs come one after the other.
    let entries = 3;
    let logs: Vec<Log> = (0..6)
        .map(|epoch| {
            let mut log = Log::new(3, topic(), epoch);
            (0..entries).for_each(|n| log.push(&n.to_string()));
            log
        })
        .collect();
    let (mut node, topic) = pruned(&logs.iter().collect::<Vec<_>>());
    node.up_with(1, 2, &topic);
    begin(&mut node, topic, 0);
    let mut queue = VecDeque::new();
    for _ in 0..logs.len() * entries {
        queue.extend(fetches(&mut node, 1));
        node.advance(3000);
        let want = queue.pop_front().expect("a request");
        let log = &logs[usize::try_from(want.epoch).expect("small")];
        let last = usize::try_from(want.after).expect("small");
        node.receive(1, page(log, want.handle, last, last));
    }
    let found = progress(&node, topic);
    assert_eq!((found.end, found.entries), (Some(RefetchEnd::Done), 18));
    assert_eq!((found.unavailable, found.unanswered), (0, 0));
}

#[test]
fn a_log_waits_while_earlier_refetches_use_up_the_requests_of_a_link() {
    let logs = short_logs(8);
    let (mut node, topic) = pruned(&logs.iter().collect::<Vec<_>>());
    node.up_with(1, 2, &topic);
    let mut asked = VecDeque::new();
    // The operator repeats the command while the peer needs a few seconds.
    for _ in 0..18 {
        begin(&mut node, topic, 0);
        node.advance(500);
        asked.extend(fetches(&mut node, 1));
        assert_eq!(progress(&node, topic), RefetchProgress { logs: 4, ..Default::default() });
    }
    assert_eq!(asked.len(), FETCHES_MAX);
    while let Some(want) = asked.pop_front() {
        let log = &logs[usize::try_from(want.epoch).expect("small")];
        node.receive(1, page(log, want.handle, 1, 1));
        node.advance(500);
        asked.extend(fetches(&mut node, 1));
    }
    let found = progress(&node, topic);
    assert_eq!((found.end, found.entries, found.unavailable), (Some(RefetchEnd::Done), 8, 0));
    assert_eq!(node.closed, []);

    // Nothing waits for a peer that does not answer.
    let (mut node, topic) = pruned(&logs.iter().collect::<Vec<_>>());
    node.up_with(1, 2, &topic);
    (0..18).for_each(|_| begin(&mut node, topic, 0));
    node.advance(9500);
    assert_eq!(end(&node, topic), None);
    node.advance(500);
    let found = progress(&node, topic);
    assert_eq!((found.end, found.unavailable, found.unanswered), (Some(RefetchEnd::Done), 8, 1));
}

#[test]
fn an_entry_that_a_restore_has_undone_counts_as_refused() {
    let kept = Log::of(3, topic(), &["one"]);
    let undone = Log::of(4, topic(), &["two"]);
    let (mut node, topic) = Node::with_topic(1, &Access::public());
    hold(&mut node, &[&kept]);
    let image = node.state.clone();
    hold(&mut node, &[&undone]);
    node.state = node.state.restore(image, 77);
    node.mesh.restored();
    node.mesh.set_closed(BTreeSet::new());
    node.work();
    node.up_with(5, 2, &topic);
    begin(&mut node, topic, 0);
    let want = only_fetch(&mut node, 5);
    node.receive(5, page(&undone, want.handle, 1, 1));
    let found = progress(&node, topic);
    assert_eq!((found.end, found.refused), (Some(RefetchEnd::Done), 1));
    assert_eq!(node.texts(topic), ["one"]);
}
