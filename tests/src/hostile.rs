//! A hostile member: it has a valid key and violates the protocol.

mod attack;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use icn_gossip::mesh::{Head, Interest, LinkId, Message, Root, Tag, Want};
use icn_gossip::{Did, Keypair, LogKey, TopicId};

pub use self::attack::{ATTACKS, Attack};
use crate::TestRng;
use crate::script::{Frames, Script, ScriptEvent};

/// The most recorded frames for a replay.
const KEPT_FRAMES: usize = 300;

/// The script of the hostile member.
pub struct Hostile {
    keypair: Keypair,
    rng: TestRng,
    attacks: Vec<Attack>,
    /// The topics it knows, with those it may not read.
    topics: Vec<TopicId>,
    names: Vec<String>,
    links: BTreeMap<LinkId, PeerLink>,
    /// All peers it has been linked to.
    peers: Vec<Did>,
    frames: Vec<(u8, Bytes)>,
    /// The logs it has received heads of.
    logs: Vec<LogKey>,
    epoch: u64,
    /// A topic it may not read, and the number of messages about it.
    secret: TopicId,
    leaks: Arc<AtomicUsize>,
}

struct PeerLink {
    peer: Did,
    binding: [u8; 32],
    /// Which of the two histories this peer is shown.
    which: usize,
    /// The wants of the peer without an answer.
    wants: Vec<Want>,
    handle: u64,
}

impl Hostile {
    /// A hostile member that knows these topics and makes these attacks. It may not read `secret`;
    /// `leaks` counts the messages about that topic.
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
            rng: TestRng::new(seed),
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
        usize::try_from(self.rng.below(end.max(1) as u64)).unwrap_or(0)
    }

    /// The first messages of every member.
    fn greeting(&self, peer_link: &PeerLink) -> Vec<Message> {
        let tags = || self.topics.iter().map(|topic| Tag::of_topic(&peer_link.binding, topic));
        let interest = |tag| Interest { tag, missing: false };
        vec![
            Message::Interests { more: false, list: tags().map(interest).collect() },
            Message::Roots(tags().map(|tag| (tag, Root([0xEE; 16]))).collect()),
        ]
    }

    fn record_frame(&mut self, link: LinkId, kind: u8, body: &[u8]) {
        if self.frames.len() < KEPT_FRAMES {
            self.frames.push((kind, Bytes::copy_from_slice(body)));
        } else {
            let at = self.below(KEPT_FRAMES);
            self.frames[at] = (kind, Bytes::copy_from_slice(body));
        }
        let Ok(Some(message)) = Message::decode(kind, body) else { return };
        let Some(peer_link) = self.links.get_mut(&link) else { return };
        let topic = |tag: Tag| {
            let mut topics = self.topics.iter();
            topics.find(|topic| Tag::of_topic(&peer_link.binding, topic) == tag).copied()
        };
        if is_about(&message, &self.secret, Tag::of_topic(&peer_link.binding, &self.secret)) {
            self.leaks.fetch_add(1, Ordering::Relaxed);
        }
        let mut keys = Vec::new();
        match message {
            Message::Want(list) => {
                for want in list {
                    let author = want.author;
                    let epoch = want.epoch;
                    keys.extend(topic(want.tag).map(|topic| LogKey { topic, author, epoch }));
                    peer_link.wants.push(want);
                }
            }
            Message::Heads { tag, list, .. } => {
                let log = |head: Head| {
                    let author = head.author;
                    let epoch = head.epoch;
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
    fn handle(&mut self, _: u64, event: ScriptEvent<'_>) -> Frames {
        match event {
            ScriptEvent::Up { link, peer, binding } => {
                let known = self.peers.iter().position(|known| *known == peer);
                let which = known.unwrap_or(self.peers.len());
                if known.is_none() {
                    self.peers.push(peer);
                }
                let which = which % 2;
                let peer_link = PeerLink { peer, binding, which, wants: Vec::new(), handle: 0 };
                let greeting = self.greeting(&peer_link);
                self.links.insert(link, peer_link);
                frames(link, &greeting)
            }
            ScriptEvent::Down { link } => {
                self.links.remove(&link);
                Frames::new()
            }
            ScriptEvent::Frame { link, kind, body } => {
                self.record_frame(link, kind, body);
                Frames::new()
            }
            ScriptEvent::Tick => {
                let links: Vec<LinkId> = self.links.keys().copied().collect();
                let mut out = Frames::new();
                for link in links {
                    let at = self.below(self.attacks.len());
                    let attack = self.attacks[at];
                    out.extend(frames(link, &self.attack(link, attack)));
                    let raw = self.raw_frames(attack);
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

/// True iff a message mentions a topic.
fn is_about(message: &Message, topic: &TopicId, tag: Tag) -> bool {
    match message {
        Message::Interests { list, .. } => list.iter().any(|interest| interest.tag == tag),
        Message::Topics(list) | Message::Found { list, .. } => {
            list.iter().any(|genesis| genesis.id() == *topic)
        }
        Message::Roots(list) => list.iter().any(|(told, _)| *told == tag),
        Message::Ask(list) => list.iter().any(|ask| ask.tag == tag),
        Message::Heads { tag: told, .. } | Message::Held { tag: told, .. } => *told == tag,
        Message::Want(list) => list.iter().any(|want| want.tag == tag),
        Message::Fetch(want) => want.tag == tag,
        Message::Dispute(entry) => entry.header().topic == *topic,
        Message::Proof(entries) => entries.0.header().topic == *topic,
        // These carry a handle that this member chose.
        Message::Entries { .. } | Message::Base { .. } | Message::Fetched { .. } => false,
        Message::Find(_) | Message::Cease(_) | Message::Stop { .. } | Message::Clock(_) => false,
    }
}
