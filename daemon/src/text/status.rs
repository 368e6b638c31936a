//! The rows of `icnctl status` and of the first page.

use super::log_end::log_end;
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
    let end = log_end(start.clean, start.torn_bytes, start.end_proven);
    format!("{} replayed; {end}", counted(start.records_replayed, "record"))
}
