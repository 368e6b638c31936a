//! The progress of lines on standard output: written, flushed, and taken by the reader.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use rustix::io::ioctl_fionread;

/// Lines by the byte at which they end. A line in a pipe is lost with its reader, so it does not count as
/// taken. At most as many lines are stored as the pipe holds.
pub(super) struct Written {
    pipe: bool,
    /// Bytes written, and bytes flushed.
    bytes: u64,
    flushed: u64,
    /// The end of each line in bytes, and its arrival.
    untaken: VecDeque<(u64, u64)>,
    taken: u64,
}

impl Written {
    /// No line yet.
    pub(super) fn new() -> Self {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        let kind = stdout.and_then(|stdout| File::from(stdout).metadata());
        let pipe = kind.is_ok_and(|kind| kind.file_type().is_fifo());
        Self { pipe, bytes: 0, flushed: 0, untaken: VecDeque::new(), taken: 0 }
    }

    /// A line of so many bytes about `arrival` was written.
    pub(super) fn line(&mut self, bytes: u64, arrival: u64) {
        self.bytes += bytes;
        self.untaken.push_back((self.bytes, arrival));
    }

    /// All written lines were flushed.
    pub(super) fn flush(&mut self) {
        self.flushed = self.bytes;
    }

    /// The last arrival that was written.
    pub(super) fn last(&self) -> u64 {
        self.untaken.back().map_or(self.taken, |(_, arrival)| *arrival)
    }

    /// The last arrival that was taken.
    pub(super) fn taken(&mut self) -> u64 {
        // A pipe that does not report its fill is treated as a file: written lines count as taken.
        let unread = if self.pipe { ioctl_fionread(io::stdout()).unwrap_or(0) } else { 0 };
        self.take(unread)
    }

    fn take(&mut self, unread: u64) -> u64 {
        while let Some((end, arrival)) = self.untaken.front() {
            if *end > self.flushed.saturating_sub(unread) {
                break;
            }
            self.taken = *arrival;
            self.untaken.pop_front();
        }
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_unread_in_the_pipe_does_not_count_as_taken() {
        let untaken = VecDeque::new();
        let mut written = Written { pipe: true, bytes: 0, flushed: 0, untaken, taken: 0 };
        assert_eq!(written.take(0), 0);
        assert_eq!(written.last(), 0);
        for arrival in [3, 5, 9] {
            written.line(10, arrival);
        }
        assert_eq!(written.take(0), 0, "nothing is flushed");
        written.flush();
        assert_eq!(written.last(), 9);
        for (unread, taken) in [(30, 0), (21, 0), (20, 3), (11, 3), (40, 3), (1, 5), (0, 9)] {
            assert_eq!(written.take(unread), taken, "{unread} bytes are unread");
        }
        assert_eq!(written.take(5), 9);
        assert_eq!(written.last(), 9);
    }
}
