//! The node's secrets: one file, 0600, and a copy of it; never in a log, snapshot or message.
//!
//! `identity.key` is what an operator backs up, prints and puts back: it decides. `identity.key.copy` takes its
//! place where it is damaged or gone. [`mend`] writes a damaged one of the two anew.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use icn_gossip::{KeyCard, Keypair};
use zeroize::Zeroizing;

use super::access;
use super::key_text::{Parsed, Secrets, parse};
use crate::control::codes;
use crate::failure::{Failure, is_full};

/// The key file that operators know, and its copy.
const NAMES: [&str; 2] = ["identity.key", "identity.key.copy"];

/// No key file is longer.
const BYTES_MAX: usize = 4096;

/// The secrets of a node.
pub struct KeyFile {
    /// The signing key.
    pub keypair: Keypair,
    /// The X25519 key, signed by the identity.
    pub card: KeyCard,
    /// Whether the file was created by this start.
    pub created: bool,
}

/// Whether `directory` holds a key file or its copy.
///
/// # Errors
/// `ICN-E0115` when this account may not look.
pub fn exists(directory: &Path) -> Result<bool, Failure> {
    for name in NAMES {
        let path = directory.join(name);
        match fs::symlink_metadata(&path) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(access::denied(&path, directory));
            }
            // Any other error is that of a path that leads nowhere.
            Err(_) => {}
        }
    }
    Ok(false)
}

/// Reads the key file in `directory`, or else its copy.
///
/// # Errors
/// - `ICN-E0103` when both are missing, or the system refuses to read them.
/// - `ICN-E0114` when no readable one is whole.
/// - `ICN-E0115` when this account may not read the key file.
/// - `ICN-E0150` when the key file is of a newer version.
pub fn read(directory: &Path) -> Result<KeyFile, Failure> {
    let (keypair, card) = chosen(directory)?.keys();
    Ok(KeyFile { keypair, card, created: false })
}

/// Reads the key file in `directory`; creates it if it and its copy are missing.
///
/// # Errors
/// Those of [`read`]; `ICN-E0112` when it cannot be made, `ICN-E0203` when the disk is full.
pub fn read_or_create(directory: &Path, now_ms: u64) -> Result<KeyFile, Failure> {
    if exists(directory)? {
        return read(directory);
    }
    let created = Secrets::random(now_ms).map_err(io::Error::other);
    created
        .and_then(|secrets| replace(directory, NAMES[0], &secrets))
        .map_err(|error| not_made(&directory.join(NAMES[0]), &error))?;
    Ok(KeyFile { created: true, ..read(directory)? })
}

/// Writes the key file and its copy anew where they are not both whole and equal. The caller owns the directory
/// and has found that the key fits its data. Returns what an operator must know, in sentences without a full
/// stop.
pub fn mend(directory: &Path) -> Vec<String> {
    let Ok(secrets) = chosen(directory) else { return Vec::new() };
    let mut findings = Vec::new();
    // An operator who keeps the key elsewhere, and only links to it, wants no copy here.
    let is_link =
        |name: &str| fs::symlink_metadata(directory.join(name)).is_ok_and(|f| f.is_symlink());
    let linked = is_link(NAMES[0]);
    for (index, name) in NAMES.into_iter().enumerate() {
        let other = NAMES[1 - index];
        let damage = match File::read(&directory.join(name)) {
            File::Content(Parsed::Whole(held)) if held == secrets => continue,
            // The copy of an earlier key, or of a key file without a checksum.
            File::Content(Parsed::Whole(_) | Parsed::Unchecked(_)) => None,
            File::Content(Parsed::Newer) => continue,
            File::Content(Parsed::Damaged) => Some("was damaged".to_owned()),
            File::Unreadable(error) => Some(format!("could not be read ({error})")),
            File::Missing if index == 0 => Some("was missing".to_owned()),
            File::Missing => None,
        };
        if linked && damage.is_none() {
            continue;
        }
        let written = match linked || is_link(name) || !is_ours(directory, name) {
            true => Err(io::Error::other("it belongs to another account, or is a link")),
            false => replace(directory, name, &secrets),
        };
        match (damage, written) {
            (None, Ok(())) => tracing::info!("Wrote {}", directory.join(name).display()),
            (None, Err(error)) => {
                findings.push(format!("{name} cannot be written: {error}. {other} is whole"));
            }
            (Some(damage), Ok(())) => findings.push(format!(
                "{name} {damage}, and was written anew from {other}. Check the disk: dmesg"
            )),
            (Some(damage), Err(error)) => findings.push(format!(
                "{name} {damage}, and cannot be written anew: {error}. The node runs on {other}; copy it to a \
                 safe place"
            )),
        }
    }
    for finding in &findings {
        tracing::warn!("The key: {finding}");
    }
    findings
}

/// One of the two files, as it was read.
enum File {
    Missing,
    Content(Parsed),
    Unreadable(io::Error),
}

impl File {
    fn read(path: &Path) -> Self {
        match content(path) {
            Ok(content) => Self::Content(parse(&content)),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Self::Missing
            }
            Err(error) => Self::Unreadable(error),
        }
    }
}

/// The content of a file; of a longer one than [`BYTES_MAX`] only the beginning, which is no key.
fn content(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // A FIFO in its place must not stop the start.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    // Room for all of it: a vector that grows leaves copies of the secrets.
    let mut content = Zeroizing::new(Vec::with_capacity(BYTES_MAX + 1));
    file.take(BYTES_MAX as u64).read_to_end(&mut content)?;
    Ok(content)
}

/// The secrets to use. A whole key file decides: an operator may have put it back. The copy replaces one that is
/// not whole. It also replaces one without a checksum that names the same node and differs: that one has changed.
fn chosen(directory: &Path) -> Result<Secrets, Failure> {
    let [path, copy] = NAMES.map(|name| directory.join(name));
    match (File::read(&path), File::read(&copy)) {
        (File::Content(Parsed::Whole(secrets)), _) => Ok(secrets),
        (File::Content(Parsed::Newer), _) => Err(newer(&path)),
        (File::Unreadable(error), _) if error.kind() == ErrorKind::PermissionDenied => {
            Err(access::denied(&path, directory))
        }
        (File::Content(Parsed::Unchecked(main)), File::Content(Parsed::Whole(copy)))
            if main.did() == copy.did() =>
        {
            Ok(copy)
        }
        (File::Content(Parsed::Unchecked(secrets)), _) => Ok(secrets),
        (_, File::Content(Parsed::Whole(secrets))) => Ok(secrets),
        (File::Missing, File::Missing) => Err(missing(&path)),
        // A disk or a limit that refuses the read says nothing about the bytes.
        (File::Unreadable(error), _) => Err(unreadable(&path, &error)),
        (_, File::Unreadable(error)) => Err(unreadable(&copy, &error)),
        _ => Err(damaged(directory)),
    }
}

/// Whether this account may replace a file without taking it from another account.
fn is_ours(directory: &Path, name: &str) -> bool {
    let us = rustix::process::geteuid().as_raw();
    let owned = |path: PathBuf| match fs::symlink_metadata(path) {
        Ok(found) => found.uid() == us,
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    owned(directory.to_path_buf()) && owned(directory.join(name))
}

/// Writes a file under another name and renames it: a crash leaves no half key under the real name.
fn replace(directory: &Path, name: &str, secrets: &Secrets) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.tmp"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(secrets.text().as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    fs::File::open(directory)?.sync_all()
}

fn not_made(path: &Path, error: &io::Error) -> Failure {
    let message = format!("The key file {} cannot be made: {error}.", path.display());
    Failure::new(if is_full(error) { codes::NO_SPACE } else { codes::KEY_NOT_MADE }, message)
}

fn missing(path: &Path) -> Failure {
    let message = format!("The key file {} is missing, and so is its copy.", path.display());
    Failure::new(codes::KEY_UNUSABLE, message)
}

fn newer(path: &Path) -> Failure {
    let message = format!("The key file {} was written by a newer version.", path.display());
    Failure::new(codes::NEWER_DATA, message)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("The key file {} cannot be read: {error}.", path.display());
    Failure::new(codes::KEY_UNUSABLE, message).caused_by(error)
}

fn damaged(directory: &Path) -> Failure {
    let [main, copy] = NAMES;
    Failure::new(
        codes::KEY_DAMAGED,
        format!(
            "The key in {} is damaged: neither {main} nor {copy} has a right checksum.",
            directory.display()
        ),
    )
}

#[cfg(test)]
mod tests;
