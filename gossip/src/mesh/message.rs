//! The messages of the protocol, which follow the Hello on a link.

use bytes::Bytes;

use super::digest::Digests;
use super::tag::{Root, Tag};
use crate::did::Did;
use crate::entry::Entry;
use crate::topic::Genesis;

/// A message between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Lists every topic that the sender subscribes to.
    Interests {
        /// The list continues in the next message.
        more: bool,
        /// The topics of this message.
        list: Vec<Interest>,
    },
    /// Carries topics that the receiver announced as missing, or that it may read: an offer.
    Topics(Vec<Genesis>),
    /// Announces the roots of topics.
    Roots(Vec<(Tag, Root)>),
    /// Requests the heads of topics.
    Ask(Vec<Ask>),
    /// Announces heads of a topic's author logs.
    Heads {
        /// The topic.
        tag: Tag,
        /// The last message of an answer to ASK.
        last: bool,
        /// The heads answer no ASK: their logs are new, or were idle.
        unsolicited: bool,
        /// The announced heads.
        list: Vec<Head>,
    },
    /// Requests author logs from a position on, including later entries.
    Want(Vec<Want>),
    /// Carries consecutive entries of a wanted log.
    Entries {
        /// The handle of the want.
        handle: u64,
        /// The sequence number of the first entry.
        first: u64,
        /// The entries.
        list: Vec<WireEntry>,
    },
    /// Ends the want with this handle; answered by STOP.
    Cease(u64),
    /// Ends a want by its server.
    Stop {
        /// The handle of the want.
        handle: u64,
        /// Why the server stops.
        reason: StopReason,
    },
    /// Carries the sender's entry at a position where the receiver has a different one.
    Dispute(Box<Entry>),
    /// Carries two entries by one author for one position.
    Proof(Box<(Entry, Entry)>),
    /// Announces that the sender's copy of a wanted log begins after a gap.
    Base {
        /// The handle of the want.
        handle: u64,
        /// The sequence number before the first entry.
        seq: u64,
        /// The hash of the entry with that sequence number.
        hash: [u8; 32],
    },
    /// Reports to an author that an entry of its log is held back, since its time is too far ahead.
    Held {
        /// The topic.
        tag: Tag,
        /// The epoch of the receiver's author log.
        epoch: u64,
        /// How far the time of the entry is ahead of the sender's clock, in ms.
        ahead_ms: u64,
    },
    /// Requests the retained entries of an author log up to a position, which the want's `after` names.
    Fetch(Want),
    /// Answers FETCH.
    Fetched {
        /// The handle of the FETCH.
        handle: u64,
        /// The hash that the first entry names as the previous one.
        previous: [u8; 32],
        /// Consecutive entries, of which the last one is at the position. Empty if the sender has none.
        list: Vec<WireEntry>,
    },
    /// Requests topics by the tag of their name.
    Find(Tag),
    /// Answers FIND.
    Found {
        /// The tag of the name.
        tag: Tag,
        /// The topics of that name which the receiver may read: at most
        /// [`FOUND_MAX`](crate::limits::FOUND_MAX).
        list: Vec<Genesis>,
    },
    /// Carries the wall time of the sender, in ms since 1970.
    Clock(u64),
}

/// A subscription, as a peer announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The topic.
    pub tag: Tag,
    /// The sender lacks the topic's genesis.
    pub missing: bool,
}

/// A topic whose heads are requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The topic.
    pub tag: Tag,
    /// The sender's digests: only heads of parts that differ are requested.
    pub digests: Digests,
}

/// The head of an author log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The author.
    pub author: Did,
    /// The epoch of the author log.
    pub epoch: u64,
    /// The sequence number of the last entry.
    pub seq: u64,
    /// The first 16 bytes of the last entry's hash.
    pub hash: [u8; 16],
}

/// A wanted author log, and the position to continue from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The handle by which ENTRIES, BASE, STOP and FETCHED name the want.
    pub handle: u64,
    /// The topic.
    pub tag: Tag,
    /// The author.
    pub author: Did,
    /// The epoch of the author log.
    pub epoch: u64,
    /// The sequence number of the receiver's head, 0 for none.
    pub after: u64,
    /// The first 16 bytes of the hash of the receiver's head.
    pub hash: [u8; 16],
}

/// The fields of an entry that its want and its predecessor do not determine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireEntry {
    /// The kind of the payload.
    pub kind: u8,
    /// The version of the access rule that the entry was written under.
    pub access_version: u32,
    /// The time of the author's clock, in ms since 1970.
    pub time_ms: u64,
    /// The author's signature over all fields of the entry.
    pub signature: [u8; 64],
    /// The entry's payload.
    pub payload: Bytes,
}

/// Why a server stops sending a wanted log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The receiver sent CEASE.
    Ceased,
    /// The topic is not served to the receiver.
    NotServed,
    /// The author log is frozen.
    Frozen,
    /// The receiver has a different entry at the position to continue from.
    Forked,
    /// The server has no more entries than the receiver, and would receive further ones only from it.
    NoSource,
    /// A code that this build does not know.
    Other(u8),
}

impl Ask {
    pub(super) fn bytes(&self) -> usize {
        size_of::<Tag>() + self.digests.bytes()
    }
}

impl WireEntry {
    /// The fewest bytes of an encoded wire entry.
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

    /// An upper estimate of the encoded bytes.
    pub(crate) fn bytes(&self) -> usize {
        Self::BYTES_MIN + 16 + self.payload.len()
    }
}
