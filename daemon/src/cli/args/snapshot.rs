//! The command line of `icnctl snapshot`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Source;
use crate::cli::moment;

/// Snapshots.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SnapshotCommand {
    /// Take a snapshot now; returns once it is written, verified and listed.
    Create {
        /// Keep it until it is unpinned
        #[arg(long)]
        pin: bool,
        /// A label to store with it; may be given several times
        #[arg(long = "label", value_name = "KEY=VALUE")]
        labels: Vec<String>,
    },
    /// List the snapshots that are kept, and why.
    List(Source),
    /// Show a snapshot.
    Show {
        /// The id of the snapshot
        id: String,
        #[command(flatten)]
        source: Source,
    },
    /// Read and decode a snapshot, or all, to the end; exit 5 on damage.
    Verify {
        /// The id of the snapshot
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All snapshots that are kept
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Show what changes from a snapshot to another, or to the present state.
    Diff {
        /// The id of the older snapshot
        from: String,
        /// The id of the newer snapshot [default: the present state]
        to: Option<String>,
        #[command(flatten)]
        source: Source,
    },
    /// Go back to a snapshot, or to any moment of the restore window. The log goes on with new
    /// numbers, and another restore undoes it.
    Restore {
        /// The id of the snapshot
        #[arg(required_unless_present_any = ["lsn", "time"], conflicts_with_all = ["lsn", "time"])]
        id: Option<String>,
        /// The state right after the record with this LSN
        #[arg(long, value_name = "LSN", conflicts_with = "time")]
        lsn: Option<u64>,
        /// The state at this moment: 2026-11-24T15:00:00Z, or an age such as 15m, 2h or 3d
        #[arg(long, value_name = "TIME", value_parser = moment::parse)]
        time: Option<u64>,
        /// Only report what it would change
        #[arg(long)]
        dry_run: bool,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Write a snapshot, or the present state, as readable JSON. The file holds every message and no
    /// key.
    Export {
        /// The id of the snapshot
        #[arg(conflicts_with_all = ["lsn", "time"])]
        id: Option<String>,
        /// The state right after the record with this LSN
        #[arg(long, value_name = "LSN", conflicts_with = "time")]
        lsn: Option<u64>,
        /// The state at this moment, as for restore
        #[arg(long, value_name = "TIME", value_parser = moment::parse)]
        time: Option<u64>,
        /// The file to write, which must not exist yet [default: standard output]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Import an exported state as a snapshot that can be restored. A state.snapshot of the earlier
    /// implementation is applied at once, with a report of every field.
    Import {
        /// The file to import
        file: PathBuf,
        /// The DID of the node in the earlier implementation
        #[arg(long, value_name = "DID")]
        formerly: Option<String>,
        /// Only report what would be imported
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete a snapshot. The newest whole one, the one that the restore window begins with, pinned ones and
    /// those that a restore needs stay.
    Delete {
        /// The id of the snapshot
        id: String,
    },
    /// Delete the snapshots that the rules in icn.toml do not keep.
    Prune {
        /// Only report which would be deleted
        #[arg(long)]
        dry_run: bool,
        /// Explain for each snapshot why it stays or goes
        #[arg(long)]
        explain: bool,
    },
    /// Keep a snapshot whatever the rules say.
    Pin {
        /// The id of the snapshot
        id: String,
    },
    /// Let the rules decide about a snapshot again.
    Unpin {
        /// The id of the snapshot
        id: String,
    },
}
