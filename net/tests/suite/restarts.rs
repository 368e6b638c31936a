//! Nodes that die without closing their links, and restart.

use std::net::SocketAddr;
use std::time::Duration;

use icn_net::{CloseReason, Config, LinkEvent, Target};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::harness::{Node, PROMPT_MAX, config, frame, ordered, timing};

/// A node that can die like a killed process: at once, with its socket, without closing a link.
pub(crate) struct KillableNode {
    runtime: Runtime,
    pub(crate) node: Node,
}

impl KillableNode {
    pub(crate) fn new(config: Config) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let node = {
            let _inside = runtime.enter();
            Node::with(config)
        };
        Self { runtime, node }
    }

    pub(crate) async fn kill(self) {
        let Self { runtime, node } = self;
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5)))
            .await
            .unwrap();
        drop(node);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_is_down_after_the_idle_timeout_and_dialled_until_it_is_back() {
    let impatient = |seed| Config { timing: timing(1500), ..config(seed) };
    let mut a = Node::with(impatient(1));
    let mut b = KillableNode::new(impatient(2));
    let address = b.node.address();
    a.dial(&b.node);
    tokio::join!(a.up(), b.node.up());
    // An idle link stays up.
    a.expect_no_event(3000).await;
    b.kill().await;
    let since = Instant::now();
    assert_eq!(a.down().await.1, CloseReason::Silent);
    assert!(since.elapsed() < PROMPT_MAX, "{:?}", since.elapsed());
    let mut b = Node::with(Config { listen: address, ..impatient(2) });
    let (in_a, in_b) = tokio::join!(a.up(), b.up());
    assert_eq!(in_a.1, b.did());
    assert_eq!(in_b.1, a.did());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_peer_resets_the_links_of_its_earlier_process() {
    // Without the reset, the default timing would show the restart after 45 s only.
    let mut a = Node::new(1);
    let mut b = KillableNode::new(config(2));
    let address = b.node.address();
    a.dial(&b.node);
    let (to_b, _) = tokio::join!(a.up(), b.node.up()).0;
    b.kill().await;
    let mut b = Node::with(Config { listen: address, ..config(2) });
    let since = Instant::now();
    a.transport.send(to_b, frame(1, *b"are you there"));
    assert_eq!(a.down().await.1, CloseReason::Reset);
    tokio::join!(a.up(), b.up());
    assert!(since.elapsed() < PROMPT_MAX, "{:?}", since.elapsed());
}

/// Guards against a fault that silenced a federation: the survivor kept the dead link and refused
/// the restarted peer.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_link_never_keeps_a_restarted_peer_out() {
    let (small, large) = ordered(1, 2);
    for (survivor, killed) in [(small, large), (large, small)] {
        for survivor_dialled in [true, false] {
            let case = format!("{survivor} survives, survivor dialled: {survivor_dialled}");
            let mut a = Node::new(survivor);
            let mut b = KillableNode::new(config(killed));
            let at_a = Target::new(Some(a.did()), a.address());
            if survivor_dialled {
                a.dial(&b.node);
            } else {
                assert!(b.node.transport.dial(at_a.clone()));
            }
            let ((old, _), _) = tokio::join!(a.up(), b.node.up());
            b.kill().await;
            // At another address, so that only its own dial shows the restart.
            let mut b = Node::with(Config { listen: any(), ..config(killed) });
            let since = Instant::now();
            assert!(b.transport.dial(at_a));
            assert_eq!(a.down().await.0, old, "{case}");
            let (up, _) = tokio::join!(a.up(), b.up());
            let took = since.elapsed();
            assert!(took < PROMPT_MAX, "{case}: {took:?}");
            assert!(a.transport.send(up.0, frame(1, *b"welcome")));
            assert_eq!(b.frame().await, frame(1, *b"welcome"));
            while let Ok(event) = a.events.try_recv() {
                assert!(matches!(event, LinkEvent::Sent { .. }), "{case}: {event:?}");
            }
        }
    }
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
