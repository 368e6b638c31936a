//! The rows of `icnctl status` and of the first page.

use super::{bytes, counted, duration, entries, window};
use crate::control::reply::Status;

/// Names and texts, in order.
#[must_use]
pub(crate) fn rows(status: &Status, now_ms: u64) -> Vec<(&'static str, String)> {
    let Status { node, gossip, wal, .. } = status;
    vec![
        ("DID", node.did.clone()),
        ("Version", format!("{} · start {}", node.version, node.incarnation)),
        (
            "Gossip",
            format!(
                "{} ({} private, {} sealed) · {} · {} in {}",
                counted(gossip.topics, "topic"),
                gossip.private_topics,
                gossip.sealed_topics,
                counted(gossip.subscriptions, "subscription"),
                entries(gossip.entries),
                bytes(gossip.bytes),
            ),
        ),
        (
            "Log",
            format!(
                "durable to #{} · {} in {}",
                wal.durable_lsn,
                bytes(wal.bytes),
                counted(wal.segments, "segment"),
            ),
        ),
        ("Snapshot", snapshot(status, now_ms)),
        ("Window", window::reach(&status.snapshot.window, now_ms)),
        ("Last start", last_start(status)),
        ("Peers", counted(status.peers.known, "key")),
    ]
}

fn snapshot(status: &Status, now_ms: u64) -> String {
    let snapshot = &status.snapshot;
    match &snapshot.id {
        None => "none yet; the log holds everything".to_owned(),
        Some(id) => format!(
            "{id}, taken {} ago, verified · {} kept",
            duration(now_ms.saturating_sub(snapshot.created.unwrap_or(0))),
            snapshot.kept,
        ),
    }
}

fn last_start(status: &Status) -> String {
    let start = &status.last_start;
    if status.node.incarnation == 1 {
        return "the first".to_owned();
    }
    let end = log_end(start.clean, start.torn_bytes);
    format!("{} replayed; {end}", counted(start.records_replayed, "record"))
}

/// How the log ended that a start has found. The log says how the last run ended that wrote to it; a later one
/// may have ended without a write.
#[must_use]
pub(crate) fn log_end(clean: bool, torn_bytes: u64) -> String {
    match (clean, torn_bytes) {
        (true, _) => "the log ended with an orderly stop".to_owned(),
        (false, 0) => "the log ended with a crash or kill; every record of it was read".to_owned(),
        (false, torn) => {
            format!("the log ended with a crash or kill: {}", left_out(torn))
        }
    }
}

/// What is known of a torn tail. Nothing proves that it was durable, or that it was not. A crash during a
/// write leaves the same bytes as a disk that damaged them later.
#[must_use]
pub(crate) fn left_out(torn_bytes: u64) -> String {
    let bytes = counted(torn_bytes, "byte");
    format!(
        "{bytes} of an unfinished tail left out; whether a record in them was acknowledged cannot be known"
    )
}
