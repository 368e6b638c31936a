//! The links of the world: how frames travel from one member to another.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use icn_daemon::node::PeerEvent;
use icn_gossip::KeyCard;
use icn_gossip::mesh::LinkId;

use super::event::Event;
use super::{World, keypair};
use crate::script::ScriptEvent;

/// The bytes in flight to a peer above which no frame is read from it.
const IN_FLIGHT_BYTES_MAX: usize = 2 << 20;

/// The size of a frame header in bytes.
const HEADER_BYTES: usize = 4;

/// One direction of a link.
#[derive(Default)]
pub(super) struct Direction {
    /// When the link has sent all frames, and when the last one arrives: they stay in order.
    taken_ms: u64,
    arrival_ms: u64,
    /// Bytes that the link has not sent.
    in_flight: usize,
    /// Frames that the receiver has not read.
    frames: VecDeque<(u8, Bytes)>,
    /// How many of them have arrived.
    arrived: usize,
}

impl World {
    pub(super) fn dial(&mut self, from: usize, to: usize) {
        let pair = (from.min(to), from.max(to));
        let linked = self.members[from].links.values().any(|peer| *peer == to);
        if linked
            || !self.is_running(from)
            || !self.is_running(to)
            || !self.topology.contains(&pair)
        {
            return;
        }
        if self.cut.contains(&pair) {
            self.after(self.delays.redial_ms, Event::Dial { from, to });
            return;
        }
        self.end_links_of_copies(from, to);
        self.end_links_of_copies(to, from);
        self.next_link += 1;
        let link = LinkId(self.next_link);
        let binding = *blake3::hash(&self.next_link.to_le_bytes()).as_bytes();
        for (one, other) in [(from, to), (to, from)] {
            self.members[one].links.insert(link, other);
            self.directions.insert((link, one), Direction::default());
            let seed = self.members[other].seed;
            let card = KeyCard::sign(&keypair(seed), [seed; 32], 1);
            let peer = card.did;
            let address = SocketAddr::from(([10, 0, 0, seed], 7777));
            self.receive(one, Some(PeerEvent::Up { link, card, binding, address }), None);
            self.run_script(one, ScriptEvent::Up { link, peer, binding });
        }
    }

    pub(super) fn end_link(&mut self, link: LinkId) {
        self.end_link_for(link, self.delays.redial_ms);
    }

    /// Ends a link, which is dialled again after a pause of `pause_ms` to twice as much.
    pub(super) fn end_link_for(&mut self, link: LinkId, pause_ms: u64) {
        let mut ends = Vec::new();
        for index in 0..self.members.len() {
            self.directions.remove(&(link, index));
            if self.members[index].links.remove(&link).is_some() {
                ends.push(index);
                self.receive(index, Some(PeerEvent::Down { link }), None);
                self.run_script(index, ScriptEvent::Down { link });
            }
        }
        if let &[from, to] = ends.as_slice() {
            let delay = pause_ms + self.rng.below(pause_ms);
            self.after(delay, Event::Dial { from, to });
        }
    }

    pub(super) fn send(&mut self, from: usize, link: LinkId, kind: u8, body: Bytes) {
        let Some(&to) = self.members[from].links.get(&link) else { return };
        let bytes = body.len() + HEADER_BYTES;
        let delay = self.rng.below(self.delays.link_ms) + 1;
        let now_ms = self.now_ms;
        let takes = bytes as u64 / self.delays.link_bytes;
        let Some(direction) = self.directions.get_mut(&(link, to)) else { return };
        direction.in_flight += bytes;
        if self.not_reading.contains(&to) {
            return;
        }
        direction.taken_ms = direction.taken_ms.max(now_ms) + takes;
        direction.arrival_ms = direction.arrival_ms.max(direction.taken_ms + delay);
        direction.frames.push_back((kind, body));
        let taken = direction.taken_ms;
        let arrival = direction.arrival_ms;
        self.at(taken, Event::Sent { to: from, link, bytes });
        self.at(arrival, Event::Frame { to, link });
    }

    pub(super) fn sent(&mut self, to: usize, link: LinkId, bytes: usize) {
        let Some(&peer) = self.members[to].links.get(&link) else { return };
        let Some(direction) = self.directions.get_mut(&(link, peer)) else { return };
        direction.in_flight -= bytes;
        self.receive(to, Some(PeerEvent::Sent { link, bytes }), None);
        self.read(link, to);
    }

    pub(super) fn frame_arrived(&mut self, link: LinkId, to: usize) {
        let Some(direction) = self.directions.get_mut(&(link, to)) else { return };
        direction.arrived += 1;
        self.read(link, to);
    }

    /// Reads the frames that have arrived, unless too many bytes are in flight in the other
    /// direction.
    fn read(&mut self, link: LinkId, to: usize) {
        while let Some(&peer) = self.members[to].links.get(&link) {
            let in_flight =
                self.directions.get(&(link, peer)).map_or(0, |direction| direction.in_flight);
            let Some(direction) = self.directions.get_mut(&(link, to)) else { return };
            // A script reads without a limit.
            let full = in_flight > IN_FLIGHT_BYTES_MAX && self.members[to].script.is_none();
            if direction.arrived == 0 || full {
                return;
            }
            direction.arrived -= 1;
            let Some((kind, body)) = direction.frames.pop_front() else { return };
            self.trace.update(&self.now_ms.to_le_bytes()).update(&[self.members[to].seed, kind]);
            self.trace.update(&body);
            self.received[to] += (body.len() + HEADER_BYTES) as u64;
            self.run_script(to, ScriptEvent::Frame { link, kind, body: &body });
            self.receive(to, Some(PeerEvent::Frame { link, kind, body }), None);
        }
    }

    /// Runs the script of a member, if it has one, on an event.
    pub(super) fn run_script(&mut self, index: usize, event: ScriptEvent<'_>) {
        let Some(mut script) = self.members[index].script.take() else { return };
        for (link, kind, body) in script.handle(self.now_ms, event) {
            self.send(index, link, kind, body);
        }
        self.members[index].script = Some(script);
    }
}
