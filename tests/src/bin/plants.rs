//! `cargo run -p icn-tests --bin plants`: runs each layer of tests on each planted bug.
//!
//! It builds the tests with the planted bugs (`--cfg plant`) in a target directory of their own. It
//! writes which layer detects which bug into `docs/TESTING.md`, and fails if no layer detects a
//! bug.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Each layer: its name, its package, its test target, and the filter of its tests.
const LAYERS: [(&str, &str, &str, &str); 12] = [
    ("codecs", "icn-wal", "icn_wal", ""),
    ("log", "icn-wal", "suite", "log::"),
    ("schedules", "icn-wal", "shuttle", ""),
    ("crash points", "icn-wal", "suite", "crash_points::"),
    ("faults", "icn-wal", "suite", "faults::"),
    ("full disk", "icn-wal", "suite", "full::"),
    ("table", "icn-wal", "suite", "recovery_table::"),
    ("media", "icn-wal", "suite", "media::"),
    ("reuse", "icn-wal", "suite", "reuse::"),
    ("all losses", "icn-tests", "log", ""),
    ("2nd reader", "icn-tests", "reader", ""),
    ("node", "icn-tests", "node", ""),
];

/// The most time of one test run. A bug that makes a test hang is detected, too.
const TIME_MAX: Duration = Duration::from_secs(300);

const BEGIN: &str = "<!-- written by the program plants -->";
const END: &str = "<!-- end -->";

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the timeout of a test is wall time")]
    Instant::now()
}

/// The names of the planted bugs in the source.
fn bugs(root: &Path) -> Outcome<BTreeSet<String>> {
    let mut bugs = BTreeSet::new();
    let mut directories = vec![root.join("wal/src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path)?;
            for part in source.split("planted(\"").skip(1) {
                bugs.extend(part.split('"').next().map(str::to_owned));
            }
        }
    }
    Ok(bugs)
}

/// Builds test programs, and returns their package, target and path.
fn build(
    root: &Path,
    flags: &str,
    target: &str,
    what: &[&str],
) -> Outcome<Vec<(String, String, PathBuf)>> {
    let output = Command::new("cargo")
        .args(["test", "--no-run", "--message-format=json"])
        .args(what)
        .arg("--target-dir")
        .arg(root.join("target").join(target))
        .env("RUSTFLAGS", flags)
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the tests do not build".into());
    }
    let mut programs = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if let Some(program) = message["executable"].as_str()
            && message["profile"]["test"] == true
        {
            let package = message["package_id"].as_str().unwrap_or_default();
            let package = if package.contains("/wal#") { "icn-wal" } else { "icn-tests" };
            let target = message["target"]["name"].as_str().unwrap_or_default();
            programs.push((package.to_owned(), target.to_owned(), program.into()));
        }
    }
    Ok(programs)
}

fn start(program: &Path, filter: &str, bug: &str) -> Outcome<Child> {
    let mut command = Command::new(program);
    if !filter.is_empty() {
        command.arg(filter);
    }
    command.env("ICN_PLANT", bug).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.spawn()?)
}

/// True iff the tests pass.
fn passes(program: &Path, filter: &str, bug: &str) -> Outcome<bool> {
    let mut child = start(program, filter, bug)?;
    let deadline = now() + TIME_MAX;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn main() -> Outcome<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    let only: Vec<String> = std::env::args().skip(1).collect();
    let all = ["-p", "icn-wal", "-p", "icn-tests"];
    let threads = ["-p", "icn-wal", "--test", "shuttle"];
    let mut programs = build(root, "--cfg plant", "plant", &all)?;
    programs.retain(|(_, target, _)| target != "shuttle");
    programs.extend(build(root, "--cfg plant --cfg shuttle", "plant-shuttle", &threads)?);
    let mut out = std::io::stdout();
    let mut layers = Vec::new();
    for (name, package, target, filter) in LAYERS {
        let program = programs.iter().find(|(p, t, _)| p == package && t == target);
        let program = &program.ok_or_else(|| format!("there is no {package} {target}"))?.2;
        if !passes(program, filter, "")? {
            return Err(format!("{name} fails without a planted bug").into());
        }
        layers.push((name, program, filter));
    }
    let mut table = String::from("| bug |");
    layers.iter().for_each(|(name, ..)| table.extend([" ", name, " |"]));
    table.push_str("\n|---|");
    layers.iter().for_each(|_| table.push_str(":-:|"));
    let mut unseen = Vec::new();
    for bug in bugs(root)?.into_iter().filter(|bug| only.is_empty() || only.contains(bug)) {
        let mut row = format!("| {} |", bug.replace('-', " "));
        let mut seen = 0;
        for (_, program, filter) in &layers {
            let sees = !passes(program, filter, &bug)?;
            seen += u32::from(sees);
            row.push_str(if sees { " ● |" } else { "   |" });
        }
        writeln!(out, "{row}")?;
        write!(table, "\n{row}")?;
        if seen == 0 {
            unseen.push(bug);
        }
    }
    if only.is_empty() {
        let path = root.join("docs/TESTING.md");
        let page = std::fs::read_to_string(&path)?;
        let (before, rest) = page.split_once(BEGIN).ok_or("TESTING.md lacks the begin marker")?;
        let (_, after) = rest.split_once(END).ok_or("TESTING.md lacks the end marker")?;
        std::fs::write(&path, format!("{before}{BEGIN}\n{table}\n{END}{after}"))?;
    }
    if unseen.is_empty() { Ok(()) } else { Err(format!("detected by no layer: {unseen:?}").into()) }
}
