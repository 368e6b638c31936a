//! A network to be measured.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::Outcome;
use crate::deliveries::Deliveries;
use crate::gossipsub::Gossipsub;
use crate::icn::Icn;
use crate::iroh::Iroh;
use crate::meter::{self, clock};
use crate::raw::Raw;

/// A running network in which each node hears what any other publishes.
pub(crate) trait Network {
    /// Publishes the messages with these numbers, each as soon as the node takes it, and returns
    /// when the last was taken.
    fn publish(&mut self, from: usize, numbers: Range<u64>) -> Outcome<()>;

    /// Ends a node, by `kill -9` if it is a process.
    fn stop(&mut self, node: usize) -> Outcome<()>;

    /// Starts a node that was stopped, and returns when it is under way.
    fn start(&mut self, node: usize) -> Outcome<()>;

    /// What the processors have spent on it so far: in one figure where this process is all of it,
    /// else by node.
    fn cpu(&self) -> Outcome<Vec<Duration>> {
        Ok(vec![meter::cpu("self")?])
    }
}

/// What to found.
pub(crate) struct Plan<'a> {
    /// Where what is to be durable may be kept.
    pub(crate) directory: &'a Path,
    /// How many nodes.
    pub(crate) nodes: usize,
    /// Which of them somebody listens to, where that is an effort of its own.
    pub(crate) followed: Range<usize>,
    /// Who is told of what is delivered.
    pub(crate) deliveries: Arc<Deliveries>,
}

type Found = fn(Plan<'_>) -> Outcome<Box<dyn Network>>;

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// Returns when all nodes are linked.
    pub(crate) found: Found,
    /// Messages in a flood, for some seconds of it.
    pub(crate) flood: u64,
    /// Whether its nodes keep a network going by themselves.
    pub(crate) gossips: bool,
}

pub(crate) const LIMIT: &str = "raw quinn";
pub(crate) const GOSSIPSUB: &str = "gossipsub";
pub(crate) const IROH: &str = "iroh-gossip, unsigned";
pub(crate) const ICN: &str = "icn";

/// In the order in which they take turns.
pub(crate) const CONTENDERS: [Contender; 4] = [
    Contender {
        name: LIMIT,
        found: |plan| Ok(Box::new(Raw::found(plan)?)),
        flood: 1_000_000,
        gossips: false,
    },
    Contender {
        name: GOSSIPSUB,
        found: |plan| Ok(Box::new(Gossipsub::found(plan)?)),
        flood: 50_000,
        gossips: true,
    },
    Contender {
        name: IROH,
        found: |plan| Ok(Box::new(Iroh::found(plan)?)),
        flood: 50_000,
        gossips: true,
    },
    Contender {
        name: ICN,
        found: |plan| Ok(Box::new(Icn::found(plan, false)?)),
        flood: 50_000,
        gossips: true,
    },
];

/// As the others are measured: with all nodes in one process.
pub(crate) const ICN_TOGETHER: Contender = Contender {
    name: "icn, one process",
    found: |plan| Ok(Box::new(Icn::found(plan, true)?)),
    flood: 50_000,
    gossips: true,
};

/// Nothing that a network needs to stand takes this long unless it is broken.
const DEADLINE: Duration = Duration::from_secs(30);

/// How often to try what is not there yet.
const PAUSE: Duration = Duration::from_millis(1);

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) -> Outcome<()> {
    let start = clock();
    while !done() {
        if start.elapsed() > DEADLINE {
            return Err(format!("{what} did not come").into());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
