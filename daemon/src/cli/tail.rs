//! `icnctl wal dump --follow`: records as they become durable.

use std::io::{self, BufWriter};
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use icn_wal::{Follower, FsDisk};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::wal::{Filter, Lines, reader_failure};
use crate::failure::Failure;

/// The pause between two reads of the log. A record is proven durable at most 20 ms after its commit, so
/// it is shown well within a tenth of a second.
const PAUSE: Duration = Duration::from_millis(40);

/// Writes a line for every record that passes `filter`, future records included. Ends when no further
/// record can pass, or when the reader of standard output has gone.
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
        looked.map_err(reader_failure)?;
        if reader_gone_within(PAUSE) {
            return Ok(());
        }
    }
}

/// Waits for `pause`; true at once when the reader of standard output has gone. While no line is written,
/// only this poll detects that.
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
