//! The work that is better done beside the commits than in them.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::disk::Disk;
use crate::wal::Wal;

/// How long after the last commit the log proves that it was durable, and how often the need for a
/// new segment is looked at.
const IDLE: Duration = Duration::from_millis(20);

/// How long to leave a disk alone that had no room for the next segment.
const RETRY: Duration = Duration::from_secs(2);

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
            let mut noted = 0;
            let mut before = 0;
            let mut pause = IDLE;
            while !heard.sleep(pause) {
                pause = IDLE;
                // A failure here is one of preparing ahead: the append that needs the segment will
                // meet the same failure and has a caller to tell.
                if wal.wants_spare() && wal.prepare().is_err() {
                    pause = RETRY;
                }
                let now = wal.stats().durable_lsn;
                if now == before && now != noted && wal.note().is_ok() {
                    noted = now;
                }
                before = now;
            }
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
