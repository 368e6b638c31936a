//! What is said on a link after the Hello.

use bytes::Bytes;

use super::digest::Digests;
use super::tag::{Root, Tag};
use crate::did::Did;
use crate::entry::Entry;
use crate::topic::Genesis;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Every topic the sender subscribes to.
    Interests {
        /// The list goes on in the next one.
        more: bool,
        /// The topics.
        list: Vec<Interest>,
    },
    /// Topics the receiver has asked for and does not know.
    Topics(Vec<Genesis>),
    /// What the sender's logs of topics hash to.
    Roots(Vec<(Tag, Root)>),
    /// The heads of these topics are wanted.
    Ask(Vec<Ask>),
    /// How far the sender's logs of a topic have come.
    Heads {
        /// The topic.
        tag: Tag,
        /// With this one all logs have been told.
        last: bool,
        /// These only, because they are news.
        unsolicited: bool,
        /// The logs.
        list: Vec<Head>,
    },
    /// Logs are wanted, and what comes to them later.
    Want(Vec<Want>),
    /// What was wanted.
    Entries {
        /// The log, as the want named it.
        handle: u64,
        /// The place of the first.
        first: u64,
        /// One after the other.
        list: Vec<WireEntry>,
    },
    /// No more of this log is wanted.
    Cease(u64),
    /// No more of this log comes.
    Stop {
        /// The log.
        handle: u64,
        /// Why.
        reason: StopReason,
    },
    /// The sender has another entry at a place.
    Dispute(Box<Entry>),
    /// Two entries by one author for one place.
    Proof(Box<(Entry, Entry)>),
    /// What the sender has of a log begins after this.
    Base {
        /// The log.
        handle: u64,
        /// The place before the first.
        seq: u64,
        /// The hash of the entry there.
        hash: [u8; 32],
    },
}

/// A subscription, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The topic.
    pub tag: Tag,
    /// The sender does not have its genesis.
    pub missing: bool,
    /// The tag is that of a name.
    pub named: bool,
}

/// A topic whose heads are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The topic.
    pub tag: Tag,
    /// What the sender has: only logs of parts that differ are wanted.
    pub digests: Digests,
}

/// How far a log has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose log.
    pub author: Did,
    /// Which of the author's.
    pub epoch: u64,
    /// The last entry.
    pub seq: u64,
    /// The beginning of its hash.
    pub hash: [u8; 16],
}

/// A log and the place after which it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// What the entries will be called by.
    pub handle: u64,
    /// The topic.
    pub tag: Tag,
    /// Whose log.
    pub author: Did,
    /// Which of the author's.
    pub epoch: u64,
    /// The last entry that is there already, 0 for none.
    pub after: u64,
    /// The beginning of its hash.
    pub hash: [u8; 16],
}

/// What an entry is besides its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireEntry {
    /// What the payload is.
    pub kind: u8,
    /// The version of the access rule it was written under.
    pub access_version: u32,
    /// The author's clock: ms since 1970.
    pub time_ms: u64,
    /// The author's signature over all of it.
    pub signature: [u8; 64],
    /// What it carries.
    pub payload: Bytes,
}

/// Why no more entries of a log come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It was asked for.
    Ceased,
    /// The topic is not served to the receiver.
    NotServed,
    /// The log is frozen.
    Frozen,
    /// The receiver has another entry at the place it wants to go on from.
    Forked,
    /// The sender has no more than the receiver, and would get more only from it.
    NoSource,
    /// A reason this build does not know.
    Other(u8),
}

impl Ask {
    pub(super) fn bytes(&self) -> usize {
        size_of::<Tag>() + self.digests.bytes()
    }
}

impl WireEntry {
    /// The least bytes of one.
    pub(super) const BYTES_MIN: usize = 1 + 1 + 1 + 1 + 64;

    pub(crate) fn of(entry: &Entry) -> Self {
        let header = entry.header();
        Self {
            kind: header.kind,
            access_version: header.access_version,
            time_ms: header.time_ms,
            signature: *entry.signature(),
            payload: entry.payload().clone(),
        }
    }

    /// About how many bytes it takes, and at least that many.
    pub(crate) fn bytes(&self) -> usize {
        Self::BYTES_MIN + 16 + self.payload.len()
    }
}
