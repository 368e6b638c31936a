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
    /// The newest segment ends at `stop` without a seal: torn, or damaged?
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
        self.scan.recovery.torn_bytes = if header.reused { tail.framed } else { tail.bytes };
        // A record that left a trace keeps its number: whoever saw the trace must never meet
        // another record under it.
        if !planted("number-of-a-torn-record-given-again") {
            self.scan.next_lsn = self.scan.next_lsn.max(tail.next_lsn);
        }
        self.scan.next_frame += tail.frames;
        Ok(())
    }
}
