//! Pauses that leave the disk to the log while it is in use.

use std::thread;
use std::time::Duration;

use icn_wal::disk::Disk;
use icn_wal::{Lsn, Wal};

/// Bytes written between two pauses. Measured: one commit in a thousand waits 1.4 times as long as without a
/// concurrent snapshot. With a whole chunk at once, which is three times as long, it is 2.2 times.
pub(crate) const BURST_BYTES: usize = 128 << 10;
const PAUSE: Duration = Duration::from_millis(3);

/// Slows down a writer or reader of many bytes while records are appended to the log. Without it, a sync of
/// the log waits for all bytes that the disk has in flight.
pub(crate) struct Throttle<'a, D: Disk> {
    wal: &'a Wal<D>,
    last: Option<Lsn>,
}

impl<'a, D: Disk> Throttle<'a, D> {
    pub(crate) fn new(wal: &'a Wal<D>) -> Self {
        Self { wal, last: wal.last() }
    }

    /// Sleeps for 3 ms if a record was appended since the last call.
    pub(crate) fn pause_if_busy(&mut self) {
        if self.log_has_grown() {
            thread::sleep(PAUSE);
        }
    }

    fn log_has_grown(&mut self) -> bool {
        let before = std::mem::replace(&mut self.last, self.wal.last());
        before != self.last
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use icn_wal::ReplayFrom;
    use icn_wal::disk::SimDisk;

    use super::*;

    #[test]
    fn the_throttle_pauses_only_while_records_are_appended() {
        let disk = SimDisk::new(1);
        let wal =
            Wal::open(disk, ReplayFrom::Beginning, |_| ControlFlow::Continue(())).expect("open").0;
        wal.append(1, &[b"before"]).expect("append");
        let mut throttle = Throttle::new(&wal);
        assert!(!throttle.log_has_grown(), "no record since the throttle was made");
        wal.append(1, &[b"concurrent"]).expect("append");
        assert!(throttle.log_has_grown());
        assert!(!throttle.log_has_grown(), "no record since the last call");
    }
}
