//! Faults in addition to crashes and cuts: old copies, restores, full disks, removals.

use icn_gossip::{Did, Provenance, TopicId};
use icn_wal::disk::Faults;
use serde_json::json;

use super::History;

impl History {
    pub(super) fn inject_fault(&mut self, index: usize) {
        let running = self.world.members[index].node.is_some();
        let taken = self.copies.len() < 4 && self.tally.copies == 0;
        if self.mix.copies && taken && running && self.knows_its_subscribers(index) {
            self.copies.push((index, self.world.members[index].disk.kill()));
        } else if self.mix.restores && running && index == 1 {
            self.snapshot_or_restore(index);
        } else if self.mix.removals && running && index > 0 {
            self.remove_or_subscribe(index);
        } else if self.mix.full_disks && running && index == 1 {
            self.fill_or_clear(index);
        } else if self.mix.clones && running && self.twins.is_empty() && self.tally.steps > 40 {
            self.clone_running(index);
        }
    }

    /// Clones a node in its life. From then on, both write with one identity.
    fn clone_running(&mut self, index: usize) {
        let new = self.world.clone_running(index);
        self.tally.clones += 1;
        self.twins = [index, new].into();
        for model in self.topics.iter_mut().filter(|model| model.members.contains(&index)) {
            model.apart = model.members.len() == 1;
            model.members.insert(new);
        }
    }

    /// True iff the node knows the subscriptions of all neighbours. An older copy could not find
    /// out that it is a copy.
    fn knows_its_subscribers(&self, index: usize) -> bool {
        let state = self.world.node(index).state();
        self.topics.iter().filter(|model| model.members.contains(&index)).all(|model| {
            let ends = self.world.topology.iter();
            let others = ends.filter_map(|&(one, other)| match index {
                _ if one == index => Some(other),
                _ if other == index => Some(one),
                _ => None,
            });
            let mut readers = others.filter(|other| model.members.contains(other));
            readers.all(|other| {
                let by = Provenance::Peer(self.world.did(other));
                let mut wishes = state.subscriptions();
                wishes.any(|(_, whose, wish)| whose == by && wish.topic == Some(model.id))
            })
        })
    }

    /// Starts a node, at most once per history on an old copy of its disk.
    pub(super) fn start(&mut self, index: usize) {
        let copy = self.copies.iter().find(|(whose, _)| *whose == index);
        if self.tally.steps > 80
            && self.tally.copies == 0
            && let Some((_, copy)) = copy
        {
            self.world.members[index].disk = copy.kill();
            self.tally.copies += 1;
            self.rolled_back.insert(index);
            self.world.start(index);
            self.forget_unreplicated(index, None);
            return;
        }
        self.world.start(index);
    }

    /// Forgets acknowledged messages that only their author had, since going back loses them.
    fn forget_unreplicated(&mut self, author: usize, topic: Option<TopicId>) {
        // Replies in flight are about the state before.
        self.collect();
        let did = self.world.did(author);
        let nodes = || self.world.members.iter().filter_map(|member| member.node.as_ref());
        let held = |topic: TopicId, text: &str| {
            let by = |one: Did| one == did;
            nodes().any(|node| {
                node.state().entries(topic, 0).any(|(_, stored)| {
                    by(stored.entry.header().author) && stored.entry.payload() == text.as_bytes()
                })
            })
        };
        let lost: Vec<_> = self
            .acknowledged
            .iter()
            .filter(|((id, _), by)| **by == author && topic.is_none_or(|topic| topic == *id))
            .filter(|((id, text), _)| !held(*id, text))
            .map(|(key, _)| key.clone())
            .collect();
        self.acknowledged.retain(|key, _| !lost.contains(key));
        self.asked.retain(|_, (id, _, by)| *by != author || topic.is_some_and(|one| one != *id));
    }

    fn snapshot_or_restore(&mut self, index: usize) {
        let taken: Vec<String> = self.snapshots.iter().map(|(_, id)| id.clone()).collect();
        if taken.is_empty() || self.world.rng.below(2) == 0 {
            let answer =
                self.world.ask_and_wait(index, json!({ "cmd": "snapshot_create", "pin": true }));
            let id = answer.expect("a snapshot");
            self.snapshots.push((index, id.as_str().expect("an id").to_owned()));
            return;
        }
        let at = self.below(taken.len());
        let to = json!({ "id": taken[at] });
        let answer = self.world.ask_and_wait(index, json!({ "cmd": "snapshot_restore", "to": to }));
        answer.expect("restored");
        self.tally.restores += 1;
        self.rolled_back.insert(index);
        let ids: Vec<TopicId> = self.topics.iter().map(|model| model.id).collect();
        self.forgotten.extend(ids.iter().map(|id| (index, *id)));
        self.forget_unreplicated(index, None);
    }

    /// Deletes a topic, or only unsubscribes; or subscribes again.
    fn remove_or_subscribe(&mut self, index: usize) {
        let at = self.below(self.topics.len());
        let id = self.topics[at].id;
        let name = self.topics[at].name;
        if !self.topics[at].members.contains(&index) {
            return;
        }
        let state = self.world.node(index).state();
        let wishes = state.subscriptions().filter(|(_, _, wish)| wish.topic == Some(id));
        let ours: Vec<String> = wishes
            .filter(|(_, by, _)| *by == Provenance::Local)
            .map(|(name, ..)| name.to_owned())
            .collect();
        if state.topic(&id).is_none() || ours.is_empty() {
            self.subscribe(index, &id.to_string());
            return;
        }
        self.tally.removals += 1;
        if self.world.rng.below(2) == 0 {
            let delete = json!({ "cmd": "topic_delete", "topic": name });
            self.world.ask_and_wait(index, delete).expect("deleted");
            self.forgotten.insert((index, id));
            self.forget_unreplicated(index, Some(id));
        } else {
            for topic in ours {
                let line = json!({ "cmd": "unsubscribe", "topic": topic });
                self.world.ask_and_wait(index, line).expect("unsubscribed");
            }
        }
    }

    fn fill_or_clear(&mut self, index: usize) {
        let disk = &self.world.members[index].disk;
        if self.full.insert(index) {
            disk.set_faults(Faults { room: Some(0), ..Faults::default() });
            self.tally.full_disks += 1;
        } else if self.world.rng.below(2) == 0 {
            disk.set_faults(Faults::default());
        } else {
            disk.set_faults(Faults { room: Some(100_000), ..Faults::default() });
        }
    }
}
