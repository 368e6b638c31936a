//! Actions that a mesh asks of its caller, and the batches and reasons that the caller reports back.

use bytes::Bytes;

use super::LinkId;
use crate::entry::Entry;
use crate::log::LogKey;
use crate::mutation::Mutation;

/// A violation by the peer itself, which closes its link. No third party and no fault of this node can
/// cause one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The peer sent a malformed message.
    #[error("a message is malformed")]
    Malformed,
    /// The peer sent a message of an unknown kind that must be understood.
    #[error("a message of an unknown kind must be understood")]
    UnknownKind,
    /// The peer sent an entry, genesis or proof with a bad signature.
    #[error("a signature does not match")]
    BadSignature,
    /// The peer sent entries that this node has not requested.
    #[error("entries were not requested or are out of order")]
    Unasked,
    /// The peer exceeded a limit.
    #[error("a limit was exceeded")]
    TooMany,
}

impl LinkError {
    /// The code with which the link's connection is closed.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::Malformed => 0x20,
            Self::UnknownKind => 0x21,
            Self::BadSignature => 0x22,
            Self::Unasked => 0x23,
            Self::TooMany => 0x24,
        }
    }
}

/// What the caller is to do.
#[derive(Debug)]
pub enum Action {
    /// Send a frame, once everything in the present state is durable.
    Send {
        /// The link to send over.
        link: LinkId,
        /// The kind of the frame.
        kind: u8,
        /// The body of the frame.
        body: Bytes,
    },
    /// Close a link, which the mesh has already dropped.
    Close {
        /// The link to close.
        link: LinkId,
        /// The code of the connection's end.
        code: u32,
        /// The reason in one word.
        name: &'static str,
    },
    /// Check the signatures of a batch and report to [`Mesh::verified`](super::Mesh::verified).
    Verify(Batch),
    /// Append an entry whose signature has been checked. Report to
    /// [`Mesh::appended`](super::Mesh::appended) or [`Mesh::refused`](super::Mesh::refused).
    Append {
        /// The entry to append.
        entry: Box<Entry>,
        /// The source has no entries between this node's head and this entry.
        after_gap: bool,
    },
    /// Readmit an entry whose signature has been checked. Report to
    /// [`Mesh::readmitted`](super::Mesh::readmitted) or
    /// [`Mesh::not_readmitted`](super::Mesh::not_readmitted).
    Readmit(Box<Entry>),
    /// Commit a mutation, unless the state has changed so that it has no effect.
    Commit(Box<Mutation>),
    /// Begin a new random epoch for the node's own logs.
    BeginEpoch,
}

/// Entries of one peer whose signatures are to be checked together.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(super) link: LinkId,
    pub(super) purpose: Purpose,
    pub(super) entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Append {
        key: LogKey,
        after_gap: bool,
    },
    /// The handle of the FETCH that the entries answer.
    Readmit {
        key: LogKey,
        handle: u64,
    },
    Dispute,
    Proof,
}

impl Batch {
    /// The entries to check.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The link over which the entries were received.
    #[must_use]
    pub fn link(&self) -> LinkId {
        self.link
    }
}

/// Why an entry was refused and its log is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseReason {
    /// The state or the disk has no room for the entry.
    NoRoom,
    /// The entry's time is too far ahead of this node's clock.
    Future {
        /// The entry's time, by the author's clock, in ms since 1970.
        time_ms: u64,
    },
    /// The state's rules refuse the entry: access or position.
    Rules,
}
