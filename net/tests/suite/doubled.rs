//! Two processes with one identity: each end notices, and the links do not replace each other for ever.

use std::net::SocketAddr;

use icn_net::{Doubled, LinkEvent, Stat, Target};
use tokio::time::timeout;

use crate::harness::{Node, TIME_MAX};

/// The next sign of two processes; other events are passed over.
async fn sign(node: &mut Node) -> Doubled {
    let found = async {
        loop {
            if let LinkEvent::Doubled(doubled) = node.next().await {
                return doubled;
            }
        }
    };
    timeout(TIME_MAX, found).await.expect("a sign of two processes")
}

async fn ours(node: &mut Node) -> String {
    match sign(node).await {
        Doubled::Ours(place) => place,
        other @ Doubled::Peer { .. } => panic!("{other:?} in place of Ours"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_with_one_identity_end_up_with_one_link_and_are_noticed() {
    let mut node = Node::new(1);
    let mut copies = [Node::new(2), Node::new(2)];
    for copy in &copies {
        copy.dial(&node);
    }
    let Doubled::Peer { did, addresses } = sign(&mut node).await else {
        panic!("our own identity")
    };
    assert_eq!(did, copies[0].did());
    let mut expected = copies.each_ref().map(Node::address);
    let mut found: [SocketAddr; 2] = addresses;
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    // From here on, one has the link and the other is declined.
    let [first, second] = &mut copies;
    let declined = tokio::select! {
        place = until_declined(first, node.did().to_string()) => (place, 0),
        place = until_declined(second, node.did().to_string()) => (place, 1),
    };
    let (place, index) = declined;
    let linked = copies[1 - index].address();
    assert!(place.contains(&format!("linked here from {linked}")), "{place}");
    let ups = node.stat(Stat::LinksUp);
    let refused = copies[index].stat(Stat::DialRefused);
    copies[index].wait_for(Stat::DialRefused, refused + 2).await;
    assert_eq!(node.stat(Stat::LinksUp), ups, "the link was replaced again");
    // Without the other process it is an ordinary peer.
    copies[1 - index].transport.shutdown().await;
    node.wait_for(Stat::LinksUp, ups + 1).await;
}

async fn until_declined(copy: &mut Node, by: String) -> String {
    loop {
        let place = ours(copy).await;
        if place.starts_with(&by) {
            return place;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_meets_its_own_identity_elsewhere_notices_at_both_ends() {
    let mut one = Node::new(1);
    let mut other = Node::new(1);
    let target = Target::new(None, other.address());
    assert!(one.transport.dial(target.clone()));
    assert!(ours(&mut one).await.contains(&format!("answers at {}", other.address())));
    assert!(ours(&mut other).await.contains(&format!("dials this node from {}", one.address())));
    assert!(
        one.transport.targets().iter().any(|status| status.target == target),
        "it is no own address"
    );
}
