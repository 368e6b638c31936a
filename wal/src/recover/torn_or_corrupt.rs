//! Whether the invalid bytes at the end of the log are a torn tail or corruption.

use super::replay::Replay;
use crate::chain::damage;
use crate::damage::Reason;
use crate::disk::Disk;
use crate::error::Error;
use crate::plant::planted;
use crate::reader::Tail;
use crate::segment::SegmentHeader;

impl<D: Disk> Replay<'_, D> {
    /// Decides about the newest segment, whose valid frames end at `stop` without a seal. Bytes
    /// after `stop` are corrupt if a clean stop or a durable mark beyond it proves them durable,
    /// else torn.
    pub(super) fn judge_tail(
        &mut self,
        header: &SegmentHeader,
        stop: u64,
        tail: Tail,
    ) -> Result<(), Error> {
        let number = header.number;
        if planted("every-bad-tail-is-torn") {
            return Ok(());
        }
        if self.clean.segment == number && stop < self.clean.end && !planted("clean-stop-ignored") {
            return Err(damage(self.disk, number, stop, Reason::DamagedBeforeCleanStop));
        }
        if tail.durable > stop {
            return Err(damage(self.disk, number, stop, Reason::DamagedBeforeDurableMark));
        }
        self.scan.recovery.torn_bytes = tail.torn_bytes(header.reused);
        // The LSNs of torn records stay unused: a reader may have seen such a record and must never
        // see another one under its LSN.
        if !planted("number-of-a-torn-record-given-again") {
            self.scan.next_lsn = self.scan.next_lsn.max(tail.next_lsn);
        }
        self.scan.next_frame += tail.frames;
        Ok(())
    }
}
