//! Reading a state from a file, to import it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use icn_gossip::{Did, NodeId, State};
use icn_snapshot::{Compactor, Image};
use icn_wal::disk::Disk;
use serde::Deserialize;

use super::describe;
use crate::control::codes;
use crate::control::reply::import::{KeptImport, SoundImport};
use crate::control::reply::{Imported, Reply};
use crate::failure::Failure;
use crate::limits::IMPORT_BYTES_MAX;
use crate::node::machine::Machine;

/// A `state.snapshot` of the earlier implementation.
#[derive(Debug)]
pub struct Legacy {
    pub(crate) path: PathBuf,
    pub(crate) document: Vec<u8>,
    /// The contents of `….sha256` next to it.
    pub(crate) checksum: Option<String>,
    pub(crate) formerly: Option<Did>,
    pub(crate) dry_run: bool,
}

/// The contents of a file.
pub(crate) enum Found {
    /// An exported state, and the name of the file.
    State(Box<State>, String),
    /// A `state.snapshot` of the earlier implementation.
    Legacy(Legacy),
}

/// Reads the file at `path`.
///
/// # Errors
/// `ICN-E0220` for an unreadable file, `ICN-E0221` for one of another kind.
pub(crate) fn read(path: PathBuf, formerly: Option<Did>, dry_run: bool) -> Result<Found, Failure> {
    #[derive(Deserialize)]
    struct Head {
        format: Option<serde::de::IgnoredAny>,
    }
    let document = read_whole(&path)?;
    // The earlier implementation had no field `format`.
    let exported = serde_json::from_slice(&document).is_ok_and(|head: Head| head.format.is_some());
    if !exported {
        let mut checksum_path = path.clone().into_os_string();
        checksum_path.push(".sha256");
        let checksum = checksum(Path::new(&checksum_path))?;
        return Ok(Found::Legacy(Legacy { path, document, checksum, formerly, dry_run }));
    }
    let state = State::import(&document).map_err(|error| {
        let message = format!("The file {} cannot be imported: {error}.", path.display());
        Failure::new(codes::IMPORT_REFUSED, message)
    })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Found::State(Box::new(state), name))
}

/// Reads the checksum file, if there is one; an unreadable one is an error.
fn checksum(path: &Path) -> Result<Option<String>, Failure> {
    match path.try_exists() {
        Ok(false) => Ok(None),
        _ => Ok(Some(String::from_utf8_lossy(&read_whole(path)?).into_owned())),
    }
}

fn read_whole(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = || {
        // Reading a FIFO or a device may wait for ever.
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        if metadata.len() > IMPORT_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 4 GiB"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(IMPORT_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| {
        let message = format!("The file {} cannot be read: {error}.", path.display());
        Failure::new(codes::IMPORT_UNREADABLE, message)
    })
}

/// Saves an exported state of this node as a snapshot to restore. Without a time, only checks that it
/// could.
///
/// # Errors
/// `ICN-E0224` for a state of another node; those of a save.
pub(crate) fn as_snapshot<D: Disk>(
    compactor: &Compactor<D>,
    state: State,
    name: &str,
    node: &NodeId,
    now: Option<u64>,
) -> Reply {
    if state.node().is_none_or(|of| (of.did, of.network) != (node.did, node.network)) {
        return Err(Failure::new(
            codes::FOREIGN_STATE,
            format!("{name} was exported by another node or for another network."),
        ));
    }
    let Some(now) = now else {
        return Ok(Imported::Sound(SoundImport { legacy: false, dry_run: true }).into());
    };
    let mut image = Image::imported(Machine(state), now);
    // A file name that is not a valid label is left out.
    let _ = image.labels().set("imported", name);
    let snapshot = describe::snapshot(&compactor.save(image)?);
    Ok(Imported::Kept(KeptImport { snapshot, legacy: false }).into())
}
