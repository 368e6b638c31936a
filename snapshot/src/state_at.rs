//! Reading the state at a point in time.

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

/// The state at a point in time.
#[derive(Clone, Debug)]
pub struct StateAt<S> {
    /// The state.
    pub state: S,
    /// The last LSN that the state covers, 0 for none.
    pub lsn: u64,
    /// The time of that record in ms since 1970, or the later time of the snapshot if no record was replayed.
    pub time_ms: u64,
    /// The number of restores before the state.
    pub timeline: u64,
    /// The snapshot that the replay started from; `None` for the beginning of the log.
    pub snapshot: Option<SnapshotId>,
    /// How many records were applied to the state of that snapshot.
    pub replayed: u64,
    /// In what the state is weaker than the summaries in the snapshots.
    pub weaker: Vec<Weakness>,
}

impl<S> StateAt<S> {
    /// An image to save as the target of a restore; `None` for the empty state.
    pub(crate) fn into_image(self, created_ms: u64, ran_ms: u64) -> Option<Image<S>> {
        Some(Image {
            lsn: Lsn::new(self.lsn)?.get(),
            state: self.state,
            timeline: self.timeline,
            created_ms,
            ran_ms,
            time_ms: Some(self.time_ms),
            origin: Origin::Target,
            pinned: false,
            labels: Labels::default(),
            save_guard: None,
        })
    }
}

/// Reads the state at a point in time. Takes no lock and changes nothing, so it may run while another
/// process owns the store.
///
/// # Errors
/// [`Error::OutsideWindow`] when the snapshots and the log cannot reproduce the state;
/// [`Error::NoSuchSnapshot`]; those of [`Store::open`](crate::Store::open).
pub fn state_at<S: StateMachine, D: Disk>(disk: &D, at: PointInTime) -> Result<StateAt<S>, Error> {
    let log = log_directory(disk)?;
    let snapshots = Snapshots::open(disk, Retention::default())?;
    if let PointInTime::Snapshot(id) = at {
        let Loaded { header, state, weaker, .. } = snapshots.load_listed::<S>(id)?;
        return Ok(StateAt {
            state,
            lsn: id.lsn,
            time_ms: header.time_ms,
            timeline: header.timeline,
            snapshot: Some(id),
            replayed: 0,
            weaker,
        });
    }
    let replay = Replay::to(&snapshots, &log, at, snapshots.window_start())?;
    let Replay { state, lsn, time_ms, timeline, snapshot, replayed, weaker, .. } = replay;
    Ok(StateAt { state, lsn, time_ms, timeline, snapshot, replayed, weaker })
}
