//! Messages of a forked log that their author publishes again.

use icn_gossip::{
    Access, Entry, Genesis, Keypair, LogKey, Mutation, Outcome, Position, State, TopicId, TopicSpec,
};

const NETWORK: [u8; 32] = [1; 32];

fn sign(topic: TopicId, epoch: u64, before: Option<&Entry>, text: &'static str) -> Entry {
    let position = Position {
        network: NETWORK,
        topic,
        epoch,
        seq: before.map_or(0, |before| before.header().seq) + 1,
        previous: before.map_or([0; 32], Entry::hash),
        access_version: 1,
        time_ms: 6,
    };
    Entry::sign(&Keypair::from_seed([1; 32]), &position, text.into())
}

/// A node that has published four messages in epoch 9, and another history of them.
fn node() -> (State, LogKey, Vec<Entry>, Vec<Entry>) {
    let keypair = Keypair::from_seed([1; 32]);
    let spec = TopicSpec::new("a".into(), Access::public().encode(), 5);
    let genesis = Genesis::sign(&keypair, NETWORK, spec, 7);
    let topic = genesis.id();
    let key = LogKey { topic, author: keypair.did(), epoch: 9 };
    let log = |texts: [&'static str; 4]| {
        texts.into_iter().fold(Vec::new(), |mut log: Vec<Entry>, text| {
            log.push(sign(topic, 9, log.last(), text));
            log
        })
    };
    let own = log(["one", "two", "three", "four"]);
    let mut state = State::default();
    let did = keypair.did();
    state.apply(1, Mutation::Init { did, network: NETWORK, epoch: 9, clock: None });
    state.apply(2, Mutation::CreateTopic(genesis));
    for (lsn, entry) in (3..).zip(&own) {
        let append = Mutation::Append { entry: entry.clone(), received_ms: 1 };
        assert!(matches!(state.apply(lsn, append), Outcome::Appended { .. }));
    }
    state.apply(7, Mutation::BeginEpoch(10));
    (state, key, own, log(["one", "2", "3", "4"]))
}

fn fork(state: &mut State, own: &Entry, other: &Entry) {
    let proof = Box::new((other.clone(), own.clone()));
    assert_eq!(state.apply(8, Mutation::Fork(proof)), Outcome::Done);
}

/// Publishes again all that is due. Returns the old places in order.
fn publish_all(state: &mut State, key: &LogKey) -> Vec<u64> {
    let mut places = Vec::new();
    while let Some(before) = state.next_again(key).cloned() {
        let next = LogKey { epoch: 10, ..*key };
        let head = state.head(&next).head;
        let last = state.entry_at(&next, head).map(|stored| stored.entry.clone());
        let entry = sign(key.topic, 10, last.as_ref(), "again");
        let seq = before.header().seq;
        let again = Mutation::PublishAgain { entry, received_ms: 2, epoch: 9, seq };
        assert!(matches!(state.apply(9, again), Outcome::Appended { .. }));
        places.push(seq);
    }
    places
}

#[test]
fn each_message_from_the_fork_on_is_published_again_once_also_when_a_lower_fork_is_found() {
    let (mut state, key, own, other) = node();
    assert_eq!(publish_all(&mut state, &key), [0; 0]);
    fork(&mut state, &own[2], &other[2]);
    assert!(!state.head(&key).is_fork_exact());
    assert_eq!(publish_all(&mut state, &key), [3, 4]);
    // A snapshot, an export and a restore keep what was published again.
    let mut document = Vec::new();
    state.export(&mut document).expect("memory");
    assert_eq!(State::import(&document).as_ref(), Ok(&state));
    let record = rmp_serde::to_vec(&state).expect("serialises");
    assert_eq!(rmp_serde::from_slice::<State>(&record).as_ref().ok(), Some(&state));
    let (image, ..) = node();
    let restored = state.restore(image, 11);
    assert_eq!(restored.head(&key).again, Some((3, 4)));
    assert_eq!(restored.next_again(&key), None);
    fork(&mut state, &own[1], &other[1]);
    assert!(state.head(&key).is_fork_exact());
    assert_eq!(publish_all(&mut state, &key), [2]);
    assert_eq!(state.head(&key).again, Some((2, 4)));
    // A higher proof changes nothing.
    let proof = Box::new((own[3].clone(), other[3].clone()));
    assert_eq!(state.apply(10, Mutation::Fork(proof)), Outcome::Duplicate);
    assert_eq!(publish_all(&mut state, &key), [0; 0]);
}

#[test]
fn a_fork_of_another_author_is_not_published_again() {
    let (mut state, key, own, other) = node();
    fork(&mut state, &own[1], &other[1]);
    assert!(state.next_again(&key).is_some());
    let mut peer = State::default();
    let did = Keypair::from_seed([2; 32]).did();
    peer.apply(1, Mutation::Init { did, network: NETWORK, epoch: 9, clock: None });
    peer.apply(2, Mutation::CreateTopic(state.topic(&key.topic).expect("a topic").genesis.clone()));
    for entry in &own {
        peer.apply(3, Mutation::Append { entry: entry.clone(), received_ms: 1 });
    }
    fork(&mut peer, &own[1], &other[1]);
    assert_eq!(peer.next_again(&key), None);
}

/// Two copies of a running node draw the same random numbers at the same time.
#[test]
fn the_copies_of_a_forked_node_choose_different_epochs() {
    let (mut one, key, own, other) = node();
    let mut copy = one.clone();
    for (state, text) in [(&mut one, "mine"), (&mut copy, "of the copy")] {
        let entry = sign(key.topic, 10, None, text);
        state.apply(9, Mutation::Append { entry, received_ms: 1 });
    }
    let now = icn_gossip::Now::at(5);
    assert_ne!(one.new_epoch(1, now), copy.new_epoch(1, now));
    assert_eq!(one.new_epoch(1, now), one.clone().new_epoch(1, now));
    drop((own, other));
}
