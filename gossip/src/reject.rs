//! Why a mutation is rejected: a text for people and a code for scripts.

use std::fmt;

use crate::topic::TopicId;

/// A list of the state whose length is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundedList {
    /// The retained entries of a topic.
    Entries,
    /// The author logs of a topic, or those of one author in it.
    Logs,
    /// The subscriptions of a topic.
    Subscribers,
    /// The subscriptions to topics that are not known yet.
    Pending,
    /// The cursors of the node.
    Cursors,
}

impl fmt::Display for BoundedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entries => "the topic",
            Self::Logs => "the topic's list of logs",
            Self::Subscribers => "the topic's list of subscribers",
            Self::Pending => "the list of pending subscriptions",
            Self::Cursors => "the node's list of cursors",
        })
    }
}

/// Why a mutation was rejected. The state has not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// The node has no identity yet, or has one already.
    #[error("the node's identity is already fixed, or not yet")]
    Identity,
    /// The name is no valid topic name.
    #[error("a topic name has 1 to 128 of a-z 0-9 : . _ - and starts with a letter or digit")]
    BadName,
    /// No topic of this name or id was created or joined here.
    #[error("there is no topic {name:?} here; `icnctl topic list` shows the known ones")]
    UnknownTopic {
        /// The requested topic.
        name: String,
    },
    /// Several topics have this name.
    #[error("several topics are named {name:?}; use one of their ids: {}", list(.ids))]
    Ambiguous {
        /// The requested name.
        name: String,
        /// The ids of the topics with this name.
        ids: Vec<TopicId>,
    },
    /// The topic is already known.
    #[error("the topic {id} exists already")]
    TopicExists {
        /// The topic's id.
        id: TopicId,
    },
    /// This build cannot decode the topic's access rule.
    #[error("the topic is sealed: this version cannot read its access rule; upgrade the node")]
    Sealed,
    /// The access rule does not let the author write, or the reader read.
    #[error("the topic's access rule does not let {who} {what}")]
    NoAccess {
        /// The identity that was refused.
        who: String,
        /// The refused right: `read` or `write`.
        what: &'static str,
    },
    /// The payload is too large.
    #[error("a message has at most 61440 bytes, this one has {bytes}")]
    TooLarge {
        /// The payload's bytes.
        bytes: usize,
    },
    /// The signature is not the author's.
    #[error("the signature does not match its author")]
    BadSignature,
    /// The entry or topic belongs to another network.
    #[error("it belongs to another network")]
    WrongNetwork,
    /// The entry does not follow the head of its author log.
    #[error("the entry does not come next in its author's log")]
    OutOfOrder,
    /// The author has signed two entries for one position; the author log is frozen.
    #[error("its author has signed two different entries for one position; the log is frozen")]
    Equivocation,
    /// The name is no valid cursor name.
    #[error("a cursor's name has 1 to 128 of a-z 0-9 : . _ - and starts with a letter or digit")]
    BadCursor,
    /// The topic has no cursor of this name.
    #[error(
        "there is no cursor {name:?} in this topic; `icnctl gossip subscriptions` shows the existing ones"
    )]
    NoCursor {
        /// The requested name.
        name: String,
    },
    /// A cursor cannot move beyond the last arrival.
    #[error("a cursor cannot stand at {arrival}: no more than {last} entries have arrived")]
    CursorAhead {
        /// The requested arrival.
        arrival: u64,
        /// The last arrival of the topic.
        last: u64,
    },
    /// The topic is beyond its share, and the room that the topics have in common is full.
    #[error("the node has no room for more entries of this topic")]
    NoRoom,
    /// A limit is reached.
    #[error("{what} is full; remove some first")]
    Full {
        /// The list that is full.
        what: BoundedList,
    },
}

fn list(ids: &[TopicId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
