//! What is done with snapshots.

use std::path::PathBuf;

use clap::Subcommand;

use super::Source;
use crate::cli::moment;

/// Snapshots.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SnapshotCommand {
    /// Take one now; returns once it is written, verified and listed.
    Create {
        /// It stays until it is unpinned
        #[arg(long)]
        pin: bool,
        /// What to write on it; may be given several times
        #[arg(long = "label", value_name = "KEY=VALUE")]
        labels: Vec<String>,
    },
    /// All that are kept, and why.
    List(Source),
    /// One of them.
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        source: Source,
    },
    /// Read one, or all, to the end and decode it; exit 5 when one is damaged.
    Verify {
        /// Its id
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All that are kept
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        source: Source,
    },
    /// What changes from one to another, or to the present state.
    Diff {
        /// From this one
        from: String,
        /// To this one [default: the present state]
        to: Option<String>,
        #[command(flatten)]
        source: Source,
    },
    /// Go back to one, or to any moment of the restore window, as a step forward: numbers go on, and
    /// another restore undoes it.
    Restore {
        /// Its id
        #[arg(required_unless_present_any = ["lsn", "time"], conflicts_with_all = ["lsn", "time"])]
        id: Option<String>,
        /// To the state right after the record with this LSN
        #[arg(long, value_name = "LSN", conflicts_with = "time")]
        lsn: Option<u64>,
        /// To the state at this moment: 2026-11-24T15:00:00Z, or 15m, 2h or 3d ago
        #[arg(long, value_name = "TIME", value_parser = moment::parse)]
        time: Option<u64>,
        /// Only say what it would change
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Write one as JSON that people can read; the present state if none is given. It holds every message
    /// and no key.
    Export {
        /// Its id
        #[arg(conflicts_with_all = ["lsn", "time"])]
        id: Option<String>,
        /// The state right after the record with this LSN
        #[arg(long, value_name = "LSN", conflicts_with = "time")]
        lsn: Option<u64>,
        /// The state at this moment
        #[arg(long, value_name = "TIME", value_parser = moment::parse)]
        time: Option<u64>,
        /// Into this file, which must not exist yet [default: standard output]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Take in what was exported, as a snapshot to be restored; or a state.snapshot of the earlier
    /// implementation, at once and with a report of what became of every field.
    Import {
        /// The file
        file: PathBuf,
        /// Who the node was in the earlier implementation, as a DID
        #[arg(long, value_name = "DID")]
        formerly: Option<String>,
        /// Only say what would be taken
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove one; the newest whole one, pinned ones and those a restore needs stay.
    Delete {
        /// Its id
        id: String,
    },
    /// Remove those that the rules in icn.toml do not keep.
    Prune {
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
        /// Say of every one why it stays or goes
        #[arg(long)]
        explain: bool,
    },
    /// Have one stay whatever the rules say.
    Pin {
        /// Its id
        id: String,
    },
    /// Have the rules decide about it again.
    Unpin {
        /// Its id
        id: String,
    },
}
