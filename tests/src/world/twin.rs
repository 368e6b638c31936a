//! A true clone of a running node: memory and disk.
//!
//! A node is deterministic. So the clone is another node on a copy of the disk as it was at the start. It has the
//! same random numbers, and takes the same inputs at the same times.

use std::collections::VecDeque;

use icn_daemon::node::machine::Machine;
use icn_daemon::node::{Identity, Node, PeerEvent};
use icn_gossip::KeyCard;
use icn_gossip::mesh::{Batch, LinkId};
use icn_snapshot::{Policy, digest};
use icn_wal::disk::SimDisk;

use super::event::Event;
use super::member::Member;
use super::output::perform;
use super::tape::Taped;
use super::{NETWORK, World, keypair};
use crate::TestRng;

impl World {
    /// Clones a running node with its memory and its disk. The clone is a new member with the same identity. It
    /// has no link, and the same topology.
    ///
    /// # Panics
    /// If the world records no tapes, or the clone differs from the node.
    pub fn clone_running(&mut self, index: usize) -> usize {
        let new = self.members.len();
        let now = self.clock(index);
        let member = &self.members[index];
        let tape = member.tape.as_ref().expect("a world with tapes");
        let disk = tape.disk.kill();
        let seed = member.seed;
        let card = KeyCard::sign(&keypair(seed), [seed; 32], 1);
        let identity = Identity { keypair: keypair(seed), card, network: NETWORK };
        let chance = Box::new(TestRng::new(tape.random));
        let mut node = Node::open(&disk, Policy::default(), identity, chance, tape.now, None)
            .unwrap_or_else(|failure| panic!("a clone of node {index}: {failure:?}"));
        let mut waiting = VecDeque::new();
        let mut unverified: VecDeque<Batch> = VecDeque::new();
        for step in &tape.steps {
            match step {
                Taped::Step(now, inputs) => {
                    let verdict = |event: &&PeerEvent| matches!(event, PeerEvent::Verified { .. });
                    let verdicts = inputs.events.iter().filter(verdict).count();
                    drop(unverified.drain(..verdicts));
                    let turn = node.step(*now, inputs.clone());
                    unverified.extend(turn.to_verify);
                    waiting.extend(turn.outputs);
                }
                Taped::Release(now) => {
                    let output = waiting.pop_front().expect("the outputs of the node");
                    perform(&mut node, *now, output);
                }
            }
        }
        let original = member.node.as_ref().expect("a running node");
        let shown = |node: &Node<SimDisk>| {
            (
                node.store().lsn(),
                digest(&Machine(node.state().clone())),
                node.mesh().links().count(),
            )
        };
        assert_eq!(shown(&node), shown(original), "the clone of node {index} differs");
        // Outputs still wait for the disk at both. Only the node itself is there to answer and send.
        for output in waiting {
            perform(&mut node, now, output);
        }
        let lost: Vec<LinkId> = node.mesh().links().map(|(link, _)| link).collect();
        let skew_ms = member.skew_ms;
        self.members.push(Member { skew_ms, ..Member::new(seed, disk) });
        self.received.push(0);
        self.members[new].node = Some(node);
        self.members[new].starts = 1;
        for batch in unverified {
            let valid = batch.entries().iter().all(|entry| entry.verify().is_ok());
            self.after(1, Event::Verified { to: new, start: 1, batch, valid });
        }
        for link in lost {
            self.receive(new, Some(PeerEvent::Down { link }), None);
        }
        self.after(1, Event::Tick { to: new, start: 1 });
        for (from, to) in self.topology.clone() {
            if from == index || to == index {
                let other = if from == index { to } else { from };
                self.topology.insert((other, new));
                self.after(1, Event::Dial { from: other, to: new });
            }
        }
        new
    }

    /// A peer keeps one link for each identity: the newest one replaces that of a copy.
    pub(super) fn end_links_of_copies(&mut self, at: usize, peer: usize) {
        let seed = self.members[peer].seed;
        let links = self.members[at].links.iter();
        let copies = links.filter(|(_, other)| self.members[**other].seed == seed);
        let copies: Vec<LinkId> = copies.map(|(link, _)| *link).collect();
        copies.into_iter().for_each(|link| self.end_link_for(link, REPLACED_MS));
    }
}

/// How long a node whose link was replaced waits before it dials again.
const REPLACED_MS: u64 = 3000;
