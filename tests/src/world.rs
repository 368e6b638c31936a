//! Many real nodes on simulated disks and links, in simulated time: one seed, one history.
//!
//! A link behaves as over QUIC: frames arrive in order, or the link ends. So loss and reordering on
//! the network appear as links that end, with all frames in flight on them.

mod event;
mod link;
mod member;
mod output;
mod tape;
mod turn;
mod twin;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use icn_daemon::failure::Failure;
use icn_daemon::node::{Identity, Node, Rng};
use icn_gossip::mesh::{LinkId, Root};
use icn_gossip::{Did, KeyCard, Keypair, Now, TopicId};
use icn_snapshot::Policy;
use icn_wal::disk::SimDisk;
use serde_json::Value;

use self::event::Event;
use self::link::Direction;
pub use self::member::Member;
use self::tape::Tape;
use crate::script::Script;
use crate::{TestRng, request};

/// The id of the network of all members.
pub const NETWORK: [u8; 32] = [9; 32];

/// The delays of nodes, disks and links.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// The longest delay of a frame, in ms.
    pub link_ms: u64,
    /// The longest delay of a sync, in ms.
    pub sync_ms: u64,
    /// The pause before a lost link is dialled again, in ms.
    pub redial_ms: u64,
    /// The longest time to verify signatures, in ms.
    pub verify_ms: u64,
    /// The throughput of a link, in bytes per ms.
    pub link_bytes: u64,
    /// How long a busy node gathers inputs for one turn, in ms. If 0, each input has a turn of its
    /// own.
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

/// All members, with their links, at one simulated time.
pub struct World {
    /// The members, by index.
    pub members: Vec<Member>,
    /// The current time, in ms.
    pub now_ms: u64,
    /// The source of every random decision.
    pub rng: TestRng,
    delays: Delays,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    content: BTreeMap<u64, Event>,
    next_event: u64,
    next_link: u64,
    /// The two directions of every link, by the member that receives.
    directions: BTreeMap<(LinkId, usize), Direction>,
    /// Pairs of members that keep a link.
    pub topology: BTreeSet<(usize, usize)>,
    /// Pairs of members between which the network is cut.
    pub cut: BTreeSet<(usize, usize)>,
    /// Members that read no frame.
    pub not_reading: BTreeSet<usize>,
    /// The released replies, by the number of the request.
    pub replies: BTreeMap<u64, Result<Value, Failure>>,
    next_request: u64,
    trace: blake3::Hasher,
    /// Bytes of frames that have arrived, by node.
    pub received: Vec<u64>,
    /// How often a member has closed a link to another one, and why.
    pub closed: BTreeMap<(usize, usize, &'static str), u64>,
    /// Whether the members record what they take, so that they can be cloned.
    has_tapes: bool,
}

impl World {
    /// A world of `count` new nodes, each linked to every other.
    ///
    /// # Panics
    /// If a node does not start: no fault is injected yet.
    #[must_use]
    pub fn new(seed: u64, count: usize, delays: Delays) -> Self {
        Self::begin(seed, count, delays, false)
    }

    /// The same, with nodes that can be cloned.
    ///
    /// # Panics
    /// If a node does not start: no fault is injected yet.
    #[must_use]
    pub fn with_tapes(seed: u64, count: usize, delays: Delays) -> Self {
        Self::begin(seed, count, delays, true)
    }

    fn begin(seed: u64, count: usize, delays: Delays, has_tapes: bool) -> Self {
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
            has_tapes,
        };
        for index in 0..count {
            let seed = u8::try_from(index + 1).expect("few nodes");
            let disk = SimDisk::new(seed.into());
            world.members.push(Member::new(seed, disk));
        }
        for from in 0..count {
            world.topology.extend((from + 1..count).map(|to| (from, to)));
        }
        (0..count).for_each(|index| world.start(index));
        world
    }

    /// The identity of a member.
    #[must_use]
    pub fn did(&self, index: usize) -> Did {
        self.keypair(index).did()
    }

    /// The key pair of a member.
    #[must_use]
    pub fn keypair(&self, index: usize) -> Keypair {
        keypair(self.members[index].seed)
    }

    /// True iff the member runs a node or a script.
    #[must_use]
    pub fn is_running(&self, index: usize) -> bool {
        self.members[index].node.is_some() || self.members[index].script.is_some()
    }

    /// The node of a member that runs one.
    ///
    /// # Panics
    /// If the member runs no node.
    #[must_use]
    pub fn node(&self, index: usize) -> &Node<SimDisk> {
        self.members[index].node.as_ref().expect("a node that runs")
    }

    /// Starts the node of a member on its disk.
    ///
    /// # Panics
    /// If the node does not start.
    pub fn start(&mut self, index: usize) {
        let now = self.clock(index);
        let member = &mut self.members[index];
        member.starts += 1;
        let keypair = keypair(member.seed);
        let card = KeyCard::sign(&keypair, [member.seed; 32], 1);
        let identity = Identity { keypair, card, network: NETWORK };
        let random = self.rng.next();
        member.tape = self.has_tapes.then(|| Tape::new(&member.disk, random, now));
        let chance = Box::new(TestRng::new(random));
        let node = Node::open(&member.disk, Policy::default(), identity, chance, now, None);
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

    /// Ends a node at once. `power` is the seed of a power loss, which loses unsynced data. Without
    /// it, only the process ends, and the disk keeps all data.
    pub fn crash(&mut self, index: usize, power: Option<u64>) {
        let links: Vec<LinkId> = self.members[index].links.keys().copied().collect();
        let member = &mut self.members[index];
        member.node = None;
        member.waiting.clear();
        member.inbox = Default::default();
        member.disk = power.map_or_else(|| member.disk.kill(), |seed| member.disk.power_loss(seed));
        links.into_iter().for_each(|link| self.end_link(link));
    }

    /// Ends a node, and runs a script in its place from now on.
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

    /// Cuts the network between two members.
    pub fn cut(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        self.cut.insert(pair);
        let links = self.members[a].links.iter().filter(|(_, peer)| **peer == b);
        let links: Vec<LinkId> = links.map(|(link, _)| *link).collect();
        links.into_iter().for_each(|link| self.end_link(link));
    }

    /// Ends every cut of the network.
    pub fn heal(&mut self) {
        self.cut.clear();
        for (from, to) in self.topology.clone() {
            self.after(1, Event::Dial { from, to });
        }
    }

    /// Sends a request to a node. Its reply appears in `replies` under the returned number.
    pub fn ask(&mut self, index: usize, line: Value) -> u64 {
        self.next_request += 1;
        let request_id = self.next_request;
        self.receive(index, None, Some((request_id, request(line))));
        request_id
    }

    /// Sends a request to a node, and runs until it has replied.
    ///
    /// # Panics
    /// If the node does not reply within a minute.
    pub fn ask_and_wait(&mut self, index: usize, line: Value) -> Result<Value, Failure> {
        let request_id = self.ask(index, line);
        for _ in 0..60_000 {
            if let Some(reply) = self.replies.remove(&request_id) {
                return reply;
            }
            self.run(1);
        }
        panic!("no answer");
    }

    /// Runs for so many ms.
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

    /// Runs until `done`, for at most `ms`. Returns whether it was done.
    pub fn run_until(&mut self, ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..ms.div_ceil(10) {
            if done(self) {
                return true;
            }
            self.run(10);
        }
        done(self)
    }

    /// The hash over the logs of a topic at a node.
    #[must_use]
    pub fn root(&self, index: usize, topic: TopicId) -> Root {
        Root::of(self.node(index).state(), topic)
    }

    /// The hash over the whole history: equal iff two histories are the same.
    #[must_use]
    pub fn trace(&self) -> [u8; 32] {
        *self.trace.finalize().as_bytes()
    }

    /// The clocks of a member: only its wall clock is wrong.
    fn clock(&self, index: usize) -> Now {
        let wall_ms = self.now_ms.saturating_add_signed(self.members[index].skew_ms);
        Now::of_machine(wall_ms, self.now_ms)
    }
}

fn keypair(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}
