//! The thread that commits on behalf of tickets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

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
            wal.commit_signal().state.lock().committers -= 1;
            // A ticket that came in between finds no committer when it polls again, and leads.
            wal.wake_tickets();
        })?;
        commit_signal.state.lock().committers += 1;
        Ok(Self { commit_signal, stop, thread: Some(thread) })
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        {
            // The thread must not be between its check and its wait, or it would wait for ever.
            let _state = self.commit_signal.state.lock();
            self.stop.store(true, Ordering::Relaxed);
        }
        self.commit_signal.notified.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic; if it did, drop has no caller to report to.
            let _ = thread.join();
        }
    }
}

/// Wakes a committer, if there is one.
#[derive(Default)]
pub(crate) struct CommitSignal {
    state: Mutex<SignalState>,
    notified: Condvar,
}

#[derive(Default)]
struct SignalState {
    committers: u32,
    pending: bool,
}

impl CommitSignal {
    /// Announces work; `false` when no committer runs.
    pub(crate) fn notify(&self) -> bool {
        let mut state = self.state.lock();
        state.pending = true;
        let has_committer = state.committers > 0;
        drop(state);
        self.notified.notify_one();
        has_committer
    }

    /// Waits for work; `false` when the committer should stop.
    fn wait(&self, stop: &AtomicBool) -> bool {
        let mut state = self.state.lock();
        while !state.pending && !stop.load(Ordering::Relaxed) {
            self.notified.wait(&mut state);
        }
        state.pending = false;
        !stop.load(Ordering::Relaxed)
    }
}
