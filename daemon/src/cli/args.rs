//! The command line of `icnctl`.

mod snapshot;

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

pub(super) use self::snapshot::SnapshotCommand;
use super::{moment, wal};

/// Sees and steers an ICN node.
#[derive(Debug, Parser)]
#[command(name = "icnctl", version, max_term_width = 100)]
pub(super) struct Cli {
    /// Where the node lives [default: ~/.icn]
    #[arg(long, env = "ICN_DATA_DIR", value_name = "DIR", global = true)]
    pub(super) data_dir: Option<PathBuf>,
    /// One JSON document on standard output, for success and failure
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Where a question is answered.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Source {
    /// Read the files, without asking the node and beside a running one
    #[arg(long)]
    pub(super) offline: bool,
}

/// What `icnctl` can do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How the node is.
    Status,
    /// Topics: who may read and write, what is kept.
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Messages in topics.
    #[command(subcommand)]
    Gossip(GossipCommand),
    /// Peers and their keys.
    #[command(subcommand)]
    Peer(PeerCommand),
    /// Snapshots of the state.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// The write-ahead log; always read from the files.
    Wal(WalArgs),
    /// The state as a whole.
    #[command(subcommand)]
    State(StateCommand),
    /// Who the node is.
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Shell completions on standard output.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

/// Topics.
#[derive(Debug, Subcommand)]
pub(super) enum TopicCommand {
    /// Make a topic; everybody may read and write it unless you say otherwise.
    Create {
        /// Its name: 1 to 128 of a-z 0-9 : . _ - and starting with a letter or digit
        name: String,
        /// Only members may read and write; you are one
        #[arg(long)]
        private: bool,
        /// A member, as a DID; makes the topic private
        #[arg(long = "member", value_name = "DID")]
        members: Vec<String>,
        /// Only those you trust this much may read and write, 0 to 1000
        #[arg(long, value_name = "TRUST", value_parser = clap::value_parser!(u16).range(0..=1000))]
        min_trust: Option<u16>,
        /// How far it is meant to reach
        #[arg(long, value_parser = ["local", "regional", "global"])]
        scope: Option<String>,
        /// How many entries are kept [default: 1000000]
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        max_entries: Option<u32>,
        /// For how long entries are kept [default: 30]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
        retention_days: Option<u32>,
    },
    /// All topics.
    List(Source),
    /// One topic with its access rule and clock.
    Show {
        /// Its name or id
        topic: String,
        #[command(flatten)]
        source: Source,
    },
    /// Forget a topic and its entries on this node.
    Delete {
        /// Its name or id
        topic: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Messages.
#[derive(Debug, Subcommand)]
pub(super) enum GossipCommand {
    /// Publish a message and return once it is durable.
    Publish {
        /// The topic's name or id
        topic: String,
        /// The message; - reads one from standard input
        #[arg(required_unless_present = "lines", conflicts_with = "lines")]
        text: Option<String>,
        /// Publish every line of standard input; one JSON line each, once it is durable
        #[arg(long)]
        lines: bool,
    },
    /// Ask for the entries of a topic, also of one not known yet.
    Subscribe {
        /// The topic's name or id
        topic: String,
        /// Then print what arrives from now on, a line for each entry once it is durable here, until
        /// Ctrl-C; with --json the fields of `entries`, with `index` for its place in the order of
        /// delivery, which is never used twice
        #[arg(long)]
        follow: bool,
        /// Remember under this name how far the lines were written, and go on there the next time;
        /// what was written last may come again then, with the same index
        #[arg(long, value_name = "NAME", requires = "follow")]
        cursor: Option<String>,
        /// Begin with the oldest entry that is kept; a cursor that is there knows better
        #[arg(long, requires = "follow", conflicts_with = "after")]
        from_start: bool,
        /// Begin after this index; a cursor that is there knows better
        #[arg(long, value_name = "INDEX", requires = "follow")]
        after: Option<u64>,
    },
    /// Cursors of consumers that follow.
    #[command(subcommand)]
    Cursor(CursorCommand),
    /// Ask for them no longer.
    Unsubscribe {
        /// The topic as it was subscribed to
        topic: String,
    },
    /// All subscriptions, who asked for them, and how far the cursors are behind.
    Subscriptions(Source),
    /// The entries of a topic in the order of delivery.
    Entries {
        /// The topic's name or id
        topic: String,
        /// At most so many
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
        /// Only those that arrived after this one
        #[arg(long, value_name = "ARRIVAL", default_value_t = 0)]
        after: u64,
        #[command(flatten)]
        source: Source,
    },
}

/// Cursors.
#[derive(Debug, Subcommand)]
pub(super) enum CursorCommand {
    /// Forget one; whoever uses it is told.
    Delete {
        /// The topic's name or id
        topic: String,
        /// The name of the cursor
        name: String,
    },
}

/// Peers.
#[derive(Debug, Subcommand)]
pub(super) enum PeerCommand {
    /// The peers that are connected.
    List {
        /// Also those that are only known
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Learn a peer's key from its card (its `icnctl identity show`).
    Add {
        /// The card, icn-card:…
        card: String,
    },
    /// Forget a peer's key.
    Remove {
        /// Its DID
        did: String,
    },
}

/// The log.
#[derive(Args, Debug)]
pub(super) struct WalArgs {
    /// Read the log in this directory instead of the node's: a copy, or what was salvaged
    #[arg(long, value_name = "DIR", global = true)]
    pub(super) log: Option<PathBuf>,
    /// What to do with it.
    #[command(subcommand)]
    pub(super) command: WalCommand,
}

/// What can be done with a log.
#[derive(Debug, Subcommand)]
pub(super) enum WalCommand {
    /// The segments and what they hold.
    List(Source),
    /// Every record; with --json one line each.
    Dump {
        /// From this LSN on
        #[arg(long, value_name = "LSN")]
        from: Option<u64>,
        /// Up to this LSN
        #[arg(long, value_name = "LSN")]
        to: Option<u64>,
        /// At most so many
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// From this moment on: 2026-11-24T15:00:00Z, or 15m, 2h or 3d for so long ago
        #[arg(long, value_name = "TIME", value_parser = moment::parse)]
        since: Option<u64>,
        /// Up to this moment
        #[arg(long, value_name = "TIME", value_parser = moment::parse)]
        until: Option<u64>,
        /// Only these types, separated by commas
        #[arg(
            long = "type",
            value_name = "TYPE",
            value_delimiter = ',',
            value_parser = PossibleValuesParser::new(wal::TYPES)
        )]
        types: Vec<String>,
        /// Go on with what comes, as soon as it is proven durable, until Ctrl-C; beside a running
        /// node and through its restarts
        #[arg(long, conflicts_with = "until")]
        follow: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Check every checksum and that every record makes sense; exit 5 when one does not.
    Verify(Source),
    /// Write what can still be read of a damaged log into a new directory; exit 3 when something is
    /// lost. The node must be stopped, and nothing is changed in place.
    Salvage {
        /// Where the new log goes: a directory that is empty or not there yet
        #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
        to: Option<PathBuf>,
        /// Keep the records from this LSN on, for a snapshot of the one before, instead of the first
        /// ones up to a hole
        #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
        from: Option<u64>,
        /// Only say what can be read and what is lost
        #[arg(long, conflicts_with = "to")]
        dry_run: bool,
    },
}

/// The state.
#[derive(Debug, Subcommand)]
pub(super) enum StateCommand {
    /// A hash of the whole state: the same online, offline, and before and after a crash.
    Digest {
        /// As it was at this LSN
        #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
        lsn: Option<u64>,
        #[command(flatten)]
        source: Source,
    },
}

/// The identity.
#[derive(Debug, Subcommand)]
pub(super) enum IdentityCommand {
    /// The DID, and the card that peers add.
    Show(Source),
}
