//! `cargo run --release -p icn-tests --bin crash -- --minutes N`: crashes workloads of the log.
//!
//! Each workload has its own seed. The program ends when the time is over or a promise is broken.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use icn_tests::TestRng;
use icn_tests::crash::{Budget, Coverage, explore};
use icn_tests::workload::random_steps;

/// Crashes workloads of the log at every operation.
#[derive(Parser)]
struct Arguments {
    /// How long to run, in minutes.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// The first seed; the following seeds come next.
    #[arg(long, default_value_t = 1000)]
    seed: u64,
    /// Run the workload of one seed only, to reproduce a report.
    #[arg(long)]
    once: bool,
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the run time of the program is wall time")]
    Instant::now()
}

fn crash_workload(seed: u64) -> Result<Coverage, String> {
    let large = seed % 4 == 3;
    let steps = if large { 40 } else { 8 + usize::try_from(seed % 3).unwrap_or(0) * 4 };
    let losses = if large { 32 } else { 4096 };
    let plan = random_steps(&mut TestRng::new(seed), steps, large);
    explore(seed, &plan, Budget { losses, inside_every: 300 })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let deadline = now() + Duration::from_secs(arguments.minutes * 60);
    let seeds = AtomicU64::new(arguments.seed);
    let outcome = Mutex::new(Ok(Coverage::default()));
    let work = || {
        loop {
            let crashed = crash_workload(seeds.fetch_add(1, Ordering::Relaxed));
            let Ok(mut outcome) = outcome.lock() else { return };
            match (&mut *outcome, crashed) {
                (Ok(coverage), Ok(more)) => coverage.add(&more),
                (Ok(_), Err(broken)) => *outcome = Err(broken),
                (Err(_), _) => return,
            }
            if outcome.is_err() || arguments.once || now() >= deadline {
                return;
            }
        }
    };
    let threads = if arguments.once { 1 } else { std::thread::available_parallelism()?.get() };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let coverage = outcome.into_inner()??;
    let workloads = seeds.into_inner() - arguments.seed;
    let Coverage { points, exhausted, distinct, images, inside } = coverage;
    writeln!(
        std::io::stdout(),
        "{workloads} workloads, {points} power cuts ({exhausted} with every legal loss), {images} disks \
         checked, {distinct} of them distinct, {inside} crashes inside a recovery. No promise was \
         broken."
    )?;
    Ok(())
}
