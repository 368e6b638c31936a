//! What the store keeps: a state and the mutations that make it.

use icn_wal::Lsn;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A state that is the fold of its mutations.
///
/// Cloning should cost next to nothing (persistent maps do that): a snapshot is taken of a clone,
/// and the writer waits for the clone.
pub trait StateMachine: Clone + Default + Serialize + DeserializeOwned + Send + 'static {
    /// One change.
    type Mutation;
    /// What a change brought about.
    type Outcome;

    /// The number of the layout of the serialised state. Another number is refused on load.
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

    /// The state after a restore of `image`, an earlier state. Whatever must never go back (numbers
    /// already used, access already withdrawn) is taken from `self`; `branch` is a random number
    /// recorded with the restore. Total and deterministic like [`apply`](Self::apply).
    #[must_use]
    fn restore(&self, image: Self, branch: u64) -> Self {
        let _ = branch;
        image
    }
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
