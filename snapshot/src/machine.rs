//! The state machine that a store keeps: a state and its mutations.

use std::io::Read;

use icn_wal::Lsn;
use serde::de::DeserializeOwned;
use serde::{Deserializer, Serialize};

/// A state that is the fold of its mutations.
///
/// A clone should be cheap, as with persistent maps: an image is a clone, and the writer waits for it.
pub trait StateMachine: Clone + Default + Serialize + DeserializeOwned + Send + 'static {
    /// One change of the state.
    type Mutation;
    /// The result of applying a mutation, returned by [`Store::commit`](crate::Store::commit).
    type Outcome;

    /// The version of the layout of the serialised state. A load refuses a greater one and
    /// [migrates](Self::migrate) a lesser one.
    const SCHEMA: u32;

    /// Appends the bytes of `mutation` to `out`.
    fn encode(mutation: &Self::Mutation, out: &mut Vec<u8>);

    /// The mutation that [`encode`](Self::encode) wrote as `bytes`.
    ///
    /// # Errors
    /// What is wrong with the bytes, as text for an operator.
    fn decode(bytes: &[u8]) -> Result<Self::Mutation, String>;

    /// Applies one mutation. Total and deterministic: no clock, no randomness, no hash order, no failure.
    /// A refusal is part of the outcome. A panic [fails](crate::Error::Failed) the store, and the record is not
    /// appended.
    fn apply(&mut self, lsn: Lsn, mutation: Self::Mutation) -> Self::Outcome;

    /// Reads a state that was serialised as `schema`, less than [`SCHEMA`](Self::SCHEMA).
    ///
    /// Implement it as numbered steps, each from one layout to the next. Keep a step for as long as an
    /// operator may have such a snapshot. Read with bounds: the bytes have a valid checksum but may be
    /// anything.
    ///
    /// # Errors
    /// That there is no such step (the default), or what is wrong with the bytes, as text for an operator. An
    /// open then fails with [`Error::Migration`](crate::Error::Migration).
    fn migrate(schema: u32, state: &mut dyn Read) -> Result<Self, String> {
        let _ = (schema, state);
        Err("no step is implemented".into())
    }

    /// What a recovery must never find less of (withdrawn rights, subscriptions, keys), in an encoding of the
    /// machine's own, at most 16 MiB.
    ///
    /// Every snapshot carries it, and every load compares it with the state that was read. So a mistake in
    /// serialising or in a migration cannot widen a right unnoticed.
    fn summary(&self) -> Vec<u8> {
        Vec::new()
    }

    /// In what the state is weaker than the state with this summary. Empty for an equal state.
    fn weaker_than(&self, summary: &[u8]) -> Vec<Weakness> {
        let _ = summary;
        Vec::new()
    }

    /// Deserialises a state without keeping it. Returns in what it is [weaker](Self::weaker_than) than
    /// `summary`. It must refuse every input that [`Deserialize`](serde::Deserialize) refuses.
    ///
    /// No snapshot is published before this has decoded it from the disk. The default builds a second state
    /// in memory; where that is too much, read a [`DrainedMap`](crate::DrainedMap) in place of each large
    /// map.
    ///
    /// # Errors
    /// Those of the deserializer.
    fn verify<'de, D: Deserializer<'de>>(
        summary: &[u8],
        source: D,
    ) -> Result<Vec<Weakness>, D::Error> {
        Ok(Self::deserialize(source)?.weaker_than(summary))
    }

    /// The state after a restore of `image`, an earlier state. Total and deterministic like
    /// [`apply`](Self::apply).
    ///
    /// Take from `self` all that must never go back, such as numbers already used and access already
    /// withdrawn. `branch` is the random number in the RESTORE record.
    #[must_use]
    fn restore(&self, image: Self, branch: u64) -> Self {
        let _ = branch;
        image
    }
}

/// Something that a state lacks and should have, or has and should not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness {
    /// The thing concerned, in an encoding of the machine's own.
    pub subject: Vec<u8>,
    /// The weakness as text for an operator.
    pub text: String,
}

/// The BLAKE3 hash of a state: equal states have equal digests, on every machine.
///
/// It covers the schema number and the serialised state, so the state must serialise in a canonical
/// order.
pub fn digest<S: StateMachine>(state: &S) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&S::SCHEMA.to_le_bytes());
    // Writing into a hash cannot fail. A state that cannot be serialised fails its first snapshot with an
    // error; its digest is that of no bytes.
    if rmp_serde::encode::write(&mut hasher, state).is_err() {
        hasher.reset();
    }
    *hasher.finalize().as_bytes()
}
