use std::time::Duration;

use icn_net::{Count, Event};

use crate::rig::{Node, frame};

#[tokio::test(flavor = "multi_thread")]
async fn two_that_dial_each_other_have_one_link_and_keep_it() {
    for round in 0..50_u64 {
        let (mut a, mut b) = (Node::new(1), Node::new(2));
        a.dial(&b);
        // All offsets from at once to after the handshake.
        tokio::time::sleep(Duration::from_micros(round % 25 * 200)).await;
        b.dial(&a);
        let ((to_b, _), (to_a, _)) = tokio::join!(a.up(), b.up());
        a.transport.send(to_b, frame(1, *b"to b"));
        b.transport.send(to_a, frame(1, *b"to a"));
        let (to_a, to_b) = tokio::join!(a.frame(), b.frame());
        assert_eq!((&to_a.body()[..], &to_b.body()[..]), (&b"to a"[..], &b"to b"[..]));
        for node in [&mut a, &mut b] {
            while let Ok(event) = node.events.try_recv() {
                assert!(matches!(event, Event::Sent { .. }), "{event:?} in round {round}");
            }
        }
        if round % 10 == 0 {
            tokio::join!(a.quiet(600), b.quiet(600));
        }
        assert_eq!((a.count(Count::LinksUp), b.count(Count::LinksUp)), (1, 1), "round {round}");
    }
}
