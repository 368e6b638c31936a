//! A ledger whose books survive `kill -9`.
//!
//! ```text
//! ledger DIR transfer FROM TO AMOUNT   moves money; all of it comes from the account `equity`
//! ledger DIR show                      prints the balance of every account
//! ledger DIR snapshots                 lists the snapshots, and why each is kept
//! ledger DIR --crash [ROUNDS]          kills a writer again and again, and looks for missing transfers
//! ```
//!
//! `ledger.rs` is the domain, `bank.rs` keeps it on the disk, `crash.rs` tests it.

mod bank;
mod crash;
mod ledger;

use std::io::{Write, stdout};
use std::path::Path;
use std::process::{Command, ExitCode};

use icn_snapshot::{PointInTime, Retention, Snapshot, list, state_at};
use icn_wal::FsDisk;

use crate::bank::{Bank, BoxResult, complain};
use crate::ledger::{Ledger, Transfer};

const USAGE: &str =
    "usage: ledger DIR transfer FROM TO AMOUNT | DIR show | DIR snapshots | DIR --crash [ROUNDS]";

/// The argument that makes this program the writer to be killed.
const VICTIM: &str = "--victim";

fn transfer(dir: &Path, from: &str, to: &str, amount: &str) -> BoxResult<()> {
    let transfer = Transfer { from: from.into(), to: to.into(), amount: amount.parse()? };
    let (mut bank, _) = Bank::open(dir)?;
    let made = bank.make(&[transfer])?;
    bank.close()?;
    for (lsn, outcome) in made {
        outcome?;
        writeln!(stdout(), "#{lsn}: {from} gave {amount} to {to}")?;
    }
    Ok(())
}

/// Reads only, so it may run while a writer owns the ledger.
fn show(dir: &Path) -> BoxResult<()> {
    let past = state_at::<Ledger, _>(&FsDisk::read_only(dir)?, PointInTime::Latest)?;
    for (name, sum) in &past.state.accounts {
        writeln!(stdout(), "{name:<12} {sum:>12}")?;
    }
    Ok(past.state.check()?)
}

fn snapshots(dir: &Path) -> BoxResult<()> {
    for snapshot in list(&FsDisk::read_only(dir)?, Retention::default())? {
        let Snapshot { id, bytes, kept_because, .. } = snapshot;
        writeln!(stdout(), "{id:<12} {bytes:>8} bytes, kept: {kept_because}")?;
    }
    Ok(())
}

fn kill_again_and_again(dir: &Path, rounds: &str) -> BoxResult<()> {
    let mut victim = Command::new(std::env::current_exe()?);
    victim.arg(dir).arg(VICTIM);
    crash::rounds(dir, rounds.parse()?, &mut victim, &mut stdout())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        [dir, "transfer", from, to, amount] => transfer(dir.as_ref(), from, to, amount),
        [dir, "show"] => show(dir.as_ref()),
        [dir, "snapshots"] => snapshots(dir.as_ref()),
        [dir, "--crash"] => kill_again_and_again(dir.as_ref(), "20"),
        [dir, "--crash", rounds] => kill_again_and_again(dir.as_ref(), rounds),
        [dir, VICTIM] => crash::victim(dir.as_ref(), &mut stdout()),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}
