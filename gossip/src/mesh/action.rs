//! What a mesh wants done, and what it is told of it.

use bytes::Bytes;

use super::LinkId;
use crate::entry::Entry;
use crate::log::LogKey;
use crate::mutation::Mutation;

/// What a peer did that ends its link. Nothing here can be the doing of a third, or our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The body makes no sense.
    #[error("a message makes no sense")]
    Malformed,
    /// A message that must be understood and is not.
    #[error("a message must be understood and is not")]
    UnknownKind,
    /// It passed on what nobody signed.
    #[error("something was passed on that nobody has signed")]
    BadSignature,
    /// It sent what was not asked for.
    #[error("something was sent that was not asked for")]
    Unasked,
    /// It went over a limit.
    #[error("a limit was exceeded")]
    TooMany,
}

impl LinkError {
    /// The code the connection is closed with.
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

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// A frame goes to a peer, once everything that is in the state now is durable.
    Send {
        /// Over which link.
        link: LinkId,
        /// The kind of the frame.
        kind: u8,
        /// Its body.
        body: Bytes,
    },
    /// A link is to be closed. It is not there any more for the mesh.
    Close {
        /// Which.
        link: LinkId,
        /// The code of the connection's end.
        code: u32,
        /// Why, in a word.
        name: &'static str,
    },
    /// Signatures are to be checked; [`Mesh::verified`](super::Mesh::verified) hears of it.
    Verify(Batch),
    /// An entry that is signed is to be appended; [`Mesh::appended`](super::Mesh::appended) or
    /// [`Mesh::refused`](super::Mesh::refused) hears of it.
    Append {
        /// The entry.
        entry: Box<Entry>,
        /// What is before it is gone.
        after_gap: bool,
    },
    /// A mutation is to be committed, if it is of use.
    Commit(Box<Mutation>),
    /// The node's own logs go on in a new epoch.
    BeginEpoch,
}

/// Entries whose signatures are to be checked.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(super) link: LinkId,
    pub(super) purpose: Purpose,
    pub(super) entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Append { key: LogKey, after_gap: bool },
    Dispute,
    Proof,
}

impl Batch {
    /// What is to be checked, all of it.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whose link it came over.
    #[must_use]
    pub fn link(&self) -> LinkId {
        self.link
    }
}

/// Why a log is left alone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseReason {
    /// There is no room, here or on the disk.
    NoRoom,
    /// It is written in the future.
    Future {
        /// By the author's clock: ms since 1970.
        time_ms: u64,
    },
    /// The rules do not admit it: access, place.
    Rules,
}
