//! Documents as text for people.

mod clock;
mod diff;
mod entries;
mod import;
mod join;
mod log;
mod peers;
mod refetch;
mod salvage;
mod snapshots;
mod status;
mod subscriptions;
mod topics;

use std::io::{self, Write};

use crate::text::command::located;

/// Writes a line with commands to paste.
fn hint(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{}", located(text))
}

/// A document that `icnctl` can print as text.
pub(super) trait Show {
    /// Writes the text.
    ///
    /// # Errors
    /// Those of `out`.
    fn show(&self, out: &mut impl Write) -> io::Result<()>;
}
