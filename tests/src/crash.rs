//! Every crash of a life: at each operation, with each legal loss; and again inside the recovery.

use std::collections::HashSet;

use icn_wal::disk::{Faults, SimDisk};
use icn_wal::limits::SEGMENT_BYTES_MIN;

use crate::workload::{Oracle, Step};

/// What has been looked at.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Moments at which the power went.
    pub points: u64,
    /// Those of them whose every legal loss was looked at.
    pub exhausted: u64,
    /// Disks that were left, those told apart by nothing counted once.
    pub distinct: u64,
    /// Disks that were left, all of them.
    pub images: u64,
    /// Crashes inside a recovery.
    pub inside: u64,
}

impl Coverage {
    /// Adds what somebody else has looked at.
    pub fn add(&mut self, other: &Self) {
        self.points += other.points;
        self.exhausted += other.exhausted;
        self.distinct += other.distinct;
        self.images += other.images;
        self.inside += other.inside;
    }
}

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Losses per moment: if there are no more all of them, else so many by seed.
    pub losses: u64,
    /// Of how many different disks one is crashed inside its recovery, and in the recovery from
    /// that.
    pub inside_every: u64,
}

/// Cuts the power at each operation of `plan` on the disk of `seed`.
///
/// # Errors
/// The broken promise, and how to see it again.
pub fn explore(seed: u64, plan: &[Step], budget: Budget) -> Result<Coverage, String> {
    // Segments that do not grow are used again after they are dropped.
    let disk = || SimDisk::new(seed).with_segment_bytes_max(SEGMENT_BYTES_MIN);
    let whole = disk();
    Oracle::default().run(&whole, plan).map_err(|error| format!("seed {seed}: {error}"))?;
    let mut coverage = Coverage::default();
    let mut seen = HashSet::new();
    for power in 1..=whole.operations() {
        let disk = disk();
        disk.set_faults(Faults { power_loss_at: Some(power), ..Faults::default() });
        let mut oracle = Oracle::default();
        // Ends with an error, or the last operation was the last thing that happened.
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
        // What the next process has shown or removed must not depend on what only memory knows.
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

/// What follows an open that nobody appends to: the housekeeper prepares, and proves the end.
const RECOVERY: [Step; 2] = [Step::Prepare, Step::Note];

/// Crashes each operation of the recovery of `image`, and `deep` times in a row.
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
