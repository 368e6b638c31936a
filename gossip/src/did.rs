//! An identity: an Ed25519 public key with one spelling.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const PREFIX: &str = "did:icn:z";
/// The multicodec number of an Ed25519 public key.
const MULTICODEC: [u8; 2] = [0xED, 0x01];
/// The most base58 digits of 34 bytes. Decoding time grows with the square of the length.
const DIGITS_MAX: usize = 47;

/// A decentralised identifier: `did:icn:z` and the base58 of multicodec number and key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did([u8; 32]);

/// Why a text is not a [`Did`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DidError {
    /// The text does not have the form of a DID.
    #[error("a DID looks like did:icn:z6Mk…, as `icnctl identity show` prints it")]
    Form,
    /// The key is no point of the curve, or a weak one that accepts forged signatures.
    #[error("the DID does not hold a usable Ed25519 key")]
    Key,
}

/// The signature was not made by the key over these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match")]
pub struct BadSignature;

impl Did {
    /// The identity with this public key.
    ///
    /// # Errors
    /// [`DidError::Key`] for bytes that are no key or a weak key.
    pub fn from_key(key: [u8; 32]) -> Result<Self, DidError> {
        let point = VerifyingKey::from_bytes(&key).map_err(|_| DidError::Key)?;
        if point.is_weak() || point.to_bytes() != key { Err(DidError::Key) } else { Ok(Self(key)) }
    }

    pub(crate) fn from_trusted(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks a signature by this identity, strictly: every node reaches the same verdict.
    ///
    /// # Errors
    /// [`BadSignature`] when this identity did not sign `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        key.verify_strict(message, &Signature::from_bytes(signature)).map_err(|_| BadSignature)
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = MULTICODEC.to_vec();
        bytes.extend_from_slice(&self.0);
        write!(f, "{PREFIX}{}", bs58::encode(bytes).into_string())
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Did {
    type Err = DidError;

    fn from_str(text: &str) -> Result<Self, DidError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(DidError::Form)?;
        if encoded.len() > DIGITS_MAX {
            return Err(DidError::Form);
        }
        let bytes = bs58::decode(encoded).into_vec().map_err(|_| DidError::Form)?;
        let key = bytes.strip_prefix(&MULTICODEC).ok_or(DidError::Form)?;
        let did = Self::from_key(key.try_into().map_err(|_| DidError::Form)?)?;
        if did.to_string() == text { Ok(did) } else { Err(DidError::Form) }
    }
}

impl Serialize for Did {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(self.0.as_slice(), serializer)
    }
}

impl<'de> Deserialize<'de> for Did {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The key was checked when it was received. Checking it again for each of a million
        // retained entries would cost seconds at every start.
        Ok(Self(serde_bytes::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keypair::Keypair;

    #[test]
    fn a_did_has_one_spelling() {
        let did = Keypair::from_seed([7; 32]).did();
        let text = did.to_string();
        assert!(text.starts_with("did:icn:z6Mk"), "{text}");
        assert_eq!(text.parse(), Ok(did));
        for wrong in [
            format!(" {text}"),
            text.replace("icn", "ICN"),
            format!("{text}1"),
            String::new(),
            // Decoding a text of this length would take minutes.
            format!("{PREFIX}{}", "z".repeat(1 << 20)),
        ] {
            assert!(wrong.parse::<Did>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn weak_keys_are_refused() {
        assert_eq!(Did::from_key([0; 32]), Err(DidError::Key));
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(Did::from_key(identity), Err(DidError::Key));
    }
}
