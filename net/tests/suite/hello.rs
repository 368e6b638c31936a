use icn_net::{Config, Count, Target, Versions};

use crate::rig::{Node, config};

/// `a` dials `b`, and no link comes about.
async fn refused(a: Config, b: Config) -> (Node, Node) {
    let (a, b) = (Node::of(a), Node::of(b));
    a.dial(&b);
    a.counted(Count::DialRefused, 1).await;
    for node in [&a, &b] {
        assert_eq!(node.count(Count::LinksUp), 0);
    }
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_different_networks_refuse_each_other() {
    let other = Config { network: icn_net::network_id("other"), ..config(2) };
    let (mut a, mut b) = refused(config(1), other).await;
    b.counted(Count::RefusedOtherNetwork, 1).await;
    assert_eq!(a.count(Count::RejectedByPeerOtherNetwork), 1);
    let status = a.transport.targets().remove(0);
    let failure = status.failure.unwrap();
    assert!(failure.contains("another network"), "{failure}");
    tokio::join!(a.quiet(300), b.quiet(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_do_not_meet_are_told_to_both() {
    let speaking =
        |seed, oldest, newest| Config { versions: Versions { oldest, newest }, ..config(seed) };
    let (old, new) = refused(speaking(1, 0, 1), speaking(2, 2, 3)).await;
    new.counted(Count::RefusedTooOld, 1).await;
    assert_eq!(old.count(Count::RejectedByPeerTooOld), 1);
    let failure = old.transport.targets().remove(0).failure.unwrap();
    assert!(failure.contains("speaks protocol 0–1, this node 2–3"), "{failure}");

    let (new, old) = refused(speaking(1, 2, 3), speaking(2, 0, 1)).await;
    old.counted(Count::RefusedTooNew, 1).await;
    assert_eq!(new.count(Count::RejectedByPeerTooNew), 1);
    for node in [old, new] {
        assert_eq!(node.count(Count::VersionMismatch), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dialler_refuses_what_only_it_objects_to_and_nobody_was_connected() {
    // B offers what A must know and does not; B itself would take A.
    let demanding = Config { capabilities: 1 << 63, ..config(2) };
    let (mut a, mut b) = refused(config(1), demanding).await;
    a.counted(Count::RefusedDemands, 1).await;
    b.counted(Count::RejectedByPeerDemands, 1).await;
    tokio::join!(a.quiet(300), b.quiet(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_never_connects_to_itself() {
    let mut node = Node::new(1);
    assert!(!node.transport.dial(node.target()), "its own DID");
    let address = Target::new(None, node.address());
    assert!(node.transport.dial(address.clone()));
    node.counted(Count::RefusedOurselves, 1).await;
    node.counted(Count::RejectedByPeerOurselves, 1).await;
    node.quiet(1500).await;
    assert_eq!(node.count(Count::RefusedOurselves), 1, "dialled again");
    assert!(node.transport.targets().is_empty());
    assert!(!node.transport.dial(address), "known to be itself");
}
