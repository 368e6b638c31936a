//! What takes too long for a turn of the core: states that were, hashes, whole files.

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

/// Something to be done beside the core.
#[derive(Debug)]
pub enum Work {
    /// To hash a state.
    Digest(Box<State>, u64),
    /// To rebuild the state at an LSN and hash it.
    DigestAt(Lsn),
    /// To read a snapshot to its end.
    Verify(SnapshotId),
    /// To retire a snapshot.
    Delete(SnapshotId),
    /// To have a snapshot stay, or the rules decide about it again.
    Pin(SnapshotId, bool),
    /// To retire what the rules do not keep.
    Prune {
        /// Only to say what would happen.
        dry_run: bool,
    },
    /// To say what lies between two states.
    Diff(Side, Side),
    /// To say what going back to a moment would change in the state that is.
    Preview(Box<State>, u64, PointInTime),
    /// To go back: the state of a moment becomes the present one. The image is of the present.
    Restore(PointInTime, Box<Image<Machine>>),
    /// To take in a state from a file; without a time, only to say what would be taken.
    Import {
        /// Which file.
        path: PathBuf,
        /// The node that takes it in.
        node: NodeId,
        /// When: ms since 1970.
        now_ms: Option<u64>,
        /// Who the node was in the earlier implementation.
        formerly: Option<Did>,
    },
}

/// What is ready for the core to make it so.
#[derive(Debug)]
pub enum Prepared {
    /// A state to go back to.
    Restore(Box<RestoreTarget<Machine>>),
    /// What the earlier implementation left.
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
    /// The state as it is.
    Now(Box<State>, u64),
    /// One that was.
    Then(PointInTime),
}

impl Work {
    /// Does it. `settle` has the core do what only the core may, and returns once that is durable.
    ///
    /// # Errors
    /// Why it cannot be done.
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
                let (from, told_from) = from.state(|at| Ok(compactor.state_at(at)?))?;
                let (to, told_to) = to.state(|at| Ok(compactor.state_at(at)?))?;
                Ok(diff((&from, told_from), (&to, told_to)).into())
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

/// Compares two moments by the files alone; the latest state for none.
///
/// # Errors
/// Those of [`state_at`].
pub(crate) fn compare<D: Disk>(disk: &D, from: Option<&Moment>, to: Option<&Moment>) -> Reply {
    let side = |moment: Option<&Moment>| {
        let at = moment.map_or(Ok(PointInTime::Latest), Moment::at)?;
        Ok::<_, Failure>(then(state_at::<Machine, D>(disk, at)?))
    };
    let (from, told_from) = side(from)?;
    let (to, told_to) = side(to)?;
    Ok(diff((&from, told_from), (&to, told_to)).into())
}

/// Previews a restore by the files alone.
///
/// # Errors
/// Those of [`state_at`].
pub(crate) fn preview_offline<D: Disk>(disk: &D, to: &Moment) -> Reply {
    let (present, told) = then(state_at::<Machine, D>(disk, PointInTime::Latest)?);
    Ok(preview(present, told, state_at(disk, to.at()?)?).into())
}

/// What must not go back does not: how far the logs have come, above all.
fn preview(present: State, told: SideReply, past: StateAt<Machine>) -> Diff {
    let (image, told_to) = then(past);
    let epoch = present.node().map_or(0, |node| node.epoch);
    let restored = present.restore(image, epoch);
    diff((&present, told), (&restored, told_to))
}

fn now(lsn: u64) -> SideReply {
    SideReply { lsn, time: None, timeline: None, now: true }
}

fn then(past: StateAt<Machine>) -> (State, SideReply) {
    let StateAt { state, lsn, time_ms, timeline, .. } = past;
    (state.0, SideReply { lsn, time: Some(time_ms), timeline: Some(timeline), now: false })
}
