//! A finding: where a rule is broken, and what to write instead.

use std::fmt;

/// One place that breaks a rule. Findings order by file and line.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the root of the repository.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The text that breaks the rule.
    pub what: String,
    /// The rule, and what to write instead.
    pub rule: String,
}

impl Finding {
    pub(crate) fn new(file: &str, line: usize, what: String, rule: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what, rule: rule.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what, rule } = self;
        write!(f, "{file}:{line}: {what}: {rule}")
    }
}
