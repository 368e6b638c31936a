//! States that were, and the way back to them.

use icn_wal::Lsn;
use icn_wal::disk::Disk;

use crate::error::Error;
use crate::file::Loaded;
use crate::id::SnapshotId;
use crate::image::Image;
use crate::labels::Labels;
use crate::log_directory::log_directory;
use crate::machine::{StateMachine, Weakness};
use crate::origin::Origin;
use crate::point_in_time::PointInTime;
use crate::policy::Retention;
use crate::replay::Replay;
use crate::snapshots::Snapshots;

/// A state that was.
#[derive(Clone, Debug)]
pub struct StateAt<S> {
    /// The state.
    pub state: S,
    /// The last LSN that is in it, 0 for none.
    pub lsn: u64,
    /// The time of that record, or of a later one when it was not looked at: ms since 1970.
    pub time_ms: u64,
    /// The branch of history.
    pub timeline: u64,
    /// The snapshot that it was read from.
    pub snapshot: Option<SnapshotId>,
    /// The records that were applied to that.
    pub replayed: u64,
    /// In what it is weaker than the snapshots say it was.
    pub weaker: Vec<Weakness>,
}

impl<S> StateAt<S> {
    /// An image of it, to be kept as the target of a restore; `None` when there is nothing in it.
    pub(crate) fn into_image(self, created_ms: u64) -> Option<Image<S>> {
        Some(Image {
            lsn: Lsn::new(self.lsn)?.get(),
            state: self.state,
            timeline: self.timeline,
            created_ms,
            time_ms: Some(self.time_ms),
            origin: Origin::Target,
            pinned: false,
            labels: Labels::default(),
            save_guard: None,
        })
    }
}

/// The state as it was. Reads only: no lock is taken and nothing is changed, also beside a running
/// store.
///
/// # Errors
/// [`Error::OutsideWindow`] when snapshots and log cannot show that state,
/// [`Error::NoSuchSnapshot`]; those of [`Store::open`](crate::Store::open).
pub fn state_at<S: StateMachine, D: Disk>(disk: &D, at: PointInTime) -> Result<StateAt<S>, Error> {
    let log = log_directory(disk)?;
    let snapshots = Snapshots::open(disk, Retention::default())?;
    if let PointInTime::Snapshot(id) = at {
        let Loaded { header, state, weaker, .. } = snapshots.load_listed::<S>(id)?;
        let (time_ms, timeline) = (header.time_ms, header.timeline);
        let (lsn, snapshot) = (id.lsn, Some(id));
        return Ok(StateAt { state, lsn, time_ms, timeline, snapshot, replayed: 0, weaker });
    }
    let replay = Replay::to(&snapshots, &log, at, snapshots.window_start())?;
    let Replay { state, lsn, time_ms, timeline, snapshot, replayed, weaker, .. } = replay;
    Ok(StateAt { state, lsn, time_ms, timeline, snapshot, replayed, weaker })
}
