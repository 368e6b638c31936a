//! Imports the `state.snapshot` of the earlier implementation as mutations.
//!
//! No access rule gets wider: a rule without an exact equivalent is kept as text and seals its topic.
//! Secret keys are not read. [`Report`] accounts for every field. The mapping is in `docs/FORMAT.md`.

mod conversion;
mod document;
mod report;
mod rule;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest, Sha256};

use self::conversion::Conversion;
use self::document::Document;
pub use self::report::{Fate, Line, Report};
use crate::did::Did;
use crate::keypair::Keypair;
use crate::limits::LEGACY_BYTES_MAX;
use crate::mutation::Mutation;
use crate::state::State;

/// The version of the legacy documents that can be imported.
pub const LEGACY_VERSION: u64 = 1;

/// The importing node and the time of the import.
pub struct Importer<'a> {
    /// The node's key. It signs the topics as their creator, since legacy topics have none.
    pub keypair: &'a Keypair,
    /// The node's identity in the document, if it has another one now.
    pub formerly: Option<Did>,
    /// The time of the import, in ms since 1970. All imported topics, subscriptions and keys get it.
    pub now_ms: u64,
    /// Yields a random number for each topic.
    pub nonce: &'a mut dyn FnMut() -> u64,
}

/// The result of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The mutations to commit, in this order. Each of them changes the state.
    pub mutations: Vec<Mutation>,
    /// The state after all mutations.
    pub state: State,
    /// One line for every field of the document.
    pub report: Report,
}

/// Why a document cannot be imported. Nothing of it is imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegacyError {
    /// The document is larger than any real one.
    #[error("the document has {bytes} bytes; at most {LEGACY_BYTES_MAX} are read")]
    TooLarge {
        /// The document's bytes.
        bytes: usize,
    },
    /// The checksum is malformed.
    #[error("the checksum is not one: 64 hexadecimal digits are needed")]
    NoChecksum,
    /// The document does not have the given checksum.
    #[error(
        "the SHA-256 of the document is {found}, its checksum says {expected}. The document is \
         damaged, or the node died between writing the two. Use one of the copies with a time in \
         their name"
    )]
    Checksum {
        /// The SHA-256 that the checksum file names.
        expected: String,
        /// The SHA-256 of the document.
        found: String,
    },
    /// The document is no `state.snapshot`, or is truncated.
    #[error("this is not a state.snapshot of the earlier implementation: {why}")]
    Other {
        /// What is missing or malformed.
        why: String,
    },
    /// The document has an unknown version.
    #[error("the document has version {found}; only version {LEGACY_VERSION} is known")]
    Version {
        /// The document's version.
        found: u64,
    },
    /// A field of the document is malformed.
    #[error("{path}: {why}")]
    Invalid {
        /// The path of the field in the document.
        path: String,
        /// What is wrong with the field.
        why: String,
    },
    /// The state to import into belongs to a node with another key.
    #[error("the state is not that of the node whose key this is")]
    OtherNode,
}

/// Converts `document` to mutations of `state`, which must belong to a node with the importer's key.
/// `checksum` is the content of `state.snapshot.sha256`, if that file exists.
///
/// Importing the same document again imports nothing twice.
///
/// # Errors
/// [`LegacyError`] when the document as a whole cannot be read. A part that cannot be imported is
/// reported, and the rest is imported.
pub fn import(
    document: &[u8],
    checksum: Option<&str>,
    state: &State,
    importer: Importer<'_>,
) -> Result<Import, LegacyError> {
    let node = state.node().filter(|node| node.did == importer.keypair.did());
    let node = node.ok_or(LegacyError::OtherNode)?;
    if document.len() > LEGACY_BYTES_MAX {
        return Err(LegacyError::TooLarge { bytes: document.len() });
    }
    if let Some(checksum) = checksum {
        compare(document, checksum)?;
    }
    let (document, unknown) = Document::read(document)?;
    let mut conversion = Conversion {
        node,
        importer,
        mutations: Vec::new(),
        state: state.clone(),
        report: Report::default(),
    };
    conversion.document(document);
    for field in unknown {
        conversion.report.add(Fate::Refused, field, "this build does not know the field: not read");
    }
    Ok(Import {
        mutations: conversion.mutations,
        state: conversion.state,
        report: conversion.report,
    })
}

fn compare(document: &[u8], checksum: &str) -> Result<(), LegacyError> {
    // The file's name may follow the digits.
    let digits = checksum.split_whitespace().next().unwrap_or_default();
    let expected = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap_or_default();
    if expected.len() != 32 {
        return Err(LegacyError::NoChecksum);
    }
    let found = Sha256::digest(document);
    if found[..] == expected[..] {
        return Ok(());
    }
    let expected = HEXLOWER.encode(&expected);
    let found = HEXLOWER.encode(&found);
    Err(LegacyError::Checksum { expected, found })
}
