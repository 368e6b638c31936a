//! A log to be measured.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use icn_wal::{Committer, FsDisk, Housekeeper, ReplayFrom, Wal};

use crate::Outcome;
use crate::peers::{OkayWal, OpenWal, RaftEngine};

/// A log, in its durable mode.
pub(crate) trait Engine: Sync {
    /// Appends `count` times `record` as one unit and returns once that is durable. Each `writer`
    /// is one thread at a time.
    fn commit(&self, writer: usize, record: &[u8], count: usize) -> Outcome<()>;

    /// Appends `count` times `record`, one by one, and syncs once; `None` where that is not
    /// offered.
    fn bulk(&self, record: &[u8], count: usize) -> Option<Outcome<()>>;

    /// Drops everything before now, as a compaction does.
    fn forget(&self) -> Outcome<()>;
}

type Open = fn(&Path) -> Outcome<Box<dyn Engine>>;

/// By name; the first is the log under test.
pub(crate) const ENGINES: [(&str, Open); 4] = [
    ("icn-wal", |path| Ok(Box::new(IcnWal::open(path)?))),
    ("raft-engine", |path| Ok(Box::new(RaftEngine::open(path)?))),
    ("okaywal", |path| Ok(Box::new(OkayWal::open(path)?))),
    ("open-wal, in a mutex", |path| Ok(Box::new(OpenWal::open(path)?))),
];

pub(crate) struct IcnWal {
    pub(crate) wal: Arc<Wal<FsDisk>>,
    _committer: Committer,
    _housekeeper: Housekeeper,
}

impl IcnWal {
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let disk = FsDisk::create(path)?;
        let (wal, _) = Wal::open(disk, ReplayFrom::Beginning, |_| ControlFlow::Continue(()))?;
        let wal = Arc::new(wal);
        let housekeeper = Housekeeper::start(Arc::clone(&wal))?;
        let committer = Committer::start(Arc::clone(&wal))?;
        Ok(Self { wal, _committer: committer, _housekeeper: housekeeper })
    }
}

impl Engine for IcnWal {
    fn commit(&self, _: usize, record: &[u8], count: usize) -> Outcome<()> {
        self.wal.commit(0, &vec![record; count])?;
        Ok(())
    }

    fn bulk(&self, record: &[u8], count: usize) -> Option<Outcome<()>> {
        let append = || {
            for _ in 0..count {
                self.wal.append(0, &[record])?;
            }
            Ok(self.wal.wait(self.wal.last().ok_or("nothing was appended")?)?)
        };
        Some(append())
    }

    fn forget(&self) -> Outcome<()> {
        if let Some(durable) = self.wal.durable() {
            self.wal.drop_through(durable)?;
        }
        Ok(())
    }
}
