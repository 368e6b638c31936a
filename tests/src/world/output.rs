//! The outputs of a node: what concerns the node itself, and what is left for the world.

use bytes::Bytes;
use icn_daemon::failure::Failure;
use icn_daemon::node::{Effect, Node, Output};
use icn_gossip::Now;
use icn_gossip::mesh::LinkId;
use icn_wal::Lsn;
use icn_wal::disk::SimDisk;
use serde_json::Value;

/// What is left of an output for the world to do.
pub(super) enum Performed {
    Nothing,
    Reply(u64, Result<Value, Failure>),
    Send { link: LinkId, kind: u8, body: Bytes },
    Close { link: LinkId, name: &'static str },
}

/// Waits for the disk, and does what concerns the node itself.
pub(super) fn perform(node: &mut Node<SimDisk>, now: Now, output: Output<u64>) -> Performed {
    if let Some(lsn) = Lsn::new(output.after) {
        node.store().wal().wait(lsn).expect("a disk that syncs");
    }
    match output.effect {
        Effect::Reply(request_id, reply) => {
            Performed::Reply(request_id, reply.map(|data| data.to_value()))
        }
        Effect::Send { link, kind, body } => Performed::Send { link, kind, body },
        Effect::Close { link, name, .. } => Performed::Close { link, name },
        Effect::Save(draft, asker) => {
            let saved = node.store().compactor().save(draft.image);
            node.saved(now, saved.as_ref().map(drop).map_err(ToString::to_string));
            let id = saved.map(|snapshot| Value::from(snapshot.id.to_string()));
            asker.map_or(Performed::Nothing, |request_id| {
                Performed::Reply(request_id, id.map_err(Failure::from))
            })
        }
        Effect::Work(work, asker) => {
            let compactor = node.store().compactor().clone();
            let reply = work.perform(&compactor, |prepared| {
                let (after, reply) = node.settle(now, prepared);
                if let Some(lsn) = Lsn::new(after) {
                    node.store().wal().wait(lsn)?;
                }
                reply
            });
            asker.map_or(Performed::Nothing, |request_id| {
                Performed::Reply(request_id, reply.map(|data| data.to_value()))
            })
        }
    }
}
