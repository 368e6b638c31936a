//! What a transport is made of.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::{KeyCard, Keypair};

use crate::hello::{CAPABILITIES_KNOWN, VERSIONS_SPOKEN, Versions};

/// What a transport is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The UDP address to listen at and to dial from; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who this node is.
    pub keypair: Arc<Keypair>,
    /// Its X25519 key.
    pub card: KeyCard,
    /// Its network, see [`network_id`](crate::network_id).
    pub network: [u8; 32],
    /// The versions of the protocol it speaks.
    pub versions: Versions,
    /// What it offers and demands.
    pub capabilities: u64,
    /// Whether to tell the local network of this node, and to dial who is heard there.
    pub discovery: bool,
    /// How long things may take.
    pub timing: Timing,
}

/// How long things may take. The defaults are for every network; tests have less patience.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From a TLS session to a link: 3 s.
    pub hello: Duration,
    /// How often a silent link is shown to live: 15 s.
    pub keep_alive: Duration,
    /// How long a peer may be silent: 45 s. At least three times `keep_alive`.
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
    /// What this build speaks, with the default timing and without discovery.
    #[must_use]
    pub fn new(
        listen: SocketAddr,
        keypair: Arc<Keypair>,
        card: KeyCard,
        network: [u8; 32],
    ) -> Self {
        let (versions, capabilities) = (VERSIONS_SPOKEN, CAPABILITIES_KNOWN);
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
