//! An exported document from anywhere: an error, or a usable state that can be exported again.
#![no_main]

use icn_gossip::State;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(state) = State::import(input) else { return };
    let mut document = Vec::new();
    state.export(&mut document).expect("memory");
    assert_eq!(State::import(&document).as_ref(), Ok(&state), "it does not survive");
    let ids: Vec<_> = state.topics().map(|(id, _)| *id).collect();
    for id in ids {
        let _ = state.prunable(&id, u64::MAX);
        assert!(state.entries(id, 0).all(|(_, stored)| stored.entry.verify().is_ok()));
    }
    let _ = (state.counts(), state.restore(state.clone(), 1));
});
