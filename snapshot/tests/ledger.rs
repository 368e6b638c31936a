//! The example `ledger`, compiled into the test so that an older build of it is never tested.

#[path = "../examples/ledger/bank.rs"]
mod bank;
#[path = "../examples/ledger/crash.rs"]
mod crash;
#[path = "../examples/ledger/ledger.rs"]
mod ledger;

use std::io::stdout;
use std::path::Path;
use std::process::Command;

use crate::bank::Bank;
use crate::ledger::{EQUITY, Transfer};

/// Passes the directory to the processes that the test starts from its own program and kills.
const VICTIM: &str = "ICN_TEST_VICTIM";

#[test]
fn no_acknowledged_transfer_is_lost_when_the_writer_is_killed() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        crash::victim(Path::new(&dir), &mut stdout()).expect("until it is killed");
        return;
    }
    let dir = tempfile::tempdir().expect("dir");
    let mut victim = Command::new(std::env::current_exe().expect("this program"));
    let name = "no_acknowledged_transfer_is_lost_when_the_writer_is_killed";
    victim.args(["--exact", name, "--nocapture"]).env(VICTIM, dir.path());
    let mut output = Vec::new();
    let result = crash::rounds(dir.path(), 3, &mut victim, &mut output);
    let output = String::from_utf8_lossy(&output);
    result.unwrap_or_else(|error| panic!("{error}\n{output}"));
    assert_eq!(output.lines().count(), 4, "{output}");
}

#[test]
fn the_books_balance_after_a_restart() {
    let dir = tempfile::tempdir().expect("dir");
    let transfer =
        |from: &str, to: &str, amount| Transfer { from: from.into(), to: to.into(), amount };
    let transfers = [
        transfer(EQUITY, "alice", 100),
        transfer("alice", "bob", 30),
        transfer("bob", "alice", 31),
        transfer("bob", "bob", 1),
        transfer("bob", "alice", 0),
    ];
    let (mut bank, _) = Bank::open(dir.path()).expect("open");
    let made = bank.make(&transfers).expect("make");
    assert_eq!(
        made.iter().map(|(_, outcome)| outcome.is_ok()).collect::<Vec<_>>(),
        [true, true, false, false, false]
    );
    bank.close().expect("close");
    let (bank, found) = Bank::open(dir.path()).expect("open");
    assert_eq!(found.log.replayed, 5);
    let sums: Vec<_> = bank.ledger().accounts.iter().map(|(name, sum)| (&name[..], *sum)).collect();
    assert_eq!(sums, [("alice", 70), ("bob", 30), (EQUITY, -100)]);
    bank.ledger().check().expect("books that balance");
}
