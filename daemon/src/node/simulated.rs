//! A node on a simulated disk, for tests.

use icn_gossip::{BootId, KeyCard, Keypair, Mutation, Now};
use icn_snapshot::Policy;
use icn_wal::disk::{Disk, SimDisk};

use super::{Identity, Node, Rng};

struct Constant;

impl Rng for Constant {
    fn next(&mut self) -> u64 {
        7
    }
}

/// A new node on `disk`.
pub(crate) fn node(disk: &SimDisk) -> Node<SimDisk> {
    node_at(disk, Now::at(1), None)
}

/// The numbers of a node that panics when it needs one more than to start.
struct Panicking(bool);

impl Rng for Panicking {
    fn next(&mut self) -> u64 {
        assert!(!std::mem::replace(&mut self.0, true), "a defect of the node");
        7
    }
}

/// A new node on `disk`, which panics when it creates a topic.
pub(crate) fn panicking_node(disk: &SimDisk) -> Node<SimDisk> {
    open(disk, Policy::default(), Now::at(1), None, Box::new(Panicking(false)))
}

/// The node on `disk`, which keeps snapshots by this policy.
pub(crate) fn node_by(disk: &SimDisk, policy: Policy) -> Node<SimDisk> {
    open(disk, policy, Now::at(1), None, Box::new(Constant))
}

/// The node on `disk`, which starts at this reading of the machine's clocks in this boot.
pub(crate) fn node_at(disk: &SimDisk, now: Now, boot: Option<BootId>) -> Node<SimDisk> {
    open(disk, Policy::default(), now, boot, Box::new(Constant))
}

fn open(
    disk: &SimDisk,
    policy: Policy,
    now: Now,
    boot: Option<BootId>,
    rng: Box<dyn Rng>,
) -> Node<SimDisk> {
    let keypair = Keypair::from_seed([7; 32]);
    let card = KeyCard::sign(&keypair, [8; 32], 1);
    let identity = Identity { keypair, card, network: [9; 32] };
    Node::open(disk, policy, identity, rng, now, boot).expect("a node")
}

/// Commits a mutation that no request makes.
pub(crate) fn apply<D: Disk>(node: &mut Node<D>, now: Now, mutation: Mutation) {
    node.commit(now, mutation).expect("a mutation");
}
