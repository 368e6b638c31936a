//! The log against power loss: every moment, every legal loss.

use icn_tests::Dice;
use std::io::Write;

use icn_tests::crash::{Effort, Tally, explore};
use icn_tests::life::{Step, plan};

fn lives(seeds: std::ops::Range<u64>, steps: usize, large: bool, effort: Effort) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let plan = plan(&mut Dice::new(seed), steps, large);
        tally.add(&explore(seed, &plan, effort).unwrap_or_else(|broken| panic!("{broken}")));
    }
    let _ = writeln!(std::io::stdout(), "{tally:?}");
    tally
}

#[test]
fn every_legal_loss_at_every_operation_of_short_lives() {
    let tally = lives(0..40, 10, false, Effort { losses: 4096, inside_every: 1000 });
    assert!(tally.distinct > 10_000 && tally.inside > 1000, "{tally:?}");
    // Only where many writes are under way at once is the number of losses too large for all.
    assert!(tally.exhausted * 10 > tally.points * 9, "{tally:?}");
}

#[test]
fn sampled_losses_of_lives_that_fill_segments() {
    let tally = lives(100..116, 40, true, Effort { losses: 48, inside_every: 1000 });
    assert!(tally.distinct > 2000, "{tally:?}");
}

#[test]
fn a_plan_has_every_kind_of_step() {
    let plan = plan(&mut Dice::new(1), 200, true);
    for kind in [Step::Wait, Step::Note, Step::Prepare, Step::Drop, Step::Again { close: true }] {
        assert!(plan.contains(&kind), "{kind:?}");
    }
}
