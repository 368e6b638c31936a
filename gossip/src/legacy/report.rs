//! The report of a legacy import: one line for every field.

use std::fmt;

/// What became of a field of a legacy document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// The field was imported.
    Taken,
    /// The document lacks the field or has no equivalent value: a default was used.
    Default,
    /// This implementation does not need the field.
    NotNeeded,
    /// The field was not imported, and the operator may miss it.
    Refused,
}

/// The report's line on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What became of the field.
    pub fate: Fate,
    /// The field's path in the document, safe to print on a terminal.
    pub field: String,
    /// As what the field was imported, or why not; safe to print on a terminal.
    pub why: String,
}

/// One line for every field, in the order of the import. The rest of a list beyond its limit is one
/// line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The lines of the report.
    pub lines: Vec<Line>,
}

impl Report {
    /// How many fields had this fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> usize {
        self.lines.iter().filter(|line| line.fate == fate).count()
    }

    pub(super) fn add(&mut self, fate: Fate, field: impl Into<String>, why: impl Into<String>) {
        self.lines.push(Line { fate, field: field.into(), why: why.into() });
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Taken => "taken",
            Self::Default => "default",
            Self::NotNeeded => "not needed",
            Self::Refused => "refused",
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10}  {}: {}", self.fate, self.field, self.why)
    }
}
