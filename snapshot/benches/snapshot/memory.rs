//! The resident memory while a snapshot is saved, measured in a process of its own.

use std::io::Write;
use std::process::Command;

use crate::BoxResult;
use crate::state::filled;

pub(crate) const COMMAND: &str = "memory";

pub(crate) struct Memory {
    pub(crate) state_mib: f64,
    /// The peak above the state while it is saved.
    pub(crate) saving_mib: f64,
}

/// Starts a process that saves a state, and reads its measurements.
pub(crate) fn measure(keys: u32) -> BoxResult<Memory> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).arg(COMMAND).arg(keys.to_string()).output()?;
    let printed = String::from_utf8(output.stdout)?;
    let mut words = printed.split_whitespace();
    let mut word = || words.next().ok_or("the other process failed");
    Ok(Memory { state_mib: word()?.parse()?, saving_mib: word()?.parse()? })
}

/// Saves a state, then prints the resident MiB of the state and of the save.
pub(crate) fn print_resident(keys: u32) -> BoxResult<()> {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let empty = resident("VmRSS:")?;
    let mut store = filled(directory.path(), keys)?;
    // The peak is counted from here.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = resident("VmRSS:")?;
    let image = store.image(0, 0).ok_or("an empty state")?;
    store.compactor().save(image)?;
    let peak = resident("VmHWM:")?;
    writeln!(std::io::stdout(), "{} {}", before - empty, peak - before)?;
    Ok(())
}

fn resident(line: &str) -> BoxResult<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find_map(|found| found.strip_prefix(line)).ok_or("no such line")?;
    Ok(found.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
