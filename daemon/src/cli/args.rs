//! The command line of `icnctl`.

mod snapshot;

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

pub(super) use self::snapshot::SnapshotCommand;
use super::{moment, wal};

const OUTPUT: &str = "Output that cannot be written is an error, exit code 1. A command that only reads \
    ends with 0 when its reader has had enough, as head has. A command that changes something, and \
    snapshot export, end with 1 then, and say on standard error what was done.";

/// Shows and controls an ICN node.
#[derive(Debug, Parser)]
#[command(name = "icnctl", version, max_term_width = 100, after_help = OUTPUT)]
pub(super) struct Cli {
    /// The data directory of the node [default: ~/.icn]
    #[arg(long, env = "ICN_DATA_DIR", value_name = "DIR", global = true)]
    pub(super) data_dir: Option<PathBuf>,
    /// One JSON document on standard output, for success and failure
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// The command.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Where a request is answered.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Source {
    /// Read the files instead of asking the node; a running node does not notice
    #[arg(long)]
    pub(super) offline: bool,
}

/// What `icnctl` can do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The state of the node: log, snapshots, topics and peers.
    Status,
    /// Topics: who may read and write, and which entries are kept.
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
    /// The write-ahead log, always read from the files.
    Wal(WalArgs),
    /// The state as a whole.
    #[command(subcommand)]
    State(StateCommand),
    /// The clocks of the node: what decides about age, and whether the wall clock is in doubt.
    #[command(subcommand)]
    Clock(ClockCommand),
    /// The DID of the node, and its key card.
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Print shell completions.
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Topics.
#[derive(Debug, Subcommand)]
pub(super) enum TopicCommand {
    /// Make a topic; only this node may read and write it, if no flag admits others.
    Create {
        /// The name: 1 to 128 of a-z 0-9 : . _ - and starting with a letter or digit
        name: String,
        /// Every node may read and write
        #[arg(long, conflicts_with_all = ["private", "members", "min_trust"])]
        public: bool,
        /// Only this node and the members may read and write; this is the default
        #[arg(long)]
        private: bool,
        /// A member, as a DID; may be given several times
        #[arg(long = "member", value_name = "DID")]
        members: Vec<String>,
        /// Only nodes with this much trust or more may read and write, 1 to 1000
        #[arg(long, value_name = "TRUST", value_parser = clap::value_parser!(u16).range(1..=1000))]
        min_trust: Option<u16>,
        /// How far the topic is meant to reach
        #[arg(long, value_parser = ["local", "regional", "global"])]
        scope: Option<String>,
        /// How many entries are kept [default: 1000000]
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        max_entries: Option<u32>,
        /// How many days entries are kept [default: 30]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
        retention_days: Option<u32>,
    },
    /// List the topics.
    List(Source),
    /// Show a topic with its access rule and the heads of its logs.
    Show {
        /// The topic's name or id
        topic: String,
        #[command(flatten)]
        source: Source,
    },
    /// Join a topic by its id, or by its name and creator, and subscribe to it.
    Join {
        /// The topic's id, or its name with --creator
        topic: String,
        /// The DID of the topic's creator: a name alone joins no topic, since any peer may use it
        #[arg(long, value_name = "DID")]
        creator: Option<String>,
    },
    /// Ask the peers that you named, and members of private topics here, which topics have a name.
    Candidates {
        /// The name
        name: String,
    },
    /// Bring back entries that were pruned here and that peers retain. Consumers do not get them again.
    Refetch {
        /// The topic's name or id
        topic: String,
        /// Leave out what was published before: 2026-11-24T15:00:00Z, or an age such as 15m, 2h or 3d
        #[arg(long, value_name = "TIME", value_parser = moment::parse)]
        since: Option<u64>,
    },
    /// Forget a topic and its entries on this node.
    Delete {
        /// The topic's name or id
        topic: String,
        /// Do not ask for confirmation
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
        /// The message; - reads it from standard input
        #[arg(required_unless_present = "lines", conflicts_with = "lines")]
        text: Option<String>,
        /// Publish each line of standard input, and print a JSON line for each once it is durable. When the
        /// output ends, it stops reading, and says how many lines are durable
        #[arg(long)]
        lines: bool,
    },
    /// Receive the entries of a topic that was created or joined here; else the subscription waits.
    Subscribe {
        /// The topic's name or id
        topic: String,
        /// Then print each entry that arrives, once it is durable on this node, until Ctrl-C. With
        /// --json a line has the fields of `entries` and `index`, the entry's place in the order of
        /// delivery. No index is used twice
        #[arg(long)]
        follow: bool,
        /// Remember under this name how far the lines were written, and go on there the next time.
        /// The last lines may then be repeated, with the same index
        #[arg(long, value_name = "NAME", requires = "follow")]
        cursor: Option<String>,
        /// Begin with the oldest entry that is kept; an existing cursor takes precedence
        #[arg(long, requires = "follow", conflicts_with = "after")]
        from_start: bool,
        /// Begin after this index; an existing cursor takes precedence
        #[arg(long, value_name = "INDEX", requires = "follow")]
        after: Option<u64>,
    },
    /// Cursors of consumers that follow topics.
    #[command(subcommand)]
    Cursor(CursorCommand),
    /// Receive no more entries of a topic.
    Unsubscribe {
        /// The name or id that was subscribed to
        topic: String,
    },
    /// List the subscriptions with who asked for them, and the cursors with how far they lag.
    Subscriptions(Source),
    /// Print the entries of a topic in the order of delivery.
    Entries {
        /// The topic's name or id
        topic: String,
        /// The most entries to print
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
        /// Only entries that arrived after this index
        #[arg(long, value_name = "ARRIVAL", default_value_t = 0)]
        after: u64,
        #[command(flatten)]
        source: Source,
    },
}

/// Cursors.
#[derive(Debug, Subcommand)]
pub(super) enum CursorCommand {
    /// Delete a cursor; a consumer that uses it is notified.
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
    /// List the connected peers.
    List {
        /// Also peers that are known but not connected
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Name a peer by its card, which `icnctl identity show` prints on the peer; it is then also asked
    /// for the topics of a name.
    Add {
        /// The card, icn-card:…
        card: String,
    },
    /// Forget a peer's key.
    Remove {
        /// The peer's DID
        did: String,
    },
}

/// The log.
#[derive(Args, Debug)]
pub(super) struct WalArgs {
    /// Read the log in this directory instead of the node's: a copy, or a salvaged log
    #[arg(long, value_name = "DIR", global = true)]
    pub(super) log: Option<PathBuf>,
    /// The command on the log.
    #[command(subcommand)]
    pub(super) command: WalCommand,
}

/// What can be done with a log.
#[derive(Debug, Subcommand)]
pub(super) enum WalCommand {
    /// List the segments with their records.
    List(Source),
    /// Print the records; with --json a line each.
    Dump {
        /// The first LSN
        #[arg(long, value_name = "LSN")]
        from: Option<u64>,
        /// The last LSN
        #[arg(long, value_name = "LSN")]
        to: Option<u64>,
        /// The most records to print
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// The first moment: 2026-11-24T15:00:00Z, or an age such as 15m, 2h or 3d
        #[arg(long, value_name = "TIME", value_parser = moment::parse)]
        since: Option<u64>,
        /// The last moment
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
        /// Go on with new records, as soon as each is proven durable, until Ctrl-C; works while the
        /// node runs and through its restarts
        #[arg(long, conflicts_with = "until")]
        follow: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Check every checksum, and decode every record; exit 5 on damage.
    Verify(Source),
    /// Write the readable records of a damaged log into a new directory; exit 3 when records are
    /// lost. The node must be stopped, and the damaged log is not changed.
    Salvage {
        /// The directory of the new log, which must be empty or not exist yet
        #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
        to: Option<PathBuf>,
        /// Keep the records from this LSN on, to continue a snapshot of the LSN before, instead of the
        /// records before the first hole
        #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
        from: Option<u64>,
        /// Only report which records can be read and which are lost
        #[arg(long, conflicts_with = "to")]
        dry_run: bool,
    },
}

/// The state.
#[derive(Debug, Subcommand)]
pub(super) enum StateCommand {
    /// Print a hash of the whole state: the same online, offline, and before and after a crash.
    Digest {
        /// The state at this LSN instead of the present one
        #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
        lsn: Option<u64>,
        #[command(flatten)]
        source: Source,
    },
}

/// The clocks.
#[derive(Debug, Subcommand)]
pub(super) enum ClockCommand {
    /// Show the wall clock, the node's clock, and whether the wall clock is in doubt.
    Show,
    /// Confirm that the wall clock is right. The time since the last run then counts, and messages whose
    /// time is over expire
    Confirm {
        /// Do not ask, even if messages will expire
        #[arg(long)]
        yes: bool,
    },
}

/// The identity.
#[derive(Debug, Subcommand)]
pub(super) enum IdentityCommand {
    /// Show the DID, and the card that peers add.
    Show(Source),
}
