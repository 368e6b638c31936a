//! The log against power loss: every operation, every legal loss.

use icn_tests::TestRng;
use std::io::Write;

use icn_tests::crash::{Budget, Coverage, explore};
use icn_tests::workload::{Step, random_steps};

fn lives(seeds: std::ops::Range<u64>, steps: usize, large: bool, budget: Budget) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in seeds {
        let plan = random_steps(&mut TestRng::new(seed), steps, large);
        coverage.add(&explore(seed, &plan, budget).unwrap_or_else(|broken| panic!("{broken}")));
    }
    let _ = writeln!(std::io::stdout(), "{coverage:?}");
    coverage
}

#[test]
fn log_survives_every_legal_loss_at_every_operation_of_short_workloads() {
    let coverage = lives(0..40, 10, false, Budget { losses: 4096, inside_every: 1000 });
    assert!(coverage.distinct > 10_000 && coverage.inside > 1000, "{coverage:?}");
    // Only where many writes are in flight at once are there too many losses to check them all.
    assert!(coverage.exhausted * 10 > coverage.points * 9, "{coverage:?}");
}

#[test]
fn log_survives_sampled_losses_of_workloads_that_fill_segments() {
    let coverage = lives(100..116, 40, true, Budget { losses: 48, inside_every: 1000 });
    assert!(coverage.distinct > 2000, "{coverage:?}");
}

#[test]
fn a_workload_has_every_kind_of_step() {
    let plan = random_steps(&mut TestRng::new(1), 200, true);
    for kind in [Step::Wait, Step::Note, Step::Prepare, Step::Drop, Step::Reopen { close: true }] {
        assert!(plan.contains(&kind), "{kind:?}");
    }
}
