//! Any workload of a log on a failing disk, then a power cut, and one inside the recovery: every
//! promise holds.
#![no_main]

use icn_fuzz::Ops;
use icn_fuzz::workload::{Oracle, Step};
use icn_wal::disk::{Faults, SimDisk};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let ops = Ops::new(input);
    let disk = SimDisk::new(1);
    disk.set_faults(ops.faults.clone());
    let mut oracle = Oracle::default();
    let end = oracle.run(&disk, &ops.plan);
    disk.set_faults(Faults::default());
    let check = |image: &SimDisk, what: &str| {
        if let Err(broken) = oracle.check(image) {
            panic!("{what}: {broken}; the life ended with {end:?}; {ops:?}");
        }
    };
    check(&disk.kill(), "killed");
    for loss in 0..4 {
        let image = disk.power_loss(ops.seed + loss);
        if let Some(at) = ops.inside {
            let again = image.fork();
            let power_loss_at = Some(image.operations() + at);
            again.set_faults(Faults { power_loss_at, ..Faults::default() });
            let _ = Oracle::default().run(&again, &[Step::Prepare, Step::Note]);
            check(&again.power_loss(ops.seed / 4 + loss), "power gone, again in the recovery");
        }
        check(&image, &format!("power gone, loss {loss}"));
    }
});
