//! A workload of a log and its faults, as the fuzzer chooses them.

use arbitrary::Unstructured;
use icn_wal::disk::Faults;

use crate::workload::{Step, random_steps};

/// The fuzz input as a source of numbers; zeros after its end.
pub struct TestRng<'a>(Unstructured<'a>);

impl TestRng<'_> {
    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.int_in_range(0..=end - 1).unwrap_or(0)
    }

    fn maybe(&mut self, most: u64) -> Option<u64> {
        (self.below(4) == 1).then(|| 1 + self.below(most))
    }
}

/// One workload of a log, its faults and its end.
#[derive(Debug)]
pub struct Ops {
    /// The injected faults.
    pub faults: Faults,
    /// The seed that picks the checked losses of a power cut.
    pub seed: u64,
    /// The operation of the recovery at which the power is cut again.
    pub inside: Option<u64>,
    /// The steps of the workload.
    pub plan: Vec<Step>,
}

impl Ops {
    /// Decodes a workload from `input`.
    pub fn new(input: &[u8]) -> Self {
        let mut rng = TestRng(Unstructured::new(input));
        let mut faults = Faults {
            power_loss_at: rng.maybe(250),
            sync_error_at: rng.maybe(100),
            sync_error_keeps: rng.below(2) == 1,
            write_error_at: rng.maybe(100),
            open_error_at: rng.maybe(50),
            read_error_at: rng.maybe(50),
            room: rng.maybe(16 << 20),
            full: 0..0,
        };
        let seed = rng.below(1 << 16);
        let inside = rng.maybe(40);
        let plan = random_steps(&mut rng, input.len().min(120) / 4, true);
        if let Some(at) = rng.maybe(100) {
            faults.full = at..if rng.below(2) == 1 { u64::MAX } else { at + 1 };
        }
        Self { faults, seed, inside, plan }
    }
}
