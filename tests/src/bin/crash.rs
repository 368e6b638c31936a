//! `cargo run --release -p icn-tests --bin crash -- --minutes N`: crashes lives of the log, each by
//! its own seed, until the time is over or a promise is broken.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use icn_tests::TestRng;
use icn_tests::crash::{Budget, Coverage, explore};
use icn_tests::workload::random_steps;

/// Crashes lives of the log at every operation.
#[derive(Parser)]
struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// The first seed; the next ones follow.
    #[arg(long, default_value_t = 1000)]
    seed: u64,
    /// One seed only: that life again, as a report named it.
    #[arg(long)]
    once: bool,
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "how long to look is a matter of time")]
    Instant::now()
}

fn life(seed: u64) -> Result<Coverage, String> {
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
            let life = life(seeds.fetch_add(1, Ordering::Relaxed));
            let Ok(mut outcome) = outcome.lock() else { return };
            match (&mut *outcome, life) {
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
    let lives = seeds.into_inner() - arguments.seed;
    let Coverage { points, exhausted, distinct, images, inside } = coverage;
    writeln!(
        std::io::stdout(),
        "{lives} lives, {points} moments at which the power went ({exhausted} with every legal \
         loss), {images} disks left behind, {distinct} of them distinct, {inside} crashes inside a \
         recovery: no promise was broken"
    )?;
    Ok(())
}
