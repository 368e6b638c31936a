//! Why a link has ended.

use std::fmt;

use quinn::{ConnectionError, VarInt};

use crate::stats::Stat;

/// The code of a body or a stream that makes no sense.
pub const CLOSE_MALFORMED: u32 = 0x20;
/// The code of what goes beyond a limit.
pub const CLOSE_TOO_MANY: u32 = 0x24;
/// The code of a link that a newer one of the same peer replaces. No fault.
pub const CLOSE_REPLACED: u32 = 0x30;
/// The code of a node that ends. No fault.
pub const CLOSE_STOPPING: u32 = 0x31;

/// What a peer may have us write into a log.
const REASON_BYTES_MAX: usize = 200;

/// Why a link has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// This node closed it.
    Ours {
        /// The code of `docs/PROTOCOL.md`.
        code: u32,
        /// In words.
        reason: String,
    },
    /// The peer closed it.
    Theirs {
        /// The code of `docs/PROTOCOL.md`, or anything else a peer may send.
        code: u32,
        /// Its words: printable, and not longer than 200 bytes.
        reason: String,
    },
    /// Nothing was heard of the peer for as long as the idle timeout.
    Silent,
    /// The peer is there and knows nothing of the link: it was started again.
    Reset,
    /// The connection broke.
    Broken {
        /// What QUIC says of it.
        reason: String,
    },
}

impl CloseReason {
    /// It is nobody's fault: the same link may come about again at once.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        match self {
            Self::Ours { code, .. } | Self::Theirs { code, .. } => {
                matches!(*code, CLOSE_REPLACED | CLOSE_STOPPING)
            }
            Self::Silent | Self::Reset => true,
            Self::Broken { .. } => false,
        }
    }

    pub(crate) fn stat(&self) -> Stat {
        match self {
            Self::Ours { code: CLOSE_REPLACED, .. } | Self::Theirs { code: CLOSE_REPLACED, .. } => {
                Stat::ClosedReplaced
            }
            Self::Ours { code: CLOSE_STOPPING, .. } | Self::Theirs { code: CLOSE_STOPPING, .. } => {
                Stat::ClosedStopping
            }
            Self::Ours { code: CLOSE_MALFORMED, .. } => Stat::ClosedMalformed,
            Self::Ours { code: CLOSE_TOO_MANY, .. } => Stat::ClosedTooMany,
            Self::Ours { .. } => Stat::ClosedOurs,
            Self::Theirs { .. } => Stat::ClosedTheirs,
            Self::Silent => Stat::ClosedSilent,
            Self::Reset => Stat::ClosedReset,
            Self::Broken { .. } => Stat::ClosedBroken,
        }
    }

    /// `ours` is what this node closed it with, if it did.
    pub(crate) fn from_error(error: ConnectionError, ours: Option<(u32, String)>) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => Self::Theirs {
                code: close_code(close.error_code),
                reason: printable(&close.reason),
            },
            ConnectionError::TimedOut => Self::Silent,
            ConnectionError::Reset => Self::Reset,
            ConnectionError::LocallyClosed => match ours {
                Some((code, reason)) => Self::Ours { code, reason },
                None => Self::Ours { code: CLOSE_STOPPING, reason: "stopping".into() },
            },
            other => Self::Broken { reason: printable(other.to_string().as_bytes()) },
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours { code, reason } => write!(f, "closed here: {reason} ({code:#x})"),
            Self::Theirs { code, reason } => write!(f, "closed by the peer: {reason} ({code:#x})"),
            Self::Silent => write!(f, "nothing is heard of the peer any more"),
            Self::Reset => write!(f, "the peer knows nothing of the link any more"),
            Self::Broken { reason } => write!(f, "broken: {reason}"),
        }
    }
}

/// A code as this protocol has them; `u32::MAX` stands for those it cannot have.
pub(crate) fn close_code(code: VarInt) -> u32 {
    u32::try_from(code.into_inner()).unwrap_or(u32::MAX)
}

/// What a peer said, fit for a log.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(REASON_BYTES_MAX)]);
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_peer_fit_on_a_line() {
        assert_eq!(printable(b"no\nroot\x1b[31m"), "no\u{FFFD}root\u{FFFD}[31m");
        assert!(printable(&[b'x'; 5000]).len() <= REASON_BYTES_MAX);
    }
}
