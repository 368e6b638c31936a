//! `cargo run --release -p icn-tests --bin sim -- --minutes N`: runs histories of networks with faults.
//!
//! Each history has its own seed. The program ends when the time is over or a promise is broken.

use std::io::Write;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use icn_tests::history::{self, Tally};

/// Runs histories of networks with faults.
#[derive(Parser)]
struct Arguments {
    /// How long to run, in minutes.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// The first seed; the following seeds come next.
    #[arg(long, default_value_t = 100_000)]
    seed: u64,
    /// Run the history of one seed only, to reproduce a report.
    #[arg(long)]
    once: bool,
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the run time of the program is wall time")]
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
        return Err(format!("a promise is broken; to reproduce it: {again} {seed}").into());
    }
    Ok(())
}
