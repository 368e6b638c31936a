//! What is told to a person or a script when something cannot be done: what, why, what to do, and a
//! code.

use std::fmt;
use std::io;

use icn_gossip::Reject;
use serde::{Deserialize, Serialize};

use crate::exit;

/// What to do when the disk is full.
pub(crate) const NO_SPACE: &str = "Nothing is lost. Free some space on the disk and try again.";

/// Whether the disk, or what may be used of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What to do about a file system that is no place for a node.
pub(crate) const LOCAL_DISK: &str = "Nothing was changed. Choose a directory on a local disk with \
                                     --data-dir, or insist with --unsafe-fs.";

/// A refusal or an error on its way to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The code, `ICN-E….`
    pub code: String,
    /// What happened and why.
    pub message: String,
    /// What to do about it.
    pub advice: String,
    /// The exit code that stands for it.
    pub exit: u8,
    /// Where the damage is, when that is what happened.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Box<Place>>,
}

/// Where a log is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The number of the segment, 0 for the manifest.
    pub segment: u64,
    /// The offset in the file.
    pub offset: u64,
    /// The row of the recovery table in `docs/FORMAT.md`, or why a record makes no sense.
    pub reason: String,
}

impl Failure {
    /// A failure in words.
    pub fn new(
        code: &str,
        exit: u8,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (message, advice) = (message.into(), advice.into());
        Self { code: code.into(), message, advice, exit, place: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.message)?;
        if !self.advice.is_empty() {
            writeln!(f, "  {}", self.advice)?;
        }
        write!(f, "  {} · exit {}", self.code, self.exit)
    }
}

impl std::error::Error for Failure {}

impl From<Reject> for Failure {
    fn from(reject: Reject) -> Self {
        let (exit, advice) = match &reject {
            Reject::NoAccess { .. } => {
                (exit::REFUSED, "Ask the creator of the topic to name this node's DID as a member.")
            }
            Reject::Sealed => (exit::REFUSED, "It stays closed and unchanged until then."),
            _ => (exit::FAILED, ""),
        };
        Self::new(reject.code(), exit, capitalised(&reject.to_string()), advice)
    }
}

impl From<icn_wal::Error> for Failure {
    fn from(error: icn_wal::Error) -> Self {
        use icn_wal::Error;
        let message = capitalised(&error.to_string());
        match error {
            Error::Locked { .. } => Self::new(
                "ICN-E0101",
                exit::IN_USE,
                message,
                "Use the running node (icnctl status), or stop it first.",
            ),
            Error::Corrupt(damage) => {
                let place = Place {
                    file: damage.file,
                    segment: damage.segment,
                    offset: damage.offset,
                    reason: format!("{:?}", damage.reason),
                };
                let advice = "Nothing was changed. Check the disk and copy the data directory; \
                              then see what can still be read: icnctl wal salvage --dry-run";
                let failure = Self::new("ICN-E0201", exit::DAMAGE, message, advice);
                Self { place: Some(Box::new(place)), ..failure }
            }
            Error::NotRegular { .. } => Self::new(
                "ICN-E0208",
                exit::UNSUITABLE,
                message,
                "Nothing was changed. Move it away, and what it stands for back to its place.",
            ),
            Error::Format { .. } => Self::new(
                "ICN-E0150",
                exit::NEWER_DATA,
                message,
                "Nothing was changed. Use the version of icnd that wrote it.",
            ),
            Error::Missing { .. } | Error::Behind { .. } => Self::new(
                "ICN-E0202",
                exit::DAMAGE,
                message,
                "Nothing was changed. A part of the data directory is missing or of another time; \
                 put it back.",
            ),
            Error::NoSpace { .. } => Self::new("ICN-E0203", exit::NO_SPACE, message, NO_SPACE),
            Error::Io { ref source, .. } if is_full(source) => {
                Self::new("ICN-E0203", exit::NO_SPACE, message, NO_SPACE)
            }
            Error::Poisoned { .. } => Self::new(
                "ICN-E0204",
                exit::POISONED,
                message,
                "Start icnd again: recovery decides what is there. Check the disk.",
            ),
            Error::Refused { .. } => Self::new("ICN-E0205", exit::FAILED, message, ""),
            Error::Io { ref source, .. } if source.kind() == io::ErrorKind::Unsupported => {
                Self::new("ICN-E0109", exit::UNSUITABLE, message, LOCAL_DISK)
            }
            Error::Io { ref source, .. } => {
                let advice = match source.kind() {
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                        "The node must be able to write to its data directory; choose another \
                         with --data-dir."
                    }
                    _ => "Nothing acknowledged is lost. Check the disk and try again.",
                };
                Self::new("ICN-E0206", exit::FAILED, message, advice)
            }
            Error::Stopped { .. } | Error::NotAppended { .. } => {
                Self::new("ICN-E0207", exit::FAILED, message, "")
            }
        }
    }
}

impl From<icn_snapshot::Error> for Failure {
    fn from(error: icn_snapshot::Error) -> Self {
        use icn_snapshot::Error;
        let message = capitalised(&error.to_string());
        match error {
            Error::Log(error) => error.into(),
            Error::Io { source, action, file } => {
                icn_wal::Error::Io { action, file, source }.into()
            }
            Error::Unusable { .. } => Self::new(
                "ICN-E0210",
                exit::DAMAGE,
                message,
                "The others are not affected: icnctl snapshot list",
            ),
            Error::Newer { .. } => Self::new(
                "ICN-E0150",
                exit::NEWER_DATA,
                message,
                "Nothing was changed. Use the version of icnd that wrote it.",
            ),
            Error::Record { .. } => Self::new(
                "ICN-E0211",
                exit::DAMAGE,
                message,
                "Nothing was changed. Keep the data directory and report this.",
            ),
            Error::NoSuchSnapshot { .. } => Self::new(
                "ICN-E0212",
                exit::FAILED,
                message,
                "icnctl snapshot list shows those there are.",
            ),
            Error::Needed { .. } => Self::new(
                "ICN-E0213",
                exit::REFUSED,
                message,
                "Why each one is kept: icnctl snapshot list",
            ),
            Error::OutsideWindow { .. } => {
                Self::new("ICN-E0214", exit::OUTSIDE_WINDOW, message, "")
            }
        }
    }
}

/// The text as a sentence begins.
pub(crate) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        let code = |kind: io::ErrorKind| {
            let (action, file) = ("write", "MANIFEST.tmp".into());
            let failure = Failure::from(icn_wal::Error::Io { action, file, source: kind.into() });
            (failure.code, failure.exit)
        };
        assert_eq!(code(io::ErrorKind::StorageFull), ("ICN-E0203".into(), exit::NO_SPACE));
        assert_eq!(code(io::ErrorKind::QuotaExceeded), ("ICN-E0203".into(), exit::NO_SPACE));
        assert_eq!(code(io::ErrorKind::Other), ("ICN-E0206".into(), exit::FAILED));
    }
}
