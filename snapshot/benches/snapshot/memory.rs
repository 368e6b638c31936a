//! What is resident while a snapshot is saved, in a process of its own.

use std::io::Write;
use std::process::Command;

use crate::Outcome;
use crate::state::filled;

pub(crate) const COMMAND: &str = "memory";

pub(crate) struct Memory {
    pub(crate) state_mib: f64,
    /// Above that, at the most.
    pub(crate) saving_mib: f64,
}

/// Has another process save a state.
pub(crate) fn ask(keys: u32) -> Outcome<Memory> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).arg(COMMAND).arg(keys.to_string()).output()?;
    let told = String::from_utf8(output.stdout)?;
    let mut words = told.split_whitespace();
    let mut word = || words.next().ok_or("the other process failed");
    Ok(Memory { state_mib: word()?.parse()?, saving_mib: word()?.parse()? })
}

/// Saves a state and tells what was resident.
pub(crate) fn tell(keys: u32) -> Outcome<()> {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let empty = resident("VmRSS:")?;
    let mut store = filled(directory.path(), keys)?;
    // The peak is counted from here.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = resident("VmRSS:")?;
    let image = store.image(0).ok_or("an empty state")?;
    store.compactor().save(image)?;
    let peak = resident("VmHWM:")?;
    writeln!(std::io::stdout(), "{} {}", before - empty, peak - before)?;
    Ok(())
}

fn resident(line: &str) -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find_map(|found| found.strip_prefix(line)).ok_or("no such line")?;
    Ok(found.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
