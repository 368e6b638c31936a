//! The ledger on a disk: how a program embeds a [`Store`].

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use icn_snapshot::{Due, Policy, Recovery, Store};
use icn_wal::{FsDisk, Housekeeper, Lsn};

use crate::ledger::{Ledger, Transfer, TransferOutcome};

pub(crate) type BoxResult<T> = Result<T, Box<dyn Error>>;

/// An open ledger, its housekeeper, and the thread that saves snapshots.
pub(crate) struct Bank {
    store: Store<Ledger, FsDisk>,
    saving: Option<JoinHandle<()>>,
    housekeeper: Housekeeper,
    started: Instant,
}

impl Bank {
    pub(crate) fn open(dir: &Path) -> BoxResult<(Self, Recovery)> {
        let due = Due { records: 1000, ..Due::default() };
        let policy = Policy { due, ..Policy::default() };
        let (store, recovery) = Store::open(&FsDisk::create(dir)?, policy)?;
        let housekeeper = Housekeeper::start(Arc::clone(store.wal()))?;
        #[expect(clippy::disallowed_methods, reason = "a program reads the clocks itself")]
        let started = Instant::now();
        Ok((Self { store, saving: None, housekeeper, started }, recovery))
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        self.store.state()
    }

    /// Makes `transfers` durable together. The caller must not release an outcome before this returns.
    pub(crate) fn make(
        &mut self,
        transfers: &[Transfer],
    ) -> BoxResult<Vec<(Lsn, TransferOutcome)>> {
        let now_ms = now_ms();
        let commit = |transfer: &Transfer| self.store.commit(now_ms, transfer.clone());
        let made = transfers.iter().map(commit).collect::<Result<Vec<_>, _>>()?;
        if let Some((last, _)) = made.last() {
            self.store.wal().wait(*last)?;
        }
        self.save_when_due(now_ms);
        Ok(made)
    }

    /// Takes the image on this thread and saves it on another, which takes longer.
    fn save_when_due(&mut self, now_ms: u64) {
        let busy = self.saving.as_ref().is_some_and(|thread| !thread.is_finished());
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if busy || !self.store.snapshot_due(now_ms, elapsed_ms) {
            return;
        }
        // Earlier lives are not counted here, so history stays for longer than it has to.
        if let Some(image) = self.store.image(now_ms, elapsed_ms) {
            let compactor = self.store.compactor().clone();
            self.saving = Some(thread::spawn(move || {
                // Nothing is lost: the log is kept until enough snapshots cover it.
                if let Err(error) = compactor.save(image) {
                    complain(&error);
                }
            }));
        }
    }

    pub(crate) fn close(self) -> BoxResult<()> {
        if let Some(thread) = self.saving {
            thread.join().map_err(|_| "the snapshot thread has panicked")?;
        }
        drop(self.housekeeper);
        Ok(self.store.close()?)
    }
}

#[expect(clippy::disallowed_methods, reason = "a program passes the time to its store")]
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn complain(error: &dyn fmt::Display) {
    // An error of stderr cannot be reported.
    let _ = writeln!(std::io::stderr(), "ledger: {error}");
}
