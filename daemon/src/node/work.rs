//! Work that takes longer than a turn may: earlier states, digests, whole files.

use std::fmt;
use std::path::PathBuf;

use icn_gossip::{Did, NodeId, State};
use icn_snapshot::{Compactor, Image, PointInTime, RestoreTarget, SnapshotId, StateAt, state_at};
use icn_wal::Lsn;
use icn_wal::disk::Disk;

use super::describe;
use crate::control::reply::diff::Side as SideReply;
use crate::control::reply::{Deleted, Diff, Pinned, Reply, Verified};
use crate::control::request::Moment;
use crate::failure::Failure;
use crate::node::diff::diff;
use crate::node::import::{self, Found, Legacy};
use crate::node::machine::Machine;

/// Work of the worker thread.
#[derive(Debug)]
pub enum Work {
    /// Compute the digest of a state at an LSN.
    Digest(Box<State>, u64),
    /// Rebuild the state at an LSN and compute its digest.
    DigestAt(Lsn),
    /// Read a snapshot to its end and verify it.
    Verify(SnapshotId),
    /// Retire a snapshot.
    Delete(SnapshotId),
    /// Pin or unpin a snapshot.
    Pin(SnapshotId, bool),
    /// Retire the snapshots that the retention rules do not keep.
    Prune {
        /// Only report what would happen.
        dry_run: bool,
    },
    /// Compare two states.
    Diff(Side, Side),
    /// Show what a restore would change in the present state.
    Preview(Box<State>, u64, PointInTime),
    /// Restore the state of a point in time. The image is of the present state, for undo.
    Restore(PointInTime, Box<Image<Machine>>),
    /// Import a state from a file; without a time, only report what would be imported.
    Import {
        /// The path of the file.
        path: PathBuf,
        /// The importing node.
        node: NodeId,
        /// The time of the import, in ms since 1970.
        now_ms: Option<u64>,
        /// The DID of the node in the earlier implementation.
        formerly: Option<Did>,
    },
}

/// Prepared work that the core commits.
#[derive(Debug)]
pub enum Prepared {
    /// A state to restore.
    Restore(Box<RestoreTarget<Machine>>),
    /// A `state.snapshot` of the earlier implementation.
    Legacy(Legacy),
}

impl fmt::Display for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restore(target) => write!(f, "Restoring the state of #{}", target.id().lsn),
            Self::Legacy(legacy) => write!(f, "Importing {}", legacy.path.display()),
        }
    }
}

/// One side of a comparison.
#[derive(Debug)]
pub enum Side {
    /// The present state.
    Now(Box<State>, u64),
    /// An earlier state.
    Then(PointInTime),
}

impl Work {
    /// Does the work. `settle` has the core commit prepared work, and returns once that is durable.
    ///
    /// # Errors
    /// Why the work cannot be done.
    pub fn perform<D: Disk>(
        self,
        compactor: &Compactor<D>,
        settle: impl FnOnce(Prepared) -> Reply,
    ) -> Reply {
        match self {
            Self::Digest(state, lsn) => Ok(describe::state_digest(&Machine(*state), lsn).into()),
            Self::DigestAt(lsn) => {
                let past = compactor.state_at::<Machine>(PointInTime::Lsn(lsn))?;
                Ok(describe::state_digest(&past.state, past.lsn).into())
            }
            Self::Verify(id) => {
                compactor.verify::<Machine>(id)?;
                Ok(Verified { id: id.to_string(), verified: true }.into())
            }
            Self::Delete(id) => {
                compactor.delete(id)?;
                Ok(Deleted { deleted: id.to_string() }.into())
            }
            Self::Pin(id, pinned) => {
                compactor.pin(id, pinned)?;
                Ok(Pinned { id: id.to_string(), pinned }.into())
            }
            Self::Prune { dry_run: true } => Ok(describe::plan(&compactor.plan()).into()),
            Self::Prune { dry_run: false } => Ok(describe::plan(&compactor.prune()?).into()),
            Self::Diff(from, to) => {
                let (from, from_side) = from.state(|at| Ok(compactor.state_at(at)?))?;
                let (to, to_side) = to.state(|at| Ok(compactor.state_at(at)?))?;
                Ok(diff((&from, from_side), (&to, to_side)).into())
            }
            Self::Preview(present, lsn, at) => {
                let past = compactor.state_at(at)?;
                Ok(preview(*present, now(lsn), past).into())
            }
            Self::Restore(at, present) => {
                settle(Prepared::Restore(Box::new(compactor.prepare_restore(at, *present)?)))
            }
            Self::Import { path, node, now_ms, formerly } => {
                match import::read(path, formerly, now_ms.is_none())? {
                    Found::Legacy(legacy) => settle(Prepared::Legacy(legacy)),
                    Found::State(state, name) => {
                        import::as_snapshot(compactor, *state, &name, &node, now_ms)
                    }
                }
            }
        }
    }
}

impl Side {
    fn state(
        self,
        state_at: impl FnOnce(PointInTime) -> Result<StateAt<Machine>, Failure>,
    ) -> Result<(State, SideReply), Failure> {
        Ok(match self {
            Self::Now(state, lsn) => (*state, now(lsn)),
            Self::Then(at) => then(state_at(at)?),
        })
    }
}

/// Compares two points in time by the files alone; an absent side is the latest state.
///
/// # Errors
/// Those of [`state_at`].
pub(crate) fn compare<D: Disk>(disk: &D, from: Option<&Moment>, to: Option<&Moment>) -> Reply {
    let side = |moment: Option<&Moment>| {
        let at = moment.map_or(Ok(PointInTime::Latest), Moment::at)?;
        Ok::<_, Failure>(then(state_at::<Machine, D>(disk, at)?))
    };
    let (from, from_side) = side(from)?;
    let (to, to_side) = side(to)?;
    Ok(diff((&from, from_side), (&to, to_side)).into())
}

/// Previews a restore by the files alone.
///
/// # Errors
/// Those of [`state_at`].
pub(crate) fn preview_offline<D: Disk>(disk: &D, to: &Moment) -> Reply {
    let (present, present_side) = then(state_at::<Machine, D>(disk, PointInTime::Latest)?);
    Ok(preview(present, present_side, state_at(disk, to.at()?)?).into())
}

/// A restore does not move everything back: heads of author logs above all.
fn preview(present: State, present_side: SideReply, past: StateAt<Machine>) -> Diff {
    let (image, to_side) = then(past);
    let epoch = present.node().map_or(0, |node| node.epoch);
    let restored = present.restore(image, epoch);
    diff((&present, present_side), (&restored, to_side))
}

fn now(lsn: u64) -> SideReply {
    SideReply { lsn, time: None, timeline: None, now: true }
}

fn then(past: StateAt<Machine>) -> (State, SideReply) {
    let StateAt { state, lsn, time_ms, timeline, .. } = past;
    (state.0, SideReply { lsn, time: Some(time_ms), timeline: Some(timeline), now: false })
}
