//! Bytes from an unknown peer: frames are the same whatever pieces they arrive in, and only a Hello
//! signed for this session is accepted.
#![no_main]

use icn_gossip::{KeyCard, Keypair};
use icn_net::{Decoder, Frame, Hello, LocalNode, Role, TlsSession, TooLarge, VERSIONS_SPOKEN};
use libfuzzer_sys::fuzz_target;

fn frames(pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<Frame>, Option<TooLarge>) {
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    for piece in pieces {
        decoder.push(&piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => out.push(frame),
                Ok(None) => break,
                Err(too_large) => return (out, Some(too_large)),
            }
        }
    }
    (out, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((&first, wire)) = input.split_first() else { return };
    let at_once = frames(std::iter::once(wire.to_vec()));
    let in_pieces = frames(wire.chunks(usize::from(first) + 1).map(<[u8]>::to_vec));
    assert_eq!(at_once, in_pieces);

    let keypair = Keypair::from_seed([1; 32]);
    let card = KeyCard::sign(&keypair, [2; 32], 1);
    let network = icn_net::network_id("icn");
    let local = LocalNode {
        keypair: &keypair,
        card: &card,
        network,
        versions: VERSIONS_SPOKEN,
        capabilities: 0,
    };
    let peer = Keypair::from_seed([3; 32]).did();
    let session = TlsSession { binding: [4; 32], role: Role::Acceptor, peer };
    assert!(Hello::accept(wire, &local, &session).is_err());
});
