//! The turns of the nodes: their inputs, and the release of outputs after a sync.

use icn_daemon::control::request::Request;
use icn_daemon::failure::Failure;
use icn_daemon::node::{Effect, Output, PeerEvent, Turn};
use icn_wal::Lsn;
use serde_json::Value;

use super::World;
use super::event::Event;

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
        let now = self.clock(index);
        let member = &mut self.members[index];
        let inputs = std::mem::take(&mut member.inbox);
        let Some(node) = member.node.as_mut() else { return };
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
            let Some((_, Output { after, effect })) = member.waiting.pop_front() else { return };
            let Some(node) = member.node.as_mut() else { return };
            if let Some(lsn) = Lsn::new(after) {
                node.store().wal().wait(lsn).expect("a disk that syncs");
            }
            match effect {
                Effect::Reply(request_id, reply) => {
                    self.reply(index, request_id, reply.map(|data| data.to_value()));
                }
                Effect::Send { link, kind, body } => self.send(index, link, kind, body),
                Effect::Close { link, name, .. } => {
                    if let Some(peer) = member.links.get(&link) {
                        *self.closed.entry((index, *peer, name)).or_default() += 1;
                        self.trace.update(name.as_bytes());
                    }
                    self.end_link(link);
                }
                Effect::Save(draft, asker) => {
                    let saved = node.store().compactor().save(draft.image);
                    node.saved(now, saved.as_ref().map(drop).map_err(ToString::to_string));
                    if let Some(request_id) = asker {
                        let id = saved.map(|snapshot| Value::from(snapshot.id.to_string()));
                        self.reply(index, request_id, id.map_err(Failure::from));
                    }
                }
                Effect::Work(work, asker) => {
                    let compactor = node.store().compactor().clone();
                    let reply = work.perform(&compactor, |prepared| {
                        let (after, reply) = node.settle(now, prepared);
                        if let Some(lsn) = Lsn::new(after) {
                            node.store().wal().wait(lsn)?;
                        }
                        reply
                    });
                    if let Some(request_id) = asker {
                        self.reply(index, request_id, reply.map(|data| data.to_value()));
                    }
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
