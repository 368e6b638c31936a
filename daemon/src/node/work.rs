//! What takes too long for a turn of the core: states that were, hashes, whole files.

use std::fmt;
use std::path::PathBuf;

use icn_gossip::{Did, NodeId, State};
use icn_snapshot::{Compactor, Image, PointInTime, RestoreTarget, SnapshotId, StateAt, state_at};
use icn_wal::Lsn;
use icn_wal::disk::Disk;
use serde_json::{Value, json};

use crate::control::request::{Moment, Reply};
use crate::failure::Failure;
use crate::node::diff::diff;
use crate::node::import::{self, Found};
use crate::node::machine::Machine;
use crate::node::{describe_digest, describe_plan};

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

/// A `state.snapshot` of the earlier implementation.
#[derive(Debug)]
pub struct Legacy {
    pub(crate) path: PathBuf,
    pub(crate) document: Vec<u8>,
    /// What lay beside it as `….sha256`.
    pub(crate) checksum: Option<String>,
    pub(crate) formerly: Option<Did>,
    pub(crate) dry_run: bool,
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
            Self::Digest(state, lsn) => Ok(describe_digest(&Machine(*state), lsn)),
            Self::DigestAt(lsn) => {
                let past = compactor.state_at::<Machine>(PointInTime::Lsn(lsn))?;
                Ok(describe_digest(&past.state, past.lsn))
            }
            Self::Verify(id) => {
                compactor.verify::<Machine>(id)?;
                Ok(json!({ "id": id.to_string(), "verified": true }))
            }
            Self::Delete(id) => {
                compactor.delete(id)?;
                Ok(json!({ "deleted": id.to_string() }))
            }
            Self::Pin(id, pinned) => {
                compactor.pin(id, pinned)?;
                Ok(json!({ "id": id.to_string(), "pinned": pinned }))
            }
            Self::Prune { dry_run: true } => Ok(describe_plan(&compactor.plan())),
            Self::Prune { dry_run: false } => Ok(describe_plan(&compactor.prune()?)),
            Self::Diff(from, to) => Ok(tell(
                from.state(|at| Ok(compactor.state_at(at)?))?,
                to.state(|at| Ok(compactor.state_at(at)?))?,
            )),
            Self::Preview(present, lsn, at) => {
                let past = compactor.state_at(at)?;
                Ok(preview(*present, json!({ "lsn": lsn, "now": true }), past))
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
        then: impl FnOnce(PointInTime) -> Result<StateAt<Machine>, Failure>,
    ) -> Result<(State, Value), Failure> {
        Ok(match self {
            Self::Now(state, lsn) => (*state, json!({ "lsn": lsn, "now": true })),
            Self::Then(at) => describe(then(at)?),
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
        Ok::<_, Failure>(describe(state_at::<Machine, D>(disk, at)?))
    };
    Ok(tell(side(from)?, side(to)?))
}

/// Previews a restore by the files alone.
///
/// # Errors
/// Those of [`state_at`].
pub(crate) fn preview_offline<D: Disk>(disk: &D, to: &Moment) -> Reply {
    let (present, told) = describe(state_at::<Machine, D>(disk, PointInTime::Latest)?);
    Ok(preview(present, told, state_at(disk, to.at()?)?))
}

/// What must not go back does not: how far the logs have come, above all.
fn preview(present: State, told: Value, past: StateAt<Machine>) -> Value {
    let (image, told_to) = describe(past);
    let epoch = present.node().map_or(0, |node| node.epoch);
    let restored = present.restore(image, epoch);
    tell((present, told), (restored, told_to))
}

fn describe(past: StateAt<Machine>) -> (State, Value) {
    let StateAt { state, lsn, time_ms, timeline, .. } = past;
    (state.0, json!({ "lsn": lsn, "time": time_ms, "timeline": timeline, "now": false }))
}

fn tell((from, told_from): (State, Value), (to, told_to): (State, Value)) -> Value {
    let mut told = diff(&from, &to);
    told["from"] = told_from;
    told["to"] = told_to;
    told
}
