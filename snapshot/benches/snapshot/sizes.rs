//! Time, size and memory of a snapshot by the size of the state.

use std::io::Write;
use std::path::Path;

use crate::measure::{clock, median, millis};
use crate::state::{Accounts, Change, ENTRY_BYTES, filled, key, open, value};
use crate::{BoxResult, KEYS, memory};

const ROUNDS: u32 = 5;

pub(crate) fn print(out: &mut impl Write, directory: &Path) -> BoxResult<()> {
    writeln!(out, "\n### Snapshots by the size of the state\n")?;
    writeln!(
        out,
        "| keys | image µs | save ms | save MB/s | load ms | file MB | file / data | state MiB | saving, above it MiB |"
    )?;
    writeln!(out, "|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for keys in KEYS {
        let path = directory.join(format!("sizes-{keys}"));
        let mut store = filled(&path, keys)?;
        let mut images = vec![];
        let mut saves = vec![];
        let mut loads = vec![];
        let mut bytes = 0;
        for round in 0..ROUNDS {
            let (lsn, ()) = store.commit(0, Change::Put(key(round), value(u64::from(round))))?;
            store.wal().wait(lsn)?;
            let start = clock();
            let image = store.image(0, 0).ok_or("an empty state")?;
            images.push(millis(start.elapsed()) * 1000.0);
            let start = clock();
            bytes = store.compactor().save(image)?.bytes;
            saves.push(millis(start.elapsed()));
        }
        store.close()?;
        for _ in 0..ROUNDS {
            let start = clock();
            let store = open::<Accounts>(&path)?;
            loads.push(millis(start.elapsed()));
            if store.state().0.len() != keys as usize {
                return Err("keys are missing".into());
            }
            store.close()?;
        }
        let memory = memory::measure(keys)?;
        let save = median(saves);
        let data = f64::from(keys * ENTRY_BYTES) / 1e6;
        let file = bytes as f64 / 1e6;
        writeln!(
            out,
            "| {keys} | {:.1} | {save:.1} | {:.0} | {:.1} | {file:.2} | {:.2} | {:.0} | {:.0} |",
            median(images),
            data / save * 1000.0,
            median(loads),
            file / data,
            memory.state_mib,
            memory.saving_mib,
        )?;
        std::fs::remove_dir_all(&path)?;
    }
    Ok(())
}
