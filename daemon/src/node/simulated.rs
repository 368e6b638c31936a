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

/// The node on `disk`, which starts at this reading of the machine's clocks in this boot.
pub(crate) fn node_at(disk: &SimDisk, now: Now, boot: Option<BootId>) -> Node<SimDisk> {
    let keypair = Keypair::from_seed([7; 32]);
    let card = KeyCard::sign(&keypair, [8; 32], 1);
    let identity = Identity { keypair, card, network: [9; 32] };
    Node::open(disk, Policy::default(), identity, Box::new(Constant), now, boot).expect("a node")
}

/// Commits a mutation that no request makes.
pub(crate) fn apply<D: Disk>(node: &mut Node<D>, now: Now, mutation: Mutation) {
    node.commit(now, mutation).expect("a mutation");
}
