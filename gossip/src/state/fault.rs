//! A fault in an imported document, and its path.

use std::fmt::Display;

/// A fault, and its path as far as the enclosing items have added it.
pub(super) struct Fault {
    pub(super) path: String,
    pub(super) why: String,
}

pub(super) type Checked<T> = Result<T, Fault>;

impl Fault {
    pub(super) fn at(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self { path: path.into(), why: why.into() }
    }

    pub(super) fn within(mut self, outer: impl Display) -> Self {
        self.path = format!("{outer}.{}", self.path);
        self
    }
}

pub(super) fn check(right: bool, path: impl Into<String>, why: &str) -> Checked<()> {
    if right { Ok(()) } else { Err(Fault::at(path, why)) }
}

pub(super) fn derived<T: PartialEq>(path: impl Into<String>, found: &T, right: &T) -> Checked<()> {
    check(found == right, path, "this does not match the fields it is derived from")
}
