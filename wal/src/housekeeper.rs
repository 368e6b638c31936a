//! The work that is better done beside the commits than in them.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::disk::Disk;
use crate::limits::RETRY_MS;
use crate::wal::Wal;

/// How long after the last commit the log proves that it was durable, and how often the need for a
/// new segment is looked at.
const IDLE_MS: u64 = 20;

/// Looks at a log between two tries to prepare a segment on a disk that had no room for it.
const RETRY: u64 = RETRY_MS / IDLE_MS;

/// A thread that prepares segments ahead and writes a [note](Wal::note) once the log is idle.
/// It ends when this value is dropped.
pub struct Housekeeper {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Bell {
    stop: Mutex<bool>,
    rung: Condvar,
}

impl Housekeeper {
    /// Starts keeping house for `wal`.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start<D: Disk>(wal: Arc<Wal<D>>) -> std::io::Result<Self> {
        let bell = Arc::new(Bell::default());
        let heard = Arc::clone(&bell);
        let thread = thread::Builder::new().name("wal-housekeeper".into()).spawn(move || {
            wal.keep_house(true);
            let mut noted = 0;
            let mut before = 0;
            let mut rest = 0;
            // The first append is not to wait for a segment.
            let mut pause = Duration::ZERO;
            while !heard.sleep(pause) {
                pause = Duration::from_millis(IDLE_MS);
                // A failure here is one of preparing ahead: the append that needs the segment has a
                // caller to tell.
                if rest > 0 {
                    rest -= 1;
                } else if wal.wants_spare() && wal.prepare().is_err() {
                    rest = RETRY;
                }
                let now = wal.stats().durable_lsn;
                if now == before && now != noted && wal.try_note().is_ok_and(|done| done) {
                    noted = now;
                }
                before = now;
            }
            wal.keep_house(false);
        })?;
        Ok(Self { bell, thread: Some(thread) })
    }
}

impl Bell {
    /// Whether it is time to stop, after `pause` at the latest.
    fn sleep(&self, pause: Duration) -> bool {
        let mut stop = self.stop.lock();
        if !*stop {
            self.rung.wait_for(&mut stop, pause);
        }
        *stop
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        *self.bell.stop.lock() = true;
        self.bell.rung.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic; if it did, there is nobody to tell.
            let _ = thread.join();
        }
    }
}
