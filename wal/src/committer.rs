//! The thread that commits on behalf of tickets.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};

use crate::commit_signal::CommitSignal;
use crate::disk::Disk;
use crate::wal::Wal;

/// A thread that writes and syncs the groups of [tickets](Wal::ticket), one after the other, for as
/// long as there are any. It ends when this value is dropped.
pub struct Committer {
    commit_signal: Arc<CommitSignal>,
    /// For this thread only: a log may have several committers.
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts committing for `wal`. One committer is enough.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start<D: Disk>(wal: Arc<Wal<D>>) -> std::io::Result<Self> {
        let commit_signal = Arc::clone(wal.commit_signal());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("wal-committer".into()).spawn(move || {
            while wal.commit_signal().wait(&stopped) {
                wal.commit_for_tickets();
            }
            wal.commit_signal().committer_ended();
            // A ticket that came in between finds no committer when it polls again, and leads.
            wal.wake_tickets();
        })?;
        commit_signal.committer_started();
        Ok(Self { commit_signal, stop, thread: Some(thread) })
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.commit_signal.stop(&self.stop);
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic; if it did, drop has no caller to report to.
            let _ = thread.join();
        }
    }
}
