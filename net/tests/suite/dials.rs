//! Which dials become links, and what a target reports of the others.

use std::collections::HashSet;
use std::time::Duration;

use icn_net::limits::TARGETS_MAX;
use icn_net::{CLOSE_REPLACED, CLOSE_STOPPING, CloseReason, Config, LinkEvent, Stat, Target};

use tokio::time::{Instant, sleep};

use crate::harness::{Node, PROMPT_MAX, config, delayed_path, frame, keypair, pair};

/// With 20 ms between the nodes the frames of the two handshakes cross. The offsets between the two
/// dials range from none to longer than a handshake.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_dial_each_other_at_once_keep_one_link() {
    const DELAY: Duration = Duration::from_millis(20);
    for offset in (0..150).step_by(15) {
        let pairs = (0..10_u8).map(|pair| async move {
            let mut a = Node::new(2 * pair + 1);
            let mut b = Node::new(2 * pair + 2);
            let to_a = Target::new(Some(a.did()), delayed_path(a.address(), DELAY).await);
            let to_b = Target::new(Some(b.did()), delayed_path(b.address(), DELAY).await);
            assert!(a.transport.dial(to_b));
            sleep(Duration::from_millis(offset + u64::from(pair))).await;
            assert!(b.transport.dial(to_a));
            let ((to_b, _), (to_a, _)) = tokio::join!(a.up(), b.up());
            a.transport.send(to_b, frame(1, *b"to b"));
            b.transport.send(to_a, frame(1, *b"to a"));
            let (at_a, at_b) = tokio::join!(a.frame(), b.frame());
            assert_eq!(&at_a.body()[..], &b"to a"[..]);
            assert_eq!(&at_b.body()[..], &b"to b"[..]);
            // Longer than a link is fresh and than the backoff of a declined dial.
            sleep(Duration::from_millis(1200)).await;
            for node in [&mut a, &mut b] {
                while let Ok(event) = node.events.try_recv() {
                    assert!(matches!(event, LinkEvent::Sent { .. }), "{event:?} at {offset} ms");
                }
                assert_eq!(node.stat(Stat::LinksUp), 1);
            }
            let declined = [&a, &b].map(|node| node.stat(Stat::DialDeclined));
            assert!(declined.contains(&0), "both dials were declined at {offset} ms");
        });
        for pair in pairs.map(tokio::spawn).collect::<Vec<_>>() {
            pair.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_lose_their_link_get_exactly_one_new_link() {
    let pairs = (0..8_u8).map(|pair| async move {
        let mut a = Node::new(2 * pair + 1);
        let mut b = Node::new(2 * pair + 2);
        a.dial(&b);
        b.dial(&a);
        let (mut to_b, _) = tokio::join!(a.up(), b.up()).0;
        for round in 1..=4 {
            // Older than a link whose end delays the next dial.
            tokio::join!(a.expect_no_event(1100), b.expect_no_event(1100));
            a.transport.close(to_b, CLOSE_STOPPING, "lost");
            let since = Instant::now();
            tokio::join!(a.down(), b.down());
            to_b = tokio::join!(a.up(), b.up()).0.0;
            assert!(since.elapsed() < PROMPT_MAX, "{:?}", since.elapsed());
            let ups = (a.stat(Stat::LinksUp), b.stat(Stat::LinksUp));
            assert_eq!(ups, (round + 1, round + 1));
        }
    });
    for pair in pairs.map(tokio::spawn).collect::<Vec<_>>() {
        pair.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_link_of_an_identity_replaces_the_older_one() {
    let mut node = Node::new(1);
    let mut old = Node::new(2);
    let mut new = Node::new(2);
    let (_, old_link) = pair(&mut old, &mut node).await;
    new.dial(&node);
    let (ended, why) = node.down().await;
    assert_eq!(ended, old_link, "the old link is down before the new one is up");
    assert!(matches!(why, CloseReason::Ours { code: CLOSE_REPLACED, .. }), "{why}");
    let new_link = node.up().await.0;
    new.up().await;
    assert!(matches!(old.down().await.1, CloseReason::Theirs { code: CLOSE_REPLACED, .. }));
    assert!(!node.transport.send(old_link, frame(1, [])));
    assert!(node.transport.send(new_link, frame(1, *b"new")));
    assert_eq!(new.frame().await, frame(1, *b"new"));
    assert_eq!(node.stat(Stat::ClosedReplaced), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_connected_is_not_dialled() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
    pair(&mut a, &mut b).await;
    b.dial(&a);
    b.dial(&a);
    // The first answer shows the identity of this target.
    assert!(b.transport.dial(Target::new(None, a.address())));
    tokio::join!(a.expect_no_event(1500), b.expect_no_event(1500));
    assert_eq!(a.stat(Stat::LinksUp), 1);
    assert_eq!(b.stat(Stat::LinksUp), 1);
    assert!(b.transport.targets().iter().all(|target| target.connected));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_expected_identity_may_answer_at_a_target_with_a_did() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
    let wrong = Target::new(Some(keypair(3).did()), b.address());
    assert!(a.transport.dial(wrong.clone()));
    a.wait_for(Stat::DialWrongKey, 2).await;
    let failure = a.transport.targets().remove(0).failure.unwrap();
    assert!(failure.contains(&b.did().to_string()), "{failure}");
    assert_eq!(a.stat(Stat::LinksUp), 0);
    assert_eq!(b.stat(Stat::LinksUp), 0);
    // This node does not answer for another identity, either.
    a.transport.forget(&wrong);
    assert!(a.transport.targets().is_empty());
    let other = Target::new(Some(keypair(3).did()), a.address());
    assert!(a.transport.dial(other));
    while !a.transport.targets().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    tokio::join!(a.expect_no_event(300), b.expect_no_event(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_without_a_did_pins_the_first_identity_that_answers() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
    let address = b.address();
    assert!(a.transport.dial(Target::new(None, address)));
    assert_eq!(a.up().await.1, b.did());
    b.up().await;
    b.transport.shutdown().await;
    drop(b);
    a.down().await;
    let impostor = Node::rebound(Config { listen: address, ..config(3) }).await;
    a.wait_for(Stat::DialWrongKey, 1).await;
    assert_eq!(impostor.stat(Stat::LinksUp), 0);
    assert_eq!(a.transport.targets().remove(0).did, Some(keypair(2).did()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_name_is_resolved_and_an_unknown_one_is_reported() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
    let named = |host: &str| format!("{}@{host}:{}", b.did(), b.address().port());
    assert!(a.transport.dial(named("no-such-host.invalid").parse().unwrap()));
    a.wait_for(Stat::DialResolve, 1).await;
    assert!(a.transport.dial(named("localhost").parse().unwrap()));
    tokio::join!(a.up(), b.up());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_without_an_answer_is_counted_and_reported() {
    let a = Node::new(1);
    let unanswering = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(a.transport.dial(Target::new(None, unanswering.local_addr().unwrap())));
    a.wait_for(Stat::DialUnreachable, 1).await;
    assert!(a.transport.targets().remove(0).failure.unwrap().contains("no answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_moves_often_has_one_learnt_address() {
    let mut a = Node::new(1);
    let mut b = Node::new(2);
    let elsewhere = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let asked = Target::new(Some(b.did()), elsewhere(1));
    assert!(a.transport.dial(asked.clone()));
    // The first of these addresses equals the requested target.
    for port in 1..=2 * TARGETS_MAX {
        assert!(a.transport.learn(b.did(), elsewhere(u16::try_from(port).unwrap())));
    }
    assert!(a.transport.learn(keypair(3).did(), elsewhere(2)), "a target of another peer");
    assert!(a.transport.learn(b.did(), b.address()));
    let known: HashSet<_> = a.transport.targets().into_iter().map(|status| status.target).collect();
    let other = Target::new(Some(keypair(3).did()), elsewhere(2));
    assert_eq!(known, HashSet::from([asked, b.target(), other]));
    tokio::join!(a.up(), b.up());
}
