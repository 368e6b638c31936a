//! The node's room for entries, which its topics share.

use bytes::Bytes;
use icn_gossip::limits::{
    NODE_BYTES_MAX, PAYLOAD_BYTES_MAX, REFETCH_ROOM_PERCENT, SHARE_BYTES, SHARED_BYTES_MAX,
    SHARED_TOPICS_MIN,
};
use icn_gossip::{
    Access, Entry, Genesis, Keypair, LogKey, Mutation, Outcome, Position, Reject, State, TopicId,
    TopicSpec,
};

const NETWORK: [u8; 32] = [1; 32];

struct Node {
    keypair: Keypair,
    state: State,
    payload: Bytes,
}

impl Node {
    fn new() -> Self {
        let keypair = Keypair::from_seed([1; 32]);
        let mut state = State::default();
        let did = keypair.did();
        state.apply(1, Mutation::Init { did, network: NETWORK, epoch: 1, clock: None });
        Self { keypair, state, payload: vec![7; PAYLOAD_BYTES_MAX].into() }
    }

    fn topic(&mut self, name: &str, access: &Access) -> TopicId {
        let spec = TopicSpec::new(name.into(), access.encode(), 5);
        let genesis = Genesis::sign(&self.keypair, NETWORK, spec, 7);
        match self.state.apply(2, Mutation::CreateTopic(genesis)) {
            Outcome::TopicCreated(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// The next entry of this node in `topic`.
    fn entry(&self, topic: TopicId) -> Entry {
        let head = self.state.head(&LogKey { topic, author: self.keypair.did(), epoch: 1 });
        let position = Position {
            network: NETWORK,
            topic,
            epoch: 1,
            seq: head.head + 1,
            previous: head.head_hash,
            access_version: 1,
            time_ms: 6,
        };
        Entry::sign(&self.keypair, &position, self.payload.clone())
    }

    /// Appends an entry of the largest size if it is admitted.
    fn append(&mut self, topic: TopicId) -> Result<(), Reject> {
        let entry = self.entry(topic);
        self.state.admit(&entry)?;
        let outcome = self.state.apply(3, Mutation::Append { entry, received_ms: 6 });
        assert!(matches!(outcome, Outcome::Appended { .. }), "{outcome:?}");
        Ok(())
    }

    /// Appends entries until one is refused, and returns the bytes of the topic.
    fn fill(&mut self, topic: TopicId) -> u64 {
        while self.append(topic).is_ok() {}
        self.state.topic(&topic).expect("the topic").bytes
    }
}

#[test]
fn large_topics_leave_every_other_topic_its_share() {
    let mut node = Node::new();
    let large = node.topic("large", &Access::public());
    let entry = node.entry(large).encoded_bytes() as u64;
    // One topic alone retains the common room and its share, to the entry.
    let room = node.state.room();
    assert_eq!(room.common, NODE_BYTES_MAX - SHARED_TOPICS_MIN * SHARE_BYTES);
    let filled = node.fill(large);
    let most = room.common + SHARE_BYTES;
    assert!(filled <= most && filled + entry > most, "{filled}");
    assert_eq!(node.append(large), Err(Reject::NoRoom));

    // A topic that is made while the node is full has its share all the same.
    let small = node.topic("small", &Access::participants(vec![]));
    let left = node.state.room().common - node.state.room().common_used;
    let share = node.fill(small);
    assert!(share <= SHARE_BYTES + left && share + entry > SHARE_BYTES + left, "{share}");

    // The same room is computed by a node that has just read the state.
    let bytes = rmp_serde::to_vec(&node.state).expect("memory");
    let read: State = rmp_serde::from_slice(&bytes).expect("a state");
    assert_eq!(read.room(), node.state.room());
    assert_eq!(read, node.state);
    drop(read);

    // Room that retention frees is there for every topic again.
    let used = node.state.room().common_used;
    node.state.apply(4, Mutation::Prune { topic: large, through: 100 });
    assert_eq!(node.state.room().common_used, used - 100 * entry);
    assert_eq!(node.append(small), Ok(()));
    node.state.apply(5, Mutation::DeleteTopic(large));
    assert_eq!(node.state.room().common_used, (share + entry).saturating_sub(SHARE_BYTES));
}

#[test]
fn a_refetch_leaves_room_for_new_messages_of_large_topics() {
    let mut node = Node::new();
    let large = node.topic("large", &Access::public());
    let pruned = node.topic("pruned", &Access::public());
    let mut entries = Vec::new();
    for _ in 0..20 {
        entries.push(node.entry(pruned));
        assert_eq!(node.append(pruned), Ok(()));
    }
    node.state.apply(4, Mutation::Prune { topic: pruned, through: 20 });
    let room = node.state.room();
    let most = room.common * REFETCH_ROOM_PERCENT / 100;
    while node.state.room().common_used < most {
        assert_eq!(node.append(large), Ok(()));
    }
    // The topic gets its share back, and no more.
    let mut share = 0;
    while let Some(entry) = entries.pop_if(|entry| node.state.admit_readmission(entry).is_ok()) {
        share += entry.encoded_bytes() as u64;
        let outcome = node.state.apply(5, Mutation::Readmit { entry, received_ms: 7 });
        assert_eq!(outcome, Outcome::Done);
    }
    let last = entries.last().expect("an entry that stays out");
    let next = share + last.encoded_bytes() as u64;
    assert!(share <= room.public_share && next > room.public_share, "{share}");
    assert_eq!(node.state.admit_readmission(last), Err(Reject::NoRoom));
    assert_eq!(node.append(large), Ok(()));
    assert_eq!(node.append(pruned), Ok(()));
    // Once less of the common room is used, more comes back.
    node.state.apply(6, Mutation::Prune { topic: large, through: 10 });
    assert_eq!(node.state.admit_readmission(last), Ok(()));
}

#[test]
fn with_many_topics_the_shares_of_public_ones_shrink_first() {
    let mut node = Node::new();
    let most = SHARED_BYTES_MAX / SHARE_BYTES;
    let members = Access::participants(vec![]);
    for number in 0..most - 100 {
        node.topic(&format!("private-{number}"), &members);
    }
    for number in 0..200 {
        node.topic(&format!("public-{number}"), &Access::public());
    }
    let room = node.state.room();
    assert_eq!(room.private_share, SHARE_BYTES);
    assert_eq!(room.public_share, SHARE_BYTES / 2);
    assert_eq!(room.common, NODE_BYTES_MAX - SHARED_BYTES_MAX);
    for number in 0..200 {
        node.topic(&format!("private-too-{number}"), &members);
    }
    let room = node.state.room();
    assert_eq!(room.private_share, SHARED_BYTES_MAX / (most + 100));
    assert!(room.public_share * 200 < room.private_share, "what a division leaves");
    assert!(room.common >= NODE_BYTES_MAX - SHARED_BYTES_MAX);
}
