//! The work that is better done beside the commits than in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::disk::Disk;
use crate::limits::RETRY_MS;
use crate::wal::Wal;

/// How long after the last commit the log proves that it was durable, and how often the need for a
/// new segment is looked at.
const IDLE: Duration = Duration::from_millis(20);

/// Looks at a log between two tries to prepare a segment on a disk that had no room for it.
const RETRY: u128 = RETRY_MS as u128 / IDLE.as_millis();

/// A thread that prepares segments ahead and writes a [note](Wal::note) once the log is idle. Then it
/// sleeps until something becomes durable or the next segment is missing. It ends when this value is dropped.
pub struct Housekeeper {
    idle_signal: Arc<IdleSignal>,
    /// Of this one's thread only: there may be others.
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Where a housekeeper sleeps, and commits knock.
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
    /// When the system has no thread to give.
    pub fn start<D: Disk>(wal: Arc<Wal<D>>) -> std::io::Result<Self> {
        let idle_signal = Arc::clone(wal.idle_signal());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("wal-housekeeper".into()).spawn(move || {
            wal.count_housekeeper(true);
            let (mut before, mut noted, mut rounds_to_rest) = (0, 0, 0);
            while !stopped.load(Ordering::Relaxed) {
                // A failure here is one of preparing ahead: the append that needs the segment has a
                // caller to tell.
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
    /// There may be something to do. Costs a system call only if somebody sleeps.
    pub(crate) fn notify(&self) {
        // Either this sees who sleeps, or whoever is about to sleep sees what there is to do.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) > 0 {
            self.wake();
        }
    }

    /// Sleeps until somebody knocks, if it still may.
    fn wait_while_idle(&self, stopped: &AtomicBool, may: impl Fn() -> bool) {
        let mut lock = self.lock.lock();
        self.asleep.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if may() && !stopped.load(Ordering::Relaxed) {
            self.notified.wait(&mut lock);
        }
        self.asleep.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sleeps while commits may be coming.
    fn wait_interval(&self, stopped: &AtomicBool) {
        let mut lock = self.lock.lock();
        if !stopped.load(Ordering::Relaxed) {
            self.notified.wait_for(&mut lock, IDLE);
        }
    }

    fn wake(&self) {
        // Not while somebody is between the look and the sleep, and would sleep on.
        drop(self.lock.lock());
        self.notified.notify_all();
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.idle_signal.wake();
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic; if it did, there is nobody to tell.
            let _ = thread.join();
        }
    }
}
