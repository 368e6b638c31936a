//! The unused end of a segment that an earlier open wrote.

use crate::disk::DiskFile;

/// What may be cut off a segment once another one states where it ends. Without the cut, every life of a
/// process would cost a whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slack {
    pub(crate) number: u64,
    /// The bytes that stay: the frames, the torn tail after them, and the rest of that block.
    pub(crate) keep: u64,
}

impl Slack {
    /// Cuts the end off `file`, the segment, unless the file has another name; returns whether it did. A
    /// failure is no error: the next open finds the same slack.
    pub(crate) fn cut<F: DiskFile>(self, file: &F) -> bool {
        file.has_single_link().unwrap_or(false)
            && file.size().is_ok_and(|size| size > self.keep)
            && file.cut(self.keep).is_ok()
    }
}
