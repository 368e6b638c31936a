//! One request to a node without a daemon: lock the directory, recover, reply, close.

use std::path::Path;

use icn_wal::{FsDisk, Lsn};

use crate::clock::now;
use crate::config::{Config, Flags};
use crate::control::codes;
use crate::control::reply::Reply;
use crate::control::request::Request;
use crate::data::datadir::{self, DataDir};
use crate::failure::Failure;
use crate::node::{Effect, Inputs, Node, Output, describe};
use crate::run::recovery;

/// Sends one request to the node in `directory`, which must exist and not be running.
///
/// # Errors
/// `ICN-E0106` when there is no node, `ICN-E0101` when a process runs it; those of a start; the node's
/// refusal.
pub(crate) fn ask(directory: &Path, request: Request) -> Reply {
    datadir::read_only(directory)?;
    let config = config(directory)?;
    let owned = DataDir::own(directory, config.unsafe_fs)?;
    let mut node = recovery::recover_to_the_end(&config, &owned)?.node;
    let turn = node.step(now(), Inputs::requests(vec![((), request)]));
    let reply = turn.outputs.into_iter().filter_map(|output| settle(&mut node, output)).last();
    node.close()?;
    reply.unwrap_or_else(|| Err(Failure::new(codes::NOT_OFFLINE, "There is no answer.")))
}

/// The configuration of the node in `directory`.
///
/// # Errors
/// Those of [`Config::load`].
pub(crate) fn config(directory: &Path) -> Result<Config, Failure> {
    Config::load(&Flags { data_dir: Some(directory.to_path_buf()), ..Flags::default() })
}

/// Does what the release gate and the worker of a shell do.
fn settle(node: &mut Node<FsDisk>, output: Output<()>) -> Option<Reply> {
    if let Some(lsn) = Lsn::new(output.after)
        && let Err(error) = node.store().wal().wait(lsn)
    {
        return Some(Err(error.into()));
    }
    let compactor = node.store().compactor().clone();
    Some(match output.effect {
        Effect::Reply((), reply) => reply,
        Effect::Save(draft, _) => compactor
            .save(draft.image)
            .map(|snapshot| describe::snapshot(&snapshot).into())
            .map_err(Failure::from),
        Effect::Work(work, _) => work.perform(&compactor, |prepared| {
            let (after, reply) = node.settle(now(), prepared);
            if let Some(lsn) = Lsn::new(after) {
                node.store().wal().wait(lsn)?;
            }
            reply
        }),
        // An offline node has no links.
        Effect::Send { .. } | Effect::Close { .. } => return None,
    })
}
