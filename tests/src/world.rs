//! Many real nodes on simulated disks and links, in simulated time: one seed, one history.
//!
//! A link is what QUIC makes of a network: frames come in order or the link is gone. So loss and
//! reordering on the wire are links that end, with everything that was under way on them.

mod event;
mod link;
mod member;
mod turn;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use icn_daemon::control::request::Reply;
use icn_daemon::node::{Identity, Node, Rng};
use icn_gossip::mesh::{LinkId, Root};
use icn_gossip::{Did, KeyCard, Keypair, TopicId};
use icn_snapshot::Policy;
use icn_wal::disk::SimDisk;
use serde_json::Value;

use self::event::Event;
use self::link::Direction;
pub use self::member::Member;
use crate::script::Script;
use crate::{TestRng, request};

/// The network they are all in.
pub const NETWORK: [u8; 32] = [9; 32];

/// How long nodes, disks and links take.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// The longest way of a frame, in ms.
    pub link_ms: u64,
    /// The longest sync, in ms.
    pub sync_ms: u64,
    /// The pause before a lost link is tried again, in ms.
    pub redial_ms: u64,
    /// The longest check of signatures, in ms.
    pub verify_ms: u64,
    /// The bytes that a link takes in a ms.
    pub link_bytes: u64,
    /// How long a node that is busy gathers what comes in for one turn, in ms; if 0, everything that
    /// comes has a turn of its own.
    pub turn_ms: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            link_ms: 20,
            sync_ms: 10,
            redial_ms: 300,
            verify_ms: 3,
            link_bytes: 1 << 20,
            turn_ms: 0,
        }
    }
}

/// All of them.
pub struct World {
    /// The nodes.
    pub members: Vec<Member>,
    /// Now, in ms.
    pub now_ms: u64,
    /// What decides.
    pub rng: TestRng,
    delays: Delays,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    content: BTreeMap<u64, Event>,
    next_event: u64,
    next_link: u64,
    /// The two directions of every link, by who receives.
    directions: BTreeMap<(LinkId, usize), Direction>,
    /// Pairs that are to have a link.
    pub topology: BTreeSet<(usize, usize)>,
    /// Pairs between which nothing passes.
    pub cut: BTreeSet<(usize, usize)>,
    /// Those who read nothing of what is sent to them.
    pub not_reading: BTreeSet<usize>,
    /// What was answered, by the number of the request_id.
    pub replies: BTreeMap<u64, Reply>,
    next_request: u64,
    trace: blake3::Hasher,
    /// Bytes of frames that have arrived, by node.
    pub received: Vec<u64>,
    /// How often who has closed a link to whom, and why.
    pub closed: BTreeMap<(usize, usize, &'static str), u64>,
}

impl World {
    /// `count` new nodes that all have links to each other.
    ///
    /// # Panics
    /// When a node does not start: nothing here may go wrong without a planted reason.
    #[must_use]
    pub fn new(seed: u64, count: usize, delays: Delays) -> Self {
        let mut world = Self {
            members: Vec::new(),
            now_ms: 1_000_000,
            rng: TestRng::new(seed),
            delays,
            events: BinaryHeap::new(),
            content: BTreeMap::new(),
            next_event: 0,
            next_link: 0,
            directions: BTreeMap::new(),
            topology: BTreeSet::new(),
            cut: BTreeSet::new(),
            not_reading: BTreeSet::new(),
            replies: BTreeMap::new(),
            next_request: 0,
            trace: blake3::Hasher::new(),
            received: vec![0; count],
            closed: BTreeMap::new(),
        };
        for index in 0..count {
            let seed = u8::try_from(index + 1).expect("few nodes");
            let disk = SimDisk::new(seed.into());
            world.members.push(Member {
                disk,
                node: None,
                script: None,
                seed,
                starts: 0,
                skew_ms: 0,
                waiting: VecDeque::new(),
                verified_ms: 0,
                inbox: Default::default(),
                links: BTreeMap::new(),
            });
        }
        for from in 0..count {
            world.topology.extend((from + 1..count).map(|to| (from, to)));
        }
        (0..count).for_each(|index| world.start(index));
        world
    }

    /// Who a node is.
    #[must_use]
    pub fn did(&self, index: usize) -> Did {
        self.keypair(index).did()
    }

    /// What it signs with.
    #[must_use]
    pub fn keypair(&self, index: usize) -> Keypair {
        keypair(self.members[index].seed)
    }

    /// Whether somebody speaks there.
    #[must_use]
    pub fn is_running(&self, index: usize) -> bool {
        self.members[index].node.is_some() || self.members[index].script.is_some()
    }

    /// The node, which must be running.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn node(&self, index: usize) -> &Node<SimDisk> {
        self.members[index].node.as_ref().expect("a node that runs")
    }

    /// Starts a node on what its disk has.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&mut self, index: usize) {
        let now_ms = self.clock(index);
        let member = &mut self.members[index];
        member.starts += 1;
        let keypair = keypair(member.seed);
        let card = KeyCard::sign(&keypair, [member.seed; 32], 1);
        let identity = Identity { keypair, card, network: NETWORK };
        let chance = Box::new(TestRng::new(self.rng.next()));
        let node = Node::open(&member.disk, Policy::default(), identity, chance, now_ms);
        member.node = Some(node.unwrap_or_else(|failure| panic!("node {index}: {failure:?}")));
        let start = member.starts;
        self.after(1, Event::Tick { to: index, start });
        for (from, to) in self.topology.clone() {
            if from == index || to == index {
                let delay = self.rng.below(self.delays.redial_ms) + 1;
                self.after(delay, Event::Dial { from, to });
            }
        }
    }

    /// Ends a node at once. `power` decides what of the unsynced data is on its disk; without it the
    /// process alone has ended, and all of it is.
    pub fn crash(&mut self, index: usize, power: Option<u64>) {
        let links: Vec<LinkId> = self.members[index].links.keys().copied().collect();
        let member = &mut self.members[index];
        member.node = None;
        member.waiting.clear();
        member.inbox = Default::default();
        member.disk = power.map_or_else(|| member.disk.kill(), |seed| member.disk.power_loss(seed));
        links.into_iter().for_each(|link| self.end_link(link));
    }

    /// Ends a node, and has a script speak in its name from now on.
    pub fn replace(&mut self, index: usize, script: Box<dyn Script>) {
        self.crash(index, None);
        let member = &mut self.members[index];
        member.script = Some(script);
        member.starts += 1;
        let start = member.starts;
        self.after(1, Event::Tick { to: index, start });
        for (from, to) in self.topology.clone() {
            if from == index || to == index {
                self.after(1, Event::Dial { from, to });
            }
        }
    }

    /// Lets nothing pass between two nodes from now on.
    pub fn cut(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        self.cut.insert(pair);
        let links = self.members[a].links.iter().filter(|(_, peer)| **peer == b);
        let links: Vec<LinkId> = links.map(|(link, _)| *link).collect();
        links.into_iter().for_each(|link| self.end_link(link));
    }

    /// Lets everything pass again.
    pub fn heal(&mut self) {
        self.cut.clear();
        for (from, to) in self.topology.clone() {
            self.after(1, Event::Dial { from, to });
        }
    }

    /// Asks a node; its answer, once it has left the node, is in `replies` under the number.
    pub fn ask(&mut self, index: usize, line: Value) -> u64 {
        self.next_request += 1;
        let request_id = self.next_request;
        self.receive(index, None, Some((request_id, request(line))));
        request_id
    }

    /// Asks a node and lets time pass until it has answered.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub fn ask_and_wait(&mut self, index: usize, line: Value) -> Reply {
        let request_id = self.ask(index, line);
        for _ in 0..60_000 {
            if let Some(reply) = self.replies.remove(&request_id) {
                return reply;
            }
            self.run(1);
        }
        panic!("no answer");
    }

    /// Lets so many ms pass.
    pub fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(&Reverse((at, number))) = self.events.peek()
            && at <= end
        {
            self.events.pop();
            self.now_ms = at;
            if let Some(event) = self.content.remove(&number) {
                self.handle(event);
            }
        }
        self.now_ms = end;
    }

    /// Lets time pass until `done`, for `ms` at most; whether it was.
    pub fn run_until(&mut self, ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..ms.div_ceil(10) {
            if done(self) {
                return true;
            }
            self.run(10);
        }
        done(self)
    }

    /// What the logs of a topic hash to at a node.
    #[must_use]
    pub fn root(&self, index: usize, topic: TopicId) -> Root {
        Root::of(self.node(index).state(), topic)
    }

    /// A hash over everything that has happened.
    #[must_use]
    pub fn trace(&self) -> [u8; 32] {
        *self.trace.finalize().as_bytes()
    }

    fn clock(&self, index: usize) -> u64 {
        self.now_ms.saturating_add_signed(self.members[index].skew_ms)
    }
}

fn keypair(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}
