//! The crash test: a writer is killed at random moments, and every acknowledged transfer must be there.
//!
//! `kill -9` tests the program, not the disk: written data survives in the page cache. Only a power cut
//! tests the disk.

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::bank::{Bank, BoxResult};
use crate::ledger::{EQUITY, Ledger, Transfer};

/// The line that a victim prints before it begins.
const READY: &str = "ready";

/// The most acknowledgements of one life: a snapshot is due every 1000 records.
const LINES_MAX: usize = 3000;

/// The most transfers that the victim has committed and not acknowledged yet.
const BATCH_MAX: usize = 8;

const SIGKILL: i32 = 9;

/// Makes random transfers until it is killed, and prints each that is durable.
pub(crate) fn victim(dir: &Path, out: &mut dyn Write) -> BoxResult<()> {
    let (mut bank, _) = Bank::open(dir)?;
    let name = || [EQUITY, "alice", "bob", "carol", "dave", "erin"][below(6)].to_owned();
    let amount = || u32::try_from(below(100)).unwrap_or_default();
    let transfer = || Transfer { from: name(), to: name(), amount: amount() };
    writeln!(out, "{READY}")?;
    loop {
        let batch: Vec<_> = (0..=below(BATCH_MAX)).map(|_| transfer()).collect();
        let made = bank.make(&batch)?;
        for ((lsn, outcome), transfer) in made.iter().zip(&batch) {
            if outcome.is_ok() {
                writeln!(out, "{lsn} {transfer}")?;
            }
        }
    }
}

/// Kills so many victims, one after the other. Compares the acknowledgements of each with the ledger.
pub(crate) fn rounds(
    dir: &Path,
    rounds: u32,
    victim: &mut Command,
    out: &mut dyn Write,
) -> BoxResult<()> {
    let mut before = Bank::open(dir)?.0.ledger().clone();
    let mut acknowledged = 0;
    for round in 1..=rounds {
        let acks = life(victim)?;
        let (bank, found) = Bank::open(dir)?;
        let after = bank.ledger().clone();
        let start = found.snapshot.map_or("nothing".into(), |id| format!("snapshot {id}"));
        let replayed = found.log.replayed;
        write!(out, "{round:>3}: {:>4} acknowledged; {start} + {replayed} records: ", acks.len())?;
        match compare(&before, &acks, &after).and_then(|more| after.check().map(|()| more)) {
            Ok(more) => writeln!(out, "all there, and {more} more; the books balance")?,
            Err(why) => {
                writeln!(out, "WRONG")?;
                return Err(why.into());
            }
        }
        acknowledged += acks.len();
        before = after;
    }
    writeln!(out, "{acknowledged} acknowledged in {rounds} rounds: each is there, once, in order")?;
    Ok(())
}

/// Starts a victim, kills it after some lines, and returns the transfers it has acknowledged.
fn life(victim: &mut Command) -> BoxResult<Vec<String>> {
    let mut victim = victim.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(victim.stdout.take().ok_or("the victim has no stdout")?);
    let last = 1 + below(LINES_MAX);
    let mut acks = Vec::new();
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 && !line.trim_end().ends_with(READY) {
        line.clear();
    }
    line.clear();
    // A line without its end is no acknowledgement.
    while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
        acks.push(line.trim_end().to_owned());
        line.clear();
        if acks.len() == last {
            // Acknowledgements printed before the kill takes effect count as well.
            victim.kill()?;
        }
    }
    match victim.wait()?.signal() {
        Some(SIGKILL) => Ok(acks),
        _ => Err("the victim has ended by itself".into()),
    }
}

/// Returns how many transfers are durable that were not acknowledged.
fn compare(before: &Ledger, acks: &[String], after: &Ledger) -> Result<usize, String> {
    let mut journal = after.journal.iter();
    if !before.journal.iter().all(|transfer| journal.next() == Some(transfer)) {
        return Err("a transfer of an earlier round is missing".into());
    }
    for ack in acks {
        let found = journal.next().map(|(lsn, transfer)| format!("{lsn} {transfer}"));
        if found.as_ref() != Some(ack) {
            return Err(format!("{ack:?} was acknowledged, in its place is {found:?}"));
        }
    }
    let more = journal.count();
    if more <= BATCH_MAX { Ok(more) } else { Err(format!("{more} unexpected transfers")) }
}

/// Some number below `end`.
fn below(end: usize) -> usize {
    usize::try_from(RandomState::new().hash_one(()) % end as u64).unwrap_or_default()
}
