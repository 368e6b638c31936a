//! Why a link ended, and the codes that close one.

use std::fmt;

use quinn::{ConnectionError, VarInt};

use crate::stats::Stat;

/// The close code for a malformed body or stream.
pub const CLOSE_MALFORMED: u32 = 0x20;
/// The close code for a peer that exceeds a limit.
pub const CLOSE_TOO_MANY: u32 = 0x24;
/// The close code of a link that a newer link of the same peer replaces; no fault.
pub const CLOSE_REPLACED: u32 = 0x30;
/// The close code of a node that stops; no fault.
pub const CLOSE_STOPPING: u32 = 0x31;
/// The close code of a link whose peer did not answer after this machine was suspended; no fault.
pub const CLOSE_UNANSWERED: u32 = 0x33;
/// The close code of a connection whose identity another process uses at the same time.
pub const CLOSE_CONTESTED: u32 = 0x34;

/// The most bytes of a peer's text that reach a log line.
const REASON_BYTES_MAX: usize = 200;

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// This node closed it.
    Ours {
        /// A close code of `docs/PROTOCOL.md`.
        code: u32,
        /// The text that was sent with the code.
        reason: String,
    },
    /// The peer closed it.
    Theirs {
        /// A close code of `docs/PROTOCOL.md`, or any other number that a peer sent.
        code: u32,
        /// The text of the peer: printable, at most 200 bytes.
        reason: String,
    },
    /// No packet of the peer arrived within the idle timeout.
    Silent,
    /// The peer does not know the link: it has restarted.
    Reset,
    /// The connection failed in another way.
    Broken {
        /// The error text of QUIC.
        reason: String,
    },
}

impl CloseReason {
    /// True iff neither end is at fault, so that this node may reconnect at once.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        match self {
            Self::Ours { code, .. } | Self::Theirs { code, .. } => {
                matches!(*code, CLOSE_REPLACED | CLOSE_STOPPING | CLOSE_UNANSWERED)
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
            Self::Ours { code: CLOSE_UNANSWERED, .. } => Stat::ClosedUnanswered,
            Self::Ours { code: CLOSE_MALFORMED, .. } => Stat::ClosedMalformed,
            Self::Ours { code: CLOSE_TOO_MANY, .. } => Stat::ClosedTooMany,
            Self::Ours { .. } => Stat::ClosedOurs,
            Self::Theirs { .. } => Stat::ClosedTheirs,
            Self::Silent => Stat::ClosedSilent,
            Self::Reset => Stat::ClosedReset,
            Self::Broken { .. } => Stat::ClosedBroken,
        }
    }

    /// Translates the error of a closed connection. `ours` is the code and text with which this
    /// node closed it, if it did.
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
            Self::Silent => write!(f, "the peer is silent"),
            Self::Reset => write!(f, "the peer has restarted and does not know the link"),
            Self::Broken { reason } => write!(f, "broken: {reason}"),
        }
    }
}

/// The close code as a `u32`; larger codes, which this protocol never uses, become `u32::MAX`.
pub(crate) fn close_code(code: VarInt) -> u32 {
    u32::try_from(code.into_inner()).unwrap_or(u32::MAX)
}

/// The text of a peer as one printable line of at most [`REASON_BYTES_MAX`].
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(REASON_BYTES_MAX)]);
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_peer_fits_on_one_log_line() {
        assert_eq!(printable(b"no\nroot\x1b[31m"), "no\u{FFFD}root\u{FFFD}[31m");
        assert!(printable(&[b'x'; 5000]).len() <= REASON_BYTES_MAX);
    }
}
