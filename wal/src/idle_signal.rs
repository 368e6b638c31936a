//! The signal by which a commit wakes a sleeping housekeeper.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Wakes a sleeping housekeeper after a commit.
#[derive(Default)]
pub(crate) struct IdleSignal {
    asleep: AtomicU32,
    lock: Mutex<()>,
    notified: Condvar,
}

impl IdleSignal {
    /// Notifies the housekeeper of possible work. Costs a system call only if a housekeeper sleeps.
    pub(crate) fn notify(&self) {
        // Either this thread sees the sleeper, or the sleeper sees the work in its last check.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) > 0 {
            self.wake();
        }
    }

    /// Sleeps until a notification, unless `may` says that there is work already.
    pub(crate) fn wait_while_idle(&self, stopped: &AtomicBool, may: impl Fn() -> bool) {
        let mut lock = self.lock.lock();
        self.asleep.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if may() && !stopped.load(Ordering::Relaxed) {
            self.notified.wait(&mut lock);
        }
        self.asleep.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sleeps for one `interval`, during which commits may arrive.
    pub(crate) fn wait_for(&self, stopped: &AtomicBool, interval: Duration) {
        let mut lock = self.lock.lock();
        if !stopped.load(Ordering::Relaxed) {
            self.notified.wait_for(&mut lock, interval);
        }
    }

    /// Wakes every housekeeper that sleeps.
    pub(crate) fn wake(&self) {
        // A housekeeper between its last check and its sleep would miss the notification.
        drop(self.lock.lock());
        self.notified.notify_all();
    }
}
