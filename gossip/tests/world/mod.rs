//! Builds states of every kind from mutations.

use bytes::Bytes;
use icn_gossip::{
    Access, AccessBytes, Boot, ClockStamp, Entry, Genesis, KeyCard, Keypair, LogKey, Mutation,
    Outcome, Position, Provenance, State, TopicId, TopicSpec,
};

pub(crate) const NETWORK: [u8; 32] = [1; 32];

pub(crate) fn keypair(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}

/// A state, earlier images of it, and the last LSN.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) state: State,
    images: Vec<State>,
    written: Vec<Entry>,
    lsn: u64,
}

impl World {
    pub(crate) fn apply(&mut self, mutation: Mutation) -> Outcome {
        self.lsn += 1;
        let mut record = Vec::new();
        mutation.encode(&mut record);
        assert_eq!(Mutation::decode(&record), Ok(mutation.clone()));
        self.state.apply(self.lsn, mutation)
    }

    fn init(&mut self) {
        let did = keypair(1).did();
        let network = NETWORK;
        self.apply(Mutation::Init { did, network, epoch: u64::MAX - 5, clock: None });
    }

    pub(crate) fn topic(&mut self, by: u8, name: &str, access: AccessBytes, nonce: u64) -> Outcome {
        let mut spec = TopicSpec::new(name.into(), access, 1_764_070_000_123);
        if nonce > 3 {
            (spec.retention_ms, spec.created_ms) = (u64::MAX, u64::MAX);
        }
        self.apply(Mutation::CreateTopic(Genesis::sign(&keypair(by), NETWORK, spec, nonce)))
    }

    /// The next entry of `author` in `topic`, or a different entry `back` positions before it.
    pub(crate) fn entry(&self, author: u8, topic: TopicId, back: u64, payload: Bytes) -> Entry {
        let keypair = keypair(author);
        let epoch = self.state.node().map_or(0, |node| node.epoch) - u64::from(author);
        let head = self.state.head(&LogKey { topic, author: keypair.did(), epoch });
        let position = Position {
            network: NETWORK,
            topic,
            epoch,
            seq: (head.head + 1).saturating_sub(back),
            previous: head.head_hash,
            access_version: 1,
            time_ms: self.lsn << 56,
        };
        Entry::sign(&keypair, &position, payload)
    }

    pub(crate) fn append(
        &mut self,
        author: u8,
        topic: TopicId,
        back: u64,
        payload: &[u8],
    ) -> Outcome {
        let entry = self.entry(author, topic, back, Bytes::copy_from_slice(payload));
        self.written.push(entry.clone());
        self.apply(Mutation::Append { entry, received_ms: self.lsn << 40 })
    }

    fn pick(&self, choice: u8) -> Option<TopicId> {
        let count = self.state.topics().count().max(1);
        self.state.topics().nth(usize::from(choice) % count).map(|(id, _)| *id)
    }

    /// Applies a random mutation, which may be rejected, or restores an earlier state.
    pub(crate) fn step(&mut self, [kind, a, b, c]: [u8; 4]) {
        let name = ["coop:ledger", "news", "a.b_c-1"][usize::from(a) % 3].to_owned();
        let time_ms = [u64::from(b), 1 << 53 | 1, u64::MAX][usize::from(c) % 3];
        let by = match c % 3 {
            0 => Provenance::Local,
            other => Provenance::Peer(keypair(other + 1).did()),
        };
        let topic = self.pick(a);
        match (kind % 16, topic) {
            (0, _) => self.init(),
            (1, _) => {
                let access = match b % 5 {
                    0 => Access::public().encode(),
                    1 => Access::participants(vec![keypair(2).did(), keypair(3).did()]).encode(),
                    2 => Access::participants(vec![]).encode(),
                    3 => Access::min_trust(u16::from(c % 2) + 1).encode(),
                    _ => AccessBytes::from_bytes(vec![b; usize::from(c)]),
                };
                self.topic(c % 3 + 1, &name, access, u64::from(a % 5));
            }
            (2..=5, Some(topic)) => {
                let payload = ["x".as_bytes(), &[0xFF, 0, 7], b"", "ü\n\t\"".as_bytes(), b"\x1B["];
                self.append(b % 3 + 1, topic, u64::from(c % 7 / 6), payload[usize::from(a) % 5]);
            }
            (6, _) => {
                let name = match b {
                    150..=175 => TopicId::from_bytes([c; 32]).to_string(),
                    176..=200 => format!("{name}@{}", keypair(c % 3 + 1).did()),
                    201.. => topic.map_or(name, |topic| topic.to_string()),
                    _ => name,
                };
                self.apply(Mutation::Subscribe { topic: name, by, time_ms });
            }
            (7, _) if b % 2 == 0 => {
                self.apply(Mutation::Unsubscribe { topic: name, by });
            }
            (7, Some(topic)) if b % 7 == 1 => {
                self.apply(Mutation::DeleteTopic(topic));
            }
            (8, Some(topic)) => {
                self.apply(Mutation::Prune { topic, through: u64::from(b % 8) });
            }
            (9, _) => {
                let card = KeyCard::sign(&keypair(b % 4 + 2), [c; 32], time_ms);
                self.apply(Mutation::AddPeer { card, named: c % 2 == 0, time_ms });
            }
            (10, _) => {
                let did = keypair(b % 4 + 2).did();
                self.apply(match c % 3 {
                    0 => Mutation::RemovePeer(did),
                    _ => Mutation::AddUnsignedKey { did, x25519: [c; 32], time_ms },
                });
            }
            (12, Some(topic)) => {
                self.apply(Mutation::MoveCursor { topic, name, arrival: u64::from(b % 4) });
            }
            (13, Some(topic)) if b % 2 == 0 => {
                self.apply(Mutation::DeleteCursor { topic, name });
            }
            (14, _) if !self.written.is_empty() => {
                let fits = |entry: &&Entry| self.state.admit_readmission(entry).is_ok();
                let any = &self.written[usize::from(b) % self.written.len()];
                let entry = self.written.iter().find(fits).unwrap_or(any).clone();
                self.apply(Mutation::Readmit { entry, received_ms: self.lsn << 40 });
            }
            (15, Some(topic)) => {
                let back = u64::from(c % 3);
                let sign = |text: &'static [u8]| self.entry(b % 3 + 1, topic, back, text.into());
                let proof = (sign(b"one"), sign(b"other"));
                self.apply(Mutation::Fork(Box::new(proof)));
            }
            (11, _) if c % 2 == 0 => self.images.push(self.state.clone()),
            (11, _) if !self.images.is_empty() => {
                let image = self.images[usize::from(b) % self.images.len()].clone();
                self.state = self.state.restore(image, u64::MAX / 2 + u64::from(b));
            }
            _ => self.init(),
        }
    }
}

/// A state with at least one item of every kind.
pub(crate) fn sample() -> State {
    let mut world = World::default();
    world.init();
    let topic = |world: &mut World, name: &str, access: AccessBytes, nonce| match world
        .topic(1, name, access, nonce)
    {
        Outcome::TopicCreated(id) => id,
        other => panic!("{other:?}"),
    };
    let ana = keypair(2).did();
    let ben = keypair(3).did();
    let members = Access::participants(vec![ana, ben]).encode();
    let ledger = topic(&mut world, "coop:ledger", members, 1 << 60);
    let news = topic(&mut world, "news", Access::public().encode(), 2);
    topic(&mut world, "trusted", Access::min_trust(700).encode(), 3);
    topic(&mut world, "later", AccessBytes::from_bytes(vec![200, 1, 1]), 3);
    let gone = topic(&mut world, "gone", Access::public().encode(), 3);
    for (author, topic, payload) in [
        (1, ledger, "first entry".as_bytes()),
        (2, ledger, "second entry, Grüße".as_bytes()),
        (1, ledger, &[0, 159, 146, 150]),
        (3, news, b"old"),
        (3, news, b"new"),
        (2, gone, b"forgotten"),
    ] {
        let outcome = world.append(author, topic, 0, payload);
        assert!(matches!(outcome, Outcome::Appended { .. }), "{outcome:?}");
    }
    // An author signs a second entry for its last position.
    world.append(3, news, 1, b"two-faced");
    assert!(world.state.heads(news).any(|(_, log)| log.proof.is_some()));
    let subscription =
        |topic: &str, by| Mutation::Subscribe { topic: topic.into(), by, time_ms: 1 << 40 };
    let cursor =
        |topic, name: &str, arrival| Mutation::MoveCursor { topic, name: name.into(), arrival };
    let id = "0f8fad5b-d9cb-469f-a165-70867728950e".parse().expect("a boot");
    let boot = Some(Boot { id, elapsed_ms: 1 << 30 });
    let mutations = [
        cursor(news, "billing", 2),
        cursor(ledger, "billing", 1),
        cursor(gone, "billing", 1),
        Mutation::Prune { topic: news, through: 1 },
        Mutation::Prune { topic: ledger, through: 1 },
        Mutation::Readmit { entry: world.written[0].clone(), received_ms: 1 << 42 },
        Mutation::DeleteTopic(gone),
        Mutation::StampClock(ClockStamp {
            node_ms: 1 << 44,
            wall_ms: 1 << 45,
            ran_ms: 1 << 39,
            budget_ms: 1 << 28,
            boot,
        }),
        subscription("coop:ledger", Provenance::Local),
        subscription("coop:ledger", Provenance::Peer(ana)),
        subscription(&news.to_string(), Provenance::Peer(ben)),
        subscription("not:yet", Provenance::Local),
        subscription(&format!("not:yet@{ana}"), Provenance::Local),
        subscription(&"5".repeat(64), Provenance::Local),
        Mutation::AddPeer { card: KeyCard::sign(&keypair(2), [5; 32], 7), named: true, time_ms: 8 },
        Mutation::AddUnsignedKey { did: ben, x25519: [6; 32], time_ms: 9 },
    ];
    for mutation in mutations {
        let outcome = world.apply(mutation);
        assert!(!matches!(outcome, Outcome::Rejected(_) | Outcome::Duplicate), "{outcome:?}");
    }
    world.state
}
