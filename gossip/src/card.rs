//! A peer's public X25519 key, vouched for by its identity.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bytes::Cursor;
use crate::did::{BadSignature, Did};
use crate::keypair::Keypair;

const DOMAIN: &[u8] = b"icn/keycard/v0\0";
const PREFIX: &str = "icn-card:";

/// One X25519 key of one identity, signed by it. The text form is what operators hand to each
/// other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCard {
    /// Whose key it is.
    pub did: Did,
    /// The key.
    #[serde(with = "serde_bytes")]
    pub x25519: [u8; 32],
    /// When it was issued: ms since 1970. Of two cards the later one counts.
    pub issued_ms: u64,
    #[serde(with = "serde_bytes")]
    signature: [u8; 64],
}

/// The text is not a key card, or not one its owner signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a valid key card; `icnctl identity show` on the other node prints it")]
pub struct BadCard;

impl KeyCard {
    /// Vouches for a key.
    #[must_use]
    pub fn sign(keypair: &Keypair, x25519: [u8; 32], issued_ms: u64) -> Self {
        let mut card = Self { did: keypair.did(), x25519, issued_ms, signature: [0; 64] };
        card.signature = keypair.sign(&card.signed());
        card
    }

    /// Checks that its owner signed it.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self) -> Result<(), BadSignature> {
        self.did.verify(&self.signed(), &self.signature)
    }

    fn signed(&self) -> Vec<u8> {
        let mut out = DOMAIN.to_vec();
        out.extend_from_slice(self.did.key());
        out.extend_from_slice(&self.x25519);
        out.extend_from_slice(&self.issued_ms.to_le_bytes());
        out
    }
}

impl fmt::Display for KeyCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.signed()[DOMAIN.len()..].to_vec();
        bytes.extend_from_slice(&self.signature);
        write!(f, "{PREFIX}{}", bs58::encode(bytes).into_string())
    }
}

impl FromStr for KeyCard {
    type Err = BadCard;

    fn from_str(text: &str) -> Result<Self, BadCard> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(BadCard)?;
        let bytes = bs58::decode(encoded).into_vec().map_err(|_| BadCard)?;
        let mut cursor = Cursor(&bytes);
        let mut card = || {
            Some(Self {
                did: Did::from_key(cursor.array()?).ok()?,
                x25519: cursor.array()?,
                issued_ms: cursor.u64()?,
                signature: cursor.array()?,
            })
        };
        let card = card().ok_or(BadCard)?;
        if !cursor.0.is_empty() || card.verify().is_err() {
            return Err(BadCard);
        }
        Ok(card)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_survives_its_text_and_a_changed_one_does_not() {
        let card = KeyCard::sign(&Keypair::from_seed([3; 32]), [4; 32], 5);
        let text = card.to_string();
        assert_eq!(text.parse(), Ok(card.clone()));
        let forged = KeyCard { x25519: [9; 32], ..card };
        assert_eq!(forged.to_string().parse::<KeyCard>(), Err(BadCard));
        assert_eq!(text[..text.len() - 1].parse::<KeyCard>(), Err(BadCard));
    }
}
