//! What the earlier implementation left in its `state.snapshot`, as mutations of ours.
//!
//! Nothing gets wider on the way: an access rule that cannot be said exactly is kept as it was and
//! closes its topic. Secret keys are not read. [`Report`] accounts for every field. The mapping is
//! in `docs/FORMAT.md`.

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

/// The version of the documents that can be imported.
pub const LEGACY_VERSION: u64 = 1;

/// Who imports, and when.
pub struct Importer<'a> {
    /// The node's key: it declares the topics, which had no creator there, and signs for them.
    pub keypair: &'a Keypair,
    /// Who the node was there, if it has another identity now.
    pub formerly: Option<Did>,
    /// The time of the import, ms since 1970: that of all topics, subscriptions and keys.
    pub now_ms: u64,
    /// A random number for each topic.
    pub nonce: &'a mut dyn FnMut() -> u64,
}

/// What an import comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// What is to be committed, in this order; each of them changes the state.
    pub mutations: Vec<Mutation>,
    /// The state behind them.
    pub state: State,
    /// What became of every field.
    pub report: Report,
}

/// Why a document cannot be imported. Nothing of it is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegacyError {
    /// It is larger than any real one.
    #[error("the document has {bytes} bytes; at most {LEGACY_BYTES_MAX} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// What came as a checksum is none.
    #[error("the checksum is not one: 64 hexadecimal digits are needed")]
    NoChecksum,
    /// The document is not what the checksum was made of.
    #[error(
        "the SHA-256 of the document is {found}, its checksum says {expected}: it is damaged, or \
         the node died between writing the two; use one of the copies with a time in their name"
    )]
    Checksum {
        /// The one that came with it.
        expected: String,
        /// That of the document.
        found: String,
    },
    /// It is something else, or cut short.
    #[error("this is not a state.snapshot of the earlier implementation: {why}")]
    Other {
        /// What it lacks.
        why: String,
    },
    /// Another version.
    #[error("the document has version {found}; only version {LEGACY_VERSION} is known")]
    Version {
        /// Its version.
        found: u64,
    },
    /// Something in it has another form.
    #[error("{path}: {why}")]
    Invalid {
        /// Where in the document.
        path: String,
        /// What.
        why: String,
    },
    /// The state to import into is not that of a node with this key.
    #[error("the state is not that of the node whose key this is")]
    OtherNode,
}

/// Reads `document` and works out what of it can be taken into `state`, which must be that of a
/// node with the importer's key. `checksum` is what `state.snapshot.sha256` holds, if there is one.
///
/// Importing the same document again takes nothing twice.
///
/// # Errors
/// [`LegacyError`] when the document as a whole cannot be read. What is wrong with a part of it is
/// in the report, and the rest is taken.
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
        conversion.report.add(Fate::Refused, field, "this field is not known here: not read");
    }
    Ok(Import {
        mutations: conversion.mutations,
        state: conversion.state,
        report: conversion.report,
    })
}

fn compare(document: &[u8], checksum: &str) -> Result<(), LegacyError> {
    // The name of the file may stand behind the digits.
    let digits = checksum.split_whitespace().next().unwrap_or_default();
    let expected = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap_or_default();
    if expected.len() != 32 {
        return Err(LegacyError::NoChecksum);
    }
    let found = Sha256::digest(document);
    if found[..] == expected[..] {
        return Ok(());
    }
    let (expected, found) = (HEXLOWER.encode(&expected), HEXLOWER.encode(&found));
    Err(LegacyError::Checksum { expected, found })
}
