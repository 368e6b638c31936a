//! How many files a process may open, sockets included, and how a node shares them out.
//!
//! Invariant: connections at all their bounds leave [`RESERVED`] files to the log, the snapshots and the
//! links. Otherwise clients that only connect would stop the log.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// HTTP connections at once, each for one request.
pub const HTTP_CONNECTIONS_MAX: usize = 64;

/// Streams at once. Each holds a page in memory while its consumer does not read.
pub const STREAMS_MAX: usize = 256;

/// Connections to the control socket at once. Streams at their bound leave some for other requests.
pub const CONTROL_CONNECTIONS_MAX: usize = 320;

/// How long an HTTP connection may take for its request and the response.
pub const HTTP_CONNECTION_MS_MAX: u64 = 10_000;

/// How long the rest of a request to the control socket may take once its first byte is there.
pub const REQUEST_MS_MAX: u64 = 10_000;

/// How long a client of the control socket may leave replies unread. A pager that an operator has paused
/// does.
pub const UNREAD_MS_MAX: u64 = 600_000;

/// Files that connections leave to the node, which has about 30 open and a few more for a snapshot.
pub const RESERVED: u64 = 64;

/// The least that a node starts with.
pub const FILES_MIN: u64 = 80;

/// One connection at each socket is accepted before there is a place for it.
const NEWCOMERS: u64 = 2;

/// The least with which no bound on connections is lowered.
pub const FILES_WANTED: u64 =
    RESERVED + NEWCOMERS + (HTTP_CONNECTIONS_MAX + CONTROL_CONNECTIONS_MAX) as u64;

const _: () = assert!(STREAMS_MAX < CONTROL_CONNECTIONS_MAX);
const _: () = assert!(FILES_MIN > RESERVED + NEWCOMERS + 8);

/// How many connections a process may have that may open `files` files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Files that the process may have open at once.
    pub files: u64,
    /// HTTP connections.
    pub http: usize,
    /// Connections to the control socket.
    pub control: usize,
    /// Those of them that follow topics.
    pub streams: usize,
}

impl Budget {
    /// The budget of a process that may have `files` open at once.
    #[must_use]
    pub fn of(files: u64) -> Self {
        let room = files.saturating_sub(RESERVED + NEWCOMERS);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let http = (room / 4).clamp(1, HTTP_CONNECTIONS_MAX);
        let control = room.saturating_sub(http).clamp(1, CONTROL_CONNECTIONS_MAX);
        // A fifth is left for requests.
        let streams = (control * 4 / 5).min(STREAMS_MAX);
        Self { files, http, control, streams }
    }

    /// The budget of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(most())
    }

    /// Whether some bounds are lower than they would be with more files.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.files < FILES_WANTED
    }
}

/// Raises the limit of this process as far as its account may. Programs that need few files are given
/// few; this one does not use `select`, for which that is done.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // A refusal leaves what there was.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// How many files this process may have open at once.
#[must_use]
pub fn most() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many files this process has open; `None` where the system does not list them.
#[must_use]
pub fn open() -> Option<u64> {
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // One of them is the list itself.
    Some(listed.saturating_sub(1))
}

/// Why no file could be opened, and what to do: as two sentences, `None` for any other error.
#[must_use]
pub fn shortage(error: &io::Error) -> Option<(String, String)> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => {
            let why = format!("This process may have {} files open at once, and has.", most());
            Some((why, how_to_raise()))
        }
        Errno::NFILE => {
            let why = "All processes of this machine have as many files open as it allows.";
            let advice = "End some processes, or raise the limit: sysctl fs.file-max";
            Some((why.to_owned(), advice.to_owned()))
        }
        _ => None,
    }
}

/// How an operator lets a process open more files.
#[must_use]
pub fn how_to_raise() -> String {
    format!(
        "Raise the limit: ulimit -n {FILES_WANTED} in the shell that starts it, or \
         LimitNOFILE={FILES_WANTED} in its systemd unit"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_at_their_bounds_leave_the_reserve() {
        for files in FILES_MIN..2 * FILES_WANTED {
            let budget = Budget::of(files);
            let Budget { http, control, streams, .. } = budget;
            let used = (http + control) as u64 + NEWCOMERS;
            assert!(files - used >= RESERVED, "{budget:?}");
            assert!(http > 2 && control > 8 && streams < control, "{budget:?}");
            assert_eq!(budget.is_short(), files < FILES_WANTED);
        }
        let Budget { http, control, streams, .. } = Budget::of(u64::MAX);
        assert_eq!((http, control, streams), (HTTP_CONNECTIONS_MAX, CONTROL_CONNECTIONS_MAX, 256));
        assert_eq!(
            Budget::of(FILES_WANTED),
            Budget { files: FILES_WANTED, ..Budget::of(u64::MAX) }
        );
    }
}
