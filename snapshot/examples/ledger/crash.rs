//! The proof: a writer is killed at random moments, and all it has acknowledged must be there.
//!
//! `kill -9` shows that the program keeps its promises to the disk's cache, not that the disk keeps
//! them: for that the power has to go.

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::bank::{Bank, Outcome};
use crate::ledger::{EQUITY, Ledger, Transfer};

/// What a victim says before it begins.
const READY: &str = "ready";

/// The most acknowledgements of one life: snapshots come every 1000 records.
const LINES_MAX: usize = 3000;

/// The most transfers that the victim has committed and not acknowledged yet.
const BATCH_MAX: usize = 8;

const SIGKILL: i32 = 9;

/// Makes random transfers until it is killed, and prints each that is durable.
pub(crate) fn victim(dir: &Path, out: &mut dyn Write) -> Outcome<()> {
    let (mut bank, _) = Bank::open(dir)?;
    let name = || [EQUITY, "alice", "bob", "carol", "dave", "erin"][below(6)].to_owned();
    let amount = || u32::try_from(below(100)).unwrap_or_default();
    let transfer = || Transfer { from: name(), to: name(), amount: amount() };
    writeln!(out, "{READY}")?;
    loop {
        let batch: Vec<_> = (0..=below(BATCH_MAX)).map(|_| transfer()).collect();
        let made = bank.make(&batch)?;
        for ((lsn, verdict), transfer) in made.iter().zip(&batch) {
            if verdict.is_ok() {
                writeln!(out, "{lsn} {transfer}")?;
            }
        }
    }
}

/// Kills so many victims, one after the other, and compares what each has said with what is there.
pub(crate) fn rounds(
    dir: &Path,
    rounds: u32,
    victim: &mut Command,
    out: &mut dyn Write,
) -> Outcome<()> {
    let mut before = Bank::open(dir)?.0.ledger().clone();
    let mut acknowledged = 0;
    for round in 1..=rounds {
        let told = life(victim)?;
        let (bank, found) = Bank::open(dir)?;
        let after = bank.ledger().clone();
        let start = found.snapshot.map_or("nothing".into(), |id| format!("snapshot {id}"));
        let replayed = found.log.replayed;
        write!(out, "{round:>3}: {:>4} acknowledged; {start} + {replayed} records: ", told.len())?;
        match compare(&before, &told, &after).and_then(|more| after.check().map(|()| more)) {
            Ok(more) => writeln!(out, "all there, and {more} more; the books balance")?,
            Err(why) => {
                writeln!(out, "WRONG")?;
                return Err(why.into());
            }
        }
        acknowledged += told.len();
        before = after;
    }
    writeln!(out, "{acknowledged} acknowledged in {rounds} rounds: each is there, once, in order")?;
    Ok(())
}

/// Starts a victim, kills it after some lines, and returns all it has acknowledged.
fn life(victim: &mut Command) -> Outcome<Vec<String>> {
    let mut victim = victim.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(victim.stdout.take().ok_or("the victim has no voice")?);
    let last = 1 + below(LINES_MAX);
    let mut told = Vec::new();
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 && !line.trim_end().ends_with(READY) {
        line.clear();
    }
    line.clear();
    // What was cut off in the middle of a line was not said.
    while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
        told.push(line.trim_end().to_owned());
        line.clear();
        if told.len() == last {
            // What it says until then has to be there as well.
            victim.kill()?;
        }
    }
    match victim.wait()?.signal() {
        Some(SIGKILL) => Ok(told),
        _ => Err("the victim has ended by itself".into()),
    }
}

/// Returns how many transfers came through that nobody had been told of.
fn compare(before: &Ledger, told: &[String], after: &Ledger) -> Result<usize, String> {
    let mut there = after.journal.iter();
    if !before.journal.iter().all(|transfer| there.next() == Some(transfer)) {
        return Err("what was there before is no longer".into());
    }
    for told in told {
        let found = there.next().map(|(lsn, transfer)| format!("{lsn} {transfer}"));
        if found.as_ref() != Some(told) {
            return Err(format!("acknowledged was {told:?}, in its place is {found:?}"));
        }
    }
    let more = there.count();
    if more <= BATCH_MAX { Ok(more) } else { Err(format!("{more} transfers came from nowhere")) }
}

/// Some number below `end`.
fn below(end: usize) -> usize {
    usize::try_from(RandomState::new().hash_one(()) % end as u64).unwrap_or_default()
}
