//! What the output of each command stands for.

use super::args::{
    ClockCommand, Command, GossipCommand, PeerCommand, SnapshotCommand, TopicCommand, WalCommand,
};
use crate::stdout::Kind;

impl Command {
    /// What it means when the output cannot be written.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Status
            | Self::State(_)
            | Self::Identity(_)
            | Self::Completions { .. }
            | Self::Clock(ClockCommand::Show) => Kind::Query,
            Self::Clock(ClockCommand::Confirm { .. }) => Kind::Change,
            Self::Topic(command) => of_topic(command),
            Self::Gossip(command) => of_gossip(command),
            Self::Peer(PeerCommand::List { .. }) => Kind::Query,
            Self::Peer(PeerCommand::Add { .. } | PeerCommand::Remove { .. }) => Kind::Change,
            Self::Snapshot(command) => of_snapshot(command),
            Self::Wal(log) => match log.command {
                WalCommand::List(_) | WalCommand::Dump { .. } | WalCommand::Verify(_) => {
                    Kind::Query
                }
                WalCommand::Salvage { dry_run, .. } => change_unless(dry_run),
            },
        }
    }
}

fn change_unless(dry_run: bool) -> Kind {
    if dry_run { Kind::Query } else { Kind::Change }
}

fn of_topic(command: &TopicCommand) -> Kind {
    match command {
        TopicCommand::List(_) | TopicCommand::Show { .. } | TopicCommand::Candidates { .. } => {
            Kind::Query
        }
        TopicCommand::Create { .. }
        | TopicCommand::Join { .. }
        | TopicCommand::Refetch { .. }
        | TopicCommand::Delete { .. } => Kind::Change,
    }
}

fn of_gossip(command: &GossipCommand) -> Kind {
    match command {
        GossipCommand::Subscriptions(_) | GossipCommand::Entries { .. } => Kind::Query,
        GossipCommand::Publish { .. }
        | GossipCommand::Subscribe { .. }
        | GossipCommand::Cursor(_)
        | GossipCommand::Unsubscribe { .. } => Kind::Change,
    }
}

fn of_snapshot(command: &SnapshotCommand) -> Kind {
    match command {
        SnapshotCommand::List(_)
        | SnapshotCommand::Show { .. }
        | SnapshotCommand::Verify { .. }
        | SnapshotCommand::Diff { .. } => Kind::Query,
        SnapshotCommand::Export { to: None, .. } => Kind::Whole,
        SnapshotCommand::Restore { dry_run, .. }
        | SnapshotCommand::Import { dry_run, .. }
        | SnapshotCommand::Prune { dry_run, .. } => change_unless(*dry_run),
        SnapshotCommand::Create { .. }
        | SnapshotCommand::Export { to: Some(_), .. }
        | SnapshotCommand::Delete { .. }
        | SnapshotCommand::Pin { .. }
        | SnapshotCommand::Unpin { .. } => Kind::Change,
    }
}
