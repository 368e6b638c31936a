//! A `state.snapshot` from anywhere: an error, or mutations that make the reported state. A topic
//! is open there only if the document says so.
#![no_main]

use icn_gossip::legacy::{self, Importer};
use icn_gossip::{Keypair, Mutation, Policy, State, View};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let keypair = Keypair::from_seed([1; 32]);
    let mut node = State::default();
    node.apply(1, Mutation::Init { did: keypair.did(), network: [1; 32], epoch: 9, clock: None });
    let mut nonce = || 7;
    let importer = Importer { keypair: &keypair, formerly: None, now_ms: 5, nonce: &mut nonce };
    let Ok(import) = legacy::import(input, None, &node, importer) else { return };
    for mutation in import.mutations {
        node.apply(2, mutation);
    }
    assert_eq!(node, import.state, "the mutations make another state");
    assert_eq!(node.peers().count(), 0, "nobody vouches for a key of this document");
    // JSON may spell the word with escapes.
    let says_so = input.windows(6).any(|word| word == b"Public") || input.contains(&b'\\');
    for (_, topic) in node.topics() {
        if let View::Open(access) = topic.genesis.spec.access.view() {
            assert!(access.read != Policy::Public || says_so, "opened");
        }
    }
    let tricks = |text: &str| text.chars().any(char::is_control);
    assert!(import.report.lines.iter().all(|line| !tricks(&line.to_string())));
    let mut document = Vec::new();
    node.export(&mut document).expect("memory");
    assert_eq!(State::import(&document), Ok(node), "it does not survive an export");
});
