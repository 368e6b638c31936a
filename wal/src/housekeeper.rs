//! The thread that prepares segments and writes notes outside the commit path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::disk::Disk;
use crate::idle_signal::IdleSignal;
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
                wal.idle_signal().wait_for(&stopped, IDLE);
            }
            wal.count_housekeeper(false);
        })?;
        Ok(Self { idle_signal, stop, thread: Some(thread) })
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
