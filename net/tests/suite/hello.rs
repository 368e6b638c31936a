//! Refused Hellos.

use icn_net::{Config, Stat, Target, Versions};

use crate::harness::{Node, config};

/// `a` dials `b`, and the handshake is refused.
async fn refused(a: Config, b: Config) -> (Node, Node) {
    let a = Node::with(a);
    let b = Node::with(b);
    a.dial(&b);
    a.wait_for(Stat::DialRefused, 1).await;
    for node in [&a, &b] {
        assert_eq!(node.stat(Stat::LinksUp), 0);
    }
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_different_networks_refuse_each_other() {
    let other = Config { network: icn_net::network_id("other"), ..config(2) };
    let (mut a, mut b) = refused(config(1), other).await;
    b.wait_for(Stat::RefusedOtherNetwork, 1).await;
    assert_eq!(a.stat(Stat::RejectedByPeerOtherNetwork), 1);
    let status = a.transport.targets().remove(0);
    let failure = status.failure.unwrap();
    assert!(failure.contains("another network"), "{failure}");
    tokio::join!(a.expect_no_event(300), b.expect_no_event(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_common_version_is_reported_at_both_ends() {
    let speaking =
        |seed, oldest, newest| Config { versions: Versions { oldest, newest }, ..config(seed) };
    let (old, new) = refused(speaking(1, 0, 1), speaking(2, 2, 3)).await;
    new.wait_for(Stat::RefusedTooOld, 1).await;
    assert_eq!(old.stat(Stat::RejectedByPeerTooOld), 1);
    let failure = old.transport.targets().remove(0).failure.unwrap();
    assert!(failure.contains("speaks protocol 0–1, this node 2–3"), "{failure}");

    let (new, old) = refused(speaking(1, 2, 3), speaking(2, 0, 1)).await;
    old.wait_for(Stat::RefusedTooNew, 1).await;
    assert_eq!(new.stat(Stat::RejectedByPeerTooNew), 1);
    for node in [old, new] {
        assert_eq!(node.stat(Stat::VersionMismatch), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_the_dialler_alone_leaves_no_link_at_either_end() {
    // B demands a capability that A does not know. B itself would accept A.
    let demanding = Config { capabilities: 1 << 63, ..config(2) };
    let (mut a, mut b) = refused(config(1), demanding).await;
    a.wait_for(Stat::RefusedDemands, 1).await;
    b.wait_for(Stat::RejectedByPeerDemands, 1).await;
    tokio::join!(a.expect_no_event(300), b.expect_no_event(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_never_connects_to_itself() {
    let mut node = Node::new(1);
    assert!(!node.transport.dial(node.target()), "a target with its own DID");
    let address = Target::new(None, node.address());
    assert!(node.transport.dial(address.clone()));
    node.wait_for(Stat::RefusedOurselves, 1).await;
    node.wait_for(Stat::RejectedByPeerOurselves, 1).await;
    node.expect_no_event(1500).await;
    assert_eq!(node.stat(Stat::RefusedOurselves), 1, "dialled again");
    assert!(node.transport.targets().is_empty());
    assert!(!node.transport.dial(address), "a target known to be itself");
}
