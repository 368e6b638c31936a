//! What can be asked of a node over its control socket: one JSON line each way.
//!
//! ```text
//! → {"v":1,"cmd":"publish","topic":"coop:ledger","text":"hello"}
//! ← {"ok":true,"data":{"lsn":7,"seq":1}}
//! ← {"ok":false,"error":{"code":"ICN-E0302","message":"…","advice":"…","exit":1}}
//! ```
//!
//! Answers come in the order of the requests; any number of requests may be under way.

use std::path::PathBuf;

use icn_snapshot::{PointInTime, SnapshotId};
use icn_wal::Lsn;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::codes;
use crate::failure::Failure;

/// The version of the protocol.
pub const VERSION: u32 = 1;

/// The longest line either way: 1 MiB.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How the node is.
    Status,
    /// Who the node is.
    Identity,
    /// Makes a topic known.
    TopicCreate {
        /// Its name.
        name: String,
        /// Only members may read and write.
        #[serde(default)]
        private: bool,
        /// The members besides its creator, as DIDs.
        #[serde(default)]
        members: Vec<String>,
        /// The least trust that lets in, of 1000.
        #[serde(default)]
        min_trust: Option<u16>,
        /// How far it is meant to reach: local, regional or global.
        #[serde(default)]
        scope: Option<String>,
        /// How many entries are retained.
        #[serde(default)]
        max_entries: Option<u32>,
        /// For how many days.
        #[serde(default)]
        retention_days: Option<u32>,
    },
    /// All topics.
    TopicList,
    /// One topic.
    TopicShow {
        /// Its name or id.
        topic: String,
    },
    /// Forgets a topic here.
    TopicDelete {
        /// Its name or id.
        topic: String,
    },
    /// Publishes a message.
    Publish {
        /// The topic's name or id.
        topic: String,
        /// The message as text, or
        #[serde(default)]
        text: Option<String>,
        /// as base64.
        #[serde(default)]
        base64: Option<String>,
    },
    /// Asks for the entries of a topic.
    Subscribe {
        /// The topic's name or id.
        topic: String,
    },
    /// The reverse.
    Unsubscribe {
        /// The topic's name or id.
        topic: String,
    },
    /// Subscribes, and asks for the entries of a topic from somewhere on and for all that arrive,
    /// each once it is durable. After it the connection carries them and nothing else but
    /// `cursor_move`.
    Follow {
        /// The topic's name or id. One that is not known yet is waited for.
        topic: String,
        /// The cursor to go on from; it is made if there is none of this name.
        #[serde(default)]
        cursor: Option<String>,
        /// Only those that arrived after this one; from now on if it is not given. A cursor that is
        /// there knows better.
        #[serde(default)]
        after: Option<u64>,
    },
    /// The consumer of a cursor has what arrived up to here.
    CursorMove {
        /// The topic's name or id.
        topic: String,
        /// The cursor.
        cursor: String,
        /// Up to this arrival.
        arrival: u64,
    },
    /// Forgets a cursor.
    CursorDelete {
        /// The topic's name or id.
        topic: String,
        /// The cursor.
        cursor: String,
    },
    /// All subscriptions, and all cursors.
    Subscriptions,
    /// The entries of a topic in the order of delivery.
    Entries {
        /// The topic's name or id.
        topic: String,
        /// Only those that arrived after this one.
        #[serde(default)]
        after: u64,
        /// At most so many; a page never has more than 1000.
        #[serde(default)]
        limit: Option<usize>,
    },
    /// Takes a snapshot now.
    SnapshotCreate {
        /// It stays until it is unpinned.
        #[serde(default)]
        pin: bool,
        /// What to write on it, each `key=value`.
        #[serde(default)]
        labels: Vec<String>,
    },
    /// All snapshots.
    SnapshotList,
    /// Reads one snapshot to its end.
    SnapshotVerify {
        /// Its id.
        id: String,
    },
    /// What lies between two moments.
    SnapshotDiff {
        /// From here; from the present state if there is none.
        #[serde(default)]
        from: Option<Moment>,
        /// To here; to the present state if there is none.
        #[serde(default)]
        to: Option<Moment>,
    },
    /// What going back to a moment would change.
    SnapshotPreview {
        /// Which.
        to: Moment,
    },
    /// Goes back to a moment, as a step forward.
    SnapshotRestore {
        /// Which.
        to: Moment,
    },
    /// Takes in a state from a file: one that was exported, as a snapshot to be restored; what the
    /// earlier implementation left, as far as it can be taken, at once.
    SnapshotImport {
        /// The absolute path of the file, on the machine of the node.
        path: PathBuf,
        /// Only say what would be taken.
        #[serde(default)]
        dry_run: bool,
        /// Who the node was in the earlier implementation, as a DID.
        #[serde(default)]
        formerly: Option<String>,
    },
    /// Has a snapshot stay, or has the rules decide about it again.
    SnapshotPin {
        /// Its id.
        id: String,
        /// Whether it stays.
        pinned: bool,
    },
    /// Retires what the rules do not keep.
    SnapshotPrune {
        /// Only say what would happen.
        #[serde(default)]
        dry_run: bool,
    },
    /// Removes a snapshot.
    SnapshotDelete {
        /// Its id.
        id: String,
    },
    /// The digest of the state.
    Digest {
        /// At this LSN; now if there is none.
        #[serde(default)]
        lsn: Option<u64>,
    },
    /// The peers whose key is known.
    PeerList,
    /// Learns a peer's key.
    PeerAdd {
        /// The key card.
        card: String,
    },
    /// Forgets a peer.
    PeerRemove {
        /// Its DID.
        did: String,
    },
}

/// A moment in the life of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// What the snapshot with this id holds.
    Id(String),
    /// Right after the record with this LSN.
    Lsn(u64),
    /// After the last record at or before this time: ms since 1970.
    Time(u64),
}

impl Moment {
    /// The same for the store.
    ///
    /// # Errors
    /// `ICN-E0216` for an id that is none, `ICN-E0214` for LSN 0.
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

/// The snapshot id in a text.
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
    /// The line to send, without its end.
    #[must_use]
    pub fn to_line(&self) -> String {
        let rest = serde_json::to_value(self).unwrap_or_default();
        serde_json::to_string(&Versioned { v: VERSION, rest }).unwrap_or_default()
    }

    /// The request in a line.
    ///
    /// # Errors
    /// What is wrong with it, for whoever sent it.
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
