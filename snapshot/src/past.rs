//! States that were.

use std::ops::ControlFlow;

use icn_wal::{Disk, Lsn};

use crate::error::Error;
use crate::machine::StateMachine;
use crate::replay::Replay;
use crate::shelf::Shelf;
use crate::store::log_directory;

/// The state as it was at `upto` (the latest there is if `None`), and the LSN it is of. Reads only:
/// no lock is taken and nothing is changed, also beside a running store.
///
/// # Errors
/// [`Error::OutsideWindow`] when snapshots and log cannot show that state; those of
/// [`Store::open`](crate::Store::open).
pub fn state_at<S: StateMachine, D: Disk>(disk: &D, upto: Option<Lsn>) -> Result<(S, u64), Error> {
    let log = log_directory(disk)?;
    let shelf = Shelf::open(disk)?;
    let (mut replay, _) = Replay::<S>::start(&shelf, upto)?;
    let mut lsn = replay.snapshot.map_or(0, |id| id.lsn);
    let wanted = upto.map_or(u64::MAX, Lsn::get);
    let read = icn_wal::read(&log, replay.from(), |record| {
        if record.lsn.get() > wanted {
            return ControlFlow::Break(());
        }
        lsn = record.lsn.get();
        replay.apply(&shelf, record)
    });
    match read {
        Err(icn_wal::Error::Stopped { lsn }) if lsn.get() > wanted => {}
        other => {
            replay.outcome(other)?;
        }
    }
    match upto {
        Some(upto) if lsn != upto.get() => {
            Err(Error::OutsideWindow { wanted: upto.get(), last: lsn })
        }
        _ => Ok((replay.state, lsn)),
    }
}
