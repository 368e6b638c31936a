//! A frame of a peer after the Hello: an error, an ignored kind, or a message with one encoding. A
//! node that receives it goes on in each case.
#![no_main]

use std::collections::BTreeSet;

use icn_fuzz::mesh::{LINK, NOW, node};
use icn_gossip::Now;
use icn_gossip::mesh::{Action, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (state, mut mesh) = node();
    // A sequence of frames: kind, length u16, body.
    let mut rest = input;
    while let &[kind, low, high, ref more @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([low, high]));
        let (body, more) = more.split_at(more.len().min(length));
        rest = more;
        if let Ok(Some(message)) = Message::decode(kind, body) {
            assert_eq!(message.encode(), (kind, body.to_vec().into()), "two encodings");
        }
        mesh.receive(&state, NOW, LINK, kind, body);
        while let Some(action) = mesh.poll(&state, NOW) {
            if let Action::Verify(batch) = action {
                let valid = batch.entries().iter().all(|entry| entry.verify().is_ok());
                mesh.verified(&state, NOW, batch, valid);
            }
        }
    }
    let later = Now::at(NOW.wall_ms + 60_000);
    mesh.tick(&state, later, 1);
    mesh.set_closed(BTreeSet::new());
    while mesh.poll(&state, later).is_some() {}
});
