//! A signed entry of an author log: its layout, signature and hash.
//!
//! ```text
//! signed   "icn/entry/v0\0" | kind u8 | network 32 | topic 32 | author 32 | epoch u64 | seq u64
//!          | previous 32 | access version u32 | time u64 | payload bytes u32 | payload BLAKE3 32
//! encoded  signed without the prefix | signature 64 | payload
//! hash     BLAKE3(signed | signature)
//! ```

use bytes::Bytes;
use ed25519_zebra::batch;
use getrandom::SysRng;
use getrandom::rand_core::{TryRng, UnwrapErr};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::bytes::ByteReader;
use crate::did::{BadSignature, Did};
use crate::keypair::Keypair;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::topic::TopicId;

const DOMAIN: &[u8] = b"icn/entry/v0\0";
/// Bytes of an encoded entry before the payload.
pub const ENTRY_HEADER_BYTES: usize = 257;
const SIGNATURE_BYTES: usize = 64;
/// The kind of an entry whose payload is plain bytes.
pub const KIND_PLAIN: u8 = 1;

/// The signed fields of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    /// The kind of the payload, such as [`KIND_PLAIN`].
    pub kind: u8,
    /// The network that the entry belongs to.
    pub network: [u8; 32],
    /// The topic that the entry belongs to.
    pub topic: TopicId,
    /// The identity that wrote and signed the entry.
    pub author: Did,
    /// The epoch of the author log.
    pub epoch: u64,
    /// The sequence number in the author log, from 1.
    pub seq: u64,
    /// The hash of the previous entry, zeros for the first.
    pub previous: [u8; 32],
    /// The version of the access rule that the entry was written under.
    pub access_version: u32,
    /// When the entry was written, by the author's clock, in ms since 1970.
    pub time_ms: u64,
    payload_bytes: u32,
    payload_hash: [u8; 32],
}

/// A signed entry with its payload. Cloning shares the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    header: EntryHeader,
    signature: [u8; SIGNATURE_BYTES],
    payload: Bytes,
}

/// The signed fields of an entry that its author chooses, without the payload.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// The network that the entry belongs to.
    pub network: [u8; 32],
    /// The topic that the entry belongs to.
    pub topic: TopicId,
    /// The epoch of the author log.
    pub epoch: u64,
    /// The sequence number in the author log, from 1.
    pub seq: u64,
    /// The hash of the previous entry, zeros for the first.
    pub previous: [u8; 32],
    /// The version of the topic's access rule.
    pub access_version: u32,
    /// The time of the author's clock, in ms since 1970.
    pub time_ms: u64,
}

/// The bytes are not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not an entry")]
pub struct NotAnEntry;

impl Entry {
    /// Builds and signs an entry. A payload of more than [`PAYLOAD_BYTES_MAX`] makes an entry that
    /// every node refuses.
    #[must_use]
    pub fn sign(keypair: &Keypair, position: &Position, payload: Bytes) -> Self {
        let mut entry = Self::assemble(KIND_PLAIN, keypair.did(), position, payload, [0; 64]);
        entry.signature = keypair.sign(&entry.header.signed());
        entry
    }

    /// Builds an entry with an existing signature, which is not verified.
    pub(crate) fn assemble(
        kind: u8,
        author: Did,
        position: &Position,
        payload: Bytes,
        signature: [u8; SIGNATURE_BYTES],
    ) -> Self {
        let header = EntryHeader {
            kind,
            network: position.network,
            topic: position.topic,
            author,
            epoch: position.epoch,
            seq: position.seq,
            previous: position.previous,
            access_version: position.access_version,
            time_ms: position.time_ms,
            payload_bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            payload_hash: *blake3::hash(&payload).as_bytes(),
        };
        Self { header, signature, payload }
    }

    /// Checks payload hash and signature, the latter by [ZIP 215]: alone or in a batch by
    /// [`verify_all`](Self::verify_all), every node reaches the same verdict.
    ///
    /// [ZIP 215]: https://zips.z.cash/zip-0215
    ///
    /// # Errors
    /// [`BadSignature`] when payload or header differ from what the author signed, or the author's key is
    /// weak and would accept forged signatures.
    pub fn verify(&self) -> Result<(), BadSignature> {
        Did::from_key(*self.header.author.key()).map_err(|_| BadSignature)?;
        self.claim()?.verify_single().map_err(|_| BadSignature)
    }

    /// Verifies a batch of entries. For 64 entries by one author this takes a third of the time of
    /// [`verify`](Self::verify) on each.
    ///
    /// # Errors
    /// [`BadSignature`] when at least one entry is bad; the error does not say which.
    pub fn verify_all(entries: &[Self]) -> Result<(), BadSignature> {
        if let [entry] = entries {
            return entry.verify();
        }
        let mut author = None;
        let mut batch = batch::Verifier::new();
        for entry in entries {
            if author != Some(entry.header.author) {
                let key = *entry.header.author.key();
                author = Some(Did::from_key(key).map_err(|_| BadSignature)?);
            }
            batch.queue(entry.claim()?);
        }
        // A batch needs randomness. Without it, each entry is verified alone.
        if SysRng.try_next_u64().is_err() {
            return entries.iter().try_for_each(Self::verify);
        }
        batch.verify(UnwrapErr(SysRng)).map_err(|_| BadSignature)
    }

    /// The signature check still to be made, once the payload hash matches.
    fn claim(&self) -> Result<batch::Item, BadSignature> {
        if *blake3::hash(&self.payload).as_bytes() != self.header.payload_hash {
            return Err(BadSignature);
        }
        let key = *self.header.author.key();
        let signature = self.signature;
        Ok((key.into(), signature.into(), &self.header.signed()).into())
    }

    /// The entry's signed fields.
    #[must_use]
    pub fn header(&self) -> &EntryHeader {
        &self.header
    }

    pub(crate) fn signature(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.signature
    }

    /// The entry's payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The hash that identifies the entry; the next entry of the author log names it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.header.signed());
        hasher.update(&self.signature);
        *hasher.finalize().as_bytes()
    }

    /// The length of [`encode`](Self::encode) in bytes.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        ENTRY_HEADER_BYTES + self.payload.len()
    }

    /// The canonical encoding, for wire and disk.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_bytes());
        out.extend_from_slice(&self.header.signed()[DOMAIN.len()..]);
        out.extend_from_slice(&self.signature);
        out.extend_from_slice(&self.payload);
        out
    }

    /// Decodes an entry. Only its form is checked, neither its payload hash nor its signature.
    ///
    /// # Errors
    /// [`NotAnEntry`] when `bytes` do not have the form of an entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAnEntry> {
        Self::try_decode(bytes).ok_or(NotAnEntry)
    }

    fn try_decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader(bytes);
        let header = EntryHeader {
            kind: reader.u8()?,
            network: reader.array()?,
            topic: TopicId::from_bytes(reader.array()?),
            author: Did::from_trusted(reader.array()?),
            epoch: reader.u64()?,
            seq: reader.u64()?,
            previous: reader.array()?,
            access_version: reader.u32()?,
            time_ms: reader.u64()?,
            payload_bytes: reader.u32()?,
            payload_hash: reader.array()?,
        };
        let signature = reader.array()?;
        let right =
            reader.0.len() == header.payload_bytes as usize && reader.0.len() <= PAYLOAD_BYTES_MAX;
        right.then(|| Self { header, signature, payload: Bytes::copy_from_slice(reader.0) })
    }
}

impl EntryHeader {
    fn signed(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(DOMAIN.len() + ENTRY_HEADER_BYTES);
        out.extend_from_slice(DOMAIN);
        out.push(self.kind);
        out.extend_from_slice(&self.network);
        out.extend_from_slice(self.topic.as_bytes());
        out.extend_from_slice(self.author.key());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&self.access_version.to_le_bytes());
        out.extend_from_slice(&self.time_ms.to_le_bytes());
        out.extend_from_slice(&self.payload_bytes.to_le_bytes());
        out.extend_from_slice(&self.payload_hash);
        out
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.encode())
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: serde_bytes::ByteBuf = Deserialize::deserialize(deserializer)?;
        Self::decode(&bytes).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use curve25519_dalek::{EdwardsPoint, Scalar};
    use ed25519_dalek::SigningKey;
    use sha2::{Digest, Sha512};

    use super::*;

    fn entry() -> Entry {
        log(9, 4).remove(3)
    }

    fn log(seed: u8, count: u64) -> Vec<Entry> {
        let entry = |seq| {
            let position = Position {
                network: [1; 32],
                topic: TopicId::from_bytes([2; 32]),
                epoch: 3,
                seq,
                previous: [5; 32],
                access_version: 6,
                time_ms: 7,
            };
            Entry::sign(&Keypair::from_seed([seed; 32]), &position, Bytes::from_static(b"hello"))
        };
        (1..=count).map(entry).collect()
    }

    #[test]
    fn an_entry_round_trips() {
        let bytes = entry().encode();
        assert_eq!(bytes.len(), entry().encoded_bytes());
        assert_eq!(Entry::decode(&bytes), Ok(entry()));
        entry().verify().expect("signed");
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let bytes = entry().encode();
        // One bit of each byte, a different one from byte to byte: a check costs 50 µs.
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let detected = Entry::decode(&flipped).ok().is_none_or(|entry| entry.verify().is_err());
            assert!(detected, "byte {at}");
        }
    }

    #[test]
    fn a_bad_entry_at_any_index_fails_the_batch() {
        let whole = [log(9, 5), log(8, 5), log(9, 2)].concat();
        assert_eq!(Entry::verify_all(&whole), Ok(()));
        assert_eq!(Entry::verify_all(&[]), Ok(()));
        for at in 0..whole.len() {
            let mut entries = whole.clone();
            entries[at].signature[40] ^= 1;
            assert_eq!(Entry::verify_all(&entries), Err(BadSignature), "signature {at}");
            entries[at] = whole[at].clone();
            entries[at].payload = Bytes::from_static(b"jello");
            assert_eq!(Entry::verify_all(&entries), Err(BadSignature), "payload {at}");
            entries[at] = whole[at].clone();
            entries[at].header.author = Keypair::from_seed([7; 32]).did();
            assert_eq!(Entry::verify_all(&entries), Err(BadSignature), "author {at}");
        }
        // Two faults do not cancel each other out.
        let mut entries = log(9, 2);
        let (one, other) = entries.split_at_mut(1);
        std::mem::swap(&mut one[0].signature, &mut other[0].signature);
        assert_eq!(Entry::verify_all(&entries), Err(BadSignature));
    }

    /// An author may add a point of small order to a signature. Some checks of Ed25519 accept it, others
    /// do not, and a cofactorless batch check accepts it by chance.
    #[test]
    fn every_node_reaches_the_same_verdict_on_a_small_order_signature() {
        let entry = entry();
        let secret = SigningKey::from_bytes(&[9; 32]).to_scalar();
        let nonce = Scalar::from(7_u8);
        let mut accepted = 0;
        for small in EIGHT_TORSION {
            let mut odd = entry.clone();
            let point = (ED25519_BASEPOINT_POINT * nonce + small).compress();
            let hash = Sha512::new()
                .chain_update(point.as_bytes())
                .chain_update(entry.header.author.key())
                .chain_update(entry.header.signed());
            let challenge = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
            odd.signature[..32].copy_from_slice(point.as_bytes());
            odd.signature[32..].copy_from_slice((nonce + challenge * secret).as_bytes());
            assert_eq!(odd.verify(), Ok(()));
            let batch = [log(9, 3), vec![odd.clone()], log(8, 3)].concat();
            for _ in 0..8 {
                assert_eq!(Entry::verify_all(&batch), Ok(()));
            }
            let strict = odd.header.author.verify(&odd.header.signed(), &odd.signature);
            accepted += usize::from(strict.is_ok());
        }
        assert_eq!(accepted, 1, "the strict check accepts only the signature without the addition");
    }

    #[test]
    fn a_weak_key_is_refused_as_author() {
        let mut entry = entry();
        // With the neutral element as key and 0 as scalar the equation holds for every message.
        let neutral = EdwardsPoint::default().compress();
        entry.header.author = Did::from_trusted(neutral.to_bytes());
        entry.signature = [0; SIGNATURE_BYTES];
        entry.signature[..32].copy_from_slice(neutral.as_bytes());
        assert!(
            entry.claim().and_then(|claim| claim.verify_single().map_err(|_| BadSignature)).is_ok()
        );
        assert_eq!(entry.verify(), Err(BadSignature));
        assert_eq!(Entry::verify_all(&[entry.clone(), entry]), Err(BadSignature));
    }

    #[test]
    fn the_layout_is_that_of_version_0() {
        let hash: String = entry().hash().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "a8f6e7f1224cd29b4433072ba8e0de27b9cff2e827887b93309c382758cce605");
    }
}
