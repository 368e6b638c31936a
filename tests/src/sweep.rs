//! Cuts the power at each disk operation of a run.

use std::collections::BTreeSet;

use icn_wal::disk::{Faults, SimDisk};

/// The size of a sweep.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep {
    /// Operations at which the power was cut, and the end of the run.
    pub points: u64,
    /// Distinct pairs of a disk and what its client knew.
    pub images: usize,
}

/// Runs `life` on a new disk of `seed` to its end. Then cuts the power at each of its operations
/// and after the last one. Calls `check` with `losses` of the disks that each cut may leave.
///
/// `life` returns what its client has observed, and `known` how much of that must have survived. A
/// disk is checked again if more must have survived.
pub fn sweep_power_losses<T>(
    seed: u64,
    losses: u64,
    life: impl Fn(&SimDisk) -> T,
    known: impl Fn(&T) -> u64,
    check: impl Fn(&SimDisk, &T, &str),
) -> Sweep {
    let disk = SimDisk::new(seed);
    life(&disk);
    let points = disk.operations() + 1;
    let mut images = BTreeSet::new();
    for power in 1..=points {
        let disk = SimDisk::new(seed);
        disk.set_faults(Faults { power_loss_at: Some(power), ..Faults::default() });
        let seen = life(&disk);
        for loss in 0..losses {
            let image = disk.power_loss(power * losses + loss);
            if images.insert((image.image_hash(), known(&seen))) {
                check(&image, &seen, &format!("seed {seed}, operation {power}, loss {loss}"));
            }
        }
    }
    Sweep { points, images: images.len() }
}
