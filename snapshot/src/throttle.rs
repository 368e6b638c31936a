//! Leaving the disk to those who commit.

use std::thread;
use std::time::Duration;

use icn_wal::disk::Disk;
use icn_wal::{Lsn, Wal};

/// So much is written before the next rest. A chunk at once, three times as long, let one commit in a
/// thousand wait for 2.2 times as long as without a snapshot beside it, this 1.4 times.
pub(crate) const BURST_BYTES: usize = 128 << 10;
const PAUSE: Duration = Duration::from_millis(3);

/// What writes or reads much beside a log, and stands back where the log is in use: its syncs wait for
/// whatever the disk has under way.
pub(crate) struct Throttle<'a, D: Disk> {
    wal: &'a Wal<D>,
    last: Option<Lsn>,
}

impl<'a, D: Disk> Throttle<'a, D> {
    pub(crate) fn new(wal: &'a Wal<D>) -> Self {
        Self { wal, last: wal.last() }
    }

    /// Waits a little if anything has been appended since the last time.
    pub(crate) fn pause_if_busy(&mut self) {
        if self.is_due() {
            thread::sleep(PAUSE);
        }
    }

    fn is_due(&mut self) -> bool {
        let before = std::mem::replace(&mut self.last, self.wal.last());
        before != self.last
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use icn_wal::From;
    use icn_wal::disk::SimDisk;

    use super::*;

    #[test]
    fn only_a_log_in_use_is_given_way() {
        let disk = SimDisk::new(1);
        let wal = Wal::open(disk, From::Beginning, |_| ControlFlow::Continue(())).expect("open").0;
        wal.append(1, &[b"before"]).expect("append");
        let mut throttle = Throttle::new(&wal);
        assert!(!throttle.is_due(), "nobody commits");
        wal.append(1, &[b"beside"]).expect("append");
        assert!(throttle.is_due());
        assert!(!throttle.is_due(), "nobody has since");
    }
}
