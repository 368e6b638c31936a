//! The requests of the control socket: one JSON line each way.
//!
//! ```text
//! → {"v":1,"cmd":"publish","topic":"coop:ledger","text":"hello"}
//! ← {"ok":true,"data":{"lsn":7,"seq":1,"arrival":1}}
//! ← {"ok":false,"error":{"code":"ICN-E0302","message":"…","advice":"…","exit":1}}
//! ```
//!
//! Replies come in the order of the requests; up to 1 024 requests of a connection may be in flight.

use std::path::PathBuf;

use icn_snapshot::{PointInTime, SnapshotId};
use icn_wal::Lsn;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::codes;
use crate::failure::Failure;

/// The version of the protocol.
pub const VERSION: u32 = 1;

/// The longest line of a request: 1 MiB. A list in a reply may be longer.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "cmd", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Reports the status of the node.
    Status,
    /// Reports the identity of the node.
    Identity,
    /// Creates a topic. Without `public`, `members` and `min_trust` it admits its creator alone.
    TopicCreate {
        /// The name of the topic.
        name: String,
        /// Whether every node may read and write.
        #[serde(default)]
        public: bool,
        /// Whether only the creator and the members may read and write. This is the default.
        #[serde(default)]
        private: bool,
        /// The members in addition to the creator, as DIDs.
        #[serde(default)]
        members: Vec<String>,
        /// The least trust that gives access, 1 to 1000.
        #[serde(default)]
        min_trust: Option<u16>,
        /// The intended reach: local, regional or global.
        #[serde(default)]
        scope: Option<String>,
        /// The most entries that are retained.
        #[serde(default)]
        max_entries: Option<u32>,
        /// For how many days entries are retained.
        #[serde(default)]
        retention_days: Option<u32>,
    },
    /// Lists all topics.
    TopicList,
    /// Shows one topic.
    TopicShow {
        /// The name or id of the topic.
        topic: String,
    },
    /// Deletes a topic on this node.
    TopicDelete {
        /// The name or id of the topic.
        topic: String,
    },
    /// Joins a topic and subscribes to it. It is entered once a peer that may read it offers it.
    TopicJoin {
        /// The id of the topic, or its name.
        topic: String,
        /// The DID of the creator; a name is joined with it only.
        #[serde(default)]
        creator: Option<String>,
    },
    /// Lists what peers offer under a name. Asks peers that the operator named, and members of private
    /// topics here; their answers appear in later replies.
    TopicCandidates {
        /// The name.
        name: String,
        /// Whether to ask; without it, only what is known is listed.
        #[serde(default)]
        search: bool,
    },
    /// Brings back entries that were pruned here and that peers retain. The reply shows how far it is; it
    /// goes on by itself. Consumers do not get these entries.
    TopicRefetch {
        /// The name or id of the topic.
        topic: String,
        /// Leave out entries that were published before this time, in ms since 1970.
        #[serde(default)]
        since: Option<u64>,
        /// Whether to begin anew. Without it, one that runs or ended in the last 10 minutes is shown, if
        /// there is one.
        #[serde(default)]
        again: bool,
    },
    /// Publishes a message.
    Publish {
        /// The topic's name or id.
        topic: String,
        /// The message as text; either this or `base64`.
        #[serde(default)]
        text: Option<String>,
        /// The message as base64.
        #[serde(default)]
        base64: Option<String>,
        /// Whether the reply describes the topic.
        #[serde(default)]
        describe: bool,
    },
    /// Subscribes to a topic.
    Subscribe {
        /// The topic's name or id.
        topic: String,
    },
    /// Ends the subscription to a topic.
    Unsubscribe {
        /// The topic's name or id.
        topic: String,
    },
    /// Subscribes, and turns the connection into a stream of the topic's entries, each once it is durable.
    /// After it the connection accepts `cursor_move` only.
    Follow {
        /// The topic's name or id. The stream waits for a topic that is not known yet.
        topic: String,
        /// The cursor to continue from; a new one is created.
        #[serde(default)]
        cursor: Option<String>,
        /// Start after this arrival; without it, after the last one. An existing cursor takes precedence.
        #[serde(default)]
        after: Option<u64>,
    },
    /// Moves a cursor: its consumer has processed all arrivals up to this one.
    CursorMove {
        /// The topic's name or id.
        topic: String,
        /// The name of the cursor.
        cursor: String,
        /// The last processed arrival.
        arrival: u64,
    },
    /// Deletes a cursor.
    CursorDelete {
        /// The topic's name or id.
        topic: String,
        /// The name of the cursor.
        cursor: String,
    },
    /// Lists all subscriptions and cursors.
    Subscriptions,
    /// Lists entries of a topic in the order of delivery.
    Entries {
        /// The topic's name or id.
        topic: String,
        /// List the entries after this arrival.
        #[serde(default)]
        after: u64,
        /// The most entries to list; a page has at most 1 000.
        #[serde(default)]
        limit: Option<usize>,
    },
    /// Takes a snapshot.
    SnapshotCreate {
        /// Whether the snapshot stays until it is unpinned.
        #[serde(default)]
        pin: bool,
        /// The labels of the snapshot, each `key=value`.
        #[serde(default)]
        labels: Vec<String>,
    },
    /// Lists all snapshots and the restore window.
    SnapshotList,
    /// Reads one snapshot to its end and verifies it.
    SnapshotVerify {
        /// The id of the snapshot.
        id: String,
    },
    /// Compares two points in time.
    SnapshotDiff {
        /// The earlier side; the present state if absent.
        #[serde(default)]
        from: Option<Moment>,
        /// The later side; the present state if absent.
        #[serde(default)]
        to: Option<Moment>,
    },
    /// Shows what a restore would change.
    SnapshotPreview {
        /// The point in time to restore.
        to: Moment,
    },
    /// Restores the state of a point in time, as a step forward.
    SnapshotRestore {
        /// The point in time to restore.
        to: Moment,
    },
    /// Imports a state from a file. An exported state becomes a snapshot to restore. A `state.snapshot` of
    /// the earlier implementation is applied at once, as far as it can be.
    SnapshotImport {
        /// The absolute path of the file, on the machine of the node.
        path: PathBuf,
        /// Only report what would be imported.
        #[serde(default)]
        dry_run: bool,
        /// The DID of the node in the earlier implementation.
        #[serde(default)]
        formerly: Option<String>,
    },
    /// Pins or unpins a snapshot.
    SnapshotPin {
        /// The id of the snapshot.
        id: String,
        /// Whether the snapshot stays whatever the retention rules say.
        pinned: bool,
    },
    /// Retires the snapshots that the retention rules do not keep.
    SnapshotPrune {
        /// Only report what would happen.
        #[serde(default)]
        dry_run: bool,
    },
    /// Deletes a snapshot.
    SnapshotDelete {
        /// The id of the snapshot.
        id: String,
    },
    /// Computes the digest of the state.
    Digest {
        /// The LSN of the state; the present one if absent.
        #[serde(default)]
        lsn: Option<u64>,
    },
    /// Shows the clocks of the node, and whether the wall clock is in doubt.
    ClockShow,
    /// Confirms that the wall clock is right.
    ClockConfirm,
    /// Lists the peers with a known key.
    PeerList,
    /// Adds a peer by its key card.
    PeerAdd {
        /// The key card.
        card: String,
    },
    /// Removes a peer.
    PeerRemove {
        /// The DID of the peer.
        did: String,
    },
}

/// A point in time of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The state in the snapshot with this id.
    Id(String),
    /// The state right after the record with this LSN.
    Lsn(u64),
    /// The state after the last record at or before this time, in ms since 1970.
    Time(u64),
}

impl Moment {
    /// The point in time in the terms of the store.
    ///
    /// # Errors
    /// `ICN-E0216` for an invalid id, `ICN-E0214` for LSN 0.
    pub(crate) fn at(&self) -> Result<PointInTime, Failure> {
        match self {
            Self::Id(id) => Ok(PointInTime::Snapshot(snapshot_id(id)?)),
            Self::Lsn(lsn) => Lsn::new(*lsn).map(PointInTime::Lsn).ok_or_else(|| {
                let message = "There is no LSN 0; the first is 1.";
                Failure::new(codes::OUTSIDE_WINDOW, message)
            }),
            Self::Time(time_ms) => Ok(PointInTime::Time(*time_ms)),
        }
    }
}

/// Parses a snapshot id.
///
/// # Errors
/// `ICN-E0216`.
pub(crate) fn snapshot_id(text: &str) -> Result<SnapshotId, Failure> {
    text.parse().map_err(|error: icn_snapshot::BadSnapshotId| {
        Failure::new(codes::BAD_SNAPSHOT_ID, format!("{text:?} is not a snapshot id: {error}."))
    })
}

/// A request with the version of its protocol.
#[derive(Debug, Serialize, Deserialize)]
struct Versioned {
    v: u32,
    #[serde(flatten)]
    rest: Value,
}

impl Request {
    /// The line of the request, without its end.
    #[must_use]
    pub fn to_line(&self) -> String {
        let rest = serde_json::to_value(self).unwrap_or_default();
        serde_json::to_string(&Versioned { v: VERSION, rest }).unwrap_or_default()
    }

    /// Parses the line of a request.
    ///
    /// # Errors
    /// `ICN-E0501` for a malformed request, `ICN-E0502` for another protocol version.
    pub fn from_line(line: &[u8]) -> Result<Self, Failure> {
        let malformed = |error: serde_json::Error| {
            let message = format!("The request is malformed: {error}.");
            Failure::new(codes::MALFORMED_REQUEST, message)
        };
        let Versioned { v, rest } = serde_json::from_slice(line).map_err(malformed)?;
        if v != VERSION {
            return Err(Failure::new(
                codes::PROTOCOL_VERSION,
                format!("The request has protocol version {v}; this node speaks {VERSION}."),
            ));
        }
        serde_json::from_value(rest).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_round_trips_through_its_line_and_a_wrong_line_is_refused() {
        let request = Request::Entries { topic: "a".into(), after: 3, limit: Some(4) };
        assert_eq!(Request::from_line(request.to_line().as_bytes()), Ok(request));
        for (line, code) in [
            ("", "ICN-E0501"),
            ("{}", "ICN-E0501"),
            (r#"{"v":1,"cmd":"no_such"}"#, "ICN-E0501"),
            (r#"{"v":1,"cmd":"publish","topic":"a","texxt":"b"}"#, "ICN-E0501"),
            (r#"{"v":2,"cmd":"status"}"#, "ICN-E0502"),
        ] {
            assert_eq!(Request::from_line(line.as_bytes()).unwrap_err().code, code, "{line}");
        }
    }
}
