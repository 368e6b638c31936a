//! Lives of a log: what is done in one, what somebody outside saw of it, and whether the log that
//! comes back is the one that was.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};

use icn_wal::disk::SimDisk;
use icn_wal::{Error, From, Lsn, Wal};

use crate::TestRng;

/// One thing that happens in a life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// One append of records of these sizes.
    Append(Vec<usize>),
    /// Everything appended becomes durable.
    Wait,
    /// A frame says what is durable.
    Note,
    /// The next segment is made ready.
    Prepare,
    /// What is durable and lies before the last append may go.
    Drop,
    /// The log is closed, or only dropped, and opened again.
    Reopen {
        /// Whether it is closed.
        close: bool,
    },
}

/// A plan of `steps` steps. A `large` one has records that fill segments.
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

/// What somebody outside has seen of a log.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// The records whose append returned, by LSN.
    appended: BTreeMap<u64, Vec<u8>>,
    /// The appends they came in: all of one are there or none.
    batches: Vec<RangeInclusive<u64>>,
    /// The last LSN that was called durable.
    acknowledged: u64,
    /// The last LSN that was allowed to go.
    dropped: u64,
}

/// The records of a log, by LSN.
type Found = BTreeMap<u64, Vec<u8>>;

fn open(disk: &SimDisk) -> Result<(Wal<SimDisk>, Found), Error> {
    let mut found = Found::new();
    let (wal, _) = Wal::open(disk.clone(), From::Oldest, |record| {
        found.insert(record.lsn.get(), record.bytes.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok((wal, found))
}

impl Oracle {
    /// Lives `plan` on `disk`, until it ends or something fails.
    ///
    /// # Errors
    /// Those of the log.
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
                    let (first, last) = (lsns.start().get(), lsns.end().get());
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

    /// The last LSN that was called durable.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Recovers `image` and goes on with it: the promises of the log, one by one.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn check(&self, image: &SimDisk) -> Result<(), String> {
        let (wal, found) = open(image).map_err(|error| format!("refused: {error}"))?;
        drop(wal);
        self.compare(&found)?;
        let (wal, again) =
            open(image).map_err(|error| format!("refused the second time: {error}"))?;
        if again != found {
            return Err("the second recovery found something else".into());
        }
        let last = found.keys().next_back().copied().unwrap_or(0);
        let lsns = wal.commit(0, &["afterwards"]).map_err(|error| format!("stuck: {error}"))?;
        let lsn = lsns.end().get();
        if lsn <= last.max(self.acknowledged) {
            return Err(format!("#{lsn} was given out twice"));
        }
        drop(wal);
        let (_, mut after) =
            open(&image.power_loss(0)).map_err(|error| format!("then: {error}"))?;
        if after.remove(&lsn).as_deref() != Some(b"afterwards") || after != found {
            return Err("what was appended afterwards is not there, or something else is".into());
        }
        Ok(())
    }

    fn compare(&self, found: &Found) -> Result<(), String> {
        for (lsn, bytes) in found {
            match self.appended.get(lsn) {
                None => return Err(format!("#{lsn} was never appended")),
                Some(appended) if appended != bytes => return Err(format!("#{lsn} is another")),
                Some(_) => {}
            }
        }
        let (dropped, acknowledged) = (self.dropped, self.acknowledged);
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
