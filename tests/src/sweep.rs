//! The power goes at each moment of a life.

use std::collections::BTreeSet;

use icn_wal::disk::{Faults, SimDisk};

/// What a sweep has looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep {
    /// Moments.
    pub points: u64,
    /// Distinct disks, each with what was known outside.
    pub images: usize,
}

/// Runs `life` on a new disk of `seed` to its end, then with the power gone at each of its operations and
/// after the last, and shows `check` so many of the `losses` that are legal then. What `life` returns is
/// what the outside has seen by then, and `known` how much of that must be there: the same disk is looked
/// at again when more must.
pub fn sweep_power_losses<T>(
    seed: u64,
    losses: u64,
    life: impl Fn(&SimDisk) -> T,
    known: impl Fn(&T) -> u64,
    check: impl Fn(&SimDisk, &T, &str),
) -> Sweep {
    let disk = SimDisk::new(seed);
    life(&disk);
    let (points, mut images) = (disk.operations() + 1, BTreeSet::new());
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
