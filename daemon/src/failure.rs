//! A failure as an operator or a script gets it: what happened, why, what to do, and a code.

use std::fmt;
use std::io;

use icn_gossip::{BoundedList, Reject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::control::codes::{self, Code};
use crate::control::reply::join::Candidate;
use crate::files;
use crate::text;
use crate::text::command::located;

/// Whether the disk, or the quota of the account, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A refusal or an error, as the caller gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// The known candidates for a name that no topic here has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
}

/// Where a log is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// A failure of this kind, with the registry's advice. `message` names the things concerned.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let Code { code, exit, advice, .. } = code;
        let message = message.into();
        let advice = advice.into();
        Self { code: code.into(), message, advice, exit, place: None, candidates: Vec::new() }
    }

    /// The same failure, or the one that `error` names by itself: without a file to open, no advice about
    /// a disk or an address helps.
    #[must_use]
    pub fn caused_by(self, error: &io::Error) -> Self {
        let Some((why, advice)) = files::shortage(error) else { return self };
        let message = format!("{} {why}", self.message);
        Self { place: self.place, ..Self::new(codes::NO_FILES, message) }.with_advice(advice)
    }

    /// The same failure with advice for this very case.
    #[must_use]
    pub fn with_advice(self, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..self }
    }

    /// Ends a command with an exit code and without a word: its output has said everything.
    #[must_use]
    pub fn silent(exit: u8) -> Self {
        let (code, message, advice) = Default::default();
        Self { code, message, advice, exit, place: None, candidates: Vec::new() }
    }

    /// The same failure; the commands of its advice name the data directory unless it is the default one.
    #[must_use]
    pub fn located(self) -> Self {
        let advice = located(&self.advice);
        Self { advice, ..self }
    }

    /// Whether there is nothing to print.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.message)?;
        writeln!(f, "  {}", self.advice)?;
        for candidate in &self.candidates {
            writeln!(f, "  candidate {}: {}", candidate.id, text::topics::candidate(candidate))?;
        }
        write!(f, "  {} · exit {}", self.code, self.exit)
    }
}

impl std::error::Error for Failure {}

impl From<Reject> for Failure {
    fn from(reject: Reject) -> Self {
        let code = match &reject {
            Reject::Identity => codes::IDENTITY,
            Reject::BadName => codes::BAD_TOPIC_NAME,
            Reject::UnknownTopic { .. } => codes::UNKNOWN_TOPIC,
            Reject::Ambiguous { .. } => codes::AMBIGUOUS_TOPIC,
            Reject::TopicExists { .. } => codes::TOPIC_EXISTS,
            Reject::Sealed => codes::SEALED_TOPIC,
            Reject::NoAccess { .. } => codes::NO_ACCESS,
            Reject::TooLarge { .. } => codes::MESSAGE_TOO_LARGE,
            Reject::BadSignature => codes::BAD_SIGNATURE,
            Reject::WrongNetwork => codes::WRONG_NETWORK,
            Reject::OutOfOrder => codes::OUT_OF_ORDER,
            Reject::Equivocation => codes::EQUIVOCATION,
            Reject::BadCursor => codes::BAD_CURSOR_NAME,
            Reject::NoCursor { .. } => codes::NO_CURSOR,
            Reject::CursorAhead { .. } => codes::CURSOR_AHEAD,
            Reject::NoRoom => codes::NO_ROOM,
            Reject::Full { .. } => codes::FULL,
        };
        let failure = Self::new(code, sentence(&reject.to_string()));
        match reject {
            Reject::Full { what: BoundedList::Pending | BoundedList::Subscribers } => {
                failure.with_advice("End some: icnctl gossip unsubscribe TOPIC")
            }
            Reject::Full { what: BoundedList::Cursors } => {
                failure.with_advice("Delete some: icnctl gossip cursor delete TOPIC NAME")
            }
            _ => failure,
        }
    }
}

impl From<icn_wal::Error> for Failure {
    fn from(error: icn_wal::Error) -> Self {
        use icn_wal::Error;
        let message = sentence(&error.to_string());
        let code = match error {
            Error::Locked { .. } => codes::IN_USE,
            Error::Corrupt(damage) => {
                let place = Place {
                    file: damage.file,
                    segment: damage.segment,
                    offset: damage.offset,
                    reason: format!("{:?}", damage.reason),
                };
                let failure = Self::new(codes::DAMAGED_LOG, message);
                return Self { place: Some(Box::new(place)), ..failure };
            }
            Error::NotRegular { .. } => codes::NOT_REGULAR,
            Error::Format { .. } => codes::NEWER_DATA,
            Error::Missing { .. } | Error::Behind { .. } => codes::PARTS_DO_NOT_FIT,
            Error::NoSpace { .. } => codes::NO_SPACE,
            Error::Io { ref source, .. } if is_full(source) => codes::NO_SPACE,
            Error::Io { ref source, .. } if source.kind() == io::ErrorKind::Unsupported => {
                codes::UNSUITABLE_FILE_SYSTEM
            }
            Error::Io { ref source, .. } => {
                let failure = Self::new(codes::DISK_REFUSED, message).caused_by(source);
                return match source.kind() {
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => failure
                        .with_advice(
                            "The account of icnd must be able to write to its data directory; \
                             or choose another: icnd --data-dir DIR",
                        ),
                    _ => failure,
                };
            }
            Error::Poisoned { .. } => codes::POISONED,
            Error::Refused { .. } => codes::APPEND_REFUSED,
            Error::Stopped { .. } | Error::NotAppended { .. } => codes::LOG_CLOSED,
        };
        Self::new(code, message)
    }
}

impl From<icn_snapshot::Error> for Failure {
    fn from(error: icn_snapshot::Error) -> Self {
        use icn_snapshot::{Error, PointInTime};
        let message = match &error {
            Error::OutsideWindow { wanted: PointInTime::Time(ms), first, last } => format!(
                "{} is outside the restore window, which holds the states #{first} to #{last}. Times are those \
                 of the log, which never go back.",
                text::moment(*ms)
            ),
            other => sentence(&other.to_string()),
        };
        let code = match error {
            Error::Log(error) => return error.into(),
            Error::Io { source, action, file } => {
                return icn_wal::Error::Io { action, file, source }.into();
            }
            Error::Unusable { .. } => codes::SNAPSHOT_UNUSABLE,
            Error::Migration { .. } => {
                return Self::new(codes::SNAPSHOT_UNUSABLE, message).with_advice(
                    "Nothing was changed. Use the version of icnd that wrote the snapshot, and report this.",
                );
            }
            Error::Newer { .. } => codes::NEWER_DATA,
            Error::Record { .. } | Error::Apply { .. } | Error::Lossy { .. } => {
                codes::RECORD_UNREADABLE
            }
            Error::Failed { .. } => codes::ENDED_EARLY,
            Error::NoSuchSnapshot { .. } => codes::NO_SUCH_SNAPSHOT,
            Error::Needed { .. } => codes::SNAPSHOT_NEEDED,
            Error::OutsideWindow { .. } => codes::OUTSIDE_WINDOW,
        };
        Self::new(code, message)
    }
}

/// `text` with a capital letter, unless it begins with a path or name, and with a full stop if it has no end.
pub(crate) fn sentence(text: &str) -> String {
    let first_word = text.split([' ', ',', ':', ';']).next().unwrap_or_default();
    let is_word = first_word.chars().all(|c| c.is_ascii_alphabetic() || c == '\'');
    let mut chars = text.chars();
    let first = chars.next().map(|c| if is_word { c.to_ascii_uppercase() } else { c });
    let end = if text.ends_with(['.', '?', '!']) { None } else { Some('.') };
    first.into_iter().chain(chars).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_begins_a_sentence_stays_as_it_is() {
        for (text, expected) in [
            ("the log is damaged", "The log is damaged."),
            ("data/wal/MANIFEST: no frame", "data/wal/MANIFEST: no frame."),
            ("srv/a b/wal is missing", "srv/a b/wal is missing."),
            ("node.d is not a directory!", "node.d is not a directory!"),
            ("4096-3.snap is damaged", "4096-3.snap is damaged."),
            ("the log's end", "The log's end."),
        ] {
            assert_eq!(sentence(text), expected);
        }
        let damage = icn_wal::Error::Missing { wanted: 1, first: 2 };
        assert!(Failure::from(damage).message.starts_with(char::is_uppercase));
    }

    #[test]
    fn a_full_disk_and_a_broken_one_have_different_codes() {
        let code = |kind: io::ErrorKind| {
            let action = "write";
            let file = "MANIFEST.tmp".into();
            let failure = Failure::from(icn_wal::Error::Io { action, file, source: kind.into() });
            failure.code
        };
        assert_eq!(code(io::ErrorKind::StorageFull), codes::NO_SPACE.code);
        assert_eq!(code(io::ErrorKind::QuotaExceeded), codes::NO_SPACE.code);
        assert_eq!(code(io::ErrorKind::Other), codes::DISK_REFUSED.code);
    }

    #[test]
    fn a_lack_of_files_is_not_blamed_on_the_disk() {
        use rustix::io::Errno;
        for (errno, word) in [(Errno::MFILE, "ulimit -n"), (Errno::NFILE, "fs.file-max")] {
            let action = "create";
            let file = "spare-1.tmp".into();
            let source = io::Error::from(errno);
            let failure = Failure::from(icn_wal::Error::Io { action, file, source });
            assert_eq!(failure.code, codes::NO_FILES.code);
            assert!(failure.message.contains("spare-1.tmp"), "{failure}");
            assert!(failure.advice.contains(word), "{failure}");
            let wanted = files::FILES_WANTED.to_string();
            assert!(codes::NO_FILES.advice.contains(&wanted), "the registry names it");
        }
    }
}
