//! Why something is refused, for a person and for a script.

use crate::topic::TopicId;

/// A refusal. The state has not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// The node has no identity yet, or has one already.
    #[error("the node's identity is already fixed, or not yet")]
    Identity,
    /// The name is not one for a topic.
    #[error("a topic name has 1 to 128 of a-z 0-9 : . _ - and starts with a letter or digit")]
    BadName,
    /// No topic has this name or id here.
    #[error("there is no topic {name:?} here; `icnctl topic list` shows those there are")]
    UnknownTopic {
        /// What was asked for.
        name: String,
    },
    /// Several topics have this name.
    #[error("several topics are named {name:?}; use one of their ids: {}", list(.ids))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The topics.
        ids: Vec<TopicId>,
    },
    /// The topic is there already.
    #[error("the topic {id} exists already")]
    TopicExists {
        /// The topic.
        id: TopicId,
    },
    /// Its access rule is not understood by this build.
    #[error("the topic is sealed: this version cannot read its access rule; upgrade the node")]
    Sealed,
    /// The access rule does not let the author write, or the asker read.
    #[error("the topic's access rule does not let {who} {what}")]
    NoAccess {
        /// Who.
        who: String,
        /// Wants what.
        what: &'static str,
    },
    /// The payload is too large.
    #[error("a message has at most 61440 bytes, this one has {bytes}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The signature does not match.
    #[error("the signature does not match its author")]
    BadSignature,
    /// It belongs to another network.
    #[error("it belongs to another network")]
    WrongNetwork,
    /// It does not follow what is there.
    #[error("it does not come next in its author's log")]
    OutOfOrder,
    /// The author has signed two entries for one place; the log is frozen.
    #[error("its author has signed two different entries for one place; the log is frozen")]
    Equivocation,
    /// The name is not one for a cursor.
    #[error("a cursor's name has 1 to 128 of a-z 0-9 : . _ - and starts with a letter or digit")]
    BadCursor,
    /// The topic has no cursor of this name.
    #[error(
        "there is no cursor {name:?} in this topic; `icnctl gossip subscriptions` shows those there are"
    )]
    NoCursor {
        /// What was asked for.
        name: String,
    },
    /// A cursor cannot stand where nothing has arrived yet.
    #[error("a cursor cannot stand at {arrival}: no more than {last} entries have arrived")]
    CursorAhead {
        /// Where it was to stand.
        arrival: u64,
        /// The last arrival.
        last: u64,
    },
    /// No room for more.
    #[error("{what} is full; remove some first")]
    Full {
        /// What.
        what: &'static str,
    },
}

impl Reject {
    /// The code for scripts and for `icnctl explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Identity => "ICN-E0300",
            Self::BadName => "ICN-E0301",
            Self::UnknownTopic { .. } => "ICN-E0302",
            Self::Ambiguous { .. } => "ICN-E0303",
            Self::TopicExists { .. } => "ICN-E0304",
            Self::Sealed => "ICN-E0305",
            Self::NoAccess { .. } => "ICN-E0306",
            Self::TooLarge { .. } => "ICN-E0307",
            Self::BadSignature => "ICN-E0308",
            Self::WrongNetwork => "ICN-E0309",
            Self::OutOfOrder => "ICN-E0310",
            Self::Equivocation => "ICN-E0311",
            Self::Full { .. } => "ICN-E0312",
            Self::BadCursor => "ICN-E0330",
            Self::NoCursor { .. } => "ICN-E0331",
            Self::CursorAhead { .. } => "ICN-E0332",
        }
    }
}

fn list(ids: &[TopicId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
