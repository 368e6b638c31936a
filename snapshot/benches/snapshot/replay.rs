//! How fast a log is replayed.

use std::io::Write;
use std::path::Path;

use icn_snapshot::{Due, StateMachine};
use icn_wal::Lsn;
use serde::{Deserialize, Serialize};

use crate::BoxResult;
use crate::measure::{clock, median, millis};
use crate::state::{Accounts, Change, key, open, value};

const ROUNDS: u32 = 5;
const LARGE_BYTES: usize = 1024;

/// A state to which a mutation costs next to nothing.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Sum(u64);

impl StateMachine for Sum {
    type Mutation = Vec<u8>;
    type Outcome = ();
    const SCHEMA: u32 = 0;

    fn encode(bytes: &Vec<u8>, out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
    }

    fn decode(bytes: &[u8]) -> Result<Vec<u8>, String> {
        Ok(bytes.to_vec())
    }

    fn apply(&mut self, lsn: Lsn, bytes: Vec<u8>) {
        self.0 = self.0.wrapping_mul(31) + lsn.get() + u64::from(bytes[0]);
    }
}

pub(crate) fn print(out: &mut impl Write, directory: &Path) -> BoxResult<()> {
    let due = Due::default();
    writeln!(out, "\n### Replay of the most records that may follow a snapshot\n")?;
    writeln!(out, "| records | bytes each | applied to | ms | records/s | MB/s of log |")?;
    writeln!(out, "|--:|--:|---|--:|--:|--:|")?;
    let count = u32::try_from(due.records)?;
    let put = |number| Change::Put(key(number), value(u64::from(number)));
    measure::<Accounts>(out, &directory.join("puts"), count, "a map", put)?;
    let count = u32::try_from(due.log_bytes / LARGE_BYTES as u64)?;
    let large = |number: u32| vec![number.to_le_bytes()[0]; LARGE_BYTES - 1];
    measure::<Sum>(out, &directory.join("large"), count, "a sum", large)?;
    Ok(())
}

fn measure<S: StateMachine>(
    out: &mut impl Write,
    path: &Path,
    count: u32,
    state: &str,
    mutation: impl Fn(u32) -> S::Mutation,
) -> BoxResult<()> {
    let mut store = open::<S>(path)?;
    let mut bytes = Vec::new();
    S::encode(&mutation(0), &mut bytes);
    // One more byte for the kind of the record.
    let bytes = bytes.len() + 1;
    for number in 0..count {
        store.commit(0, mutation(number))?;
    }
    store.close()?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = clock();
        let store = open::<S>(path)?;
        times.push(millis(start.elapsed()));
        if store.lsn() != u64::from(count) {
            return Err("records are missing".into());
        }
        store.close()?;
    }
    let took = median(times);
    let rate = f64::from(count) / took * 1000.0;
    let speed = rate * bytes as f64 / 1e6;
    writeln!(out, "| {count} | {bytes} | {state} | {took:.0} | {rate:.0} | {speed:.0} |")?;
    Ok(())
}
