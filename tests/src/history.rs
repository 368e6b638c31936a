//! A random history of a network, and what must be true at its end.

use std::collections::{BTreeMap, BTreeSet};

use icn_daemon::node::Chance;
use icn_gossip::{LogKey, Provenance, TopicId};
use serde_json::{Value, json};

use crate::net::{Pace, World};

/// How long a network has to become equal once nothing is wrong any more.
const BOUND_MS: u64 = 120_000;

/// One topic of the history.
struct Subject {
    name: &'static str,
    id: TopicId,
    /// Who may know it.
    members: BTreeSet<usize>,
}

/// The history of a seed.
///
/// # Panics
/// When something is not as it must be.
pub fn run(seed: u64) {
    let mut history = History::begin(seed);
    for _ in 0..200 {
        history.happen();
        history.check();
    }
    history.end();
}

struct History {
    world: World,
    subjects: Vec<Subject>,
    /// What was acknowledged: topic and text.
    acknowledged: BTreeMap<(TopicId, String), usize>,
    /// Questions whose answer has not come: topic, author and text.
    asked: BTreeMap<u64, (TopicId, String, usize)>,
    /// What every node has been seen to hold at an arrival.
    arrivals: BTreeMap<(usize, TopicId, u64), [u8; 32]>,
    texts: u64,
}

impl History {
    fn begin(seed: u64) -> Self {
        let mut world = World::new(seed, 4, Pace::default());
        match seed % 4 {
            // A line, and a star around one who may not read everything.
            2 => world.wires = [(0, 1), (1, 2), (2, 3)].into(),
            3 => world.wires = [(0, 2), (1, 2), (2, 3), (0, 1)].into(),
            _ => {}
        }
        let dids: Vec<String> = (0..4).map(|index| world.did(index).to_string()).collect();
        let mut subject = |name, line: Value, members: &[usize]| {
            let created = world.answer(0, line).expect("a topic");
            let id = created["topic"]["id"].as_str().expect("an id").parse().expect("an id");
            Subject { name, id, members: members.iter().copied().collect() }
        };
        let open = json!({ "cmd": "topic_create", "name": "open" });
        let closed =
            json!({ "cmd": "topic_create", "name": "closed", "members": [dids[1], dids[2]] });
        let subjects =
            vec![subject("open", open, &[0, 1, 2, 3]), subject("closed", closed, &[0, 1, 2])];
        for index in 0..4 {
            for name in ["open", "closed"] {
                let wish = json!({ "cmd": "subscribe", "topic": name });
                world.answer(index, wish).expect("subscribed");
            }
        }
        let asked = BTreeMap::new();
        let (acknowledged, arrivals) = (BTreeMap::new(), BTreeMap::new());
        Self { world, subjects, acknowledged, asked, arrivals, texts: 0 }
    }

    fn happen(&mut self) {
        let index = usize::try_from(self.world.dice.below(4)).unwrap_or(0);
        let other = (index + 1 + usize::try_from(self.world.dice.below(3)).unwrap_or(0)) % 4;
        let running = self.world.members[index].node.is_some();
        match self.world.dice.below(20) {
            0 if running => self.world.crash(index, None),
            1 if running => {
                let seed = self.world.dice.next();
                self.world.crash(index, Some(seed));
            }
            0..6 if !running => self.world.start(index),
            2 | 3 => self.world.cut(index, other),
            4 | 5 => self.world.heal(),
            6 => self.world.members[index].skew_ms = 0,
            7 => {
                let skew = self.world.dice.below(400_000);
                self.world.members[index].skew_ms = i64::try_from(skew).unwrap_or(0) - 200_000;
            }
            _ => {}
        }
        for _ in 0..self.world.dice.below(4) {
            self.publish(index);
        }
        let pause = self.world.dice.below(2000);
        self.world.run(pause);
    }

    fn publish(&mut self, index: usize) {
        let at = self.world.dice.below(self.subjects.len() as u64);
        let subject = &self.subjects[usize::try_from(at).unwrap_or(0)];
        let known = self.world.members[index]
            .node
            .as_ref()
            .is_some_and(|node| node.state().topic(&subject.id).is_some());
        if !known || !subject.members.contains(&index) {
            return;
        }
        self.texts += 1;
        let text = format!("{}", self.texts);
        let line = json!({ "cmd": "publish", "topic": subject.name, "text": text });
        let (id, question) = (subject.id, self.world.ask(index, line));
        self.asked.insert(question, (id, text, index));
    }

    /// What must hold at every moment.
    fn check(&mut self) {
        for (question, (topic, text, author)) in std::mem::take(&mut self.asked) {
            match self.world.replies.remove(&question) {
                Some(Ok(_)) => drop(self.acknowledged.insert((topic, text), author)),
                Some(Err(failure)) => panic!("{failure:?}"),
                None => drop(self.asked.insert(question, (topic, text, author))),
            }
        }
        for index in 0..4 {
            let Some(node) = &self.world.members[index].node else { continue };
            let state = node.state();
            for subject in &self.subjects {
                let mut places = BTreeSet::new();
                for (arrival, stored) in state.entries(subject.id, 0) {
                    let hash = stored.entry.hash();
                    let place = (LogKey::of(&stored.entry), stored.entry.header().seq);
                    assert!(places.insert(place), "{place:?} twice at node {index}");
                    // What a crash took back was never seen outside.
                    self.arrivals.insert((index, subject.id, arrival), hash);
                }
                if !subject.members.contains(&index) {
                    assert!(state.topic(&subject.id).is_none(), "{index} knows {}", subject.name);
                    assert_eq!(places.len(), 0, "node {index} holds what is private");
                }
                for (key, log) in state.heads(subject.id) {
                    assert!(log.proof.is_none(), "a fork of {key:?} at node {index}");
                }
            }
        }
        self.check_authors();
        assert!(self.world.closed.is_empty(), "links closed: {:?}", self.world.closed);
    }

    /// What an author has let out, it has.
    fn check_authors(&self) {
        let states = |index: usize| Some(self.world.members[index].node.as_ref()?.state());
        for subject in &self.subjects {
            for (holder, author) in (0..4).flat_map(|one| (0..4).map(move |other| (one, other))) {
                let (Some(held), Some(own)) = (states(holder), states(author)) else { continue };
                let did = self.world.did(author);
                for (key, log) in held.heads(subject.id).filter(|(key, _)| key.author == did) {
                    let head = own.head(key).head;
                    assert!(head >= log.head, "{author} lacks {} of {key:?}", log.head);
                }
            }
        }
    }

    fn end(mut self) {
        for index in 0..4 {
            self.world.members[index].skew_ms = 0;
            if self.world.members[index].node.is_none() {
                self.world.start(index);
            }
        }
        self.world.heal();
        let subjects = std::mem::take(&mut self.subjects);
        let equal = self.world.run_until(BOUND_MS, |world| {
            subjects.iter().all(|subject| {
                let mut roots = subject.members.iter().map(|index| world.root(*index, subject.id));
                let first = roots.next();
                roots.all(|root| Some(root) == first)
            })
        });
        self.subjects = subjects;
        self.check();
        assert!(equal, "not equal after {BOUND_MS} ms: {}", self.describe());
        for ((topic, text), author) in &self.acknowledged {
            for index in &self.subject(topic).members {
                let mut entries = self.world.node(*index).state().entries(*topic, 0);
                let there = entries.any(|(_, stored)| stored.entry.payload() == text.as_bytes());
                assert!(there, "{text} by {author} is lost at {index}: {}", self.describe());
            }
        }
        // Whoever subscribes is remembered, and whoever may not read is not.
        let state = self.world.node(0).state();
        let of = |did| state.subscriptions().any(|(_, by, _)| by == Provenance::Peer(did));
        for (_, index) in self.world.wires.iter().filter(|(from, _)| *from == 0) {
            assert!(of(self.world.did(*index)), "node {index} is forgotten");
        }
    }

    fn subject(&self, topic: &TopicId) -> &Subject {
        self.subjects.iter().find(|subject| subject.id == *topic).expect("a subject")
    }

    fn describe(&self) -> String {
        let mut out = String::new();
        for subject in &self.subjects {
            for index in &subject.members {
                out += &format!("\n{} at {index}:", subject.name);
                for (key, log) in self.world.node(*index).state().heads(subject.id) {
                    let author = (0..4).find(|index| self.world.did(*index) == key.author);
                    out += &format!(" {author:?}/{:x}={}", key.epoch >> 48, log.head);
                }
                for (id, view) in self.world.node(*index).mesh().links() {
                    let peer = (0..4).find(|index| self.world.did(*index) == view.peer);
                    out += &format!("\n   {id:?} to {peer:?} {view:?}");
                }
            }
        }
        out
    }
}
