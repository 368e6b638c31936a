//! The settings of a transport.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::{KeyCard, Keypair};

use crate::hello::{CAPABILITIES_KNOWN, VERSIONS_SPOKEN, Versions};

/// The settings of a transport.
#[derive(Clone, Debug)]
pub struct Config {
    /// The UDP address to listen on and to dial from; port 0 picks a free port.
    pub listen: SocketAddr,
    /// The identity of this node.
    pub keypair: Arc<Keypair>,
    /// This node's X25519 key, signed by its identity.
    pub card: KeyCard,
    /// The id of this node's network, see [`network_id`](crate::network_id).
    pub network: [u8; 32],
    /// The protocol versions this node speaks.
    pub versions: Versions,
    /// The capability bits this node offers and demands.
    pub capabilities: u64,
    /// Whether to advertise this node on the local network and to dial the nodes advertised there.
    pub discovery: bool,
    /// The timeouts of handshakes and links.
    pub timing: Timing,
}

/// The timeouts of handshakes and links. The defaults fit every network; tests use shorter ones.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The most time from a TLS session to a link: 3 s by default.
    pub hello: Duration,
    /// How often a silent link sends a keep-alive: every 15 s by default.
    pub keep_alive: Duration,
    /// How long a peer may be silent before its link is down: 45 s by default, at least three times
    /// `keep_alive`.
    pub idle: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(3),
            keep_alive: Duration::from_secs(15),
            idle: Duration::from_secs(45),
        }
    }
}

impl Config {
    /// Settings with every version and capability of this build, the default timing, and no
    /// discovery.
    #[must_use]
    pub fn new(
        listen: SocketAddr,
        keypair: Arc<Keypair>,
        card: KeyCard,
        network: [u8; 32],
    ) -> Self {
        let versions = VERSIONS_SPOKEN;
        let capabilities = CAPABILITIES_KNOWN;
        Self {
            listen,
            keypair,
            card,
            network,
            versions,
            capabilities,
            discovery: false,
            timing: Timing::default(),
        }
    }
}
