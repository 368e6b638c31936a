//! The registry of error codes: one entry per code, from which command line, JSON and docs are fed.
//!
//! | codes | file | about |
//! |---|---|---|
//! | `01xx` | `node` | directory, key, configuration and sockets of a node |
//! | `02xx` | `store` | log, snapshots, imports and exports |
//! | `03xx` | `gossip` | topics, entries, peers and cursors |
//! | `05xx` | `request` | requests and the command line |
//!
//! Append-only: a code keeps its meaning for ever. `docs/reference/errors.md` is written from here.

/// Defines a constant for each entry, and one with all of them in the order of the file.
macro_rules! entries {
    ($all:ident; $($name:ident: $code:literal, $exit:ident, $what:literal, $why:literal, $advice:literal;)*) => {
        $(
            #[doc = $what]
            pub const $name: Code = Code {
                code: $code,
                exit: crate::exit::$exit,
                what: $what,
                why: $why,
                advice: $advice,
            };
        )*
        pub(super) const $all: &[Code] = &[$($name),*];
    };
}

mod gossip;
mod node;
mod request;
mod store;

pub use self::gossip::*;
pub use self::node::*;
pub use self::request::*;
pub use self::store::*;

/// An entry of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The code, `ICN-E` and four digits.
    pub code: &'static str,
    /// The exit code of a command that fails with it.
    pub exit: u8,
    /// What happened, in a sentence.
    pub what: &'static str,
    /// What causes it.
    pub why: &'static str,
    /// What to do about it, with the commands to paste.
    pub advice: &'static str,
}

/// Codes that earlier builds used. They are never used again.
pub const RETIRED: &[&str] = &["ICN-E0510"];

/// All entries in the order of their codes.
pub fn all() -> impl Iterator<Item = &'static Code> {
    [NODE, STORE, GOSSIP, REQUEST].into_iter().flatten()
}

/// The entry of `code`; `None` for a code that is not in the registry.
#[must_use]
pub fn find(code: &str) -> Option<&'static Code> {
    all().find(|entry| entry.code == code)
}
