//! Recovery, in a process of its own, so that what is resident is its own too.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use icn_wal::{FsDisk, ReplayFrom, Wal};

use crate::load::clock;
use crate::{LIMIT, Outcome, peers};

pub(crate) const COMMAND: &str = "recover";

pub(crate) struct Run {
    pub(crate) records: u64,
    pub(crate) seconds: f64,
    pub(crate) resident_mib: f64,
}

/// Recovers the log in `path` in another process.
pub(crate) fn ask(engine: &str, path: &Path) -> Outcome<Run> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).arg(COMMAND).arg(engine).arg(path).output()?;
    let printed = String::from_utf8(output.stdout)?;
    let mut words = printed.split_whitespace();
    let mut word = || words.next().ok_or_else(|| format!("{engine} could not be recovered"));
    Ok(Run { records: word()?.parse()?, seconds: word()?.parse()?, resident_mib: word()?.parse()? })
}

/// Recovers and prints the result.
pub(crate) fn print(engine: &str, path: &Path) -> Outcome<()> {
    let start = clock();
    let records = match engine {
        LIMIT => read(path)?,
        "icn-wal" => ours(path)?,
        "raft-engine" => peers::RaftEngine::recover(path)?,
        "okaywal" => peers::OkayWal::recover(path)?,
        _ => peers::OpenWal::recover(path)?,
    };
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse()?;
    writeln!(std::io::stdout(), "{records} {seconds} {}", kib / 1024.0)?;
    Ok(())
}

fn read(path: &Path) -> Outcome<u64> {
    let mut buffer = vec![0; 1 << 20];
    for entry in std::fs::read_dir(path)? {
        let mut file = File::open(entry?.path())?;
        let mut hasher = crc32fast::Hasher::new();
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
        }
        std::hint::black_box(hasher.finalize());
    }
    Ok(0)
}

fn ours(path: &Path) -> Outcome<u64> {
    let mut records = 0;
    Wal::open(FsDisk::create(path)?, ReplayFrom::Beginning, |record| {
        std::hint::black_box(record.bytes);
        records += 1;
        ControlFlow::Continue(())
    })?;
    Ok(records)
}
