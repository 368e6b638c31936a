//! A peer's public X25519 key, signed by its identity.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bytes::ByteReader;
use crate::did::{BadSignature, Did};
use crate::keypair::Keypair;

const DOMAIN: &[u8] = b"icn/keycard/v0\0";
const PREFIX: &str = "icn-card:";
/// The most base58 digits of a card. Decoding time grows with the square of the length.
const DIGITS_MAX: usize = 186;

/// Bytes of an encoded card: identity key 32, X25519 key 32, time 8, signature 64.
pub const CARD_BYTES: usize = 136;

/// One X25519 key of one identity, signed by it. Operators exchange its text form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCard {
    /// The identity that owns the key.
    pub did: Did,
    /// The X25519 public key.
    #[serde(with = "serde_bytes")]
    pub x25519: [u8; 32],
    /// When the card was issued, in ms since 1970. The later of two cards replaces the earlier.
    pub issued_ms: u64,
    #[serde(with = "serde_bytes")]
    pub(crate) signature: [u8; 64],
}

/// The text is no key card, or its signature is not the owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a valid key card; `icnctl identity show` on the other node prints it")]
pub struct BadCard;

impl KeyCard {
    /// Signs a card for the key `x25519`.
    #[must_use]
    pub fn sign(keypair: &Keypair, x25519: [u8; 32], issued_ms: u64) -> Self {
        let mut card = Self { did: keypair.did(), x25519, issued_ms, signature: [0; 64] };
        card.signature = keypair.sign(&card.signed());
        card
    }

    /// Checks the owner's signature.
    ///
    /// # Errors
    /// [`BadSignature`] when the owner did not sign the card.
    pub fn verify(&self) -> Result<(), BadSignature> {
        self.did.verify(&self.signed(), &self.signature)
    }

    /// The card's bytes, as a Hello carries them.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; CARD_BYTES] {
        let mut out = [0; CARD_BYTES];
        out[..32].copy_from_slice(self.did.key());
        out[32..64].copy_from_slice(&self.x25519);
        out[64..72].copy_from_slice(&self.issued_ms.to_le_bytes());
        out[72..].copy_from_slice(&self.signature);
        out
    }

    /// Decodes a card and checks its owner's signature.
    ///
    /// # Errors
    /// [`BadCard`] when the bytes are no card or its owner did not sign it.
    pub fn from_bytes(bytes: &[u8; CARD_BYTES]) -> Result<Self, BadCard> {
        let mut reader = ByteReader(bytes);
        let mut read = || {
            Some(Self {
                did: Did::from_key(reader.array()?).ok()?,
                x25519: reader.array()?,
                issued_ms: reader.u64()?,
                signature: reader.array()?,
            })
        };
        let card = read().ok_or(BadCard)?;
        card.verify().map_err(|_| BadCard)?;
        Ok(card)
    }

    fn signed(&self) -> Vec<u8> {
        [DOMAIN, &self.to_bytes()[..72]].concat()
    }
}

impl fmt::Display for KeyCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", bs58::encode(self.to_bytes()).into_string())
    }
}

impl FromStr for KeyCard {
    type Err = BadCard;

    fn from_str(text: &str) -> Result<Self, BadCard> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(BadCard)?;
        if encoded.len() > DIGITS_MAX {
            return Err(BadCard);
        }
        let bytes = bs58::decode(encoded).into_vec().map_err(|_| BadCard)?;
        Self::from_bytes(bytes.as_slice().try_into().map_err(|_| BadCard)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_round_trips_through_text_and_a_changed_one_is_refused() {
        let card = KeyCard::sign(&Keypair::from_seed([3; 32]), [4; 32], 5);
        let text = card.to_string();
        assert_eq!(text.parse(), Ok(card.clone()));
        let forged = KeyCard { x25519: [9; 32], ..card };
        assert_eq!(forged.to_string().parse::<KeyCard>(), Err(BadCard));
        assert_eq!(text[..text.len() - 1].parse::<KeyCard>(), Err(BadCard));
        // Decoding a text of this length would take minutes.
        assert_eq!(format!("{PREFIX}{}", "z".repeat(1 << 20)).parse::<KeyCard>(), Err(BadCard));
    }
}
