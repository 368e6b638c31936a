//! A real [`Node`] on a simulated disk, with a release that waits for the disk as its shell does.

use icn_daemon::control::request::Request;
use icn_daemon::failure::Failure;
use icn_daemon::node::machine::Machine;
use icn_daemon::node::{Effect, Identity, Inputs, Node, Output, Turn};
use icn_gossip::{KeyCard, Keypair, Now};
use icn_snapshot::{Policy, digest};
use icn_wal::Lsn;
use icn_wal::disk::SimDisk;
use serde_json::Value;

use crate::TestRng;

/// Parses a request of the control socket.
///
/// # Panics
/// If the line is not a request, which is a mistake in a test.
#[must_use]
pub fn request(line: Value) -> Request {
    serde_json::from_value(line).expect("a request")
}

/// A node that handles one request at a time.
pub struct SimNode {
    /// The node.
    pub node: Node<SimDisk>,
    now_ms: u64,
}

impl SimNode {
    /// Recovers the node on `disk`. The identity is always the same; `seed` drives the random
    /// numbers.
    ///
    /// # Errors
    /// The errors of [`Node::open`].
    pub fn open(disk: &SimDisk, policy: Policy, seed: u64) -> Result<Self, Failure> {
        let keypair = Keypair::from_seed([7; 32]);
        let card = KeyCard::sign(&keypair, [8; 32], 1);
        let identity = Identity { keypair, card, network: [9; 32] };
        let node =
            Node::open(disk, policy, identity, Box::new(TestRng::new(seed)), Now::at(1), None)?;
        Ok(Self { node, now_ms: 1 })
    }

    /// Sends a request, and waits for the disk as the shell's release does: a client has seen the
    /// reply.
    ///
    /// # Errors
    /// The refusal of the node, or the error of the log if the reply never leaves the node.
    ///
    /// # Panics
    /// If the node does not reply.
    pub fn ask(&mut self, request: Request) -> Result<Value, Failure> {
        self.now_ms += 1;
        let turn = self.node.step(Now::at(self.now_ms), Inputs::requests(vec![((), request)]));
        self.release(turn).expect("an answer")
    }

    /// Sends a request, and releases no reply.
    pub fn ask_unreleased(&mut self, request: Request) {
        self.now_ms += 1;
        drop(self.node.step(Now::at(self.now_ms), Inputs::requests(vec![((), request)])));
    }

    /// Ticks the node, which writes a snapshot if one is due.
    ///
    /// # Errors
    /// If the snapshot cannot be written.
    pub fn tick(&mut self) -> Result<(), Failure> {
        let turn = self.node.step(Now::at(self.now_ms), Inputs::tick());
        self.release(turn).transpose().map(drop)
    }

    /// Advances the clock of the node.
    pub fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    /// The LSN of the state, and its digest.
    #[must_use]
    pub fn digest(&self) -> (u64, [u8; 32]) {
        (self.node.store().lsn(), digest(&Machine(self.node.state().clone())))
    }

    fn release(&mut self, turn: Turn<()>) -> Option<Result<Value, Failure>> {
        let mut last = None;
        for Output { after, effect } in turn.outputs {
            if let Some(lsn) = Lsn::new(after)
                && let Err(error) = self.node.store().wal().wait(lsn)
            {
                return Some(Err(error.into()));
            }
            last = match effect {
                Effect::Reply((), reply) => Some(reply.map(|data| data.to_value())),
                Effect::Save(draft, _) => {
                    let saved = self.node.store().compactor().save(draft.image);
                    let outcome = saved.as_ref().map(drop).map_err(ToString::to_string);
                    self.node.saved(Now::at(self.now_ms), outcome);
                    let id = saved.map(|snapshot| Value::from(snapshot.id.to_string()));
                    Some(id.map_err(Failure::from))
                }
                // The node has no peers.
                Effect::Send { .. } | Effect::Close { .. } => continue,
                Effect::Work(work, _) => {
                    let compactor = self.node.store().compactor().clone();
                    let node = &mut self.node;
                    let now_ms = self.now_ms;
                    let reply = work.perform(&compactor, |prepared| {
                        let (after, reply) = node.settle(Now::at(now_ms), prepared);
                        if let Some(lsn) = Lsn::new(after) {
                            node.store().wal().wait(lsn)?;
                        }
                        reply
                    });
                    Some(reply.map(|data| data.to_value()))
                }
            };
        }
        last
    }
}
