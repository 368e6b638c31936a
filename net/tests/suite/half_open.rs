//! Many handshakes in progress at once.

use std::net::SocketAddr;
use std::time::Duration;

use icn_net::{Config, Stat, Timing};

use crate::harness::{Node, config};
use crate::raw_peer::RawPeer;

#[tokio::test(flavor = "multi_thread")]
async fn an_address_full_of_half_open_handshakes_shuts_out_only_itself() {
    let timing = Timing { hello: Duration::from_secs(60), ..Timing::default() };
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut node = Node::with(Config { timing, listen: any, ..config(1) });
    let address = SocketAddr::from(([127, 0, 0, 1], node.address().port()));
    let raw = RawPeer::new(9);
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(raw.connect(address, b"icn/1").await.unwrap());
    }
    assert_eq!(node.stat(Stat::ProofDemanded), 0);
    for _ in 64..256 {
        held.push(raw.connect(address, b"icn/1").await.unwrap());
    }
    assert_eq!(node.stat(Stat::ProofDemanded), 256 - 64, "each further one has proven its address");
    assert!(raw.connect(address, b"icn/1").await.is_err());
    assert!(node.stat(Stat::HalfOpenRefused) > 0);

    // A node at another address still gets a link.
    let listen = SocketAddr::from(([127, 0, 0, 2], 0));
    let mut other = Node::with(Config { listen, ..config(2) });
    assert!(other.transport.dial(icn_net::Target::new(Some(node.did()), address)));
    tokio::join!(node.up(), other.up());

    // Closed handshakes make room.
    held.clear();
    let mut late = Node::new(3);
    assert!(late.transport.dial(icn_net::Target::new(Some(node.did()), address)));
    tokio::join!(node.up(), late.up());
}
