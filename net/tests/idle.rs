//! The memory of an idle link, and the limit of links.
//!
//! The peers run in another process, so that the test measures one end only.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::{KeyCard, Keypair};
use icn_net::limits::LINKS_MAX;
use icn_net::{Config, Frame, LinkEvent, LinkId, Stat, Target, Transport};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const ADDRESS: &str = "ICN_NET_IDLE_ADDRESS";
const IDLE_LINK_BYTES_MAX: u64 = 75_000;
const TIME_MAX: Duration = Duration::from_secs(60);

fn bind(seed: u64) -> (Transport, mpsc::Receiver<LinkEvent>) {
    let seed = *blake3::hash(&seed.to_le_bytes()).as_bytes();
    let keypair = Arc::new(Keypair::from_seed(seed));
    let card = KeyCard::sign(&keypair, [1; 32], 1);
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config::new(listen, keypair, card, icn_net::network_id("idle"));
    let (sender, events) = mpsc::channel(64);
    (Transport::bind(config, sender).unwrap(), events)
}

/// Not a test by itself: the process of the peers of the test below.
#[test]
fn peers() {
    let Some(address) = std::env::var_os(ADDRESS) else { return };
    let address: SocketAddr = address.to_str().unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut nodes = Vec::new();
        for seed in 1..=LINKS_MAX as u64 {
            let (transport, mut events) = bind(seed);
            transport.dial(Target::new(None, address));
            assert!(matches!(events.recv().await, Some(LinkEvent::Up { .. })));
            // Each frame is settled at once.
            tokio::spawn(async move { while events.recv().await.is_some() {} });
            nodes.push(transport);
        }
        sleep(Duration::from_secs(600)).await;
    });
}

struct Peers(Child);

impl Drop for Peers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

async fn ups(events: &mut mpsc::Receiver<LinkEvent>, count: usize) -> Vec<LinkId> {
    let mut links = Vec::new();
    while links.len() < count {
        match timeout(TIME_MAX, events.recv()).await.unwrap().unwrap() {
            LinkEvent::Up { link, .. } => links.push(link),
            other => panic!("{other:?}"),
        }
    }
    links
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_links_are_cheap_and_limited_in_number() {
    if std::env::var_os(ADDRESS).is_some() {
        return;
    }
    let (node, mut events) = bind(0);
    let address = node.local_addr().unwrap();
    let _peers = Peers(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "peers"])
            .env(ADDRESS, address.to_string())
            .spawn()
            .unwrap(),
    );
    // The first links pay for memory that all links share.
    let mut links = ups(&mut events, 16).await;
    let before = resident_bytes();
    links.extend(ups(&mut events, LINKS_MAX - 16).await);
    let after = resident_bytes();

    // One more link is refused; its peer goes on dialling.
    let (one_more, _events) = bind(1 << 32);
    assert!(one_more.dial(Target::new(None, address)));
    let refused = async {
        while node.stats().get(Stat::LinksFull) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(TIME_MAX, refused).await.is_ok());

    // Each link carries frames and is idle again.
    for &link in &links {
        for _ in 0..8 {
            assert!(node.send(link, Frame::new(1, vec![0; 60_000]).unwrap()));
        }
        let mut sent = 0;
        while sent < 8 * 60_004 {
            match timeout(TIME_MAX, events.recv()).await.unwrap().unwrap() {
                LinkEvent::Sent { bytes, .. } => sent += bytes,
                other => panic!("{other:?}"),
            }
        }
        // One link after the other: memory in flight is not memory of an idle link.
        sleep(Duration::from_millis(20)).await;
    }
    // Wait until all frames have arrived.
    let mut used = resident_bytes();
    for _ in 0..20 {
        sleep(Duration::from_millis(100)).await;
        used = used.min(resident_bytes());
    }

    let (Some(before), Some(after), Some(used)) = (before, after, used) else {
        eprintln!("skipped: this system does not report the memory of a process");
        return;
    };
    let each = |now: u64| now.saturating_sub(before) / (LINKS_MAX as u64 - 16);
    println!("bytes of an idle link: {} new, {} after 480 kB", each(after), each(used));
    assert!(each(after) <= IDLE_LINK_BYTES_MAX, "{} bytes", each(after));
}
