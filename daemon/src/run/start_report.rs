//! The report of a start, for the operator.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use icn_gossip::Did;
use icn_snapshot::Recovery;

use crate::control::socket;
use crate::output;
use crate::text::command::quoted;
use crate::text::counted;
use crate::text::log_end::log_end;

/// What a start that makes a node says: a data directory whose disk is not mounted looks new, too.
pub(super) const NEW_IDENTITY: &str = "NEW IDENTITY: this directory held no node, so this start made one. Should it hold one? Then stop, and \
     mount its disk. Services start with icnd --must-exist, which makes none.";

/// What the start reports.
pub(crate) struct Start<'a> {
    /// Who the node is.
    pub(crate) did: Did,
    /// Whether it was made just now.
    pub(crate) created: bool,
    /// What was found about its key file.
    pub(crate) key_findings: &'a [String],
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
    /// Prints the report, and what to try next.
    pub(crate) fn print(&self) {
        let mut text = Vec::new();
        // Writing to memory does not fail.
        let _ = self.write(&mut text);
        output::print(&String::from_utf8_lossy(&text));
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
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
        for finding in self.key_findings {
            writeln!(out, "             {finding}")?;
        }
        if self.created {
            for line in NEW_IDENTITY.split_inclusive(['.', '?']) {
                writeln!(out, "             {}", line.trim())?;
            }
        }
        for (id, why) in &self.recovery.passed_over {
            writeln!(out, "             snapshot {id} could not be used: {why}")?;
        }
        writeln!(out)?;
        writeln!(out, "Try next, from another terminal:")?;
        let mut command = control_command();
        if !self.usual_directory {
            command.push_str(&format!(" --data-dir {}", quoted(self.directory)));
        }
        let next: &[&str] = if self.has_topics {
            &["status", "topic list", "snapshot list"]
        } else {
            &[
                "topic create coop:ledger",
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
        )
    }

    fn recovered(&self) -> String {
        let log = &self.recovery.log;
        if self.created {
            return "a new node".into();
        }
        let from = match self.recovery.snapshot {
            Some(id) => format!("snapshot {id}"),
            None => "no snapshot".into(),
        };
        let records = counted(log.replayed, "record");
        let seconds = self.took.as_secs_f64();
        let end = log_end(log.clean, log.torn_bytes, log.end_proven);
        format!("{from} and {records} of log in {seconds:.3} s; {end}")
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
    let sibling = std::env::current_exe().ok().map(|exe| exe.with_file_name("icnctl"));
    match sibling.filter(|path| path.is_file()) {
        Some(path) => relative(&path).display().to_string(),
        // `cargo run --bin icnd` builds nothing else.
        None => "cargo run --release --bin icnctl --".into(),
    }
}

fn relative(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).to_path_buf()
}
