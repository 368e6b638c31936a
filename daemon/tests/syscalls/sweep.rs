//! The sweeps: which calls are struck at, and which promises must hold then.

#![expect(clippy::print_stdout, reason = "a test says what it has done")]

mod after;
mod call;
mod life;
mod tracer;
mod witness;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use self::call::{Call, Kind};
use self::life::{Friend, Promised, Script, is_ready};
use self::tracer::{Plan, Report, Strike, Traced};
use crate::harness::House;

/// Recovery is swept from one killed life in this many calls.
const RECOVERED_EVERY: u64 = 10;

/// Selects the calls that count.
type Counts = fn(&Call) -> bool;

const KILLS: [(Strike, Counts); 3] = [
    (Strike::KillBefore, Call::changes),
    (Strike::KillWithin, |call| call.kind == Kind::Write),
    (Strike::KillAfter, Call::changes),
];

const FAILURES: [(Strike, Counts); 7] = [
    (Strike::Short, |call| call.kind == Kind::Write),
    (Strike::Fail(Errno::EIO), |call| call.kind == Kind::Sync),
    (Strike::FailFromNowOn(Errno::EIO), |call| call.kind == Kind::Sync),
    (Strike::Fail(Errno::ENOSPC), Call::takes_room),
    (Strike::FailFromNowOn(Errno::ENOSPC), Call::takes_room),
    (Strike::Fail(Errno::EMFILE), Call::opens),
    // A file system that has turned read-only.
    (Strike::FailFromNowOn(Errno::EROFS), Call::changes),
];

fn everything() -> bool {
    std::env::var_os("ICN_SWEEP").is_some_and(|value| value == "all")
}

/// Strikes with `case` at one call after the other, all or about `sample` of `calls`, until lives
/// end before their strike. Returns the number of strikes.
fn sweep(calls: usize, sample: u64, mut case: impl FnMut(u64) -> bool) -> u64 {
    let stride = if everything() { 1 } else { (calls as u64).div_ceil(sample) };
    // Threads race: one life may have a few more calls than another.
    let misses_max = if everything() { 3 } else { 1 };
    let mut at = stride.div_ceil(2);
    let mut struck = 0;
    let mut misses = 0;
    while misses < misses_max {
        if case(at) {
            struck += 1;
            misses = 0;
        } else {
            misses += 1;
        }
        at += stride;
    }
    struck
}

/// Prints the plan and the last log when a case panics.
struct Case<'a>(&'a House, Plan);

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.0.log_path()).unwrap_or_default();
            println!("{:?} at call {} · the last log:\n{log}", self.1.strike, self.1.at);
        }
    }
}

/// A life without a strike: every request is acknowledged, and the witness has seen it.
fn peace(script: Script, friend: &Friend) -> Option<Report> {
    let house = House::quick();
    let _case = Case(&house, Plan::PEACE);
    let (promised, report) = match script.live(&house, friend, Plan::PEACE) {
        Ok(lived) => lived,
        Err(error) => {
            println!("skipped: no process can be traced here: {error}");
            return None;
        }
    };
    assert!(promised.answered && promised.refusals.is_empty(), "{:?}", promised.refusals);
    assert_eq!(report.exit, Some(0));
    let acknowledged = script.lines + 2 * script.snapshots + 3;
    assert!(report.witness.told >= acknowledged as u64, "{:?}", report.witness);
    assert_eq!(report.witness.early, None);
    after::check(&house, friend, &promised);
    Some(report)
}

fn count(report: &Report, counts: Counts) -> usize {
    report.calls.iter().filter(|call| counts(call)).count()
}

/// A life with a strike, and the checks that hold for every strike.
fn live(script: Script, friend: &Friend, house: &House, plan: Plan) -> (Promised, Report) {
    let (promised, report) = script.live(house, friend, plan).expect("tracing");
    assert_eq!(report.witness.early, None, "told, and what was durable then");
    if report.struck.is_none() {
        assert!(promised.answered && promised.refusals.is_empty());
        assert_eq!(report.exit, Some(0));
    }
    (promised, report)
}

#[test]
fn a_node_killed_at_any_call_of_its_life_recovers_whole() {
    let friend = Friend::new();
    for script in [Script::SHORT, Script::FULL] {
        let Some(report) = peace(script, &friend) else { return };
        let mut kills = Vec::new();
        for (strike, counts) in KILLS {
            let calls = count(&report, counts);
            kills.push(sweep(calls, script.sample, |at| {
                let plan = Plan { counts, at, strike };
                let house = House::quick();
                let _case = Case(&house, plan);
                let (promised, report) = live(script, &friend, &house, plan);
                assert_eq!(report.exit.is_some(), report.struck.is_none());
                assert!(promised.refusals.is_empty(), "{:?}", promised.refusals);
                after::check(&house, &friend, &promised);
                report.struck.is_some()
            }));
        }
        let calls = count(&report, Call::changes);
        println!(
            "{}: {calls} calls; killed before, within, after: {kills:?}, each started again",
            script.name
        );
    }
}

#[test]
fn a_node_struck_at_any_call_of_its_recovery_recovers_whole() {
    let friend = Friend::new();
    let script = Script::SHORT;
    let Some(report) = peace(script, &friend) else { return };
    let calls = count(&report, Call::changes) as u64;
    let every = if everything() { RECOVERED_EVERY } else { calls / 3 };
    let mut stores = 0;
    let mut kills = 0;
    let mut failures = 0;
    for at in (every / 2..calls).step_by(usize::try_from(every).expect("small")) {
        let plan = Plan { counts: Call::changes, at, strike: Strike::KillAfter };
        let killed = House::quick();
        let (promised, _) = live(script, &friend, &killed, plan);
        stores += 1;
        let struck = |counts, strike| {
            let mut case = |at| recover(&killed, &friend, &promised, Plan { counts, at, strike });
            sweep(30, script.sample / 2, &mut case)
        };
        kills += KILLS.iter().map(|(strike, counts)| struck(*counts, *strike)).sum::<u64>();
        failures += FAILURES.iter().map(|(strike, counts)| struck(*counts, *strike)).sum::<u64>();
    }
    println!(
        "{stores} killed stores; recovery killed {kills} times and failed {failures} times, each \
         twice in a row and started again"
    );
}

/// Strikes at the recovery of a copy of `killed`, twice in a row. Returns whether a strike fell.
fn recover(killed: &House, friend: &Friend, promised: &Promised, plan: Plan) -> bool {
    let house = killed.copy();
    let _case = Case(&house, plan);
    let recovered = after::digest_of_files(&house);
    let mut struck = false;
    for _ in 0..2 {
        let node = Traced::start(&house, plan).expect("tracing");
        let ready = is_ready(&house, &node);
        node.signal(Signal::SIGKILL);
        let report = node.finish();
        let Some(call) = &report.struck else { break };
        struck = true;
        if KILLS.iter().all(|(kill, _)| *kill != plan.strike) && !ready {
            judge_start(plan.strike, call, &report, &house);
        }
    }
    if recovered.as_ref().is_some_and(|digest| digest["lsn"] != 0) {
        assert_eq!(after::digest_of_files(&house), recovered, "recovery changes nothing");
    }
    after::check(&house, friend, promised);
    struck
}

#[test]
fn a_node_whose_disk_fails_at_any_call_reports_it_and_loses_nothing() {
    let friend = Friend::new();
    for script in [Script::SHORT, Script::FULL] {
        let Some(peace) = peace(script, &friend) else { return };
        for (strike, counts) in FAILURES {
            let mut exits = std::collections::BTreeMap::<i32, u32>::new();
            let calls = count(&peace, counts);
            let failed = sweep(calls, script.sample, |at| {
                let plan = Plan { counts, at, strike };
                let house = House::quick();
                let _case = Case(&house, plan);
                let (promised, report) = live(script, &friend, &house, plan);
                if let Some(call) = &report.struck {
                    judge(strike, call, &promised, &report, &house);
                    *exits.entry(report.exit.unwrap_or(-1)).or_default() += 1;
                }
                after::check(&house, &friend, &promised);
                report.struck.is_some()
            });
            println!(
                "{}: {strike:?} at {failed} calls; exit codes and how often: {exits:?}",
                script.name
            );
        }
    }
}

/// The log writes a note when it is idle, and no request waits for that write.
#[test]
fn a_node_whose_log_fails_while_idle_ends() {
    let counts: Counts = |call| call.kind == Kind::Sync && call.is_on_segment();
    // The first sync is that of the record that makes the node.
    let plan = Plan { counts, at: 2, strike: Strike::Fail(Errno::EIO) };
    let house = House::quick();
    let _case = Case(&house, plan);
    let node = match Traced::start(&house, plan) {
        Ok(node) => node,
        Err(error) => {
            println!("skipped: no process can be traced here: {error}");
            return;
        }
    };
    assert!(is_ready(&house, &node), "it starts");
    assert_eq!(exit_code(&node.finish(), &house), 74);
}

/// A killed process leaves names and bytes that only the page cache holds. Recovery relies on them
/// only once they are on the disk or gone.
#[test]
fn data_a_killed_node_had_not_synced_is_synced_by_the_next_start() {
    let friend = Friend::new();
    let Some(peace) = peace(Script::SHORT, &friend) else { return };
    let counts: Counts = |call| call.kind == Kind::Sync;
    let calls = count(&peace, counts);
    let killed = sweep(calls, calls as u64, |at| {
        let plan = Plan { counts, at, strike: Strike::KillBefore };
        let house = House::quick();
        let _case = Case(&house, plan);
        let (_, report) = live(Script::SHORT, &friend, &house, plan);
        let Some(missed) = report.struck else { return false };
        let node = Traced::start(&house, Plan::PEACE).expect("tracing");
        assert!(is_ready(&house, &node), "it starts");
        node.signal(Signal::SIGKILL);
        let report = node.finish();
        // A removed file may exist again: the next start makes its own files under such names.
        let made_good = |call: &Call| call.kind == Kind::Sync || call.name.starts_with("unlink");
        let mut calls = report.calls.iter().filter(|call| call.path == missed.path);
        let gone = !house.around().join(&missed.path).exists();
        assert!(gone || calls.any(made_good), "{missed} was never made good");
        true
    });
    println!("killed before {killed} syncs");
}

/// Checks that the node ended as `docs/ARCHITECTURE.md` has it.
fn judge(strike: Strike, call: &Call, promised: &Promised, report: &Report, house: &House) {
    if !promised.ready {
        return judge_start(strike, call, report, house);
    }
    let exit = exit_code(report, house);
    let (refused, code) = match strike {
        _ if is_full(strike) => (18, "ICN-E0203"),
        Strike::Fail(Errno::EMFILE) => (1, "ICN-E0113"),
        _ => (1, "ICN-E0206"),
    };
    // A message to a topic whose creation was refused is refused too.
    let expected = |given: &String| [code, "ICN-E0302"].contains(&given.as_str());
    assert!(promised.refusals.iter().all(expected), "{call}: {:?}", promised.refusals);
    match strike {
        Strike::Short => {
            assert!(promised.answered && promised.refusals.is_empty(), "{call}");
            assert_eq!(exit, 0, "{call}");
        }
        Strike::Fail(_) if call.is_on_segment() => assert_eq!(exit, 74, "{call}"),
        Strike::Fail(_) if call.path.starts_with("data/snapshots") => assert_eq!(exit, 0, "{call}"),
        _ => assert!([0, refused, 74].contains(&exit), "{call}: {exit}"),
    }
}

/// Checks that a failed start ended as `docs/ARCHITECTURE.md` has it.
fn judge_start(strike: Strike, call: &Call, report: &Report, house: &House) {
    let exit = exit_code(report, house);
    assert_ne!(strike, Strike::Short, "{call}: it has to write the rest");
    let refused = match strike {
        _ if call.path.ends_with("icn.toml") => 6,
        _ if is_full(strike) => 18,
        _ => 1,
    };
    // The record that makes the node begins its log.
    let poisoned = exit == 74 && call.path.starts_with("data/wal");
    assert!(poisoned || exit == refused, "{call}: {exit} instead of {refused}");
}

fn is_full(strike: Strike) -> bool {
    matches!(strike, Strike::Fail(Errno::ENOSPC) | Strike::FailFromNowOn(Errno::ENOSPC))
}

/// The exit code; one other than 0 must be in the log, with its reason.
fn exit_code(report: &Report, house: &House) -> i32 {
    let log = std::fs::read_to_string(house.log_path()).expect("read");
    let exit = report.exit.unwrap_or_else(|| panic!("killed by a signal: {log}"));
    assert!(!log.contains("panicked"), "{log}");
    assert!(exit == 0 || log.contains(&format!(" · exit {exit}")), "{exit}: {log}");
    exit
}
