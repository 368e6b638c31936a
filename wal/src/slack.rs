//! The unused end of a segment that an earlier open wrote.

use crate::disk::{Disk, DiskFile};
use crate::segment::segment_name;
use crate::sync::Mutex;
use crate::writer::KeptSegments;

/// What may be cut off a segment once another one states where it ends. Without the cut, every life of a
/// process would cost a whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slack {
    pub(crate) number: u64,
    /// The bytes that stay: the frames, the torn tail after them, and the rest of that block.
    pub(crate) keep: u64,
}

impl Slack {
    /// Cuts the end off, if the segment is still part of the log and has one name only. A failure is no
    /// error: the next open finds the same slack.
    pub(crate) fn cut<D: Disk>(self, disk: &D, kept: &Mutex<KeptSegments>) {
        // Under this lock no drop takes the segment and makes its file the next one.
        let mut kept = kept.lock();
        let Some(segment) = kept.segments.iter_mut().find(|kept| kept.number == self.number) else {
            return;
        };
        let Ok(file) = disk.open(&segment_name(self.number)) else { return };
        let single = file.has_single_link().unwrap_or(false);
        if single && file.size().is_ok_and(|size| size > self.keep) && file.cut(self.keep).is_ok() {
            segment.bytes = self.keep;
        }
    }
}
