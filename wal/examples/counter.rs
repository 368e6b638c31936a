//! A counter that survives `kill -9`: every run continues where the previous one stopped.
//!
//! ```text
//! cargo run -p icn-wal --example counter            counts to 1000 more and stops in order
//! cargo run -p icn-wal --example counter -- crash   is killed in the middle of it
//! ```

use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use icn_wal::{FsDisk, Housekeeper, Lsn, ReplayFrom, Wal};

const STEPS: u64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let crash = std::env::args().nth(1).is_some_and(|word| word == "crash");
    let path = std::env::temp_dir().join("icn-wal-counter");

    // The state is the fold of the records.
    let mut count = 0;
    let (wal, report) = Wal::open(FsDisk::create(&path)?, ReplayFrom::Oldest, |record| {
        count = record.bytes.first_chunk().map_or(count, |bytes| u64::from_le_bytes(*bytes));
        ControlFlow::Continue(())
    })?;
    let wal = Arc::new(wal);
    let housekeeper = Housekeeper::start(Arc::clone(&wal))?;
    let mut out = std::io::stdout();
    let how = match (report.incarnation, report.clean) {
        (1, _) => "a new log",
        (_, true) => "stopped in order before",
        (_, false) => "crashed before",
    };
    writeln!(out, "Start {}, {how}: {count}", report.incarnation)?;

    for step in 1..=STEPS {
        // No count is shown before it is durable.
        let lsns = wal.commit(0, &[(count + 1).to_le_bytes()])?;
        count += 1;
        if crash && step == STEPS / 2 {
            writeln!(out, "Crash at {count}")?;
            std::process::abort();
        }
        // A record holds the whole state, so earlier ones may be dropped.
        if step == STEPS
            && let Some(before) = Lsn::new(lsns.end().get() - 1)
        {
            wal.drop_through(before)?;
        }
    }
    drop(housekeeper);
    wal.close()?;
    writeln!(out, "Counted to {count}; the log is in {}", path.display())?;
    Ok(())
}
