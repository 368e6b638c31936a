//! The rig: a node without a disk, and author logs that a test writes.

use std::collections::VecDeque;

use bytes::Bytes;
use icn_gossip::limits::FUTURE_MS_MAX;
use icn_gossip::mesh::{
    Action, Ask, Batch, Digests, Head, Interest, LinkId, LinkView, Mesh, Message, PauseReason,
    Root, Tag, Want, WireEntry,
};
use icn_gossip::{
    Access, Did, Entry, Genesis, KeyCard, Keypair, LogKey, Mutation, Now, Outcome, Position,
    Provenance, Reject, Relation, State, TopicId, TopicSpec,
};

pub(crate) const NETWORK: [u8; 32] = [1; 32];
pub(crate) const EPOCH: u64 = 9;

pub(crate) fn keypair(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}

pub(crate) fn did(seed: u8) -> Did {
    keypair(seed).did()
}

pub(crate) fn binding(link: u64) -> [u8; 32] {
    *blake3::hash(&link.to_le_bytes()).as_bytes()
}

/// A root that equals no real one.
pub(crate) fn root(link: u64) -> Root {
    Root(binding(link)[..16].try_into().expect("16 bytes"))
}

pub(crate) fn tag(link: u64, topic: &TopicId) -> Tag {
    Tag::of_topic(&binding(link), topic)
}

pub(crate) fn genesis(seed: u8, name: &str, access: &Access, nonce: u64) -> Genesis {
    Genesis::sign(&keypair(seed), NETWORK, TopicSpec::new(name.into(), access.encode(), 5), nonce)
}

/// An author log that a test writes.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) seed: u8,
    pub(crate) key: LogKey,
    pub(crate) entries: Vec<Entry>,
    pub(crate) time_ms: u64,
}

impl Log {
    pub(crate) fn new(seed: u8, topic: TopicId, epoch: u64) -> Self {
        let key = LogKey { topic, author: did(seed), epoch };
        Self { seed, key, entries: Vec::new(), time_ms: 6 }
    }

    pub(crate) fn of(seed: u8, topic: TopicId, texts: &[&str]) -> Self {
        let mut log = Self::new(seed, topic, EPOCH);
        texts.iter().for_each(|text| log.push(text));
        log
    }

    pub(crate) fn push(&mut self, text: &str) {
        let position = Position {
            network: NETWORK,
            topic: self.key.topic,
            epoch: self.key.epoch,
            seq: self.entries.len() as u64 + 1,
            previous: self.hash(self.entries.len()),
            access_version: 1,
            time_ms: self.time_ms,
        };
        let text = Bytes::copy_from_slice(text.as_bytes());
        self.entries.push(Entry::sign(&keypair(self.seed), &position, text));
    }

    pub(crate) fn hash(&self, seq: usize) -> [u8; 32] {
        seq.checked_sub(1).map_or([0; 32], |at| self.entries[at].hash())
    }

    pub(crate) fn head(&self, seq: u64) -> Head {
        let hash = self.hash(usize::try_from(seq).unwrap_or(0).min(self.entries.len()));
        let hash = hash[..16].try_into().expect("16 bytes");
        Head { author: self.key.author, epoch: self.key.epoch, seq, hash }
    }

    pub(crate) fn heads(&self, link: u64) -> Message {
        let list = vec![self.head(self.entries.len() as u64)];
        Message::Heads { tag: tag(link, &self.key.topic), last: true, unsolicited: false, list }
    }

    pub(crate) fn want(&self, link: u64, handle: u64, after: u64) -> Message {
        let Head { author, epoch, hash, .. } = self.head(after);
        let tag = tag(link, &self.key.topic);
        Message::Want(vec![Want { handle, tag, author, epoch, after, hash }])
    }

    /// An ENTRIES message from sequence number `first` to the end.
    pub(crate) fn send(&self, handle: u64, first: usize) -> Message {
        let list = self.entries[first - 1..].iter().map(wire).collect();
        Message::Entries { handle, first: first as u64, list }
    }
}

pub(crate) fn wire(entry: &Entry) -> WireEntry {
    let header = entry.header();
    let bytes = entry.encode();
    WireEntry {
        kind: header.kind,
        access_version: header.access_version,
        time_ms: header.time_ms,
        signature: bytes[193..257].try_into().expect("64 bytes"),
        payload: entry.payload().clone(),
    }
}

pub(crate) fn ask(link: u64, topic: &TopicId) -> Message {
    let digests = Digests::default();
    Message::Ask(vec![Ask { tag: tag(link, topic), digests }])
}

pub(crate) fn interest(link: u64, topic: &TopicId) -> Message {
    let list = vec![Interest { tag: tag(link, topic), missing: false }];
    Message::Interests { more: false, list }
}

/// A node under test: its state, its mesh, and what it has sent.
pub(crate) struct Node {
    pub(crate) state: State,
    pub(crate) mesh: Mesh,
    /// The wall clock, the elapsed time, and the node's clock.
    pub(crate) now_ms: u64,
    pub(crate) elapsed_ms: u64,
    pub(crate) node_ms: u64,
    pub(crate) sent: Vec<(u64, Message)>,
    pub(crate) closed: Vec<(u64, &'static str)>,
    /// While set, batches stay in `unchecked`.
    pub(crate) slow: bool,
    pub(crate) unchecked: VecDeque<Batch>,
    pub(crate) full: bool,
    seed: u8,
    lsn: u64,
    epoch: u64,
}

impl Node {
    pub(crate) fn new(seed: u8) -> Self {
        let mut node = Self {
            state: State::default(),
            mesh: Mesh::new(),
            now_ms: 1_000_000,
            elapsed_ms: 5_000,
            node_ms: 1_000_000,
            sent: Vec::new(),
            closed: Vec::new(),
            slow: false,
            unchecked: VecDeque::new(),
            full: false,
            seed,
            lsn: 0,
            epoch: EPOCH,
        };
        node.commit(Mutation::Init { did: did(seed), network: NETWORK, epoch: EPOCH, clock: None });
        node.mesh.epoch_begun();
        node
    }

    /// A node with a topic that it has created and subscribes to.
    pub(crate) fn with_topic(seed: u8, access: &Access) -> (Self, TopicId) {
        let mut node = Self::new(seed);
        let genesis = genesis(seed, "a", access, 7);
        let id = genesis.id();
        node.commit(Mutation::CreateTopic(genesis));
        node.subscribe("a");
        (node, id)
    }

    /// Restarts the node with the same state.
    pub(crate) fn restart(&mut self) {
        self.mesh = Mesh::new();
        self.mesh.set_closed(std::collections::BTreeSet::new());
        self.work();
        self.sent.clear();
    }

    pub(crate) fn up(&mut self, link: u64, peer: u8) {
        self.up_named(link, peer, false);
    }

    /// Connects a peer, which the operator has named or not.
    pub(crate) fn up_named(&mut self, link: u64, peer: u8, named: bool) {
        let card = KeyCard::sign(&keypair(peer), [peer; 32], 1);
        self.commit(Mutation::AddPeer { card, named: false, time_ms: self.now_ms });
        self.mesh.up(&self.state, self.now(), LinkId(link), did(peer), binding(link), named);
        self.work();
    }

    /// Connects a peer that subscribes to a topic and serves it.
    pub(crate) fn up_with(&mut self, link: u64, peer: u8, topic: &TopicId) {
        self.up(link, peer);
        self.receive(link, interest(link, topic));
        self.receive(link, Message::Roots(vec![(tag(link, topic), root(link))]));
    }

    /// Lets time pass by all clocks, without a tick.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.elapsed_ms += ms;
        self.node_ms += ms;
    }

    /// All clocks.
    pub(crate) fn now(&self) -> Now {
        Now { wall_ms: self.now_ms, elapsed_ms: self.elapsed_ms, node_ms: self.node_ms }
    }

    pub(crate) fn down(&mut self, link: u64) {
        self.mesh.down(&self.state, self.now(), LinkId(link));
        self.work();
    }

    pub(crate) fn receive(&mut self, link: u64, message: Message) {
        let (kind, body) = message.encode();
        self.receive_bytes(link, kind, &body);
    }

    pub(crate) fn receive_bytes(&mut self, link: u64, kind: u8, body: &[u8]) {
        self.mesh.receive(&self.state, self.now(), LinkId(link), kind, body);
        self.work();
    }

    pub(crate) fn advance(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(500) {
            self.wait(500);
            self.mesh.tick(&self.state, self.now(), 0);
            self.work();
        }
    }

    pub(crate) fn subscribe(&mut self, topic: &str) {
        let by = Provenance::Local;
        self.commit(Mutation::Subscribe { topic: topic.into(), by, time_ms: self.now_ms });
        self.work();
    }

    pub(crate) fn unsubscribe(&mut self, topic: &str) {
        self.commit(Mutation::Unsubscribe { topic: topic.into(), by: Provenance::Local });
        self.work();
    }

    /// Appends an own entry, in a new epoch if required.
    pub(crate) fn publish(&mut self, topic: TopicId, text: &str) -> Entry {
        if self.mesh.must_begin_epoch() {
            self.begin_epoch();
        }
        let mut log = Log::new(self.seed, topic, self.state.node().expect("a node").epoch);
        let head = self.state.head(&log.key);
        for seq in 1..=head.head {
            log.entries.push(self.state.entry_at(&log.key, seq).expect("own").entry.clone());
        }
        log.push(text);
        let entry = log.entries.pop().expect("an entry");
        self.commit(Mutation::Append { entry: entry.clone(), received_ms: self.node_ms });
        self.work();
        entry
    }

    pub(crate) fn texts(&self, topic: TopicId) -> Vec<String> {
        let entries = self.state.entries(topic, 0);
        entries.map(|(_, stored)| String::from_utf8_lossy(stored.entry.payload()).into()).collect()
    }

    /// The messages sent over a link since the last call.
    pub(crate) fn take_sent(&mut self, link: u64) -> Vec<Message> {
        let (of_link, others) = self.sent.drain(..).partition(|(to, _)| *to == link);
        self.sent = others;
        of_link.into_iter().map(|(_, message)| message).collect()
    }

    /// The last want sent for a log over a link.
    pub(crate) fn wants(&mut self, link: u64, key: &LogKey) -> Option<Want> {
        let wants = self.take_sent(link).into_iter().filter_map(|message| match message {
            Message::Want(list) => Some(list),
            _ => None,
        });
        wants.flatten().filter(|want| (want.author, want.epoch) == (key.author, key.epoch)).last()
    }

    pub(crate) fn view(&self, link: u64) -> LinkView<'_> {
        self.mesh.links().find(|(id, _)| id.0 == link).expect("a link").1
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.mesh.counts().find(|(known, _)| *known == name).map_or(0, |(_, count)| count)
    }

    /// The messages sent over a link that could reveal a topic: all but STOP and those with an empty list.
    pub(crate) fn revealed(&mut self, link: u64) -> Vec<Message> {
        let mut sent = self.take_sent(link);
        sent.retain(|message| match message {
            Message::Interests { list, .. } => !list.is_empty(),
            Message::Found { list, .. } => !list.is_empty(),
            Message::Stop { .. } | Message::Clock(_) => false,
            _ => true,
        });
        sent
    }

    pub(crate) fn check_signatures(&mut self) {
        while let Some(batch) = self.unchecked.pop_front() {
            let valid = batch.entries().iter().all(|entry| entry.verify().is_ok());
            self.mesh.verified(&self.state, self.now(), batch, valid);
            self.work();
        }
    }

    pub(crate) fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.commit(Mutation::BeginEpoch(self.epoch));
    }

    pub(crate) fn commit(&mut self, mutation: Mutation) -> Option<Outcome> {
        if self.full {
            return None;
        }
        self.lsn += 1;
        let key = match &mutation {
            Mutation::Append { entry, .. } | Mutation::AppendAfterGap { entry, .. } => {
                Some(LogKey::of(entry))
            }
            Mutation::Fork(entries) => Some(LogKey::of(&entries.0)),
            _ => None,
        };
        let kind = std::mem::discriminant(&mutation);
        let is = |other: &Mutation| kind == std::mem::discriminant(other);
        let epoch = is(&Mutation::BeginEpoch(0));
        let freeze = matches!(mutation, Mutation::Fork(_));
        let topics = matches!(mutation, Mutation::CreateTopic(_) | Mutation::DeleteTopic(_));
        let interests = matches!(
            mutation,
            Mutation::Subscribe { by: Provenance::Local, .. }
                | Mutation::Unsubscribe { by: Provenance::Local, .. }
        );
        let outcome = self.state.apply(self.lsn, mutation);
        let now = self.now();
        let state = &self.state;
        match (key, &outcome) {
            (Some(key), Outcome::Appended { .. }) => self.mesh.appended(state, key),
            (Some(key), Outcome::Rejected(Reject::Equivocation)) => {
                self.mesh.frozen(state, now, key);
            }
            (Some(key), Outcome::Done) if freeze => self.mesh.frozen(state, now, key),
            _ if topics => self.mesh.rights_changed(),
            _ if interests => self.mesh.interests_changed(),
            _ if epoch => self.mesh.epoch_begun(),
            _ => {}
        }
        Some(outcome)
    }

    pub(crate) fn work(&mut self) {
        while let Some(action) = self.mesh.poll(&self.state, self.now()) {
            match action {
                Action::Send { link, kind, body } => {
                    let message = Message::decode(kind, &body).expect("sense").expect("known");
                    self.sent.push((link.0, message));
                }
                Action::Close { link, name, .. } => self.closed.push((link.0, name)),
                Action::Verify(batch) => self.unchecked.push_back(batch),
                Action::Append { entry, after_gap } => self.admit(*entry, after_gap),
                Action::Readmit(entry) => self.readmit(*entry),
                Action::Commit(mutation) => drop(self.commit(*mutation)),
                Action::BeginEpoch if self.full => {}
                Action::BeginEpoch => self.begin_epoch(),
            }
        }
        if !self.slow && !self.unchecked.is_empty() {
            self.check_signatures();
        }
    }

    fn readmit(&mut self, entry: Entry) {
        let (key, now, received_ms) = (LogKey::of(&entry), self.now(), self.node_ms);
        match self.state.admit_readmission(&entry) {
            Ok(()) if !self.full => {
                self.commit(Mutation::Readmit { entry: entry.clone(), received_ms });
                self.mesh.readmitted(&entry);
            }
            Err(reject) if !matches!(reject, Reject::NoRoom | Reject::Full { .. }) => {
                self.mesh.not_readmitted(now, key, PauseReason::Rules);
            }
            _ => self.mesh.not_readmitted(now, key, PauseReason::NoRoom),
        }
    }

    fn admit(&mut self, entry: Entry, after_gap: bool) {
        let key = LogKey::of(&entry);
        let time_ms = entry.header().time_ms;
        let received_ms = self.node_ms;
        let now = self.now();
        if time_ms > now.latest_ms() + FUTURE_MS_MAX {
            return self.mesh.refused(now, key, PauseReason::Future { time_ms });
        }
        let skips_gap = after_gap && entry.header().seq > self.state.head(&key).head + 1;
        let admitted = if skips_gap {
            self.state.admit_after_gap(&entry).map(|()| Relation::Next)
        } else {
            self.state.admit(&entry)
        };
        match admitted {
            _ if self.full => self.mesh.refused(now, key, PauseReason::NoRoom),
            Ok(Relation::Duplicate) => self.mesh.duplicate(),
            Ok(_) if skips_gap => {
                drop(self.commit(Mutation::AppendAfterGap { entry, received_ms }));
            }
            Ok(_) => drop(self.commit(Mutation::Append { entry, received_ms })),
            // The log was frozen after the entry was asked for.
            Err(Reject::Equivocation) => {}
            Err(_) => self.mesh.refused(now, key, PauseReason::Rules),
        }
    }
}
