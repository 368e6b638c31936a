//! The links of the world: how frames come from one member to another.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use icn_daemon::node::PeerEvent;
use icn_gossip::KeyCard;
use icn_gossip::mesh::LinkId;

use super::event::Event;
use super::{World, keypair};
use crate::script::Heard;

/// The bytes under way to a peer above which nothing more is read from it.
const UNREAD_BYTES: usize = 2 << 20;

/// The bytes a frame has besides its body.
const HEADER_BYTES: usize = 4;

/// One direction of a link.
#[derive(Default)]
pub(super) struct Way {
    /// When the link has taken everything, and when the last frame arrives: they stay in order.
    taken_ms: u64,
    arrival_ms: u64,
    /// Bytes that the link has not taken.
    under_way: usize,
    /// Frames that have not been read.
    frames: VecDeque<(u8, Bytes)>,
    /// How many of them have arrived.
    arrived: usize,
}

impl World {
    pub(super) fn dial(&mut self, from: usize, to: usize) {
        let pair = (from.min(to), from.max(to));
        let linked = self.members[from].links.values().any(|peer| *peer == to);
        if linked || !self.runs(from) || !self.runs(to) || !self.wires.contains(&pair) {
            return;
        }
        if self.cut.contains(&pair) {
            self.after(self.pace.redial_ms, Event::Dial { from, to });
            return;
        }
        self.next_link += 1;
        let link = LinkId(self.next_link);
        let binding = *blake3::hash(&self.next_link.to_le_bytes()).as_bytes();
        for (one, other) in [(from, to), (to, from)] {
            self.members[one].links.insert(link, other);
            self.ways.insert((link, one), Way::default());
            let seed = self.members[other].seed;
            let card = KeyCard::sign(&keypair(seed), [seed; 32], 1);
            let peer = card.did;
            let address = SocketAddr::from(([10, 0, 0, seed], 7777));
            self.come(one, Some(PeerEvent::Up { link, card, binding, address }), None);
            self.act(one, Heard::Up { link, peer, binding });
        }
    }

    pub(super) fn end_link(&mut self, link: LinkId) {
        let mut ends = Vec::new();
        for index in 0..self.members.len() {
            self.ways.remove(&(link, index));
            if self.members[index].links.remove(&link).is_some() {
                ends.push(index);
                self.come(index, Some(PeerEvent::Down { link }), None);
                self.act(index, Heard::Down { link });
            }
        }
        if let &[from, to] = ends.as_slice() {
            let delay = self.pace.redial_ms + self.dice.below(self.pace.redial_ms);
            self.after(delay, Event::Dial { from, to });
        }
    }

    pub(super) fn send(&mut self, from: usize, link: LinkId, kind: u8, body: Bytes) {
        let Some(&to) = self.members[from].links.get(&link) else { return };
        let bytes = body.len() + HEADER_BYTES;
        let delay = self.dice.below(self.pace.link_ms) + 1;
        let (now_ms, takes) = (self.now_ms, bytes as u64 / self.pace.link_bytes);
        let Some(way) = self.ways.get_mut(&(link, to)) else { return };
        way.under_way += bytes;
        if self.deaf.contains(&to) {
            return;
        }
        way.taken_ms = way.taken_ms.max(now_ms) + takes;
        way.arrival_ms = way.arrival_ms.max(way.taken_ms + delay);
        way.frames.push_back((kind, body));
        let (taken, arrival) = (way.taken_ms, way.arrival_ms);
        self.at(taken, Event::Sent { to: from, link, bytes });
        self.at(arrival, Event::Frame { to, link });
    }

    pub(super) fn sent(&mut self, to: usize, link: LinkId, bytes: usize) {
        let Some(&peer) = self.members[to].links.get(&link) else { return };
        let Some(way) = self.ways.get_mut(&(link, peer)) else { return };
        way.under_way -= bytes;
        self.come(to, Some(PeerEvent::Sent { link, bytes }), None);
        self.read(link, to);
    }

    pub(super) fn arrive(&mut self, link: LinkId, to: usize) {
        let Some(way) = self.ways.get_mut(&(link, to)) else { return };
        way.arrived += 1;
        self.read(link, to);
    }

    /// Reads what has arrived, unless too much is under way the other way.
    fn read(&mut self, link: LinkId, to: usize) {
        while let Some(&peer) = self.members[to].links.get(&link) {
            let under_way = self.ways.get(&(link, peer)).map_or(0, |way| way.under_way);
            let Some(way) = self.ways.get_mut(&(link, to)) else { return };
            // A script reads whatever comes.
            let full = under_way > UNREAD_BYTES && self.members[to].script.is_none();
            if way.arrived == 0 || full {
                return;
            }
            way.arrived -= 1;
            let Some((kind, body)) = way.frames.pop_front() else { return };
            self.trace.update(&self.now_ms.to_le_bytes()).update(&[self.members[to].seed, kind]);
            self.trace.update(&body);
            self.received[to] += (body.len() + HEADER_BYTES) as u64;
            self.act(to, Heard::Frame { link, kind, body: &body });
            self.come(to, Some(PeerEvent::Frame { link, kind, body }), None);
        }
    }

    /// Lets a script do something.
    pub(super) fn act(&mut self, index: usize, heard: Heard<'_>) {
        let Some(mut script) = self.members[index].script.take() else { return };
        for (link, kind, body) in script.hear(self.now_ms, heard) {
            self.send(index, link, kind, body);
        }
        self.members[index].script = Some(script);
    }
}
