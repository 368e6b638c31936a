//! What became of everything in an imported document.

use std::fmt;

/// What became of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It is in the state.
    Taken,
    /// The document lacks it, or says what cannot be said here: there is a default in its place.
    Default,
    /// Nothing here needs it.
    NotNeeded,
    /// It is not taken, and somebody may miss it.
    Refused,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What became of it.
    pub fate: Fate,
    /// Which, by its place in the document. Nothing in it can trick a terminal.
    pub field: String,
    /// As what, or why not; the same holds.
    pub why: String,
}

/// One line for every field, in the order of the import. A list over its limit ends in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The lines.
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
