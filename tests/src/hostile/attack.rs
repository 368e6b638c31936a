//! The attacks of a hostile member, and the frames of each.

use bytes::Bytes;
use icn_daemon::node::Rng;
use icn_gossip::mesh::{
    Ask, Digests, Head, LinkId, Message, Root, StopReason, Tag, Want, WireEntry,
};
use icn_gossip::{Access, Entry, Genesis, LogKey, Position, TopicId, TopicSpec};

use super::Hostile;
use crate::world::NETWORK;

/// One kind of attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Replays received frames over any link.
    Replay,
    /// Answers wants with unsigned entries.
    Forge,
    /// Answers wants with entries of a later position.
    Disorder,
    /// Sends entries and bases for handles that no want had.
    Unsolicited,
    /// Sends frames that are malformed or truncated.
    Malformed,
    /// Announces heads that do not exist, also of the victim's own logs.
    FalseHeads,
    /// Claims that all entries before a far position are pruned.
    FalseGap,
    /// Sends Stop and Cease for arbitrary handles.
    StopStorm,
    /// Sends more messages than the limits allow.
    Flood,
    /// Requests every log again and again, also those it may not read.
    OverRequest,
    /// Offers other topics with the same names.
    TopicClones,
    /// Shows two histories of its own log to different peers.
    Equivocate,
}

/// All attacks.
pub const ATTACKS: [Attack; 12] = [
    Attack::Replay,
    Attack::Forge,
    Attack::Disorder,
    Attack::Unsolicited,
    Attack::Malformed,
    Attack::FalseHeads,
    Attack::FalseGap,
    Attack::StopStorm,
    Attack::Flood,
    Attack::OverRequest,
    Attack::TopicClones,
    Attack::Equivocate,
];

/// The messages that a flood sends at a time.
const FLOOD: usize = 100;

impl Hostile {
    pub(super) fn attack(&mut self, link: LinkId, attack: Attack) -> Vec<Message> {
        let at = self.below(self.topics.len());
        let topic = self.topics[at];
        let random = self.rng.next();
        let Some(peer_link) = self.links.get_mut(&link) else { return Vec::new() };
        let tag = Tag::of_topic(&peer_link.binding, &topic);
        let handle = peer_link.handle + random % 3;
        match attack {
            Attack::Replay | Attack::Malformed => Vec::new(),
            Attack::Forge => {
                let forge = |want: Want| Message::Entries {
                    handle: want.handle,
                    first: want.after + 1,
                    list: vec![forged_entry(random)],
                };
                peer_link.wants.drain(..).map(forge).collect()
            }
            Attack::Disorder => {
                let skip = |want: Want| Message::Entries {
                    handle: want.handle,
                    first: want.after + 2 + random % 9,
                    list: vec![forged_entry(random)],
                };
                peer_link.wants.drain(..).map(skip).collect()
            }
            Attack::Unsolicited => {
                let handle = 1_000_000 + random % 1000;
                vec![match random % 2 {
                    0 => Message::Entries { handle, first: 1, list: vec![forged_entry(random)] },
                    _ => Message::Base { handle, seq: 5, hash: [1; 32] },
                }]
            }
            Attack::FalseHeads => {
                let peer = peer_link.peer;
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
            Attack::FalseGap => {
                let far = |want: Want| Message::Base {
                    handle: want.handle,
                    seq: want.after + 1 + (1 << (random % 60)),
                    hash: [5; 32],
                };
                peer_link.wants.drain(..).map(far).collect()
            }
            Attack::StopStorm => (0..FLOOD as u64)
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
                        let one = one[0].clone();
                        let other = other[1].clone();
                        Message::Proof(Box::new((one, other)))
                    }
                };
                vec![message; FLOOD]
            }
            Attack::OverRequest => {
                let want = |key: &LogKey| {
                    peer_link.handle += 1;
                    let author = key.author;
                    let epoch = key.epoch;
                    let after = random % 4;
                    Want { handle: peer_link.handle, tag, author, epoch, after, hash: [0; 16] }
                };
                let wants: Vec<Want> = self.logs.iter().take(50).map(want).collect();
                let ceased = wants.iter().take(10).map(|want| Message::Cease(want.handle));
                let mut out = vec![Message::Ask(vec![ask(tag)]), Message::Want(wants.clone())];
                out.extend(ceased);
                out.push(Message::Cease(handle));
                out
            }
            Attack::TopicClones => {
                let name = self.names[at].clone();
                let access = Access::public().encode();
                let spec = TopicSpec::new(name, access, 1);
                let tag = Tag::of_name(&peer_link.binding, &spec.name);
                let clones = vec![Genesis::sign(&self.keypair, NETWORK, spec, random)];
                vec![Message::Topics(clones.clone()), Message::Found { tag, list: clones }]
            }
            Attack::Equivocate => {
                let author = self.keypair.did();
                let asked =
                    peer_link.wants.extract_if(.., |want| want.author == author && want.tag == tag);
                let asked: Vec<Want> = asked.collect();
                let which = peer_link.which;
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

    /// Two histories of its log in one epoch, which share the first entry.
    pub(super) fn histories(&self, topic: TopicId, epoch: u64) -> [Vec<Entry>; 2] {
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

    /// Frames that are malformed, or replayed from another peer.
    pub(super) fn raw_frames(&mut self, attack: Attack) -> Vec<(u8, Bytes)> {
        let at = self.below(self.frames.len());
        let Some((kind, body)) = self.frames.get(at).cloned() else { return Vec::new() };
        match attack {
            Attack::Replay => vec![(kind, body); 3],
            Attack::Malformed => {
                let cut = self.below(body.len());
                let noise: Vec<u8> = (0..64).map(|_| self.rng.byte()).collect();
                vec![match self.rng.below(4) {
                    0 => (kind, body.slice(..cut)),
                    1 => (self.rng.byte(), body),
                    2 => (self.rng.byte() % 16, noise.into()),
                    _ => (kind, [&body[..], &noise].concat().into()),
                }]
            }
            _ => Vec::new(),
        }
    }
}

fn forged_entry(random: u64) -> WireEntry {
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
