//! Random workloads of a log, and the oracle that checks what a recovery returns.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};

use icn_wal::disk::SimDisk;
use icn_wal::{Error, Lsn, ReplayFrom, Wal};

use crate::TestRng;

/// One step of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Appends records of these sizes in one call.
    Append(Vec<usize>),
    /// Waits until every appended record is durable.
    Wait,
    /// Writes a NOTE frame, which proves what is durable.
    Note,
    /// Prepares the next segment.
    Prepare,
    /// Allows the log to drop the durable records before the last append.
    Drop,
    /// Closes the log, or only drops its handle, and opens it again.
    Reopen {
        /// True iff the log is closed.
        close: bool,
    },
}

/// Random steps of a workload. A `large` workload has records that fill segments.
#[must_use]
pub fn random_steps(rng: &mut TestRng, steps: usize, large: bool) -> Vec<Step> {
    let size = |rng: &mut TestRng| {
        let most = match rng.below(8) {
            0 if large => 900_000,
            0 | 1 => 2000,
            _ => 60,
        };
        usize::try_from(rng.below(most)).unwrap_or(0)
    };
    let step = |rng: &mut TestRng| match rng.below(16) {
        0..7 => Step::Append((0..=rng.below(3)).map(|_| size(rng)).collect()),
        7..11 => Step::Wait,
        11 => Step::Note,
        12 => Step::Prepare,
        13 => Step::Drop,
        other => Step::Reopen { close: other == 14 },
    };
    (0..steps).map(|_| step(rng)).collect()
}

/// What a client has observed of a log, against which a recovery is checked.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// The records whose append returned, by LSN.
    appended: BTreeMap<u64, Vec<u8>>,
    /// The appends they came in: all of one are there or none.
    batches: Vec<RangeInclusive<u64>>,
    /// The last LSN that the log reported as durable.
    acknowledged: u64,
    /// The last LSN that the log was allowed to drop.
    dropped: u64,
}

/// The records of a log, by LSN.
type Found = BTreeMap<u64, Vec<u8>>;

fn open(disk: &SimDisk) -> Result<(Wal<SimDisk>, Found), Error> {
    let mut found = Found::new();
    let (wal, _) = Wal::open(disk.clone(), ReplayFrom::Oldest, |record| {
        found.insert(record.lsn.get(), record.bytes.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok((wal, found))
}

impl Oracle {
    /// Runs `plan` on `disk`, to its end or to the first error.
    ///
    /// # Errors
    /// The errors of the log.
    pub fn run(&mut self, disk: &SimDisk, plan: &[Step]) -> Result<(), Error> {
        let (mut wal, _) = open(disk)?;
        for (time, step) in plan.iter().enumerate() {
            match step {
                Step::Append(sizes) => {
                    let number = self.appended.len();
                    let record = |(at, size): (usize, &usize)| {
                        let mut bytes = format!("{}/{size} ", number + at).into_bytes();
                        bytes.resize(bytes.len().max(*size), b'.');
                        bytes
                    };
                    let records: Vec<_> = sizes.iter().enumerate().map(record).collect();
                    let lsns = wal.append(time as u64, &records)?;
                    let first = lsns.start().get();
                    let last = lsns.end().get();
                    self.batches.push(first..=last);
                    self.appended.extend((first..=last).zip(records));
                }
                Step::Wait => self.wait(&wal)?,
                Step::Note => wal.note()?,
                Step::Prepare => wal.prepare()?,
                Step::Drop => {
                    if let Some(last) = self.batches.last()
                        && let Some(through) = Lsn::new(self.acknowledged.min(last.start() - 1))
                    {
                        self.dropped = self.dropped.max(through.get());
                        wal.drop_through(through)?;
                    }
                }
                Step::Reopen { close } => {
                    if *close {
                        wal.close()?;
                        self.acknowledged = wal.last().map_or(self.acknowledged, Lsn::get);
                    } else {
                        self.wait(&wal)?;
                    }
                    drop(wal);
                    wal = open(disk)?.0;
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, wal: &Wal<SimDisk>) -> Result<(), Error> {
        if let Some(last) = self.appended.keys().next_back().copied().and_then(Lsn::new) {
            wal.wait(last)?;
            self.acknowledged = self.acknowledged.max(last.get());
        }
        Ok(())
    }

    /// The last LSN that the log reported as durable.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Recovers `image`, appends to it, and checks the promises of the log one by one.
    ///
    /// # Errors
    /// The broken promise.
    pub fn check(&self, image: &SimDisk) -> Result<(), String> {
        let (wal, found) = open(image).map_err(|error| format!("refused: {error}"))?;
        drop(wal);
        self.compare(&found)?;
        let (wal, again) =
            open(image).map_err(|error| format!("refused the second time: {error}"))?;
        if again != found {
            return Err("the second recovery found other records".into());
        }
        let last = found.keys().next_back().copied().unwrap_or(0);
        let lsns = wal.commit(0, &["afterwards"]).map_err(|error| format!("stuck: {error}"))?;
        let lsn = lsns.end().get();
        if lsn <= last.max(self.acknowledged) {
            return Err(format!("#{lsn} was assigned twice"));
        }
        drop(wal);
        let (_, mut after) =
            open(&image.power_loss(0)).map_err(|error| format!("then: {error}"))?;
        if after.remove(&lsn).as_deref() != Some(b"afterwards") || after != found {
            return Err("after the append the log has other records".into());
        }
        Ok(())
    }

    fn compare(&self, found: &Found) -> Result<(), String> {
        for (lsn, bytes) in found {
            match self.appended.get(lsn) {
                None => return Err(format!("#{lsn} was never appended")),
                Some(appended) if appended != bytes => {
                    return Err(format!("#{lsn} has other bytes"));
                }
                Some(_) => {}
            }
        }
        let dropped = self.dropped;
        let acknowledged = self.acknowledged;
        let mut kept = self.appended.range(dropped + 1..).take_while(|(l, _)| **l <= acknowledged);
        if let Some((lsn, _)) = kept.find(|(lsn, _)| !found.contains_key(lsn)) {
            return Err(format!("#{lsn} is lost: #{dropped} dropped, #{acknowledged} durable"));
        }
        if let (Some((first, _)), Some((last, _))) =
            (found.first_key_value(), found.last_key_value())
            && let Some((lsn, _)) =
                self.appended.range(first..=last).find(|(lsn, _)| !found.contains_key(lsn))
        {
            return Err(format!("#{lsn} is missing in the middle"));
        }
        for batch in &self.batches {
            let there = found.range(batch.clone()).count() as u64;
            if *batch.start() > self.dropped
                && there != 0
                && there != batch.end() - batch.start() + 1
            {
                return Err(format!("{there} of {batch:?} are there"));
            }
        }
        Ok(())
    }
}
