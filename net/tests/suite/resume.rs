//! A node whose machine was suspended, and peers that answer or do not.

use icn_net::limits::ANSWER_TIME_MAX;
use icn_net::{CLOSE_UNANSWERED, CloseReason, Config, LinkEvent, Stat};
use tokio::time::Instant;

use crate::harness::{Node, PROMPT_MAX, config, frame, pair};
use crate::raw_peer::RawPeer;
use crate::restarts::KillableNode;

/// About what QUIC sends to a peer that does not read, and what is queued for it.
const UNREAD_BYTES: u64 = 1 << 20;
const QUEUED_FRAMES: usize = 64;
const FRAME_BYTES: usize = 64 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn after_a_resume_only_links_whose_peer_does_not_answer_end() {
    // Without the probe, the default timing would show the dead peer after 45 s only.
    let mut node = Node::new(1);
    let mut idle = Node::new(2);
    let (to_idle, _) = pair(&mut node, &mut idle).await;
    let unread = RawPeer::new(3);
    let (connection, _send, _receive) = unread.join(node.address(), node.did()).await;
    let (to_unread, _) = node.up().await;
    for _ in 0..QUEUED_FRAMES {
        assert!(node.transport.send(to_unread, frame(1, vec![0; FRAME_BYTES])));
    }
    node.wait_for(Stat::BytesOut, UNREAD_BYTES).await;
    let mut gone = KillableNode::new(config(4));
    let address = gone.node.address();
    node.dial(&gone.node);
    let ((to_gone, _), _) = tokio::join!(up_of_many(&mut node), gone.node.up());
    gone.kill().await;

    node.transport.resumed();
    let since = Instant::now();
    let (ended, reason) = node.down().await;
    assert!(since.elapsed() < ANSWER_TIME_MAX + PROMPT_MAX, "{:?}", since.elapsed());
    assert_eq!(ended, to_gone);
    assert!(matches!(reason, CloseReason::Ours { code: CLOSE_UNANSWERED, .. }), "{reason}");
    assert_eq!(node.stat(Stat::Resumes), 1);
    assert_eq!(node.stat(Stat::ClosedUnanswered), 1);
    let _back = Node::rebound(Config { listen: address, ..config(4) }).await;
    let since = Instant::now();
    up_of_many(&mut node).await;
    assert!(since.elapsed() < PROMPT_MAX, "{:?}", since.elapsed());

    assert!(connection.close_reason().is_none(), "a peer that reads nothing answers nevertheless");
    assert!(node.transport.send(to_idle, frame(1, *b"still there")));
    assert_eq!(idle.frame().await, frame(1, *b"still there"));
}

/// The next link. Frames to other peers may be sent meanwhile.
async fn up_of_many(node: &mut Node) -> (icn_net::LinkId, icn_gossip::Did) {
    loop {
        match node.next().await {
            LinkEvent::Up { link, peer, .. } => return (link, peer),
            LinkEvent::Sent { .. } => {}
            other => panic!("{other:?} in place of Up"),
        }
    }
}
