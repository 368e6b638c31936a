//! The node's secrets: one file, 0600, never in a log, snapshot or message.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use icn_gossip::{KeyCard, Keypair};
use zeroize::Zeroizing;

use crate::control::codes;
use crate::failure::{Failure, is_full};

const NAME: &str = "identity.key";
const HEADER: &str = "icn-key-v0";

/// The secrets of a node.
pub struct KeyFile {
    /// The signing key.
    pub keypair: Keypair,
    /// The X25519 key, signed by the identity.
    pub card: KeyCard,
    /// Whether the file was created by this start.
    pub created: bool,
}

/// Whether `directory` holds a key file.
#[must_use]
pub fn exists(directory: &Path) -> bool {
    directory.join(NAME).exists()
}

/// Reads the key file in `directory`.
///
/// # Errors
/// `ICN-E0103` when the file is missing or unreadable.
pub fn read(directory: &Path) -> Result<KeyFile, Failure> {
    let path = directory.join(NAME);
    let text = Zeroizing::new(fs::read_to_string(&path).map_err(|error| failed(&path, &error))?);
    parse(&text).ok_or_else(|| {
        let why = "it is damaged or of another version";
        failed(&path, &io::Error::new(io::ErrorKind::InvalidData, why))
    })
}

/// Reads the key file in `directory`; creates it if it is missing.
///
/// # Errors
/// Those of [`read`]; `ICN-E0112` when it cannot be made, `ICN-E0203` when the disk is full.
pub fn read_or_create(directory: &Path, now_ms: u64) -> Result<KeyFile, Failure> {
    let path = directory.join(NAME);
    if !path.exists() {
        create(directory, now_ms).map_err(|error| not_made(&path, &error))?;
        return Ok(KeyFile { created: true, ..read(directory)? });
    }
    read(directory)
}

fn create(directory: &Path, now_ms: u64) -> io::Result<()> {
    let mut secrets = Zeroizing::new([0; 64]);
    getrandom::fill(&mut *secrets).map_err(io::Error::other)?;
    let text = Zeroizing::new(format!(
        "{HEADER}\n{}\n{now_ms}\n",
        *Zeroizing::new(data_encoding::HEXLOWER.encode(&*secrets))
    ));
    // Written under another name and renamed: a crash leaves no half key under the real name.
    let temporary = directory.join(format!("{NAME}.tmp"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(NAME))?;
    fs::File::open(directory)?.sync_all()
}

fn parse(text: &str) -> Option<KeyFile> {
    let mut lines = text.lines();
    if lines.next()? != HEADER {
        return None;
    }
    let secrets = Zeroizing::new(data_encoding::HEXLOWER.decode(lines.next()?.as_bytes()).ok()?);
    let issued_ms = lines.next()?.parse().ok()?;
    let (seed, x25519) = secrets.split_first_chunk::<32>()?;
    let x25519: [u8; 32] = x25519.try_into().ok()?;
    let keypair = Keypair::from_seed(*seed);
    let public = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(x25519));
    let card = KeyCard::sign(&keypair, public.to_bytes(), issued_ms);
    Some(KeyFile { keypair, card, created: false })
}

fn not_made(path: &Path, error: &io::Error) -> Failure {
    let message = format!("The key file {} cannot be made: {error}.", path.display());
    Failure::new(if is_full(error) { codes::NO_SPACE } else { codes::KEY_NOT_MADE }, message)
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    let message = format!("The key file {} cannot be used: {error}.", path.display());
    Failure::new(codes::KEY_UNUSABLE, message)
}
