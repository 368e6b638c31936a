//! The text of a key file: five lines, the last of which is a checksum of the others.
//!
//! ```text
//! icn-key v0
//! the DID, so that an operator sees whose key it is
//! 128 hexadecimal digits: the Ed25519 seed and the X25519 secret
//! the time at which the key was made, ms since 1970
//! blake3: 64 hexadecimal digits over the four lines above, each with its line feed
//! ```
//!
//! The checksum is over lines, so a file that an editor saved with other line ends stays the same key.
//! [`EARLY_HEADER`] begins the form without DID and checksum that earlier builds wrote.

use icn_gossip::{Did, KeyCard, Keypair};
use zeroize::Zeroizing;

const HEADER: &str = "icn-key v0";
/// The header of every version.
const HEADER_OF_ANY: &str = "icn-key v";
const EARLY_HEADER: &str = "icn-key-v0";
const CHECKSUM: &str = "blake3: ";
const SECRET_BYTES: usize = 64;

/// What a key file holds.
pub(super) struct Secrets {
    bytes: Zeroizing<[u8; SECRET_BYTES]>,
    issued_ms: u64,
}

/// The outcome of parsing a key file.
pub(super) enum Parsed {
    /// The content has a right checksum.
    Whole(Secrets),
    /// The content has the form of earlier builds, so a change of it cannot be seen.
    Unchecked(Secrets),
    /// The checksum is right, and the version is one that this build does not know.
    Newer,
    /// Neither.
    Damaged,
}

impl Secrets {
    /// New secrets of the system's random numbers.
    ///
    /// # Errors
    /// When the system has none.
    pub(super) fn random(issued_ms: u64) -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(&mut *bytes)?;
        Ok(Self { bytes, issued_ms })
    }

    /// The text that [`parse`] reads.
    pub(super) fn text(&self) -> Zeroizing<String> {
        let hex = Zeroizing::new(data_encoding::HEXLOWER.encode(&*self.bytes));
        let (did, issued_ms) = (self.did(), self.issued_ms);
        // Made in one piece: a text that grows leaves copies of the secrets.
        let covered = Zeroizing::new(format!("{HEADER}\n{did}\n{}\n{issued_ms}\n", *hex));
        let checksum = blake3::hash(covered.as_bytes()).to_hex();
        Zeroizing::new(format!("{}{CHECKSUM}{checksum}\n", *covered))
    }

    /// The keys that these secrets make.
    pub(super) fn keys(&self) -> (Keypair, KeyCard) {
        let keypair = self.keypair();
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(&self.bytes[32..]);
        let public = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(*secret));
        let card = KeyCard::sign(&keypair, public.to_bytes(), self.issued_ms);
        (keypair, card)
    }

    /// The DID of the signing key.
    pub(super) fn did(&self) -> Did {
        self.keypair().did()
    }

    fn keypair(&self) -> Keypair {
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&self.bytes[..32]);
        Keypair::from_seed(*seed)
    }

    fn from_lines(hex: &str, issued_ms: &str) -> Option<Self> {
        let decoded = Zeroizing::new(data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?);
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        bytes.copy_from_slice(
            decoded.get(..SECRET_BYTES).filter(|_| decoded.len() == SECRET_BYTES)?,
        );
        Some(Self { bytes, issued_ms: issued_ms.parse().ok()? })
    }
}

impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        *self.bytes == *other.bytes && self.issued_ms == other.issued_ms
    }
}

/// Parses the content of a key file.
pub(super) fn parse(content: &[u8]) -> Parsed {
    let Ok(text) = std::str::from_utf8(content) else { return Parsed::Damaged };
    let lines: Vec<&str> = text.lines().collect();
    if let [EARLY_HEADER, hex, issued_ms] = lines[..] {
        return Secrets::from_lines(hex, issued_ms).map_or(Parsed::Damaged, Parsed::Unchecked);
    }
    let Some((last, covered)) = lines.split_last() else { return Parsed::Damaged };
    let mut hasher = blake3::Hasher::new();
    for line in covered {
        hasher.update(line.as_bytes()).update(b"\n");
    }
    let checksum = last.strip_prefix(CHECKSUM).and_then(|hex| blake3::Hash::from_hex(hex).ok());
    if checksum != Some(hasher.finalize()) {
        return Parsed::Damaged;
    }
    match covered {
        [HEADER, did, hex, issued_ms] => match Secrets::from_lines(hex, issued_ms) {
            Some(secrets) if secrets.did().to_string() == *did => Parsed::Whole(secrets),
            _ => Parsed::Damaged,
        },
        [header, ..] if header.starts_with(HEADER_OF_ANY) => Parsed::Newer,
        _ => Parsed::Damaged,
    }
}
