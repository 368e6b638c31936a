//! What a process of a node has taken, recorded so that it can be cloned.

use icn_daemon::node::Inputs;
use icn_gossip::Now;
use icn_wal::disk::SimDisk;

/// All that a process of a node has taken since its start.
pub(super) struct Tape {
    /// The disk before the start.
    pub(super) disk: SimDisk,
    pub(super) random: u64,
    pub(super) now: Now,
    pub(super) steps: Vec<Taped>,
}

/// One thing that a node has taken.
pub(super) enum Taped {
    Step(Now, Inputs<u64>),
    /// The next output left.
    Release(Now),
}

impl Tape {
    pub(super) fn new(disk: &SimDisk, random: u64, now: Now) -> Self {
        Self { disk: disk.kill(), random, now, steps: Vec::new() }
    }

    pub(super) fn step(&mut self, now: Now, inputs: &Inputs<u64>) {
        self.steps.push(Taped::Step(now, inputs.clone()));
    }

    pub(super) fn release(&mut self, now: Now) {
        self.steps.push(Taped::Release(now));
    }
}
