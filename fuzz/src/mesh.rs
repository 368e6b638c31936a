//! A node with a topic, an entry and a link, which receives the fuzzed frames.

use bytes::Bytes;
use icn_gossip::mesh::{Action, LinkId, Mesh, Message, Root, Tag};
use icn_gossip::{
    Access, Entry, Genesis, Keypair, Mutation, Now, Position, Provenance, State, TopicId, TopicSpec,
};

/// The id of the link.
pub const LINK: LinkId = LinkId(1);

/// The secret that the two ends of the link share.
pub const BINDING: [u8; 32] = [5; 32];

/// The present, by all clocks.
pub const NOW: Now = Now { wall_ms: 1_000_000, elapsed_ms: 1_000_000, node_ms: 1_000_000 };

const NETWORK: [u8; 32] = [1; 32];

fn keypair() -> Keypair {
    Keypair::from_seed([1; 32])
}

fn genesis() -> Genesis {
    let spec = TopicSpec::new("a".into(), Access::public().encode(), 5);
    Genesis::sign(&keypair(), NETWORK, spec, 7)
}

/// The topic that the node has and its peer follows.
#[must_use]
pub fn topic() -> TopicId {
    genesis().id()
}

/// The entry that the node has.
#[must_use]
pub fn entry() -> Entry {
    let position = Position {
        network: NETWORK,
        topic: topic(),
        epoch: 9,
        seq: 1,
        previous: [0; 32],
        access_version: 1,
        time_ms: 6,
    };
    Entry::sign(&keypair(), &position, Bytes::from_static(b"one"))
}

/// The node, linked with a peer that follows and serves the topic.
#[must_use]
pub fn node() -> (State, Mesh) {
    let mut state = State::default();
    let did = keypair().did();
    let by = Provenance::Local;
    let time_ms = 5;
    for (lsn, mutation) in (1..).zip([
        Mutation::Init { did, network: NETWORK, epoch: 9, clock: None },
        Mutation::CreateTopic(genesis()),
        Mutation::Subscribe { topic: "a".into(), by, time_ms },
        Mutation::Subscribe { topic: "missing".into(), by, time_ms },
        Mutation::Append { entry: entry(), received_ms: 6 },
    ]) {
        state.apply(lsn, mutation);
    }
    let mut mesh = Mesh::new();
    mesh.set_closed(std::collections::BTreeSet::new());
    mesh.up(&state, NOW, LINK, Keypair::from_seed([2; 32]).did(), BINDING, false);
    let tag = Tag::of_topic(&BINDING, &topic());
    let interest = icn_gossip::mesh::Interest { tag, missing: false };
    for message in [
        Message::Interests { more: false, list: vec![interest] },
        Message::Roots(vec![(tag, Root([8; 16]))]),
    ] {
        let (kind, body) = message.encode();
        mesh.receive(&state, NOW, LINK, kind, &body);
    }
    while let Some(action) = mesh.poll(&state, NOW) {
        debug_assert!(!matches!(action, Action::Close { .. }), "{action:?}");
    }
    (state, mesh)
}
