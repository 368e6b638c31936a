//! The signal by which a ticket wakes a committer.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

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
    pub(crate) fn wait(&self, stop: &AtomicBool) -> bool {
        let mut state = self.state.lock();
        while !state.pending && !stop.load(Ordering::Relaxed) {
            self.notified.wait(&mut state);
        }
        state.pending = false;
        !stop.load(Ordering::Relaxed)
    }

    /// Counts a committer whose thread runs.
    pub(crate) fn committer_started(&self) {
        self.state.lock().committers += 1;
    }

    /// Counts a committer whose thread waits no more.
    pub(crate) fn committer_ended(&self) {
        self.state.lock().committers -= 1;
    }

    /// Sets the `stop` of one committer, and wakes its thread.
    pub(crate) fn stop(&self, stop: &AtomicBool) {
        {
            // The thread must not be between its check and its wait, or it would wait for ever.
            let _state = self.state.lock();
            stop.store(true, Ordering::Relaxed);
        }
        self.notified.notify_all();
    }
}
