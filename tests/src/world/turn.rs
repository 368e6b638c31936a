//! The turns of the nodes: their inputs, and the release of outputs after a sync.

use icn_daemon::control::request::Request;
use icn_daemon::failure::Failure;
use icn_daemon::node::{Effect, Inputs, PeerEvent, Turn};
use serde_json::Value;

use super::World;
use super::event::Event;
use super::output::{Performed, perform};

impl World {
    /// Adds an input to the inbox of a node.
    pub(super) fn receive(
        &mut self,
        index: usize,
        event: Option<PeerEvent>,
        asked: Option<(u64, Request)>,
    ) {
        let member = &mut self.members[index];
        if member.node.is_none() {
            return;
        }
        let inbox = &mut member.inbox;
        let is_first = inbox.events.is_empty() && inbox.requests.is_empty();
        inbox.events.extend(event);
        inbox.requests.extend(asked);
        if self.delays.turn_ms == 0 {
            self.run_turn(index);
        } else if is_first {
            let start = member.starts;
            let delay = self.rng.below(self.delays.turn_ms);
            self.after(delay, Event::Turn { to: index, start });
        }
    }

    pub(super) fn run_turn(&mut self, index: usize) {
        let inputs = std::mem::take(&mut self.members[index].inbox);
        self.step(index, inputs);
    }

    /// Runs a turn of the node, if the member runs one.
    pub(super) fn step(&mut self, index: usize, inputs: Inputs<u64>) {
        let now = self.clock(index);
        let member = &mut self.members[index];
        let Some(node) = member.node.as_mut() else { return };
        if let Some(tape) = &mut member.tape {
            tape.step(now, &inputs);
        }
        let turn = node.step(now, inputs);
        self.enqueue(index, turn);
    }

    pub(super) fn enqueue(&mut self, index: usize, turn: Turn<u64>) {
        let start = self.members[index].starts;
        for batch in turn.to_verify {
            let valid = batch.entries().iter().all(|entry| entry.verify().is_ok());
            let delay = self.rng.below(self.delays.verify_ms) + 1;
            let member = &mut self.members[index];
            let at = member.verified_ms.max(self.now_ms + delay);
            member.verified_ms = at;
            self.at(at, Event::Verified { to: index, start, batch, valid });
        }
        let shown = self.members[index].node.as_ref().map_or(0, |node| node.store().lsn());
        for output in turn.outputs {
            if let Effect::Send { kind, .. } = output.effect {
                let after = output.after;
                assert!(
                    after >= shown,
                    "a frame of kind {kind} shows {shown} and waits for {after}"
                );
            }
            let delay = self.rng.below(self.delays.sync_ms) + 1;
            let member = &mut self.members[index];
            // Outputs leave in order, as through the release gate.
            let before = member.waiting.back().map_or(0, |(at, _)| *at);
            let at = before.max(self.now_ms + delay);
            member.waiting.push_back((at, output));
            self.at(at, Event::Synced { to: index, start });
        }
    }

    pub(super) fn release(&mut self, index: usize) {
        while let Some((at, _)) = self.members[index].waiting.front()
            && *at <= self.now_ms
        {
            let now = self.clock(index);
            let member = &mut self.members[index];
            let Some((_, output)) = member.waiting.pop_front() else { return };
            let Some(node) = member.node.as_mut() else { return };
            if let Some(tape) = &mut member.tape {
                tape.release(now);
            }
            match perform(node, now, output) {
                Performed::Nothing => {}
                Performed::Reply(request_id, reply) => self.reply(index, request_id, reply),
                Performed::Send { link, kind, body } => self.send(index, link, kind, body),
                Performed::Close { link, name } => {
                    if let Some(peer) = member.links.get(&link) {
                        *self.closed.entry((index, *peer, name)).or_default() += 1;
                        self.trace.update(name.as_bytes());
                    }
                    self.end_link(link);
                }
            }
        }
    }

    pub(super) fn reply(&mut self, index: usize, request_id: u64, reply: Result<Value, Failure>) {
        let told = reply.as_ref().map_or_else(|failure| failure.code.clone(), Value::to_string);
        self.trace.update(&[self.members[index].seed]).update(told.as_bytes());
        self.replies.insert(request_id, reply);
    }
}
