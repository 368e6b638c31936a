//! Entries and mutations of a peer or a log: each decodes to an error, or to a value with one
//! encoding.
#![no_main]

use icn_gossip::{AccessBytes, Entry, Mutation};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(entry) = Entry::decode(input) {
        assert_eq!(entry.encode(), input, "two encodings of one entry");
        let _ = entry.verify();
    }
    if let Ok(mutation) = Mutation::decode(input) {
        let mut again = Vec::new();
        mutation.encode(&mut again);
        assert_eq!(Mutation::decode(&again), Ok(mutation));
    }
    let _ = AccessBytes::from_bytes(input.to_vec()).view();
});
