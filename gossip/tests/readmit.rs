//! Readmission: which pruned entries may come back, and as what.

use bytes::Bytes;
use icn_gossip::limits::{NODE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use icn_gossip::{
    Access, AccessBytes, BoundedList, Entry, Genesis, Keypair, LogKey, Mutation, Outcome, Position,
    Reject, State, TopicId, TopicSpec,
};

const NETWORK: [u8; 32] = [1; 32];
const EPOCH: u64 = 9;

fn keypair(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}

/// A node with a topic that retains few entries for 100 ms.
fn node(max_entries: u32) -> (State, TopicId) {
    let mut state = State::default();
    let did = keypair(1).did();
    state.apply(1, Mutation::Init { did, network: NETWORK, epoch: EPOCH, clock: None });
    let access: AccessBytes = Access::participants(vec![keypair(2).did(), did]).encode();
    let spec =
        TopicSpec { max_entries, retention_ms: 100, ..TopicSpec::new("a".into(), access, 5) };
    let genesis = Genesis::sign(&keypair(1), NETWORK, spec, 7);
    let id = genesis.id();
    state.apply(2, Mutation::CreateTopic(genesis));
    (state, id)
}

fn entry(author: u8, topic: TopicId, seq: u64, previous: [u8; 32], payload: Bytes) -> Entry {
    let position = Position {
        network: NETWORK,
        topic,
        epoch: EPOCH,
        seq,
        previous,
        access_version: 1,
        time_ms: 6,
    };
    Entry::sign(&keypair(author), &position, payload)
}

fn key(author: u8, topic: TopicId) -> LogKey {
    LogKey { topic, author: keypair(author).did(), epoch: EPOCH }
}

/// Appends an entry of each of these authors in turn.
fn append(state: &mut State, topic: TopicId, authors: &[u8]) -> Vec<Entry> {
    let append = |author: &u8| {
        let head = state.head(&key(*author, topic));
        let entry = entry(*author, topic, head.head + 1, head.head_hash, "text".into());
        let outcome = state.apply(3, Mutation::Append { entry: entry.clone(), received_ms: 10 });
        assert!(matches!(outcome, Outcome::Appended { .. }), "{outcome:?}");
        entry
    };
    authors.iter().map(append).collect()
}

fn prune(state: &mut State, topic: TopicId, through: u64) {
    assert_eq!(state.apply(4, Mutation::Prune { topic, through }), Outcome::Done);
}

fn readmit(state: &mut State, entry: &Entry) -> Outcome {
    state.apply(5, Mutation::Readmit { entry: entry.clone(), received_ms: 500 })
}

fn arrivals(state: &State, topic: TopicId) -> Vec<(u64, Entry)> {
    state.entries(topic, 0).map(|(at, stored)| (at, stored.entry.clone())).collect()
}

const OUT_OF_ORDER: Outcome = Outcome::Rejected(Reject::OutOfOrder);

#[test]
fn pruned_entries_come_back_backwards_below_all_that_is_retained() {
    let (mut state, id) = node(100);
    let entries = append(&mut state, id, &[1, 2, 1, 2, 1]);
    let before = state.clone();
    prune(&mut state, id, 3);
    assert_eq!(state.pruned_before(&key(1, id)), Some((2, entries[2].hash())));
    for skipped in [0, 3] {
        assert_eq!(readmit(&mut state, &entries[skipped]), OUT_OF_ORDER, "{skipped}");
    }
    for back in [2, 1, 0] {
        assert_eq!(readmit(&mut state, &entries[back]), Outcome::Done);
        assert_eq!(readmit(&mut state, &entries[back]), OUT_OF_ORDER, "once only");
    }
    assert_eq!(arrivals(&state, id), arrivals(&before, id));
    assert_eq!(state.head(&key(1, id)), before.head(&key(1, id)));
    assert_eq!(state.last_arrival(&id), 5);
    assert_eq!(state.counts(), before.counts());
    assert_eq!(state.topic(&id).expect("a topic").readmitted, 3);
    assert_eq!(state.pruned_before(&key(1, id)), None);
    let next = append(&mut state, id, &[2]);
    assert_eq!(arrivals(&state, id).last(), Some(&(6, next[0].clone())));
    // The entry at an arrival may now be another one than before, so a consumer gets none of them.
    prune(&mut state, id, 6);
    for back in [&entries[4], &next[0]] {
        assert_eq!(readmit(&mut state, back), Outcome::Done);
    }
    assert_eq!(arrivals(&state, id), [(5, next[0].clone()), (6, entries[4].clone())]);
    assert_eq!(state.topic(&id).expect("a topic").readmitted, 6);
}

#[test]
fn nothing_but_the_accepted_entry_is_readmitted() {
    let (mut state, id) = node(100);
    let entries = append(&mut state, id, &[2, 2, 2]);
    assert_eq!(readmit(&mut state, &entries[2]), OUT_OF_ORDER, "it is retained");
    prune(&mut state, id, 2);
    let other = entry(2, id, 2, entries[0].hash(), "other".into());
    assert_eq!(readmit(&mut state, &other), OUT_OF_ORDER);
    let later = entry(2, id, 4, entries[2].hash(), "later".into());
    assert_eq!(readmit(&mut state, &later), OUT_OF_ORDER);
    let unknown = entry(1, id, 1, [0; 32], "unknown".into());
    assert_eq!(readmit(&mut state, &unknown), OUT_OF_ORDER);
    let outcome = readmit(&mut state, &entry(3, id, 1, [0; 32], "no member".into()));
    assert!(matches!(outcome, Outcome::Rejected(Reject::NoAccess { .. })), "{outcome:?}");

    let mut frozen = state.clone();
    let proof = (entries[1].clone(), other);
    assert_eq!(frozen.apply(6, Mutation::Freeze(Box::new(proof))), Outcome::Done);
    assert_eq!(readmit(&mut frozen, &entries[1]), OUT_OF_ORDER);
    assert_eq!(readmit(&mut state, &entries[1]), Outcome::Done);
}

#[test]
fn no_entry_is_readmitted_that_was_skipped_by_a_gap() {
    let (mut state, id) = node(100);
    let mut elsewhere = state.clone();
    let entries = append(&mut elsewhere, id, &[2, 2, 2]);
    let after_gap = Mutation::AppendAfterGap { entry: entries[2].clone(), received_ms: 10 };
    state.apply(3, after_gap);
    assert_eq!(state.pruned_before(&key(2, id)), None);
    assert_eq!(readmit(&mut state, &entries[1]), OUT_OF_ORDER);
    prune(&mut state, id, 1);
    assert_eq!(readmit(&mut state, &entries[2]), Outcome::Done);
    assert_eq!(readmit(&mut state, &entries[1]), OUT_OF_ORDER);
    // A restore of a state from elsewhere, whose log begins after the gap, takes its base along.
    let mut behind = node(100).0;
    append(&mut behind, id, &[2]);
    let restored = behind.restore(state, 10);
    assert_eq!((restored.head(&key(2, id)).head, restored.head(&key(2, id)).base), (3, 2));
}

#[test]
fn a_readmission_needs_a_free_arrival_and_room() {
    let (mut state, id) = node(2);
    let first = append(&mut state, id, &[1]);
    let image = state.clone();
    let second = append(&mut state, id, &[2]);
    // The restored entry has the lowest arrival, and the other one is gone.
    let mut restored = state.restore(image, 10);
    assert_eq!(readmit(&mut restored, &second[0]), OUT_OF_ORDER);
    assert_eq!(arrivals(&restored, id), [(1, first[0].clone())]);

    prune(&mut state, id, 1);
    append(&mut state, id, &[2]);
    let full = state.admit_readmission(&first[0]);
    assert_eq!(full, Err(Reject::Full { what: BoundedList::Entries }));
    prune(&mut state, id, 2);
    assert_eq!(state.admit_readmission(&second[0]), Ok(()));

    // A node whose store is full.
    let (mut state, id) = node(100);
    let first = append(&mut state, id, &[2]);
    prune(&mut state, id, 1);
    let payload = Bytes::from(vec![0; PAYLOAD_BYTES_MAX]);
    let mut head = (1, first[0].hash());
    while state.counts().bytes + PAYLOAD_BYTES_MAX as u64 + 257 <= NODE_BYTES_MAX {
        let big = entry(2, id, head.0 + 1, head.1, payload.clone());
        head = (head.0 + 1, big.hash());
        state.apply(6, Mutation::Append { entry: big, received_ms: 10 });
    }
    let rest = NODE_BYTES_MAX - state.counts().bytes;
    let rest = usize::try_from(rest).expect("small").saturating_sub(257);
    let last = entry(2, id, head.0 + 1, head.1, payload.slice(..rest));
    state.apply(6, Mutation::Append { entry: last, received_ms: 10 });
    prune(&mut state, id, 2);
    let big = entry(2, id, 2, first[0].hash(), payload);
    assert_eq!(readmit(&mut state, &big), Outcome::Done);
    assert_eq!(readmit(&mut state, &first[0]), Outcome::Rejected(Reject::NoRoom));
}

#[test]
fn readmitted_entries_are_retained_anew_and_pruned_first() {
    let (mut state, id) = node(3);
    let entries = append(&mut state, id, &[1, 2, 1]);
    prune(&mut state, id, 3);
    for back in [2, 1, 0] {
        assert_eq!(readmit(&mut state, &entries[back]), Outcome::Done);
    }
    assert_eq!(state.prunable(&id, 600), None, "100 ms after they came back");
    assert_eq!(state.prunable(&id, 601), Some(3));
    append(&mut state, id, &[1]);
    assert_eq!(state.prunable(&id, 0), Some(1), "the oldest one gives way to a new entry");
}

#[test]
fn a_deleted_or_restored_topic_gives_no_arrival_twice_to_a_consumer() {
    let (mut state, id) = node(100);
    let entries = append(&mut state, id, &[1, 2]);
    let image = state.clone();
    prune(&mut state, id, 2);
    assert_eq!(readmit(&mut state, &entries[1]), Outcome::Done);
    assert_eq!(state.topic(&id).expect("a topic").readmitted, 2);
    let restored = state.restore(image.clone(), 10);
    assert_eq!(restored.topic(&id).expect("a topic").readmitted, 0);
    assert_eq!(arrivals(&restored, id), arrivals(&image, id));

    let genesis = state.topic(&id).expect("a topic").genesis.clone();
    state.apply(6, Mutation::DeleteTopic(id));
    state.apply(7, Mutation::CreateTopic(genesis));
    assert_eq!(readmit(&mut state, &entries[0]), Outcome::Done);
    assert_eq!(arrivals(&state, id), [(2, entries[0].clone())]);
    assert_eq!(state.topic(&id).expect("a topic").readmitted, 2);
}
