//! Nodes on loopback, and waits for their events.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::{Did, KeyCard, Keypair};
use icn_net::{CloseReason, Config, Frame, LinkEvent, LinkId, Stat, Target, Timing, Transport};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// A wait of this length means that the event never happens.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(30);

/// The limit for an event that usually takes 0.1 s, on a busy machine. It is far below the 45 s
/// after which a dead link is down.
pub(crate) const PROMPT_MAX: Duration = Duration::from_secs(10);

pub(crate) const NETWORK: &str = "test";

pub(crate) struct Node {
    pub(crate) transport: Transport,
    pub(crate) events: mpsc::Receiver<LinkEvent>,
}

pub(crate) fn keypair(seed: u8) -> Arc<Keypair> {
    Arc::new(Keypair::from_seed([seed; 32]))
}

/// Orders two seeds so that the identity of the first is the smaller one.
pub(crate) fn ordered(a: u8, b: u8) -> (u8, u8) {
    if keypair(a).did() < keypair(b).did() { (a, b) } else { (b, a) }
}

pub(crate) fn config(seed: u8) -> Config {
    let keypair = keypair(seed);
    let card = KeyCard::sign(&keypair, [seed; 32], 1);
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Config::new(listen, keypair, card, icn_net::network_id(NETWORK))
}

pub(crate) fn timing(idle_ms: u64) -> Timing {
    let idle = Duration::from_millis(idle_ms);
    Timing { idle, keep_alive: idle / 4, ..Timing::default() }
}

impl Node {
    pub(crate) fn new(seed: u8) -> Self {
        Self::with(config(seed))
    }

    pub(crate) fn with(config: Config) -> Self {
        let (sender, events) = mpsc::channel(64);
        Self { transport: Transport::bind(config, sender).unwrap(), events }
    }

    /// A node at an address that another node has just left.
    pub(crate) async fn rebound(config: Config) -> Self {
        let since = Instant::now();
        let (sender, events) = mpsc::channel(64);
        loop {
            match Transport::bind(config.clone(), sender.clone()) {
                Ok(transport) => return Self { transport, events },
                Err(error) => assert!(since.elapsed() < TIME_MAX, "{error}"),
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn did(&self) -> Did {
        self.transport.did()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.transport.local_addr().unwrap()
    }

    pub(crate) fn target(&self) -> Target {
        Target::new(Some(self.did()), self.address())
    }

    pub(crate) fn dial(&self, other: &Self) {
        assert!(self.transport.dial(other.target()));
    }

    pub(crate) async fn next(&mut self) -> LinkEvent {
        timeout(TIME_MAX, self.events.recv()).await.expect("an event").expect("a transport")
    }

    pub(crate) async fn up(&mut self) -> (LinkId, Did) {
        match self.next().await {
            LinkEvent::Up { link, peer, .. } => (link, peer),
            other => panic!("{other:?} in place of Up"),
        }
    }

    pub(crate) async fn down(&mut self) -> (LinkId, CloseReason) {
        loop {
            match self.next().await {
                LinkEvent::Down { link, reason, .. } => return (link, reason),
                LinkEvent::Sent { .. } | LinkEvent::Frame { .. } => {}
                other @ LinkEvent::Doubled(_) => panic!("{other:?} in place of Down"),
                other @ LinkEvent::Up { .. } => panic!("{other:?} in place of Down"),
            }
        }
    }

    /// The next frame, settled at once.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            match self.next().await {
                LinkEvent::Frame { frame, .. } => return frame,
                LinkEvent::Sent { .. } => {}
                other => panic!("{other:?} in place of a frame"),
            }
        }
    }

    pub(crate) fn stat(&self, stat: Stat) -> u64 {
        self.transport.stats().get(stat)
    }

    /// Waits until a counter reaches a value.
    pub(crate) async fn wait_for(&self, stat: Stat, at_least: u64) {
        let waiting = async {
            while self.stat(stat) < at_least {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(TIME_MAX, waiting).await.is_ok(), "{stat:?}: {}", self.stat(stat));
    }

    /// Fails on any event within `ms`.
    pub(crate) async fn expect_no_event(&mut self, ms: u64) {
        if let Ok(event) = timeout(Duration::from_millis(ms), self.events.recv()).await {
            panic!("{event:?}");
        }
    }
}

/// Links two nodes; the first one dials.
pub(crate) async fn pair(a: &mut Node, b: &mut Node) -> (LinkId, LinkId) {
    a.dial(b);
    let ((in_a, peer_of_a), (in_b, peer_of_b)) = tokio::join!(a.up(), b.up());
    assert_eq!(peer_of_a, b.did());
    assert_eq!(peer_of_b, a.did());
    (in_a, in_b)
}

pub(crate) fn frame(kind: u8, body: impl Into<Vec<u8>>) -> Frame {
    Frame::new(kind, body.into()).unwrap()
}

/// Returns an address that relays to `to`, for one other node, with a delay for every packet.
pub(crate) async fn delayed_path(to: SocketAddr, delay: Duration) -> SocketAddr {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let near = Arc::new(UdpSocket::bind(local).await.unwrap());
    let far = Arc::new(UdpSocket::bind(local).await.unwrap());
    let address = near.local_addr().unwrap();
    let caller = Arc::new(std::sync::OnceLock::new());
    let relay = move |from: Arc<UdpSocket>, via: Arc<UdpSocket>, there: bool| {
        let caller = Arc::clone(&caller);
        let (sender, mut packets) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
        let first_caller = Arc::clone(&caller);
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((bytes, address)) = from.recv_from(&mut buffer).await {
                if there {
                    first_caller.get_or_init(|| address);
                }
                let _ = sender.send((Instant::now() + delay, buffer[..bytes].to_vec()));
            }
        });
        tokio::spawn(async move {
            while let Some((due, packet)) = packets.recv().await {
                sleep_until(due).await;
                let to = if there { Some(&to) } else { caller.get() };
                let _ = via.send_to(&packet, to.unwrap()).await;
            }
        });
    };
    relay(Arc::clone(&near), Arc::clone(&far), true);
    relay(far, near, false);
    address
}
