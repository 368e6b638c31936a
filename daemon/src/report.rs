//! What a node says about itself to a person.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use icn_gossip::Did;
use icn_snapshot::Recovery;
use serde_json::Value;

use crate::control::socket;

/// What the start has to tell.
pub(crate) struct Start<'a> {
    /// Who the node is.
    pub(crate) did: Did,
    /// Whether it was made just now.
    pub(crate) created: bool,
    /// Where it lives.
    pub(crate) directory: &'a Path,
    /// Whether that is where `icnctl` looks by itself.
    pub(crate) usual_directory: bool,
    /// Where health and metrics are served.
    pub(crate) http: SocketAddr,
    /// Where peers are met.
    pub(crate) listen: SocketAddr,
    /// What was found.
    pub(crate) recovery: &'a Recovery,
    /// In what time.
    pub(crate) took: Duration,
    /// Whether it has a topic already.
    pub(crate) has_topics: bool,
}

impl Start<'_> {
    /// Writes the report, and what to try next.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let directory = self.directory.display();
        let control = socket::shown(self.directory);
        writeln!(out, "ICN node {}", env!("CARGO_PKG_VERSION"))?;
        writeln!(out)?;
        writeln!(out, "  DID        {}", self.did)?;
        writeln!(out, "  Data       {directory}")?;
        writeln!(out, "  Control    {}", control.display())?;
        writeln!(out, "  Health     http://{}", self.http)?;
        writeln!(out, "  Peers      udp {}", self.listen)?;
        writeln!(out, "  Recovery   {}", self.recovered())?;
        for (id, why) in &self.recovery.passed_over {
            writeln!(out, "             snapshot {id} could not be used: {why}")?;
        }
        writeln!(out)?;
        writeln!(out, "Try next, from another terminal:")?;
        let mut command = control_command();
        if !self.usual_directory {
            command.push_str(&format!(" --data-dir {directory}"));
        }
        let next: &[&str] = if self.has_topics {
            &["status", "topic list", "snapshot list"]
        } else {
            &[
                "topic create coop:ledger --private",
                "gossip subscribe coop:ledger",
                "gossip publish coop:ledger \"hello\"",
                "status",
            ]
        };
        for rest in next {
            writeln!(out, "  {command} {rest}")?;
        }
        writeln!(out)?;
        writeln!(
            out,
            "Ctrl-C stops the node; nothing acknowledged is lost if it is killed instead."
        )?;
        out.flush()
    }

    fn recovered(&self) -> String {
        let log = &self.recovery.log;
        if self.created {
            return "a new node".into();
        }
        let snapshot = match self.recovery.snapshot {
            Some(id) => format!("snapshot {id}"),
            None => "no snapshot".into(),
        };
        let torn = match log.torn_bytes {
            0 => String::new(),
            torn => format!("; {torn} bytes that were never acknowledged left out"),
        };
        let stop = if log.clean { "an orderly stop" } else { "a crash or kill" };
        let records = counted(log.replayed, "record");
        let seconds = self.took.as_secs_f64();
        format!(
            "{snapshot} and {records} of log in {seconds:.3} s, after {stop}{torn}; nothing lost"
        )
    }
}

/// How this machine's user reaches `icnctl`.
fn control_command() -> String {
    let on_path = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| directory.join("icnctl").is_file())
    });
    if on_path {
        return "icnctl".into();
    }
    let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name("icnctl"));
    match beside.filter(|path| path.is_file()) {
        Some(path) => relative(&path).display().to_string(),
        // `cargo run --bin icnd` builds nothing else.
        None => "cargo run --release --bin icnctl --".into(),
    }
}

fn relative(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).to_path_buf()
}

/// The rows of `icnctl status` and of the first page.
#[must_use]
pub(crate) fn status_rows(status: &Value, now_ms: u64) -> Vec<(&'static str, String)> {
    let number = |path: &str| status.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let text = |path: &str| status.pointer(path).and_then(Value::as_str).unwrap_or("?").to_owned();
    let snapshot = match status.pointer("/snapshot/id").and_then(Value::as_str) {
        None => "none yet; the log holds everything".to_owned(),
        Some(id) => format!(
            "{id}, taken {} ago, verified · {} kept",
            duration(now_ms.saturating_sub(number("/snapshot/created"))),
            number("/snapshot/kept"),
        ),
    };
    let clean = status.pointer("/last_start/clean").and_then(Value::as_bool) == Some(true);
    let replayed = counted(number("/last_start/records_replayed"), "record");
    let torn = match number("/last_start/torn_bytes") {
        0 => String::new(),
        torn => format!(", {torn} unacknowledged bytes left out"),
    };
    let last_start = match (number("/node/incarnation"), clean) {
        (1, _) => "the first".to_owned(),
        (_, true) => format!("after an orderly stop, {replayed} replayed"),
        (_, false) => format!("after a crash or kill, {replayed} replayed{torn}, nothing lost"),
    };
    vec![
        ("DID", text("/node/did")),
        ("Version", format!("{} · start {}", text("/node/version"), number("/node/incarnation"))),
        (
            "Gossip",
            format!(
                "{} ({} private, {} sealed) · {} · {} in {}",
                counted(number("/gossip/topics"), "topic"),
                number("/gossip/private_topics"),
                number("/gossip/sealed_topics"),
                counted(number("/gossip/subscriptions"), "subscription"),
                entries(number("/gossip/entries")),
                bytes(number("/gossip/bytes")),
            ),
        ),
        (
            "Log",
            format!(
                "durable to #{} · {} in {}",
                number("/wal/durable_lsn"),
                bytes(number("/wal/bytes")),
                counted(number("/wal/segments"), "segment"),
            ),
        ),
        ("Snapshot", snapshot),
        ("Last start", last_start),
        ("Peers", counted(number("/peers/known"), "key")),
    ]
}

/// `1 record`, `2 records`.
#[must_use]
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn entries(count: u64) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

/// A size for people.
#[must_use]
pub(crate) fn bytes(count: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| count >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", count / unit, count % unit * 10 / unit),
        None => format!("{count} B"),
    }
}

/// A duration for people.
#[must_use]
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A moment for people: UTC to the second.
#[must_use]
pub(crate) fn moment(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| "?".into(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
