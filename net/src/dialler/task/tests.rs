//! The task of a target, against real endpoints on loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use icn_gossip::{KeyCard, Keypair};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;
use crate::config::{Config, Timing};
use crate::dialler::TargetSource;
use crate::event::LinkEvent;
use crate::frame::Frame;
use crate::limits::TLS_TIME_MAX;
use crate::transport::Transport;

fn bind(seed: u8, events: mpsc::Sender<LinkEvent>) -> Transport {
    bind_with(seed, events, Timing::default().keep_alive)
}

fn bind_with(seed: u8, events: mpsc::Sender<LinkEvent>, keep_alive: Duration) -> Transport {
    let keypair = Arc::new(Keypair::from_seed([seed; 32]));
    let card = KeyCard::sign(&keypair, [seed; 32], 1);
    let mut config = Config::new(([127, 0, 0, 1], 0).into(), keypair, card, [0; 32]);
    config.timing.keep_alive = keep_alive;
    Transport::bind(config, events).unwrap()
}

/// A node whose targets are all in a long backoff.
async fn in_backoff(targets: &[Target]) -> Transport {
    let transport = bind(1, mpsc::channel(1).0);
    for target in targets {
        assert!(transport.dialler.add(target.clone(), TargetSource::Requested));
    }
    failed(&transport, |failures| failures > 0).await;
    let dialler = &transport.dialler;
    dialler.inner.lock().targets.values_mut().for_each(|state| state.failures = 50);
    failed(&transport, |failures| failures == 51).await;
    transport
}

/// Waits until the failures of every target are as expected, for less than any backoff after fifty of
/// them.
async fn failed(transport: &Transport, is_expected: impl Fn(u32) -> bool) {
    let counted = async {
        while !transport.targets().iter().all(|target| is_expected(target.failures)) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(BACKOFF_MAX / 3, counted).await.is_ok(), "{:?}", transport.targets());
}

#[tokio::test]
async fn a_peer_advertised_again_is_dialled_without_backoff() {
    let nowhere: Target = "no-such-host.invalid:1".parse().unwrap();
    let transport = in_backoff(std::slice::from_ref(&nowhere)).await;
    assert!(transport.dialler.add(nowhere, TargetSource::Hinted));
    failed(&transport, |failures| (1..50).contains(&failures)).await;
}

#[tokio::test]
async fn a_resume_ends_every_backoff() {
    let nowhere = [1, 2].map(|port| format!("no-such-host.invalid:{port}").parse().unwrap());
    let transport = in_backoff(&nowhere).await;
    transport.resumed();
    failed(&transport, |failures| (1..50).contains(&failures)).await;
}

#[tokio::test]
async fn a_peer_advertised_elsewhere_than_its_link_is_dialled_there() {
    let (sender, mut events) = mpsc::channel(64);
    let node = bind(1, sender);
    let context = &node.context;
    let dialler = &node.dialler;
    // One peer at its old and at its new address; the old one stays reachable.
    let [was, is] = [2, 2].map(|seed| bind(seed, mpsc::channel(64).0));
    let [was, is] = [&was, &is].map(|at| Target::new(Some(at.did()), at.local_addr().unwrap()));
    assert!(dialler.add(was.clone(), TargetSource::Hinted));
    linked_to(&mut events, &was).await;
    let link = context.table.link_of(&was.did().unwrap()).unwrap();
    assert!(dialler.add(is.clone(), TargetSource::Hinted));
    assert!(!dialler.has_moved(&is, &link), "the old address is still advertised");
    while link.age() < PROMPT_AGE_MIN + RECONNECT_DELAY_MAX {
        sleep(Duration::from_millis(20)).await;
    }
    dialler.remove(&was, TargetSource::Hinted);
    linked_to(&mut events, &is).await;
}

/// Waits for the next link, which must go to `target`.
async fn linked_to(events: &mut mpsc::Receiver<LinkEvent>, target: &Target) {
    let up = async {
        while let Some(event) = events.recv().await {
            if let LinkEvent::Up { peer, address, .. } = event {
                return Target::new(Some(peer), address) == *target;
            }
        }
        false
    };
    assert!(timeout(BACKOFF_MAX / 2, up).await == Ok(true), "no link to {target}");
}

/// A node with a link to a peer through a relay, which forwards packets unless it is cut.
struct Relayed {
    node: Transport,
    events: mpsc::Receiver<LinkEvent>,
    peer: Transport,
    link: Arc<Link>,
    cut: Arc<AtomicBool>,
    relay: JoinHandle<()>,
}

impl Relayed {
    async fn new(keep_alive: Duration) -> Self {
        let (sender, mut events) = mpsc::channel(64);
        let node = bind_with(1, sender, keep_alive);
        let (sender, mut received) = mpsc::channel(64);
        let peer = bind(2, sender);
        let far = peer.local_addr().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let there = Target::new(Some(peer.did()), socket.local_addr().unwrap());
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = Arc::clone(&cut);
        let relay = tokio::spawn(async move {
            let mut near = far;
            let mut packet = [0; 2000];
            while let Ok((bytes, from)) = socket.recv_from(&mut packet).await {
                let to = if from == far { near } else { far };
                near = if from == far { near } else { from };
                if !is_cut.load(Ordering::Relaxed) {
                    let _ = socket.send_to(&packet[..bytes], to).await;
                }
            }
        });
        assert!(node.dialler.add(there.clone(), TargetSource::Hinted));
        linked_to(&mut events, &there).await;
        // Until the confirmation of the dialler has passed the relay, the peer has no link to answer on.
        let up = async { while !matches!(received.recv().await, Some(LinkEvent::Up { .. })) {} };
        assert!(timeout(BACKOFF_MAX / 2, up).await.is_ok(), "no link at the peer");
        tokio::spawn(async move { while received.recv().await.is_some() {} });
        let link = node.context.table.link_of(&peer.did()).unwrap();
        Self { node, events, peer, link, cut, relay }
    }

    fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }

    /// Sends a frame on the present link. The peer acknowledges it unless the relay is cut.
    fn probe(&self) {
        let frame = Frame::new(1, b"are you there".to_vec()).unwrap();
        let link = self.node.context.table.link_of(&self.peer.did()).unwrap();
        self.node.send(link.id(), frame);
    }

    /// Adds a hint that the peer is reachable at `at`, too.
    fn hint(&self, at: SocketAddr) -> Target {
        let target = Target::new(Some(self.peer.did()), at);
        assert!(self.node.dialler.add(target.clone(), TargetSource::Hinted));
        target
    }

    fn failures(&self, target: &Target) -> u32 {
        let targets = self.node.targets();
        targets.iter().find(|status| status.target == *target).unwrap().failures
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

const KEEP_ALIVE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_silent_peer_is_dialled_at_its_other_advertised_address() {
    let mut relayed = Relayed::new(KEEP_ALIVE).await;
    let is = bind(2, mpsc::channel(64).0);
    let elsewhere = relayed.hint(is.local_addr().unwrap());
    // The peer answers for longer than it may be silent.
    while relayed.link.activity().sent < 25 {
        sleep(Duration::from_millis(20)).await;
    }
    assert!(
        relayed.link.close_reason().is_none(),
        "a further address does not end a link that answers"
    );
    relayed.set_cut(true);
    linked_to(&mut relayed.events, &elsewhere).await;
}

#[tokio::test]
async fn a_peer_probed_before_it_is_advertised_elsewhere_is_overdue_too() {
    let mut relayed = Relayed::new(Timing::default().keep_alive).await;
    let is = bind(2, mpsc::channel(64).0);
    relayed.set_cut(true);
    let before = relayed.link.activity().sent;
    relayed.probe();
    while relayed.link.activity().sent == before {
        sleep(Duration::from_millis(5)).await;
    }
    let elsewhere = relayed.hint(is.local_addr().unwrap());
    linked_to(&mut relayed.events, &elsewhere).await;
}

#[tokio::test]
async fn a_dial_during_a_link_ends_when_it_answers_and_repeats_when_it_stops() {
    let relayed = Relayed::new(KEEP_ALIVE).await;
    let unanswering = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = unanswering.local_addr().unwrap();
    let elsewhere = relayed.hint(at);
    relayed.set_cut(true);
    timeout(BACKOFF_MAX / 2, unanswering.recv_from(&mut [0; 2000])).await.unwrap().unwrap();
    relayed.set_cut(false);
    // Longer than a dial takes that is not cancelled. Frames are sent at once, and QUIC acknowledges
    // them; its own probes come the later, the longer the cut lasted.
    let answering = Instant::now() + TLS_TIME_MAX + 2 * PROMPT_AGE_MIN;
    while Instant::now() < answering {
        relayed.probe();
        sleep(KEEP_ALIVE).await;
    }
    assert_eq!(relayed.failures(&elsewhere), 0);
    relayed.set_cut(true);
    timeout(BACKOFF_MAX / 2, async {
        while relayed.failures(&elsewhere) == 0 {
            sleep(KEEP_ALIVE).await;
        }
    })
    .await
    .expect("a second dial");
}

#[tokio::test]
async fn a_dial_during_a_link_ends_when_a_newer_link_is_up() {
    let mut relayed = Relayed::new(KEEP_ALIVE).await;
    let unanswering = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = relayed.hint(unanswering.local_addr().unwrap());
    relayed.set_cut(true);
    timeout(BACKOFF_MAX / 2, unanswering.recv_from(&mut [0; 2000])).await.unwrap().unwrap();
    let is = bind(2, mpsc::channel(64).0);
    let there = relayed.hint(is.local_addr().unwrap());
    assert!(is.dial(Target::new(Some(relayed.node.did()), relayed.node.local_addr().unwrap())));
    linked_to(&mut relayed.events, &there).await;
    sleep(TLS_TIME_MAX + 2 * PROMPT_AGE_MIN).await;
    assert_eq!(relayed.failures(&elsewhere), 0);
}

#[tokio::test]
async fn a_hint_during_a_link_is_dialled_once() {
    let node = bind(1, mpsc::channel(64).0);
    let peer = bind(2, mpsc::channel(64).0);
    // Another identity answers at the second address.
    let other = bind(3, mpsc::channel(64).0);
    let target = |at: &Transport| Target::new(Some(peer.did()), at.local_addr().unwrap());
    let context = &node.context;
    let dialler = &node.dialler;
    assert!(dialler.add(target(&peer), TargetSource::Requested));
    let linked = async {
        while context
            .table
            .link_of(&peer.did())
            .is_none_or(|link| link.age() < PROMPT_AGE_MIN + RECONNECT_DELAY_MAX)
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(BACKOFF_MAX / 2, linked).await.is_ok(), "no link");
    let link = context.table.link_of(&peer.did()).unwrap();
    let elsewhere = target(&other);
    assert!(dialler.add(elsewhere.clone(), TargetSource::Hinted));
    let failures = || {
        let targets = node.targets();
        targets.iter().find(|status| status.target == elsewhere).unwrap().failures
    };
    let failed = async {
        while failures() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(BACKOFF_MAX / 2, failed).await.is_ok(), "never dialled");
    // A second dial would happen within four first backoffs.
    sleep(4 * BACKOFF_MIN).await;
    assert_eq!(failures(), 1);
    assert!(link.close_reason().is_none(), "a hint does not end a link");
}

#[test]
fn backoff_grows_up_to_a_minute() {
    for (failures, longest) in [(1, 250), (2, 500), (3, 1000), (9, 60_000), (9999, 60_000)] {
        let longest = Duration::from_millis(longest);
        let backoffs: Vec<_> = (0..200).map(|_| backoff(failures)).collect();
        assert!(backoffs.iter().all(|&backoff| backoff >= longest / 2 && backoff <= longest));
        assert!(backoffs.iter().any(|&backoff| backoff < longest * 5 / 8), "no jitter");
        assert!(backoffs.iter().any(|&backoff| backoff > longest * 7 / 8), "no jitter");
    }
}
