//! `icnctl wal dump --follow`: records as they become durable.

use std::io::{self, BufWriter};
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use icn_wal::{Follower, FsDisk};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::wal::{Filter, Lines, told};
use crate::failure::Failure;

/// How long to leave the log alone between two looks. A record is proven durable 20 ms after it at
/// the latest, so that it is shown well within a tenth of a second.
const PAUSE: Duration = Duration::from_millis(40);

/// Writes a line for every record that passes `filter`, those that come too, until there can be no
/// more or nobody reads them.
pub(super) fn follow(log: FsDisk, filter: Filter, as_json: bool) -> Result<(), Failure> {
    let mut follower = Follower::new(log, filter.start());
    let mut lines = Lines::new(filter, as_json, BufWriter::new(io::stdout()));
    lines.head()?;
    loop {
        let mut shown = Ok(ControlFlow::Continue(()));
        let looked = follower.poll(|record| {
            shown = lines.record(record);
            if let Ok(ControlFlow::Continue(())) = shown {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        lines.flush()?;
        if shown?.is_break() {
            return Ok(());
        }
        looked.map_err(told)?;
        if reader_gone_within(PAUSE) {
            return Ok(());
        }
    }
}

/// Waits, and says early when whoever reads standard output has gone: while nothing is written,
/// nothing else would tell.
fn reader_gone_within(pause: Duration) -> bool {
    let stdout = io::stdout();
    let mut stdout = [PollFd::new(&stdout, PollFlags::empty())];
    let timeout = Timespec::try_from(pause).ok();
    match poll(&mut stdout, timeout.as_ref()) {
        Ok(0) | Err(Errno::INTR) => false,
        Ok(_) => true,
        Err(_) => {
            thread::sleep(pause);
            false
        }
    }
}
