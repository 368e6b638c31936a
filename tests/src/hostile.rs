//! A member with a valid key that keeps to no rule.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use icn_daemon::node::Rng;
use icn_gossip::mesh::{
    Ask, Digests, Head, Interest, LinkId, Message, Root, StopReason, Tag, Want, WireEntry,
};
use icn_gossip::{Access, Did, Entry, Genesis, Keypair, LogKey, Position, TopicId, TopicSpec};

use crate::Dice;
use crate::net::NETWORK;
use crate::script::{Frames, Heard, Script};

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Sends again what it has received, over whatever link.
    Replay,
    /// Answers wants with entries that nobody has signed.
    Forge,
    /// Answers wants with a later place.
    Disorder,
    /// Sends entries and bases for handles that nobody gave.
    Unasked,
    /// Sends bytes that are no message, or the beginning of one.
    Nonsense,
    /// Tells of logs and places that are not there, also of the victim's own.
    Boast,
    /// Says that all before a far place is gone.
    Gap,
    /// Stops and ceases what it likes.
    Storm,
    /// Sends too much of everything.
    Flood,
    /// Asks for everything, over and over, also for what it may not read.
    Greed,
    /// Offers other topics of the same names.
    Offer,
    /// Shows one history of its own log to one peer, and another one to the next.
    Equivocate,
}

/// All of them.
pub const ATTACKS: [Attack; 12] = [
    Attack::Replay,
    Attack::Forge,
    Attack::Disorder,
    Attack::Unasked,
    Attack::Nonsense,
    Attack::Boast,
    Attack::Gap,
    Attack::Storm,
    Attack::Flood,
    Attack::Greed,
    Attack::Offer,
    Attack::Equivocate,
];

/// Frames that are kept for a replay.
const KEPT_FRAMES: usize = 300;

/// How often a flood repeats itself at a time.
const FLOOD: usize = 100;

/// The peer from hell.
pub struct Hostile {
    keypair: Keypair,
    dice: Dice,
    attacks: Vec<Attack>,
    /// What it knows to be there, also what it may not read.
    topics: Vec<TopicId>,
    names: Vec<String>,
    links: BTreeMap<LinkId, Side>,
    /// All it has ever met.
    peers: Vec<Did>,
    frames: Vec<(u8, Bytes)>,
    /// Logs it has heard of.
    logs: Vec<LogKey>,
    epoch: u64,
    /// A topic it may not read, and how often it was told of it.
    secret: TopicId,
    leaks: Arc<AtomicUsize>,
}

struct Side {
    peer: Did,
    binding: [u8; 32],
    /// The history it is shown.
    which: usize,
    /// What it was asked for and has not answered.
    wants: Vec<Want>,
    handle: u64,
}

impl Hostile {
    /// One that knows these topics and does these things. It may not read the `secret` one; `leaks` counts
    /// the messages about that.
    #[must_use]
    pub fn new(
        keypair: Keypair,
        seed: u64,
        attacks: &[Attack],
        topics: &[(TopicId, &str)],
        secret: TopicId,
        leaks: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            keypair,
            dice: Dice::new(seed),
            attacks: attacks.to_vec(),
            topics: topics.iter().map(|(id, _)| *id).collect(),
            names: topics.iter().map(|(_, name)| (*name).to_owned()).collect(),
            links: BTreeMap::new(),
            peers: Vec::new(),
            frames: Vec::new(),
            logs: Vec::new(),
            epoch: 1,
            secret,
            leaks,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.dice.below(end.max(1) as u64)).unwrap_or(0)
    }

    /// What every member says first.
    fn greet(&self, side: &Side) -> Vec<Message> {
        let tags = || self.topics.iter().map(|topic| Tag::of_topic(&side.binding, topic));
        let interest = |tag| Interest { tag, missing: false, named: false };
        vec![
            Message::Interests { more: false, list: tags().map(interest).collect() },
            Message::Roots(tags().map(|tag| (tag, Root([0xEE; 16]))).collect()),
        ]
    }

    fn attack(&mut self, link: LinkId, attack: Attack) -> Vec<Message> {
        let at = self.below(self.topics.len());
        let topic = self.topics[at];
        let random = self.dice.next();
        let Some(side) = self.links.get_mut(&link) else { return Vec::new() };
        let tag = Tag::of_topic(&side.binding, &topic);
        let handle = side.handle + random % 3;
        match attack {
            Attack::Replay | Attack::Nonsense => Vec::new(),
            Attack::Forge => {
                let forge = |want: Want| Message::Entries {
                    handle: want.handle,
                    first: want.after + 1,
                    list: vec![nothing(random)],
                };
                side.wants.drain(..).map(forge).collect()
            }
            Attack::Disorder => {
                let skip = |want: Want| Message::Entries {
                    handle: want.handle,
                    first: want.after + 2 + random % 9,
                    list: vec![nothing(random)],
                };
                side.wants.drain(..).map(skip).collect()
            }
            Attack::Unasked => {
                let handle = 1_000_000 + random % 1000;
                vec![match random % 2 {
                    0 => Message::Entries { handle, first: 1, list: vec![nothing(random)] },
                    _ => Message::Base { handle, seq: 5, hash: [1; 32] },
                }]
            }
            Attack::Boast => {
                let peer = side.peer;
                let own = self.logs.iter().filter(|key| key.author == peer);
                let keys = own.chain(&self.logs).take(50).copied();
                let lie = |author, epoch| Head { author, epoch, seq: u64::MAX, hash: [3; 16] };
                let mut list: Vec<Head> = keys.map(|key| lie(key.author, key.epoch)).collect();
                list.push(lie(peer, random));
                list.push(lie(self.keypair.did(), random));
                vec![Message::Heads {
                    tag,
                    last: random.is_multiple_of(2),
                    unsolicited: random.is_multiple_of(3),
                    list,
                }]
            }
            Attack::Gap => {
                let far = |want: Want| Message::Base {
                    handle: want.handle,
                    seq: want.after + 1 + (1 << (random % 60)),
                    hash: [5; 32],
                };
                side.wants.drain(..).map(far).collect()
            }
            Attack::Storm => (0..FLOOD as u64)
                .map(|at| match (random + at) % 4 {
                    0 => Message::Cease(at),
                    1 => Message::Stop { handle: at, reason: StopReason::NoSource },
                    2 => Message::Stop { handle: at, reason: StopReason::NotServed },
                    _ => Message::Stop { handle: at, reason: StopReason::Other(99) },
                })
                .collect(),
            Attack::Flood => {
                let message = match random % 4 {
                    0 => Message::Interests { more: false, list: Vec::new() },
                    1 => Message::Ask(vec![ask(tag)]),
                    2 => Message::Roots(vec![(tag, Root([random.to_le_bytes()[7]; 16]))]),
                    _ => {
                        let [one, other] = self.histories(topic, random);
                        let (one, other) = (one[0].clone(), other[1].clone());
                        Message::Proof(Box::new((one, other)))
                    }
                };
                vec![message; FLOOD]
            }
            Attack::Greed => {
                let want = |key: &LogKey| {
                    side.handle += 1;
                    let (author, epoch) = (key.author, key.epoch);
                    let after = random % 4;
                    Want { handle: side.handle, tag, author, epoch, after, hash: [0; 16] }
                };
                let wants: Vec<Want> = self.logs.iter().take(50).map(want).collect();
                let ceased = wants.iter().take(10).map(|want| Message::Cease(want.handle));
                let mut out = vec![Message::Ask(vec![ask(tag)]), Message::Want(wants.clone())];
                out.extend(ceased);
                out.push(Message::Cease(handle));
                out
            }
            Attack::Offer => {
                let name = self.names[at].clone();
                let access = Access::public().encode();
                let spec = TopicSpec::new(name, access, 1);
                vec![Message::Topics(vec![Genesis::sign(&self.keypair, NETWORK, spec, random)])]
            }
            Attack::Equivocate => {
                let author = self.keypair.did();
                let asked =
                    side.wants.extract_if(.., |want| want.author == author && want.tag == tag);
                let asked: Vec<Want> = asked.collect();
                let which = side.which;
                let mut out = Vec::new();
                for want in asked {
                    let epoch = want.epoch;
                    let [one, other] = self.histories(topic, epoch);
                    let history = if which == 0 { one } else { other };
                    let rest = history.iter().skip(usize::try_from(want.after).unwrap_or(9));
                    let list: Vec<WireEntry> = rest.map(wire).collect();
                    if !list.is_empty() {
                        let first = want.after + 1;
                        out.push(Message::Entries { handle: want.handle, first, list });
                    }
                }
                let head = |epoch| {
                    let [one, other] = self.histories(topic, epoch);
                    let last = if which == 0 { &one[2] } else { &other[2] };
                    let hash = last.hash()[..16].try_into().unwrap_or_default();
                    Head { author, epoch, seq: 3, hash }
                };
                let list = (1..=self.epoch.min(5)).map(head).collect();
                self.epoch += 1;
                out.push(Message::Heads { tag, last: false, unsolicited: true, list });
                out
            }
        }
    }

    /// Two histories of its log in one epoch: the first entry is the same.
    fn histories(&self, topic: TopicId, epoch: u64) -> [Vec<Entry>; 2] {
        ["one", "other"].map(|name| {
            let mut entries: Vec<Entry> = Vec::new();
            for text in ["first", name, "last"] {
                let position = Position {
                    network: NETWORK,
                    topic,
                    epoch,
                    seq: entries.len() as u64 + 1,
                    previous: entries.last().map_or([0; 32], Entry::hash),
                    access_version: 1,
                    time_ms: 5,
                };
                let text = Bytes::copy_from_slice(text.as_bytes());
                entries.push(Entry::sign(&self.keypair, &position, text));
            }
            entries
        })
    }

    /// Bytes that are no message, or that are one of somebody else.
    fn raw(&mut self, attack: Attack) -> Vec<(u8, Bytes)> {
        let at = self.below(self.frames.len());
        let Some((kind, body)) = self.frames.get(at).cloned() else { return Vec::new() };
        match attack {
            Attack::Replay => vec![(kind, body); 3],
            Attack::Nonsense => {
                let cut = self.below(body.len());
                let noise: Vec<u8> = (0..64).map(|_| self.dice.byte()).collect();
                vec![match self.dice.below(4) {
                    0 => (kind, body.slice(..cut)),
                    1 => (self.dice.byte(), body),
                    2 => (self.dice.byte() % 14, noise.into()),
                    _ => (kind, [&body[..], &noise].concat().into()),
                }]
            }
            _ => Vec::new(),
        }
    }

    fn remember(&mut self, link: LinkId, kind: u8, body: &[u8]) {
        if self.frames.len() < KEPT_FRAMES {
            self.frames.push((kind, Bytes::copy_from_slice(body)));
        } else {
            let at = self.below(KEPT_FRAMES);
            self.frames[at] = (kind, Bytes::copy_from_slice(body));
        }
        let Ok(Some(message)) = Message::decode(kind, body) else { return };
        let Some(side) = self.links.get_mut(&link) else { return };
        let topic = |tag: Tag| {
            let mut topics = self.topics.iter();
            topics.find(|topic| Tag::of_topic(&side.binding, topic) == tag).copied()
        };
        if is_about(&message, &self.secret, Tag::of_topic(&side.binding, &self.secret)) {
            self.leaks.fetch_add(1, Ordering::Relaxed);
        }
        let mut keys = Vec::new();
        match message {
            Message::Want(list) => {
                for want in list {
                    let (author, epoch) = (want.author, want.epoch);
                    keys.extend(topic(want.tag).map(|topic| LogKey { topic, author, epoch }));
                    side.wants.push(want);
                }
            }
            Message::Heads { tag, list, .. } => {
                let log = |head: Head| {
                    let (author, epoch) = (head.author, head.epoch);
                    topic(tag).map(|topic| LogKey { topic, author, epoch })
                };
                keys.extend(list.into_iter().filter_map(log));
            }
            _ => {}
        }
        for key in keys {
            if !self.logs.contains(&key) && self.logs.len() < 200 {
                self.logs.push(key);
            }
        }
    }
}

impl Script for Hostile {
    fn hear(&mut self, _: u64, heard: Heard<'_>) -> Frames {
        match heard {
            Heard::Up { link, peer, binding } => {
                let known = self.peers.iter().position(|known| *known == peer);
                let which = known.unwrap_or(self.peers.len());
                if known.is_none() {
                    self.peers.push(peer);
                }
                let which = which % 2;
                let side = Side { peer, binding, which, wants: Vec::new(), handle: 0 };
                let greeting = self.greet(&side);
                self.links.insert(link, side);
                frames(link, &greeting)
            }
            Heard::Down { link } => {
                self.links.remove(&link);
                Frames::new()
            }
            Heard::Frame { link, kind, body } => {
                self.remember(link, kind, body);
                Frames::new()
            }
            Heard::Tick => {
                let links: Vec<LinkId> = self.links.keys().copied().collect();
                let mut out = Frames::new();
                for link in links {
                    let at = self.below(self.attacks.len());
                    let attack = self.attacks[at];
                    out.extend(frames(link, &self.attack(link, attack)));
                    let raw = self.raw(attack);
                    out.extend(raw.into_iter().map(|(kind, body)| (link, kind, body)));
                }
                out
            }
        }
    }
}

fn frames(link: LinkId, messages: &[Message]) -> Frames {
    let encoded = messages.iter().map(Message::encode);
    encoded.map(|(kind, body)| (link, kind, body)).collect()
}

/// Whether a message tells of a topic.
fn is_about(message: &Message, topic: &TopicId, tag: Tag) -> bool {
    match message {
        // What a node subscribes to it says on every link, in words that only a member understands.
        Message::Interests { .. } => false,
        Message::Topics(list) => list.iter().any(|genesis| genesis.id() == *topic),
        Message::Roots(list) => list.iter().any(|(told, _)| *told == tag),
        Message::Ask(list) => list.iter().any(|ask| ask.tag == tag),
        Message::Heads { tag: told, .. } => *told == tag,
        Message::Want(list) => list.iter().any(|want| want.tag == tag),
        Message::Dispute(entry) => entry.header().topic == *topic,
        Message::Proof(entries) => entries.0.header().topic == *topic,
        // They carry a handle of its own.
        Message::Entries { .. } | Message::Base { .. } => false,
        Message::Cease(_) | Message::Stop { .. } => false,
    }
}

fn nothing(random: u64) -> WireEntry {
    let mut signature = [0; 64];
    signature[..8].copy_from_slice(&random.to_le_bytes());
    let payload = Bytes::from_static(b"forged");
    WireEntry { kind: 1, access_version: 1, time_ms: 5, signature, payload }
}

fn wire(entry: &Entry) -> WireEntry {
    let header = entry.header();
    let bytes = entry.encode();
    let signature = bytes[icn_gossip::ENTRY_HEADER_BYTES - 64..].first_chunk();
    WireEntry {
        kind: header.kind,
        access_version: header.access_version,
        time_ms: header.time_ms,
        signature: *signature.unwrap_or(&[0; 64]),
        payload: entry.payload().clone(),
    }
}

fn ask(tag: Tag) -> Ask {
    Ask { tag, digests: Digests::default() }
}
