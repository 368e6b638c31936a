//! Crashes a workload at each disk operation, with each legal loss, and again inside the recovery.

use std::collections::HashSet;

use icn_wal::disk::{Faults, SimDisk};
use icn_wal::limits::SEGMENT_BYTES_MIN;

use crate::workload::{Oracle, Step};

/// The crashes that have been checked.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Operations at which the power was cut.
    pub points: u64,
    /// Those of them of which every legal loss was checked.
    pub exhausted: u64,
    /// Distinct disks left by a power cut.
    pub distinct: u64,
    /// All disks left by a power cut.
    pub images: u64,
    /// Crashes inside a recovery.
    pub inside: u64,
}

impl Coverage {
    /// Adds the crashes of another run.
    pub fn add(&mut self, other: &Self) {
        self.points += other.points;
        self.exhausted += other.exhausted;
        self.distinct += other.distinct;
        self.images += other.images;
        self.inside += other.inside;
    }
}

/// How many crashes to check.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Losses per operation: all of them if there are no more, else so many by seed.
    pub losses: u64,
    /// One of so many distinct disks is crashed inside its recovery, and inside the recovery from
    /// that.
    pub inside_every: u64,
}

/// Cuts the power at each operation of `plan` on the disk of `seed`.
///
/// # Errors
/// The broken promise, and how to reproduce it.
pub fn explore(seed: u64, plan: &[Step], budget: Budget) -> Result<Coverage, String> {
    // Segments of one size are reused after they are dropped.
    let disk = || SimDisk::new(seed).with_segment_bytes_max(SEGMENT_BYTES_MIN);
    let whole = disk();
    Oracle::default().run(&whole, plan).map_err(|error| format!("seed {seed}: {error}"))?;
    let mut coverage = Coverage::default();
    let mut seen = HashSet::new();
    for power in 1..=whole.operations() {
        let disk = disk();
        disk.set_faults(Faults { power_loss_at: Some(power), ..Faults::default() });
        let mut oracle = Oracle::default();
        // Ends with an error, unless the last operation was the last one of the plan.
        let _ = oracle.run(&disk, plan);
        let what = |why| format!("seed {seed}, power gone at operation {power}: {why}; {plan:?}");
        let losses = disk.losses();
        coverage.points += 1;
        coverage.exhausted += u64::from(losses.count().is_some_and(|count| count <= budget.losses));
        for image in losses.images(budget.losses, power) {
            coverage.images += 1;
            if seen.insert((image.image_hash(), oracle.acknowledged())) {
                coverage.distinct += 1;
                let inside = coverage.distinct.is_multiple_of(budget.inside_every);
                let twice = if inside { Some(image.fork()) } else { None };
                oracle.check(&image).map_err(what)?;
                if let Some(image) = twice {
                    coverage.inside += crash_inside(&image, &oracle, 2, power).map_err(what)?;
                }
            }
        }
        let killed = disk.kill();
        oracle.check(&killed.fork()).map_err(|why| what(format!("killed: {why}")))?;
        // The next process must not show or remove records because of data known only to the page
        // cache.
        Oracle::default().run(&killed, &[]).map_err(|why| what(why.to_string()))?;
        for loss in 0..4 {
            let image = killed.power_loss(power + loss);
            if seen.insert((image.image_hash(), oracle.acknowledged())) {
                let told = |why| what(format!("killed, then power loss {loss}: {why}"));
                oracle.check(&image).map_err(told)?;
            }
        }
    }
    Ok(coverage)
}

/// The work after an open without an append: the housekeeper prepares a segment and proves the end.
const RECOVERY: [Step; 2] = [Step::Prepare, Step::Note];

/// Crashes the recovery of `image` at each operation, up to `deep` recoveries in a row.
fn crash_inside(image: &SimDisk, oracle: &Oracle, deep: u32, seed: u64) -> Result<u64, String> {
    let probe = image.fork();
    Oracle::default().run(&probe, &RECOVERY).map_err(|error| format!("refused: {error}"))?;
    let mut crashes = 0;
    for at in image.operations() + 1..=probe.operations() {
        let disk = image.fork();
        disk.set_faults(Faults { power_loss_at: Some(at), ..Faults::default() });
        let _ = Oracle::default().run(&disk, &RECOVERY);
        for loss in 0..4 {
            let left = disk.power_loss(seed + loss);
            crashes += 1;
            if deep > 1 && loss == 3 {
                crashes += crash_inside(&left, oracle, deep - 1, seed + at)?;
            }
            oracle.check(&left).map_err(|why| format!("and again in recovery, {at}: {why}"))?;
        }
    }
    Ok(crashes)
}
