//! The events of the world, ordered by time.

use std::cmp::Reverse;

use icn_daemon::node::{Inputs, PeerEvent};
use icn_gossip::mesh::{Batch, LinkId};

use super::World;
use crate::script::ScriptEvent;

/// A scheduled event of one member.
pub(super) enum Event {
    Frame { to: usize, link: LinkId },
    Sent { to: usize, link: LinkId, bytes: usize },
    Verified { to: usize, start: u64, batch: Batch, valid: bool },
    Synced { to: usize, start: u64 },
    Turn { to: usize, start: u64 },
    Tick { to: usize, start: u64 },
    Dial { from: usize, to: usize },
}

impl World {
    pub(super) fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now_ms + ms, event);
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.next_event += 1;
        self.content.insert(self.next_event, event);
        self.events.push(Reverse((at, self.next_event)));
    }

    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Frame { to, link } => self.frame_arrived(link, to),
            Event::Sent { to, link, bytes } => self.sent(to, link, bytes),
            Event::Verified { to, start, batch, valid } => {
                if self.is_same_run(to, start) {
                    self.receive(to, Some(PeerEvent::Verified { batch, valid }), None);
                }
            }
            Event::Synced { to, start } => {
                if self.is_same_run(to, start) {
                    self.release(to);
                }
            }
            Event::Turn { to, start } => {
                if self.is_same_run(to, start) {
                    self.run_turn(to);
                }
            }
            Event::Tick { to, start } => {
                if self.is_same_run(to, start) {
                    self.step(to, Inputs::tick());
                    self.run_script(to, ScriptEvent::Tick);
                    self.after(500, Event::Tick { to, start });
                }
            }
            Event::Dial { from, to } => self.dial(from, to),
        }
    }

    pub(super) fn is_same_run(&self, index: usize, start: u64) -> bool {
        self.is_running(index) && self.members[index].starts == start
    }
}
