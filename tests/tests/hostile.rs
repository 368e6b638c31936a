//! Honest nodes linked with one hostile member.
//!
//! The honest nodes converge, no link between them is closed, and no private topic becomes known.
//! The memory for each peer stays bounded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use icn_daemon::node::Rng;
use icn_gossip::TopicId;
use icn_tests::hostile::{ATTACKS, Attack, Hostile};
use icn_tests::world::{Delays, World};
use serde_json::json;

/// The index of the hostile member.
const HOSTILE: usize = 3;

/// The most time the honest nodes need to converge, in ms.
const CONVERGENCE_MS_MAX: u64 = 120_000;

/// The most entries remembered for a peer that announces any number of logs.
const REMEMBERED: usize = 8000;

struct AttackedNetwork {
    world: World,
    open: TopicId,
    closed: TopicId,
    published: u64,
    /// The messages to the hostile member about the topic it may not read.
    leaks: Arc<AtomicUsize>,
}

impl AttackedNetwork {
    fn begin(seed: u64, attacks: &[Attack]) -> Self {
        Self::of(World::new(seed, 4, Delays::default()), seed, attacks)
    }

    /// A network of busy nodes, which gather inputs for a turn.
    fn of_busy(seed: u64, attacks: &[Attack]) -> Self {
        let delays = Delays { turn_ms: 30, ..Delays::default() };
        Self::of(World::new(seed, 4, delays), seed, attacks)
    }

    fn of(mut world: World, seed: u64, attacks: &[Attack]) -> Self {
        let members: Vec<String> = [1, 2].map(|index| world.did(index).to_string()).into();
        let mut create = |line| {
            let created = world.ask_and_wait(0, line).expect("a topic");
            created["topic"]["id"].as_str().expect("an id").parse().expect("an id")
        };
        let open: TopicId =
            create(json!({ "cmd": "topic_create", "name": "open", "public": true }));
        let line = json!({ "cmd": "topic_create", "name": "closed", "members": members });
        let closed: TopicId = create(line);
        for index in 0..3 {
            for topic in [&open.to_string(), &closed.to_string(), "missing"] {
                let wish = json!({ "cmd": "subscribe", "topic": topic });
                world.ask_and_wait(index, wish).expect("subscribed");
            }
        }
        let topics = [(open, "open"), (closed, "closed"), (closed, "missing")];
        let keypair = world.keypair(HOSTILE);
        let leaks = Arc::default();
        let script = Hostile::new(keypair, seed, attacks, &topics, closed, Arc::clone(&leaks));
        world.replace(HOSTILE, Box::new(script));
        Self { world, open, closed, published: 0, leaks }
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            let index = usize::try_from(self.world.rng.below(3)).unwrap_or(0);
            match self.world.rng.below(20) {
                0 => {
                    let seed = self.world.rng.next();
                    self.world.crash(index, Some(seed));
                    self.world.start(index);
                }
                1 => self.world.cut(0, 1),
                2 => self.world.heal(),
                _ => {}
            }
            let name = if self.world.rng.below(2) == 0 { "open" } else { "closed" };
            let known = self.world.node(index).state().resolve(name).is_ok();
            if known {
                self.published += 1;
                let text = self.published.to_string();
                self.world.ask(index, json!({ "cmd": "publish", "topic": name, "text": text }));
            }
            let pause = self.world.rng.below(1000);
            self.world.run(pause);
            self.check();
        }
    }

    fn check(&self) {
        for index in 0..3 {
            let node = self.world.node(index);
            for (link, view) in node.mesh().links() {
                assert!(view.tracked_items < REMEMBERED, "{link:?} of {index}: {view:?}");
                assert!(view.in_flight < 3 << 20, "{link:?} of {index}: {view:?}");
            }
            let hostile = self.world.did(HOSTILE);
            for topic in [self.open, self.closed] {
                for (key, log) in node.state().heads(topic) {
                    assert!(log.proof.is_none() || key.author == hostile, "{key:?} is frozen");
                }
            }
            let mut others = node.state().heads(self.closed);
            assert!(
                others.all(|(key, _)| key.author != hostile),
                "{index} accepted entries it may not have"
            );
        }
        assert_eq!(self.leaks.load(Ordering::Relaxed), 0, "a message mentions a private topic");
        let between = |(one, other, _): &&(usize, usize, &str)| *one < HOSTILE && *other < HOSTILE;
        let closed: Vec<_> = self.world.closed.keys().filter(between).collect();
        assert!(closed.is_empty(), "honest links closed: {closed:?}");
    }

    /// Ends the faults, and returns why links with the hostile member were closed.
    fn end(mut self) -> BTreeSet<&'static str> {
        self.world.heal();
        let open = self.open;
        let closed = self.closed;
        let equal = self.world.run_until(CONVERGENCE_MS_MAX, |world| {
            [open, closed].iter().all(|topic| {
                let [one, two, three] = [0, 1, 2].map(|index| world.root(index, *topic));
                one == two && two == three
            })
        });
        assert!(equal, "not equal: {}", self.describe());
        self.check();
        for topic in [open, closed] {
            let texts = [0, 1, 2].map(|index| {
                let entries = self.world.node(index).state().entries(topic, 0);
                let honest =
                    entries.filter(|(_, one)| one.entry.header().author != self.world.did(HOSTILE));
                honest.map(|(_, stored)| stored.entry.hash()).collect::<BTreeSet<_>>()
            });
            assert_eq!(texts[0], texts[1]);
            assert_eq!(texts[1], texts[2]);
        }
        self.world.closed.keys().map(|(_, _, name)| *name).collect()
    }

    fn describe(&self) -> String {
        let mut out = String::new();
        for index in 0..3 {
            for topic in [self.open, self.closed] {
                for (key, log) in self.world.node(index).state().heads(topic) {
                    let author = (0..4).find(|at| self.world.did(*at) == key.author);
                    let epoch = key.epoch;
                    let head = log.head;
                    let frozen = log.proof.is_some();
                    let hash = log.head_hash[0];
                    out += &format!("\n{index}: {author:?}/{epoch:x}={head}/{hash:x} {frozen}");
                }
            }
        }
        out
    }
}

/// The reasons for which a link may be closed under this attack alone.
fn reasons(attack: Attack) -> &'static [&'static str] {
    match attack {
        Attack::Replay => &["unasked", "malformed", "too_many", "bad_signature"],
        Attack::Forge => &["bad_signature"],
        Attack::Disorder | Attack::Unsolicited => &["unasked"],
        Attack::Malformed => &["malformed", "unknown_kind", "unasked", "too_many", "bad_signature"],
        Attack::Flood => &["too_many"],
        // A repeated request with a handle in use is no fault.
        Attack::FalseHeads | Attack::FalseGap | Attack::StopStorm | Attack::OverRequest => &[],
        Attack::TopicClones | Attack::Equivocate => &[],
    }
}

#[test]
fn every_attack_alone_harms_no_other_link() {
    for (seed, attack) in (0..).zip(ATTACKS) {
        println!("{attack:?}");
        // A replay has an effect if the member has received entries.
        let attacks = match attack {
            Attack::Replay => vec![attack, Attack::OverRequest],
            _ => vec![attack],
        };
        for mut network in
            [AttackedNetwork::begin(seed, &attacks), AttackedNetwork::of_busy(seed + 5, &attacks)]
        {
            network.run(200);
            let closed = network.end();
            let expected = reasons(attack);
            assert!(closed.iter().all(|name| expected.contains(name)), "{attack:?}: {closed:?}");
            assert_eq!(closed.is_empty(), expected.is_empty(), "{attack:?}: {closed:?}");
        }
    }
}

#[test]
fn all_attacks_together_harm_no_other_link() {
    let seeds = std::env::var("ICN_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(6);
    for seed in 100..100 + seeds {
        println!("seed {seed}");
        let begin = if seed % 2 == 0 { AttackedNetwork::begin } else { AttackedNetwork::of_busy };
        let mut network = begin(seed, &ATTACKS);
        network.run(60);
        network.end();
    }
}

#[test]
fn two_histories_freeze_that_log_at_every_node_and_no_other() {
    let mut network = AttackedNetwork::begin(7, &[Attack::Equivocate]);
    network.run(40);
    let open = network.open;
    let hostile = network.world.did(HOSTILE);
    let frozen = network.world.run_until(CONVERGENCE_MS_MAX, |world| {
        (0..3).all(|index| {
            let state = world.node(index).state();
            let mut logs = state.heads(open).filter(|(key, _)| key.author == hostile);
            logs.all(|(_, log)| log.proof.is_some())
        })
    });
    assert!(frozen, "{}", network.describe());
    let state = network.world.node(0).state();
    let proofs = state.heads(open).filter_map(|(_, log)| log.proof.as_deref());
    let mut count = 0;
    for (one, other) in proofs {
        assert_ne!(one.hash(), other.hash());
        assert_eq!(one.header().seq, other.header().seq);
        one.verify().expect("signed");
        other.verify().expect("signed");
        count += 1;
    }
    assert!(count >= 3, "{count} logs");
    network.end();
}
