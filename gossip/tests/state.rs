//! The state under mutations: access, order, replay, restore, cursors.

use bytes::Bytes;
use icn_gossip::limits::{CURSORS_MAX, PENDING_MAX, SUBSCRIBERS_MAX};
use icn_gossip::{
    Access, AccessBytes, BoundedList, ClockStamp, Entry, Genesis, KeyCard, Keypair, LogKey,
    Mutation, Outcome, Position, Provenance, Reject, State, TopicId, TopicSpec,
};
use proptest::prelude::*;

const NETWORK: [u8; 32] = [1; 32];
const EPOCH: u64 = 9;

fn keypair(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}

fn node() -> State {
    let mut state = State::default();
    let did = keypair(1).did();
    let init = Mutation::Init { did, network: NETWORK, epoch: EPOCH, clock: None };
    assert_eq!(state.apply(1, init), Outcome::Done);
    state
}

fn topic(state: &mut State, name: &str, access: AccessBytes) -> TopicId {
    let spec = TopicSpec::new(name.into(), access, 5);
    match state.apply(2, Mutation::CreateTopic(Genesis::sign(&keypair(1), NETWORK, spec, 7))) {
        Outcome::TopicCreated(id) => id,
        other => panic!("{other:?}"),
    }
}

/// The next entry of `author` in `topic`.
fn next(state: &State, author: u8, topic: TopicId, text: &str) -> Entry {
    let keypair = keypair(author);
    let key = LogKey { topic, author: keypair.did(), epoch: EPOCH };
    let head = state.head(&key);
    let position = Position {
        network: NETWORK,
        topic,
        epoch: EPOCH,
        seq: head.head + 1,
        previous: head.head_hash,
        access_version: 1,
        time_ms: 6,
    };
    Entry::sign(&keypair, &position, Bytes::copy_from_slice(text.as_bytes()))
}

fn append(state: &mut State, entry: &Entry) -> Outcome {
    state.apply(3, Mutation::Append { entry: entry.clone(), received_ms: 6 })
}

#[test]
fn entries_of_a_log_are_accepted_in_order_and_once() {
    let mut state = node();
    let id = topic(&mut state, "coop:ledger", Access::public().encode());
    let first = next(&state, 2, id, "one");
    assert_eq!(append(&mut state, &first), Outcome::Appended { arrival: 1, seq: 1 });
    let second = next(&state, 2, id, "two");
    let mut without = node();
    topic(&mut without, "coop:ledger", Access::public().encode());
    assert_eq!(append(&mut without, &second), Outcome::Rejected(Reject::OutOfOrder));
    assert_eq!(append(&mut state, &second), Outcome::Appended { arrival: 2, seq: 2 });
    assert_eq!(append(&mut state, &first), Outcome::Duplicate);
    let texts: Vec<_> =
        state.entries(id, 0).map(|(_, stored)| stored.entry.payload().clone()).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[test]
fn a_replay_is_refused_even_after_the_entry_was_pruned() {
    let mut state = node();
    let id = topic(&mut state, "coop:ledger", Access::public().encode());
    let first = next(&state, 2, id, "one");
    append(&mut state, &first);
    state.apply(4, Mutation::Prune { topic: id, through: 1 });
    assert_eq!(state.entries(id, 0).count(), 0);
    assert_eq!(append(&mut state, &first), Outcome::Duplicate);
}

#[test]
fn two_entries_for_one_position_freeze_the_log() {
    let mut state = node();
    let id = topic(&mut state, "coop:ledger", Access::public().encode());
    let one = next(&state, 2, id, "one");
    let other = next(&state, 2, id, "other");
    append(&mut state, &one);
    assert_eq!(append(&mut state, &other), Outcome::Rejected(Reject::Equivocation));
    let more = next(&state, 2, id, "more");
    assert_eq!(append(&mut state, &more), Outcome::Rejected(Reject::Equivocation));
    let honest = next(&state, 3, id, "fine");
    assert_eq!(append(&mut state, &honest), Outcome::Appended { arrival: 2, seq: 1 });
}

#[test]
fn a_private_topic_admits_only_its_members_and_creator() {
    let mut state = node();
    let access = Access::participants(vec![keypair(2).did()]).encode();
    let id = topic(&mut state, "coop:ledger", access);
    for (author, admitted) in [(1, true), (2, true), (3, false)] {
        let entry = next(&state, author, id, "hello");
        let outcome = append(&mut state, &entry);
        assert_eq!(matches!(outcome, Outcome::Appended { .. }), admitted, "{outcome:?}");
        assert_eq!(state.may_read(&id, &keypair(author).did()).is_ok(), admitted);
    }
    assert_eq!(state.counts().private_topics, 1);
}

#[test]
fn an_undecodable_access_rule_seals_the_topic_even_for_its_creator() {
    // A rule of a newer version, and one for a trust of 0, which all identities have.
    for rule in [&[200, 1, 1][..], &[1, 3, 0, 0, 3, 0, 0]] {
        let mut state = node();
        let id = topic(&mut state, "coop:ledger", AccessBytes::from_bytes(rule.to_vec()));
        let entry = next(&state, 1, id, "hello");
        assert_eq!(append(&mut state, &entry), Outcome::Rejected(Reject::Sealed), "{rule:?}");
        assert_eq!(state.may_read(&id, &keypair(9).did()), Err(Reject::Sealed), "{rule:?}");
        let counts = state.counts();
        assert_eq!((counts.sealed_topics, counts.private_topics), (1, 0), "{rule:?}");
    }
}

#[test]
fn a_subscription_waits_for_its_topic() {
    let mut state = node();
    let topic_name = || "coop:ledger".to_owned();
    let by = Provenance::Local;
    let subscription = Mutation::Subscribe { topic: topic_name(), by, time_ms: 1 };
    assert_eq!(state.apply(2, subscription.clone()), Outcome::Subscribed { pending: true });
    assert_eq!(state.apply(3, subscription), Outcome::Duplicate);
    let id = topic(&mut state, "coop:ledger", Access::public().encode());
    let subscriptions: Vec<_> =
        state.subscriptions().map(|(_, _, subscription)| subscription.topic).collect();
    assert_eq!(subscriptions, [Some(id)]);
    let mutation = Mutation::Unsubscribe { topic: topic_name(), by };
    assert_eq!(state.apply(4, mutation), Outcome::Done);
}

#[test]
fn pending_subscriptions_are_counted_by_their_texts_and_all_together() {
    let mut state = node();
    let subscribe = |state: &mut State, topic: String, by| {
        state.apply(2, Mutation::Subscribe { topic, by, time_ms: 1 })
    };
    let pending = Outcome::Subscribed { pending: true };
    for at in 0..PENDING_MAX {
        assert_eq!(subscribe(&mut state, format!("t{at}"), Provenance::Local), pending, "{at}");
    }
    let full = Outcome::Rejected(Reject::Full { what: BoundedList::Pending });
    assert_eq!(subscribe(&mut state, "more".into(), Provenance::Local), full);
    // A topic that is known, and a peer, have room of their own.
    topic(&mut state, "coop:ledger", Access::public().encode());
    let known = Outcome::Subscribed { pending: false };
    assert_eq!(subscribe(&mut state, "coop:ledger".into(), Provenance::Local), known);
    let peer = |at: usize| {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&at.to_le_bytes());
        Provenance::Peer(Keypair::from_seed(seed).did())
    };
    for at in 0..SUBSCRIBERS_MAX {
        assert_eq!(subscribe(&mut state, "more".into(), peer(at)), pending, "{at}");
    }
    let full = Outcome::Rejected(Reject::Full { what: BoundedList::Subscribers });
    assert_eq!(subscribe(&mut state, "more".into(), peer(SUBSCRIBERS_MAX)), full);
    assert_eq!(subscribe(&mut state, "other".into(), peer(SUBSCRIBERS_MAX)), pending);
    // The topic of that name inherits its subscribers, however they refer to it.
    let id = topic(&mut state, "more", Access::public().encode());
    assert_eq!(subscribe(&mut state, id.to_string(), peer(SUBSCRIBERS_MAX)), full);
}

#[test]
fn a_peer_cannot_subscribe_to_a_topic_it_may_not_read() {
    let mut state = node();
    let by = Provenance::Peer(keypair(3).did());
    let early = Mutation::Subscribe { topic: "coop:ledger".into(), by, time_ms: 1 };
    state.apply(2, early.clone());
    topic(&mut state, "coop:ledger", Access::participants(vec![]).encode());
    assert_eq!(state.subscriptions().count(), 0, "an early subscription opens nothing");
    assert!(matches!(state.apply(3, early), Outcome::Rejected(Reject::NoAccess { .. })));
}

#[test]
fn two_topics_of_one_name_are_distinguished_by_id() {
    let mut state = node();
    let id = topic(&mut state, "coop:ledger", Access::public().encode());
    let spec = TopicSpec::new("coop:ledger".into(), Access::participants(vec![]).encode(), 5);
    state.apply(3, Mutation::CreateTopic(Genesis::sign(&keypair(2), NETWORK, spec, 7)));
    assert!(matches!(state.resolve("coop:ledger"), Err(Reject::Ambiguous { .. })));
    assert_eq!(state.resolve(&id.to_string()), Ok(id));
}

#[test]
fn entries_are_pruned_by_count_and_by_age() {
    let mut state = node();
    let mut spec = TopicSpec::new("short".into(), Access::public().encode(), 5);
    (spec.max_entries, spec.retention_ms) = (3, 1000);
    let genesis = Genesis::sign(&keypair(1), NETWORK, spec, 7);
    let id = genesis.id();
    state.apply(2, Mutation::CreateTopic(genesis));
    for _ in 0..5 {
        let entry = next(&state, 1, id, "x");
        append(&mut state, &entry);
    }
    assert_eq!(state.prunable(&id, 7), Some(2));
    state.apply(9, Mutation::Prune { topic: id, through: 2 });
    assert_eq!(state.prunable(&id, 7), None);
    assert_eq!(state.prunable(&id, 1007), Some(5));
}

#[test]
fn an_entry_of_the_future_counts_as_received_when_the_clock_is_stamped_or_it_is_restored() {
    let mut ahead = node();
    let id = topic(&mut ahead, "coop:ledger", Access::public().encode());
    let received = |state: &State| -> Vec<u64> {
        state.entries(id, 0).map(|(_, stored)| stored.received_ms).collect()
    };
    for received_ms in [400, 90, 1 << 50] {
        let entry = next(&ahead, 2, id, "x");
        ahead.apply(3, Mutation::Append { entry, received_ms });
    }
    let stamp = |node_ms| {
        Mutation::StampClock(ClockStamp {
            node_ms,
            wall_ms: node_ms,
            ran_ms: 0,
            boot: None,
            budget_ms: 0,
        })
    };
    let mut older = ahead.clone();
    older.apply(4, stamp(100));
    assert_eq!(received(&older), [100, 90, 100], "the first stamp after an older build");
    let mut state = node();
    assert_eq!(received(&state.restore(ahead.clone(), 1)), [400, 90, 1 << 50], "no clock is known");
    state.apply(4, stamp(300));
    let restored = state.restore(ahead, 1);
    assert_eq!(received(&restored), [300, 90, 300]);
    let retention_ms = restored.topic(&id).expect("a topic").genesis.spec.retention_ms;
    assert_eq!(restored.prunable(&id, 301 + retention_ms), Some(3));
}

#[test]
fn a_restore_never_uses_a_position_twice() {
    let mut state = node();
    let id = topic(&mut state, "coop:ledger", Access::public().encode());
    let entry = next(&state, 1, id, "one");
    append(&mut state, &entry);
    let image = state.clone();
    for _ in 0..3 {
        let entry = next(&state, 1, id, "later");
        append(&mut state, &entry);
    }
    let lost = next(&image, 1, id, "again");
    let restored = state.restore(image, 77);
    assert_eq!(restored.node().expect("node").epoch, 77);
    assert_eq!(restored.entries(id, 0).count(), 1);
    assert_eq!(restored.last_arrival(&id), 4);
    let mut restored = restored;
    assert_eq!(append(&mut restored, &lost), Outcome::Duplicate, "the position was used");
}

#[test]
fn a_restore_keeps_the_further_heads_and_the_proofs_of_both_states() {
    let mut state = node();
    let id = topic(&mut state, "coop:ledger", Access::public().encode());
    let one = next(&state, 2, id, "one");
    let other = next(&state, 2, id, "other");
    append(&mut state, &one);
    let mut ahead = state.clone();
    let more = next(&ahead, 2, id, "more");
    append(&mut ahead, &more);
    append(&mut state, &other);
    let key = LogKey::of(&one);
    for restored in [state.restore(ahead.clone(), 77), ahead.restore(state, 77)] {
        let log = restored.head(&key);
        assert_eq!(log.head, 2);
        assert_eq!(log.head_hash, more.hash());
        assert!(log.proof.is_some());
    }
}

#[test]
fn a_newer_card_replaces_an_older_one_and_not_the_reverse() {
    let mut state = node();
    let card = |issued| KeyCard::sign(&keypair(2), [issued; 32], u64::from(issued));
    let add = |card| Mutation::AddPeer { card, named: false, time_ms: 1 };
    assert_eq!(state.apply(2, add(card(5))), Outcome::Done);
    assert_eq!(state.apply(3, add(card(4))), Outcome::Duplicate);
    assert_eq!(state.apply(4, add(card(6))), Outcome::Done);
    assert_eq!(state.peers().map(|(_, peer)| peer.card.x25519[0]).collect::<Vec<_>>(), [6]);
}

#[test]
fn an_unsigned_key_is_kept_until_a_card_replaces_it_and_replaces_none() {
    let mut state = node();
    let did = keypair(2).did();
    let unsigned = |key| Mutation::AddUnsignedKey { did, x25519: [key; 32], time_ms: 1 };
    let keys =
        |state: &State| state.unsigned_keys().map(|(_, key)| key.x25519[0]).collect::<Vec<_>>();
    assert_eq!(state.apply(2, unsigned(5)), Outcome::Done);
    assert_eq!(state.apply(3, unsigned(6)), Outcome::Duplicate);
    assert_eq!(keys(&state), vec![5], "no peer has it");
    assert_eq!(state.peers().count(), 0, "no peer has it");
    let card = KeyCard::sign(&keypair(2), [7; 32], 0);
    assert_eq!(state.apply(4, Mutation::AddPeer { card, named: false, time_ms: 1 }), Outcome::Done);
    assert!(keys(&state).is_empty());
    assert_eq!(state.peers().count(), 1);
    assert_eq!(state.apply(5, unsigned(5)), Outcome::Duplicate);
    assert_eq!(state.apply(6, Mutation::RemovePeer(did)), Outcome::Done);
    assert_eq!(state.apply(7, unsigned(5)), Outcome::Done);
    assert_eq!(state.apply(8, Mutation::RemovePeer(did)), Outcome::Done);
    assert_eq!(state, node(), "no key is left");
}

#[test]
fn a_state_without_unsigned_keys_cursors_and_clock_is_decoded() {
    let state = node();
    let mut bytes = rmp_serde::to_vec(&state).expect("serialises");
    assert_eq!(bytes[0], 0x9C, "twelve fields");
    for (fewer, last) in [(0x9B, 0xC0), (0x9A, 0x80), (0x99, 0x80)] {
        assert_eq!(bytes.pop(), Some(last), "nothing, or an empty map");
        bytes[0] = fewer;
        assert_eq!(rmp_serde::from_slice::<State>(&bytes).expect("deserialises"), state);
    }
}

fn move_cursor(topic: TopicId, name: &str, arrival: u64) -> Mutation {
    Mutation::MoveCursor { topic, name: name.into(), arrival }
}

/// A state with one topic of `count` entries.
fn with_entries(count: u64) -> (State, TopicId) {
    let mut state = node();
    let id = topic(&mut state, "coop:ledger", Access::public().encode());
    for _ in 0..count {
        let entry = next(&state, 1, id, "x");
        append(&mut state, &entry);
    }
    (state, id)
}

#[test]
fn a_cursor_only_moves_forward_and_never_beyond_the_last_arrival() {
    let (mut state, id) = with_entries(3);
    assert_eq!(state.apply(9, move_cursor(id, "app", 2)), Outcome::Done);
    for arrival in [2, 1, 0] {
        assert_eq!(state.apply(9, move_cursor(id, "app", arrival)), Outcome::Duplicate);
    }
    let ahead = Reject::CursorAhead { arrival: 4, last: 3 };
    assert_eq!(state.apply(9, move_cursor(id, "app", 4)), Outcome::Rejected(ahead));
    assert_eq!(state.apply(9, move_cursor(id, "other", 0)), Outcome::Done);
    assert_eq!(state.cursors().collect::<Vec<_>>(), [(id, "app", 2), (id, "other", 0)]);
    for name in ["", "App", "-a", "a b", &"a".repeat(129)] {
        let refused = state.apply(9, move_cursor(id, name, 1));
        assert_eq!(refused, Outcome::Rejected(Reject::BadCursor), "{name:?}");
    }
    let nowhere = TopicId::from_bytes([7; 32]);
    let refused = state.apply(9, move_cursor(nowhere, "app", 0));
    assert!(matches!(refused, Outcome::Rejected(Reject::UnknownTopic { .. })), "{refused:?}");
    // Pruning moves no cursor.
    state.apply(9, Mutation::Prune { topic: id, through: 3 });
    assert_eq!(state.cursor(id, "app"), Some(2));
    assert_eq!(state.apply(9, move_cursor(id, "app", 3)), Outcome::Done);
    assert_eq!(state.counts().cursors, 2);
}

#[test]
fn a_cursor_is_deleted_alone_or_with_its_topic() {
    let (mut state, id) = with_entries(1);
    let other = topic(&mut state, "other", Access::public().encode());
    for mutation in
        [move_cursor(id, "app", 1), move_cursor(id, "log", 1), move_cursor(other, "app", 0)]
    {
        assert_eq!(state.apply(9, mutation), Outcome::Done);
    }
    let delete = Mutation::DeleteCursor { topic: id, name: "log".into() };
    assert_eq!(state.apply(9, delete.clone()), Outcome::Done);
    assert_eq!(state.apply(9, delete), Outcome::Duplicate);
    state.apply(9, Mutation::DeleteTopic(id));
    assert_eq!(state.cursors().collect::<Vec<_>>(), [(other, "app", 0)]);
}

#[test]
fn the_number_of_cursors_is_limited() {
    let (mut state, id) = with_entries(1);
    for number in 0..CURSORS_MAX {
        assert_eq!(state.apply(9, move_cursor(id, &format!("c{number}"), 0)), Outcome::Done);
    }
    let full = state.apply(9, move_cursor(id, "more", 0));
    assert!(matches!(full, Outcome::Rejected(Reject::Full { .. })), "{full:?}");
    assert_eq!(state.apply(9, move_cursor(id, "c7", 1)), Outcome::Done);
    let image = state.clone();
    state.apply(9, Mutation::DeleteCursor { topic: id, name: "c8".into() });
    assert_eq!(state.apply(9, move_cursor(id, "more", 0)), Outcome::Done);
    let restored = state.restore(image, 77);
    assert_eq!(restored.counts().cursors, CURSORS_MAX);
    assert_eq!(restored.cursor(id, "more"), Some(0));
    assert_eq!(restored.cursor(id, "c8"), None);
}

#[test]
fn a_restore_moves_no_cursor_back() {
    let (mut state, id) = with_entries(2);
    let before = node();
    for (name, arrival) in [("app", 1), ("gone", 2)] {
        state.apply(9, move_cursor(id, name, arrival));
    }
    let image = state.clone();
    for _ in 0..3 {
        let entry = next(&state, 1, id, "later");
        append(&mut state, &entry);
    }
    for mutation in [
        move_cursor(id, "app", 5),
        move_cursor(id, "new", 4),
        move_cursor(id, "idle", 0),
        Mutation::DeleteCursor { topic: id, name: "gone".into() },
    ] {
        assert_eq!(state.apply(9, mutation), Outcome::Done);
    }
    let back = state.restore(image, 77);
    assert_eq!(
        back.cursors().collect::<Vec<_>>(),
        [(id, "app", 5), (id, "gone", 2), (id, "idle", 0), (id, "new", 4)]
    );
    // The next arrival is beyond every cursor.
    let mut back = back;
    let entry = next(&back, 3, id, "after");
    assert_eq!(append(&mut back, &entry), Outcome::Appended { arrival: 6, seq: 1 });
    // Restore to before the topic existed, and forward again.
    let without = state.restore(before, 78);
    assert_eq!(without.cursors().count(), 2, "a cursor at 0 is removed");
    let forth = without.restore(with_entries(2).0, 79);
    assert_eq!(forth.cursor(id, "app"), Some(5));
    assert_eq!(forth.cursor(id, "new"), Some(4));
}

fn mutation() -> impl Strategy<Value = u8> {
    0..11u8
}

proptest! {
    #[test]
    fn records_round_trip_and_states_are_canonical(choices in prop::collection::vec(mutation(), 0..40)) {
        let mut state = node();
        let id = topic(&mut state, "coop:ledger", Access::public().encode());
        let mut twin = state.clone();
        for (lsn, choice) in (10u64..).zip(choices) {
            let by = if choice % 2 == 0 { Provenance::Local } else { Provenance::Peer(keypair(3).did()) };
            let topic_name = if choice < 3 { "coop:ledger" } else { "coop:other" }.to_owned();
            let mutation = match choice {
                0 | 1 => Mutation::Append { entry: next(&state, choice + 1, id, "x"), received_ms: lsn },
                2 | 3 => Mutation::Subscribe { topic: topic_name, by, time_ms: lsn },
                4 => Mutation::Unsubscribe { topic: topic_name, by },
                5 => Mutation::Prune { topic: id, through: lsn % 5 },
                6 => Mutation::AddPeer { card: KeyCard::sign(&keypair(4), [5; 32], lsn), named: false, time_ms: lsn },
                7 => Mutation::AddUnsignedKey { did: keypair(4).did(), x25519: [6; 32], time_ms: lsn },
                8 => move_cursor(id, "app", lsn % 5),
                9 => Mutation::DeleteCursor { topic: id, name: "app".into() },
                _ => Mutation::RemovePeer(keypair(4).did()),
            };
            let mut bytes = Vec::new();
            mutation.encode(&mut bytes);
            let decoded = Mutation::decode(&bytes).expect("decodes");
            prop_assert_eq!(&decoded, &mutation);
            prop_assert_eq!(state.apply(lsn, mutation), twin.apply(lsn, decoded));
        }
        let bytes = rmp_serde::to_vec(&state).expect("serialises");
        prop_assert_eq!(&rmp_serde::to_vec(&twin).expect("serialises"), &bytes);
        let back: State = rmp_serde::from_slice(&bytes).expect("deserialises");
        prop_assert_eq!(back, state);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Mutation::decode(&bytes);
        let _ = Entry::decode(&bytes);
    }
}
