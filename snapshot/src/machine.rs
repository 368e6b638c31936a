//! What the store keeps: a state and the mutations that make it.

use std::io::Read;

use icn_wal::Lsn;
use serde::de::DeserializeOwned;
use serde::{Deserializer, Serialize};

/// A state that is the fold of its mutations.
///
/// Cloning should cost next to nothing (persistent maps do that): a snapshot is taken of a clone,
/// and the writer waits for the clone.
pub trait StateMachine: Clone + Default + Serialize + DeserializeOwned + Send + 'static {
    /// One change.
    type Mutation;
    /// What a change brought about.
    type Outcome;

    /// The number of the layout of the serialised state. A greater one is refused on load, a lesser one
    /// is [migrated](Self::migrate).
    const SCHEMA: u32;

    /// Appends the bytes of `mutation` to `out`.
    fn encode(mutation: &Self::Mutation, out: &mut Vec<u8>);

    /// The mutation that `bytes` were made of.
    ///
    /// # Errors
    /// What is wrong with the bytes, for a person.
    fn decode(bytes: &[u8]) -> Result<Self::Mutation, String>;

    /// Applies one mutation. Total and deterministic: no clock, no randomness, no hash order, no
    /// failure. What the mutation asks for and may not have is part of the outcome.
    fn apply(&mut self, lsn: Lsn, mutation: Self::Mutation) -> Self::Outcome;

    /// The state that was serialised as `schema`, less than [`SCHEMA`](Self::SCHEMA): numbered steps, each
    /// from one layout to the next, that stay for as long as anybody may have such a snapshot. Read with
    /// bounds: the bytes have a checksum and may still be anything.
    ///
    /// # Errors
    /// That there is no such step (the default), or what is wrong with the bytes, for a person.
    fn migrate(schema: u32, state: &mut dyn Read) -> Result<Self, String> {
        let _ = state;
        Err(format!("no step leads from its schema {schema} to {}", Self::SCHEMA))
    }

    /// What a recovery must never find less of (rights withdrawn, wishes, keys), in bytes of the
    /// machine's own, at most 16 MiB. Kept beside the state in every snapshot, and compared with what is
    /// read from it: a mistake in serialising, or in a migration, must not widen anything unseen.
    fn summary(&self) -> Vec<u8> {
        Vec::new()
    }

    /// In what the state is weaker than one with this summary. Nothing for an equal one.
    fn weaker_than(&self, summary: &[u8]) -> Vec<Weakness> {
        let _ = summary;
        Vec::new()
    }

    /// Deserialises, keeps nothing, and says in what the state is [weaker](Self::weaker_than) than
    /// `summary`: no snapshot counts before what the disk holds was decoded. It must refuse what
    /// [`Deserialize`](serde::Deserialize) refuses.
    ///
    /// As it stands it builds a second state beside the one in use. Where that is too much memory, read
    /// entry by entry, with [`DrainedMap`](crate::DrainedMap) in the place of each large map.
    ///
    /// # Errors
    /// Those of the deserializer.
    fn verify<'de, D: Deserializer<'de>>(
        summary: &[u8],
        source: D,
    ) -> Result<Vec<Weakness>, D::Error> {
        Ok(Self::deserialize(source)?.weaker_than(summary))
    }

    /// The state after a restore of `image`, an earlier state. Whatever must never go back (numbers
    /// already used, access already withdrawn) is taken from `self`; `branch` is a random number
    /// recorded with the restore. Total and deterministic like [`apply`](Self::apply).
    #[must_use]
    fn restore(&self, image: Self, branch: u64) -> Self {
        let _ = branch;
        image
    }
}

/// Something a state should have and has not, or should not have and has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness {
    /// What it is about, in bytes of the machine's own.
    pub subject: Vec<u8>,
    /// In words.
    pub text: String,
}

/// The BLAKE3 hash of a state: equal states have equal digests, on every machine.
///
/// It covers the schema number and the serialised state, so the state must serialise in a canonical
/// order.
pub fn digest<S: StateMachine>(state: &S) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&S::SCHEMA.to_le_bytes());
    // Writing into a hash cannot fail; a state that cannot be serialised would fail its first
    // snapshot loudly, and has no digest but that of nothing.
    if rmp_serde::encode::write(&mut hasher, state).is_err() {
        hasher.reset();
    }
    *hasher.finalize().as_bytes()
}
