//! The thread that prepares segments and writes notes outside the commit path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::disk::Disk;
use crate::limits::RETRY_MS;
use crate::wal::Wal;

/// How long after the last commit the log proves that it was durable, and how often the housekeeper
/// checks whether a new segment is needed.
const IDLE: Duration = Duration::from_millis(20);

/// Checks between two attempts to prepare a segment on a disk that had no space for it.
const RETRY: u128 = RETRY_MS as u128 / IDLE.as_millis();

/// A thread that prepares segments ahead and writes a [note](Wal::note) once the log is idle.
///
/// Then it sleeps until a commit becomes durable or the next segment is missing. It ends when this
/// value is dropped.
pub struct Housekeeper {
    idle_signal: Arc<IdleSignal>,
    /// For this thread only: a log may have several housekeepers.
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Wakes a sleeping housekeeper after a commit.
#[derive(Default)]
pub(crate) struct IdleSignal {
    asleep: AtomicU32,
    lock: Mutex<()>,
    notified: Condvar,
}

impl Housekeeper {
    /// Starts keeping house for `wal`.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start<D: Disk>(wal: Arc<Wal<D>>) -> std::io::Result<Self> {
        let idle_signal = Arc::clone(wal.idle_signal());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("wal-housekeeper".into()).spawn(move || {
            wal.count_housekeeper(true);
            let mut before = 0;
            let mut noted = 0;
            let mut rounds_to_rest = 0;
            while !stopped.load(Ordering::Relaxed) {
                // This failure is not reported: the append that needs the segment fails with it.
                if rounds_to_rest > 0 {
                    rounds_to_rest -= 1;
                } else if wal.lacks_spare() && wal.prepare().is_err() {
                    rounds_to_rest = RETRY;
                }
                let now = wal.durable_lsn();
                if now == before && now != noted && wal.try_note().is_ok_and(|done| done) {
                    noted = now;
                }
                if now == before {
                    let is_idle = || wal.durable_lsn() == now && !wal.lacks_spare();
                    wal.idle_signal().wait_while_idle(&stopped, is_idle);
                }
                before = wal.durable_lsn();
                wal.idle_signal().wait_interval(&stopped);
            }
            wal.count_housekeeper(false);
        })?;
        Ok(Self { idle_signal, stop, thread: Some(thread) })
    }
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
    fn wait_while_idle(&self, stopped: &AtomicBool, may: impl Fn() -> bool) {
        let mut lock = self.lock.lock();
        self.asleep.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if may() && !stopped.load(Ordering::Relaxed) {
            self.notified.wait(&mut lock);
        }
        self.asleep.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sleeps for one [`IDLE`] interval, during which commits may arrive.
    fn wait_interval(&self, stopped: &AtomicBool) {
        let mut lock = self.lock.lock();
        if !stopped.load(Ordering::Relaxed) {
            self.notified.wait_for(&mut lock, IDLE);
        }
    }

    fn wake(&self) {
        // A housekeeper between its last check and its sleep would miss the notification.
        drop(self.lock.lock());
        self.notified.notify_all();
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.idle_signal.wake();
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic; if it did, drop has no caller to report to.
            let _ = thread.join();
        }
    }
}
