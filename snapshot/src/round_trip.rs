//! The check of a debug build that a state machine reads back what it writes.
//!
//! What it loses would be acknowledged now, and missing at a later start.

use std::any::type_name;

use crate::error::Error;
use crate::machine::StateMachine;

/// In a debug build: refuses the `bytes` of a mutation that decode to another mutation.
pub(crate) fn check_mutation<S: StateMachine>(bytes: &[u8]) -> Result<(), Error> {
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    let mutation = S::decode(bytes)
        .map_err(|why| lossy::<S>(format!("`decode` refuses what `encode` wrote: {why}")))?;
    let mut again = Vec::with_capacity(bytes.len());
    S::encode(&mutation, &mut again);
    if again == bytes {
        return Ok(());
    }
    let why = "`encode` writes other bytes once `decode` has read a mutation";
    Err(lossy::<S>(why.into()))
}

/// In a debug build: refuses a state that deserialises to another state.
pub(crate) fn check_state<S: StateMachine>(state: &S) -> Result<(), Error> {
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    let pack = |state: &S| {
        rmp_serde::to_vec(state).map_err(|error| lossy::<S>(format!("`Serialize` fails: {error}")))
    };
    let bytes = pack(state)?;
    let read: S = rmp_serde::from_slice(&bytes).map_err(|error| {
        lossy::<S>(format!("`Deserialize` refuses what `Serialize` wrote: {error}"))
    })?;
    if pack(&read)? == bytes {
        return Ok(());
    }
    let why = "`Serialize` writes other bytes once `Deserialize` has read a state; a field is left out, or the \
               order is that of a hash map";
    Err(lossy::<S>(why.into()))
}

fn lossy<S>(why: String) -> Error {
    Error::Lossy { machine: type_name::<S>(), why }
}
