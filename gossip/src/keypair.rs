//! The secret key of an identity. It cannot be serialised, so no log, snapshot or message holds it.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};

use crate::did::Did;

/// An Ed25519 key pair, erased from memory when dropped.
pub struct Keypair(SigningKey);

impl Keypair {
    /// Derives the pair from 32 secret random bytes.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The identity that signs with this pair.
    #[must_use]
    pub fn did(&self) -> Did {
        Did::from_trusted(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`. Callers sign bytes that start with a domain prefix, so that a signature
    /// is valid for one kind of object only.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({})", self.did())
    }
}
