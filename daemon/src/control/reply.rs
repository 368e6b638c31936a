//! What a node replies over its control socket: one type per reply.
//!
//! `icnctl --json` prints the same documents. LSNs, sequence numbers, arrival indices, counts, bytes and
//! times (ms since 1970) are numbers.

pub mod brief;
pub mod check;
pub mod clock;
pub mod diff;
pub mod entries;
pub mod import;
pub mod join;
pub mod peers;
pub mod refetch;
pub mod snapshots;
pub mod status;
pub mod stream;
pub mod subscriptions;
pub mod topics;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::clock::Clock;
pub use self::diff::Diff;
pub use self::entries::{Entries, Published};
pub use self::import::Imported;
pub use self::join::{TopicCandidates, TopicJoined};
pub use self::peers::{PeerAdded, PeerRemoved, Peers};
pub use self::refetch::TopicRefetch;
pub use self::snapshots::{Deleted, Pinned, Plan, Restored, Snapshot, Snapshots, Verified};
pub use self::status::{Digest, Identity, Status};
pub use self::stream::Begun;
pub use self::subscriptions::{
    CursorDeleted, CursorMoved, Subscribed, Subscriptions, Unsubscribed,
};
pub use self::topics::{TopicCreated, TopicDeleted, TopicShown, Topics};
use super::codes;
use crate::failure::Failure;

/// The reply to a request.
pub type Reply = Result<Data, Failure>;

/// A type that a reply can be read as: from its line, or within the process.
pub trait FromReply: DeserializeOwned + TryFrom<Data, Error = Failure> {}

impl<R: DeserializeOwned + TryFrom<Data, Error = Failure>> FromReply for R {}

macro_rules! data {
    ($($kind:ident),* $(,)?) => {
        /// The data of a reply to a request that the node has done. It is boxed, since replies
        /// pass through channels by value.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Data {
            $(
                #[doc = concat!("See [`", stringify!($kind), "`].")]
                $kind(Box<$kind>),
            )*
        }

        $(
            impl From<$kind> for Data {
                fn from(data: $kind) -> Self {
                    Self::$kind(Box::new(data))
                }
            }

            impl TryFrom<Data> for $kind {
                type Error = Failure;

                fn try_from(data: Data) -> Result<Self, Failure> {
                    match data {
                        Data::$kind(data) => Ok(*data),
                        _ => Err(nonsense()),
                    }
                }
            }
        )*
    };
}

data! {
    Begun, Clock, CursorDeleted, CursorMoved, Deleted, Diff, Digest, Entries, Identity, Imported, PeerAdded,
    PeerRemoved, Peers, Pinned, Plan, Published, Restored, Snapshot, Snapshots, Status, Subscribed,
    Subscriptions, TopicCandidates, TopicCreated, TopicDeleted, TopicJoined, TopicRefetch,
    TopicShown, Topics, Unsubscribed, Verified,
}

impl Data {
    /// The JSON that a client reads.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The line that carries a reply, with its end.
#[must_use]
pub fn reply_line(reply: &Reply) -> String {
    let mut line = document(reply.as_ref());
    line.push('\n');
    line
}

/// The reply in a line.
///
/// # Errors
/// The failure that the line carries; `ICN-E0503` when it is no such reply.
pub fn reply_from_line<R: DeserializeOwned>(line: &[u8]) -> Result<R, Failure> {
    #[derive(Deserialize)]
    struct Line<R> {
        ok: bool,
        data: Option<R>,
        error: Option<Failure>,
    }
    match serde_json::from_slice(line) {
        Ok(Line { ok: true, data: Some(data), .. }) => Ok(data),
        Ok(Line { error: Some(error), .. }) => Err(error),
        _ => Err(nonsense()),
    }
}

/// One JSON document for data or a failure, without the end of a line.
pub(crate) fn document(outcome: Result<&impl Serialize, &Failure>) -> String {
    #[derive(Serialize)]
    struct Document<'a, T> {
        ok: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a T>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a Failure>,
    }
    let ok = outcome.is_ok();
    let document = Document { ok, data: outcome.ok(), error: outcome.err() };
    // Numbers, texts and maps with text keys always have a form.
    serde_json::to_string(&document).unwrap_or_default()
}

/// The failure of a client that cannot read the node's reply.
pub(crate) fn nonsense() -> Failure {
    Failure::new(codes::BAD_ANSWER, "The node's answer cannot be read.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_another_shape_is_a_failure() {
        let reply: Reply = Ok(Deleted { deleted: "1".into() }.into());
        let line = reply_line(&reply);
        assert_eq!(line, "{\"ok\":true,\"data\":{\"deleted\":\"1\"}}\n");
        assert_eq!(reply_from_line(line.as_bytes()), Ok(Deleted { deleted: "1".into() }));
        let code = |outcome: Result<Published, Failure>| outcome.unwrap_err().code;
        assert_eq!(code(reply_from_line(line.as_bytes())), "ICN-E0503");
        assert_eq!(code(reply.and_then(Published::try_from)), "ICN-E0503");
        assert_eq!(code(reply_from_line(b"{\"ok\":true}")), "ICN-E0503");
        assert_eq!(code(reply_from_line(b"{\"ok\":true,\"data\":null}")), "ICN-E0503");
        let refused: Reply = Err(Failure::new(codes::UNKNOWN_TOPIC, "No."));
        assert_eq!(
            code(reply_from_line(reply_line(&refused).as_bytes())),
            codes::UNKNOWN_TOPIC.code
        );
    }
}
