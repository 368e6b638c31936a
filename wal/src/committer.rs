//! The thread that commits for those who have none to wait with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

use crate::disk::Disk;
use crate::wal::Wal;

/// A thread that takes the groups of [tickets](Wal::ticket) to the disk, one after the other for as
/// long as there are any. It ends when this value is dropped.
pub struct Committer {
    bell: Arc<Bell>,
    /// Of this one's thread only: there may be others.
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts committing for `wal`. One is enough.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start<D: Disk>(wal: Arc<Wal<D>>) -> std::io::Result<Self> {
        let bell = Arc::clone(wal.bell());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("wal-committer".into()).spawn(move || {
            while wal.bell().listen(&stopped) {
                wal.commit_for_tickets();
            }
            wal.bell().calls.lock().listeners -= 1;
            // Whoever came in between finds nobody listening and leads.
            wal.call_on_tickets();
        })?;
        bell.calls.lock().listeners += 1;
        Ok(Self { bell, stop, thread: Some(thread) })
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        {
            // Not while the thread is between its look and its sleep, which it would sleep for ever.
            let _calls = self.bell.calls.lock();
            self.stop.store(true, Ordering::Relaxed);
        }
        self.bell.rung.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic; if it did, there is nobody to tell.
            let _ = thread.join();
        }
    }
}

/// Calls a committer, if there is one.
#[derive(Default)]
pub(crate) struct Bell {
    calls: Mutex<Calls>,
    rung: Condvar,
}

#[derive(Default)]
struct Calls {
    listeners: u32,
    work: bool,
}

impl Bell {
    /// Says that there is work; `false` when nobody listens.
    pub(crate) fn ring(&self) -> bool {
        let mut calls = self.calls.lock();
        calls.work = true;
        let heard = calls.listeners > 0;
        drop(calls);
        self.rung.notify_one();
        heard
    }

    /// Waits for work; `false` when it is time to stop.
    fn listen(&self, stop: &AtomicBool) -> bool {
        let mut calls = self.calls.lock();
        while !calls.work && !stop.load(Ordering::Relaxed) {
            self.rung.wait(&mut calls);
        }
        calls.work = false;
        !stop.load(Ordering::Relaxed)
    }
}
