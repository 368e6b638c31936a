//! States that were, and the way back to them.

use std::fmt;
use std::ops::ControlFlow;

use icn_wal::disk::Disk;
use icn_wal::{From as Start, Lsn};

use crate::catalogue::{Entry, Origin};
use crate::error::Error;
use crate::file::Loaded;
use crate::id::SnapshotId;
use crate::image::Image;
use crate::labels::Labels;
use crate::machine::{StateMachine, Weakness};
use crate::policy::Rotation;
use crate::replay::Replay;
use crate::shelf::Shelf;
use crate::store::log_directory;

/// A moment in the life of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The end of the log.
    Latest,
    /// Right after the record with this LSN.
    Lsn(Lsn),
    /// After the last record whose time is at or before this: ms since 1970. The log never lets time
    /// go back, so this means one LSN whatever the clock has done.
    Time(u64),
    /// What a snapshot holds.
    Snapshot(SnapshotId),
}

impl At {
    fn includes(self, lsn: Lsn, time_ms: u64) -> bool {
        match self {
            Self::Latest => true,
            Self::Lsn(last) => lsn <= last,
            Self::Time(last_ms) => time_ms <= last_ms,
            Self::Snapshot(id) => lsn.get() <= id.lsn,
        }
    }

    fn can_start_from(self, entry: &Entry) -> bool {
        Lsn::new(entry.lsn).is_some_and(|lsn| self.includes(lsn, entry.time_ms))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("the latest state"),
            Self::Lsn(lsn) => write!(f, "LSN {lsn}"),
            Self::Time(time_ms) => write!(f, "the time {time_ms}"),
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
        }
    }
}

/// A state that was.
#[derive(Clone, Debug)]
pub struct Past<S> {
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

impl<S> Past<S> {
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
            promise: None,
        })
    }
}

/// The LSNs from `first` to `last`: every state right after one of them can be shown and restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first one.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// The restore window by the files, without a lock and without changing anything.
///
/// # Errors
/// Those of [`icn_wal::read`]; [`Error::Io`].
pub fn window<D: Disk>(disk: &D) -> Result<Window, Error> {
    let first = Shelf::open(disk, Rotation::default())?.window_start();
    Ok(Window { first, last: last(&log_directory(disk)?)? })
}

/// The state as it was. Reads only: no lock is taken and nothing is changed, also beside a running
/// store.
///
/// # Errors
/// [`Error::OutsideWindow`] when snapshots and log cannot show that state,
/// [`Error::NoSuchSnapshot`]; those of [`Store::open`](crate::Store::open).
pub fn state_at<S: StateMachine, D: Disk>(disk: &D, at: At) -> Result<Past<S>, Error> {
    let log = log_directory(disk)?;
    let shelf = Shelf::open(disk, Rotation::default())?;
    if let At::Snapshot(id) = at {
        let Loaded { header, state, weaker, .. } = shelf.load_listed::<S>(id)?;
        let (time_ms, timeline) = (header.time_ms, header.timeline);
        let (lsn, snapshot) = (id.lsn, Some(id));
        return Ok(Past { state, lsn, time_ms, timeline, snapshot, replayed: 0, weaker });
    }
    past(&shelf, &log, at, shelf.window_start())
}

/// The state as it was, by the snapshots and the log; none of before `first` but what a snapshot holds
/// by itself.
pub(crate) fn past<S: StateMachine, D: Disk>(
    shelf: &Shelf<D>,
    log: &D,
    at: At,
    first: u64,
) -> Result<Past<S>, Error> {
    let (mut replay, _) = Replay::<S>::start(shelf, |entry| at.can_start_from(entry))?;
    let outside = |last| Error::OutsideWindow { wanted: at, first, last };
    let mut beyond = false;
    // A restore point of its own needs no log, and may have none.
    if !matches!(at, At::Lsn(wanted) if wanted.get() == replay.lsn) {
        let read = icn_wal::read(log, replay.from(), |record| {
            if !at.includes(record.lsn, record.time_ms) {
                beyond = true;
                return ControlFlow::Break(());
            }
            replay.apply(shelf, log, record)
        });
        match read {
            Err(icn_wal::Error::Stopped { .. }) if beyond => {}
            // What is needed to go on from there may be gone, record or snapshot.
            _ if at != At::Latest && replay.lsn < first => return Err(outside(last(log)?)),
            other => {
                replay.outcome(other)?;
            }
        }
    }
    let Replay { state, lsn, time_ms, timeline, snapshot, replayed, weaker, .. } = replay;
    let there = match at {
        At::Lsn(wanted) => lsn == wanted.get() && (lsn >= first || replayed == 0),
        At::Time(_) => lsn >= first,
        At::Latest | At::Snapshot(_) => true,
    };
    if !there {
        return Err(outside(last(log)?));
    }
    Ok(Past { state, lsn, time_ms, timeline, snapshot, replayed, weaker })
}

/// The last LSN of the log.
fn last<D: Disk>(log: &D) -> Result<u64, Error> {
    Ok(icn_wal::read(log, Start::Oldest, |_| ControlFlow::Continue(()))?.last_lsn)
}
