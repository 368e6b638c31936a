//! The promises that must hold at every step of a history, and at its end.

use std::collections::BTreeSet;

use icn_gossip::{LogKey, Provenance};
use icn_wal::disk::Faults;

use super::{History, Tally, TopicModel};
use crate::world::World;

/// The most time a network needs to converge after the last fault, in ms. Before a node accepts a
/// log with a hole it asks every peer for 30 s. It reports the log in the next round, within 15 s. In
/// a chain of six nodes the last one is five links away.
const CONVERGENCE_MS_MAX: u64 = 5 * (30_000 + 15_000) + 15_000;

/// The exit code of a refusal for want of room.
const NO_SPACE: u8 = 18;

/// Finds an entry that one member has and its neighbour lacks: the two members and the log.
fn find_missing(world: &World, model: &TopicModel) -> Option<(usize, usize, LogKey)> {
    let directions = world.topology.iter().flat_map(|&(one, other)| [(one, other), (other, one)]);
    let known = |at: &usize| model.members.contains(at);
    let mut directions = directions.filter(|(from, to)| known(from) && known(to));
    directions.find_map(|(from, to)| {
        let has = world.node(from).state();
        let lacks = world.node(to).state();
        let mut heads = has.heads(model.id).map(|(key, _)| *key);
        let log = heads.find(|key| {
            // From a fork on, nodes differ for ever.
            let next = lacks.head(key).head + 1;
            let fork = has.head(key).fork().into_iter().chain(lacks.head(key).fork()).min();
            let entry = has.next_entry(key, next);
            entry.is_some_and(|entry| fork.is_none_or(|fork| entry.header().seq < fork))
        })?;
        Some((from, to, log))
    })
}

impl History {
    /// Collects the replies that have been released.
    pub(super) fn collect(&mut self) {
        for (request_id, (topic, text, author)) in std::mem::take(&mut self.asked) {
            match self.world.replies.remove(&request_id) {
                Some(Ok(_)) => {
                    self.tally.messages += 1;
                    self.acknowledged.insert((topic, text), author);
                }
                Some(Err(failure)) if self.full.contains(&author) => {
                    assert_eq!(failure.exit, NO_SPACE, "{failure:?}");
                }
                Some(Err(failure)) => panic!("{failure:?}"),
                None => drop(self.asked.insert(request_id, (topic, text, author))),
            }
        }
    }

    /// Checks the promises that must hold at every step.
    pub(super) fn check(&mut self) {
        self.collect();
        for index in 0..self.world.members.len() {
            let Some(node) = &self.world.members[index].node else { continue };
            let state = node.state();
            for model in &self.topics {
                let mut places = BTreeSet::new();
                for (_, stored) in state.entries(model.id, 0) {
                    let place = (LogKey::of(&stored.entry), stored.entry.header().seq);
                    assert!(places.insert(place), "{place:?} twice at node {index}");
                }
                if !model.members.contains(&index) {
                    assert!(state.topic(&model.id).is_none(), "{index} knows {}", model.name);
                    assert_eq!(places.len(), 0, "node {index} holds private entries");
                }
                let twins: Vec<_> = self.twins.iter().map(|at| self.world.did(*at)).collect();
                for (key, log) in
                    state.heads(model.id).filter(|(key, _)| !twins.contains(&key.author))
                {
                    assert!(log.proof.is_none(), "a fork of {key:?} at node {index}");
                }
            }
            let twice = node.mesh().counts().find(|(name, _)| *name == "duplicate");
            assert_eq!(twice, Some(("duplicate", 0)), "at node {index}");
            for (link, view) in node.mesh().links() {
                assert!(view.tracked_items < 2000, "{link:?} of {index}: {view:?}");
            }
        }
        self.check_authors();
        // A restore closes all links of the node, which is no fault.
        let faults = self.world.closed.keys().filter(|(_, _, name)| *name != "restored");
        let faults: Vec<_> = faults.collect();
        assert!(faults.is_empty(), "links closed: {faults:?}");
    }

    /// Checks that an author has every entry it has released, unless it has gone back.
    fn check_authors(&self) {
        let nodes = || self.world.members.iter().enumerate();
        let states =
            || nodes().filter_map(|(at, member)| Some((at, member.node.as_ref()?.state())));
        for model in &self.topics {
            let gone_back = |at: &usize| self.rolled_back.contains(at) || self.twins.contains(at);
            for (author, own) in states().filter(|(at, _)| !gone_back(at)) {
                let did = self.world.did(author);
                for (_, held) in states() {
                    for (key, log) in held.heads(model.id).filter(|(key, _)| key.author == did) {
                        let head = own.head(key).head;
                        assert!(head >= log.head, "{author} lacks {} of {key:?}", log.head);
                    }
                }
            }
        }
    }

    /// Ends all faults. Then the members must converge, and have every acknowledged message.
    pub(super) fn end(mut self) -> (Tally, [u8; 32]) {
        for index in 0..self.world.members.len() {
            self.world.members[index].skew_ms = 0;
            self.world.members[index].disk.set_faults(Faults::default());
            if self.world.members[index].node.is_none() {
                self.start(index);
            }
        }
        self.world.heal();
        for index in self.forgotten.iter().map(|(index, _)| *index).collect::<BTreeSet<_>>() {
            self.resubscribe(index);
        }
        if self.mix.removals {
            (1..self.world.members.len()).for_each(|index| self.resubscribe(index));
        }
        let topics = std::mem::take(&mut self.topics);
        // A member that has removed entries no longer passes them on.
        let lossy = self.mix.restores || self.mix.removals;
        let equal = self.world.run_until(CONVERGENCE_MS_MAX, |world| {
            topics.iter().all(|model| {
                let mut roots = model.members.iter().map(|index| world.root(*index, model.id));
                let first = roots.next();
                // An entry that all other members have removed never arrives.
                let any = lossy || !model.whole || model.apart;
                (any || roots.all(|root| Some(root) == first))
                    && find_missing(world, model).is_none()
            })
        });
        self.topics = topics;
        self.check();
        assert!(equal, "not equal after {CONVERGENCE_MS_MAX} ms: {}", self.describe());
        self.check_acknowledged();
        // Every subscription of a peer is eventually recorded.
        let remembered = self.world.run_until(CONVERGENCE_MS_MAX, |world| {
            let state = world.node(0).state();
            let of = |did| state.subscriptions().any(|(_, by, _)| by == Provenance::Peer(did));
            let mut linked = world.topology.iter().filter(|(from, _)| *from == 0);
            linked.all(|(_, index)| of(world.did(*index)))
        });
        assert!(remembered, "a subscription is missing: {}", self.describe());
        (self.tally, self.world.trace())
    }

    fn resubscribe(&mut self, index: usize) {
        let wanted = self.topics.iter().filter(|model| model.members.contains(&index));
        let ids: Vec<String> = wanted.map(|model| model.id.to_string()).collect();
        ids.iter().for_each(|id| self.subscribe(index, id));
    }

    fn check_acknowledged(&self) {
        for ((topic, text), author) in &self.acknowledged {
            let model = self.model(topic);
            let lossy = self.mix.restores || self.mix.removals;
            let holds = |index: &usize| {
                let alone = lossy || model.apart;
                !self.forgotten.contains(&(*index, *topic)) && (!alone || index == author)
            };
            for index in model.members.iter().filter(|index| model.whole && holds(index)) {
                let mut entries = self.world.node(*index).state().entries(*topic, 0);
                let there = entries.any(|(_, stored)| stored.entry.payload() == text.as_bytes());
                let text = &text[..text.len().min(20)];
                assert!(there, "{text} by {author} is lost at {index}: {}", self.describe());
            }
        }
    }

    fn describe(&self) -> String {
        let mut out = String::new();
        let whose = |did| (0..self.world.members.len()).find(|at| self.world.did(*at) == did);
        for model in &self.topics {
            if let Some((from, to, log)) = find_missing(&self.world, model) {
                out += &format!(
                    "\n{to} lacks what {from} has of {:?}/{:x}",
                    whose(log.author),
                    log.epoch >> 48
                );
            }
            for index in &model.members {
                out += &format!("\n{} at {index}:", model.name);
                for (key, log) in self.world.node(*index).state().heads(model.id) {
                    out += &format!(" {:?}/{:x}={}", whose(key.author), key.epoch >> 48, log.head);
                }
            }
        }
        for (index, member) in self.world.members.iter().enumerate() {
            for (id, view) in member.node.iter().flat_map(|node| node.mesh().links()) {
                let shared = view.shared.len();
                let serves = view.serves.len();
                out += &format!(
                    "\n{index}: {id:?} to {:?}: {shared} shared, {serves} served, {} cursors, {} wants, {} remembered",
                    whose(view.peer),
                    view.cursors,
                    view.wants,
                    view.tracked_items
                );
            }
        }
        out
    }
}
