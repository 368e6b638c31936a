//! `cargo run --release -p icn-tests --bin sim -- --minutes N`: histories of networks with faults,
//! each by its own seed, until the time is over or a promise is broken.

use std::io::Write;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use icn_tests::history::{self, Tally};

/// Histories of networks with faults.
#[derive(Parser)]
struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// The first seed; the next ones follow.
    #[arg(long, default_value_t = 100_000)]
    seed: u64,
    /// One seed only: that history again, as a report named it.
    #[arg(long)]
    once: bool,
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "how long to look is a matter of time")]
    Instant::now()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let deadline = now() + Duration::from_secs(arguments.minutes * 60);
    let seeds = AtomicU64::new(arguments.seed);
    let outcome = Mutex::new((Tally::default(), None));
    let work = || {
        loop {
            let seed = seeds.fetch_add(1, Ordering::Relaxed);
            let history = catch_unwind(|| history::run(seed));
            let Ok(mut outcome) = outcome.lock() else { return };
            match history {
                Ok((tally, _)) => outcome.0.add(&tally),
                Err(_) => outcome.1 = outcome.1.or(Some(seed)),
            }
            if outcome.1.is_some() || arguments.once || now() >= deadline {
                return;
            }
        }
    };
    let threads = if arguments.once { 1 } else { std::thread::available_parallelism()?.get() };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let (tally, broken) = outcome.into_inner()?;
    writeln!(std::io::stdout(), "{tally:#?}")?;
    if let Some(seed) = broken {
        let again = "cargo run --release -p icn-tests --bin sim -- --once --seed";
        return Err(format!("a promise is broken; to see it again: {again} {seed}").into());
    }
    Ok(())
}
