//! Random histories of a network with faults, and the promises that must hold in them.

mod check;
mod fault;

use std::collections::{BTreeMap, BTreeSet};

use icn_daemon::node::Rng;
use icn_gossip::TopicId;
use icn_wal::disk::SimDisk;
use serde_json::{Value, json};

use crate::world::{Delays, World};

/// The counts of what histories contained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Histories.
    pub histories: u64,
    /// Steps of histories.
    pub steps: u64,
    /// Acknowledged messages.
    pub messages: u64,
    /// Killed processes.
    pub crashes: u64,
    /// Power losses.
    pub power_losses: u64,
    /// Cut links.
    pub cuts: u64,
    /// Disks replaced by an old copy.
    pub copies: u64,
    /// Restored snapshots.
    pub restores: u64,
    /// Deleted topics and ended subscriptions.
    pub removals: u64,
    /// Disks that were full for some time.
    pub full_disks: u64,
    /// Clones of running nodes, with memory and disk.
    pub clones: u64,
}

impl Tally {
    /// Adds the counts of another history.
    pub fn add(&mut self, more: &Self) {
        let Self { histories, steps, messages, crashes, power_losses, cuts, .. } = more;
        self.histories += histories;
        self.steps += steps;
        self.messages += messages;
        self.crashes += crashes;
        self.power_losses += power_losses;
        self.cuts += cuts;
        self.copies += more.copies;
        self.restores += more.restores;
        self.removals += more.removals;
        self.full_disks += more.full_disks;
        self.clones += more.clones;
    }
}

/// One topic of the history.
struct TopicModel {
    name: &'static str,
    id: TopicId,
    /// The members that may know the topic.
    members: BTreeSet<usize>,
    /// True iff the topic retains every entry.
    whole: bool,
    /// True iff only the two copies of a cloned node may read the topic. No peer passes it between them.
    apart: bool,
}

/// The faults of a history in addition to crashes and cuts.
#[derive(Clone, Copy, Debug)]
struct FaultMix {
    copies: bool,
    restores: bool,
    removals: bool,
    full_disks: bool,
    clones: bool,
    large: bool,
}

/// Runs the history of a seed. Returns its counts, and the hash over all its events.
///
/// # Panics
/// If a promise is broken.
pub fn run(seed: u64) -> (Tally, [u8; 32]) {
    let mut history = History::begin(seed);
    for _ in 0..200 {
        history.step();
        history.check();
    }
    history.end()
}

struct History {
    world: World,
    mix: FaultMix,
    topics: Vec<TopicModel>,
    /// The acknowledged messages by topic and text, with their author.
    acknowledged: BTreeMap<(TopicId, String), usize>,
    /// Publications without a reply yet: topic, text and author.
    asked: BTreeMap<u64, (TopicId, String, usize)>,
    /// Members and topics whose entries were removed by a request.
    forgotten: BTreeSet<(usize, TopicId)>,
    /// Members that have gone back to an earlier state, and may lack entries they had.
    rolled_back: BTreeSet<usize>,
    /// The members with the identity that two running nodes have.
    twins: BTreeSet<usize>,
    /// Members whose disk is or was full, so that a refusal for want of room is no fault.
    full: BTreeSet<usize>,
    /// Earlier copies of disks, by member.
    copies: Vec<(usize, SimDisk)>,
    /// Snapshots taken by a request, by member.
    snapshots: Vec<(usize, String)>,
    texts: u64,
    tally: Tally,
}

impl History {
    fn begin(seed: u64) -> Self {
        let count = if seed % 7 == 5 { 6 } else { 4 };
        // In some histories nodes are busy, and gather inputs for a turn.
        let turn_ms = if seed % 11 < 5 { 30 } else { 0 };
        let delays = Delays { turn_ms, ..Delays::default() };
        let clones = seed % 10 == 5;
        let begin = if clones { World::with_tapes } else { World::new };
        let mut world = begin(seed, count, delays);
        // A full mesh; a line; a star around a member that may not read every topic; a ring; two
        // rings with one common member.
        match seed % 6 {
            2 => world.topology = (1..count).map(|to| (to - 1, to)).collect(),
            3 => world.topology = [(0, 2), (1, 2), (2, 3), (0, 1)].into(),
            4 => world.topology = (0..count).map(|one| order(one, (one + 1) % count)).collect(),
            5 => world.topology = [(0, 1), (0, 2), (1, 2), (2, 3)].into(),
            _ => {}
        }
        if matches!(seed % 6, 3 | 5) {
            world.topology.extend((4..count).map(|to| (2, to)));
        }
        let mix = FaultMix {
            copies: seed % 5 == 1,
            restores: seed % 5 == 2,
            removals: seed % 5 == 3,
            full_disks: seed % 5 == 4,
            clones,
            large: seed % 8 == 6,
        };
        let mut history = Self {
            world,
            mix,
            topics: Vec::new(),
            acknowledged: BTreeMap::new(),
            asked: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            rolled_back: BTreeSet::new(),
            twins: BTreeSet::new(),
            full: BTreeSet::new(),
            copies: Vec::new(),
            snapshots: Vec::new(),
            texts: 0,
            tally: Tally { histories: 1, ..Tally::default() },
        };
        let members: Vec<String> = [1, 2].map(|index| history.world.did(index).to_string()).into();
        let everybody: Vec<usize> = (0..count).collect();
        history.create("open", json!({ "public": true }), &everybody, true);
        history.create("closed", json!({ "members": members }), &[0, 1, 2], true);
        history.create("trusted", json!({ "min_trust": 500 }), &[0], true);
        history.create("short", json!({ "public": true, "max_entries": 20 }), &everybody, false);
        let ids: Vec<_> = history.topics.iter().map(|model| model.id.to_string()).collect();
        for index in 0..count {
            ids.iter().for_each(|id| history.subscribe(index, id));
        }
        history
    }

    fn create(&mut self, name: &'static str, more: Value, members: &[usize], whole: bool) {
        let mut line = json!({ "cmd": "topic_create", "name": name });
        for (key, value) in more.as_object().into_iter().flatten() {
            line[key] = value.clone();
        }
        let created = self.world.ask_and_wait(0, line).expect("a topic");
        let id = created["topic"]["id"].as_str().expect("an id").parse().expect("an id");
        self.topics.push(TopicModel {
            name,
            id,
            members: members.iter().copied().collect(),
            whole,
            apart: false,
        });
    }

    fn subscribe(&mut self, index: usize, topic: &str) {
        let wish = json!({ "cmd": "subscribe", "topic": topic });
        self.world.ask_and_wait(index, wish).expect("subscribed");
    }

    fn step(&mut self) {
        self.tally.steps += 1;
        let count = self.world.members.len();
        let index = self.below(count);
        let other = (index + 1 + self.below(count - 1)) % count;
        let running = self.world.members[index].node.is_some();
        match self.world.rng.below(24) {
            0 if running => {
                self.tally.crashes += 1;
                self.world.crash(index, None);
            }
            1 if running => {
                self.tally.power_losses += 1;
                let seed = self.world.rng.next();
                self.world.crash(index, Some(seed));
            }
            0..6 if !running => self.start(index),
            2 | 3 => {
                self.tally.cuts += 1;
                self.world.cut(index, other);
            }
            4 | 5 => self.world.heal(),
            6 => self.world.members[index].skew_ms = 0,
            7 => {
                let skew = self.world.rng.below(400_000);
                self.world.members[index].skew_ms = i64::try_from(skew).unwrap_or(0) - 200_000;
            }
            8..12 => self.inject_fault(index),
            _ => {}
        }
        for _ in 0..self.world.rng.below(4) {
            self.publish(index);
        }
        let pause = self.world.rng.below(2000);
        self.world.run(pause);
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.world.rng.below(end as u64)).unwrap_or(0)
    }

    fn publish(&mut self, index: usize) {
        let at = self.below(self.topics.len());
        let model = &self.topics[at];
        let known = self.world.members[index]
            .node
            .as_ref()
            .is_some_and(|node| node.state().topic(&model.id).is_some());
        if !known || !model.members.contains(&index) {
            return;
        }
        self.texts += 1;
        let mut text = format!("{} ", self.texts);
        if self.mix.large && self.world.rng.below(4) == 0 {
            text.push_str(&".".repeat(60_000));
        }
        let id = model.id;
        let line = json!({ "cmd": "publish", "topic": id.to_string(), "text": text });
        let request_id = self.world.ask(index, line);
        self.asked.insert(request_id, (id, text, index));
    }

    fn model(&self, topic: &TopicId) -> &TopicModel {
        self.topics.iter().find(|model| model.id == *topic).expect("a topic")
    }
}

fn order(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}
