//! The transport's side of the shell: link events into the inbox, frames out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use icn_gossip::State;
use icn_gossip::limits::IN_FLIGHT_BYTES_MAX;
use icn_gossip::mesh::LinkId;
pub(crate) use icn_net::Transport;
use icn_net::limits::TARGETS_MAX;
use icn_net::{BindError, Frame, LinkEvent, Target};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::control::codes;
use crate::data::keyfile::KeyFile;
use crate::failure::Failure;
use crate::node::PeerEvent;
use crate::shell::inbox::{Credit, Input};
use crate::shell::release::FrameSender;
use crate::text::command::located;

/// Transport events in the channel; each link is bounded by its own budget.
const EVENTS_MAX: usize = 1024;

/// Written bytes of a link before the core is notified: it needs the bytes in flight only roughly, and
/// must not wake for every frame.
const SENT_BYTES: usize = IN_FLIGHT_BYTES_MAX / 16;

/// The transport and its events.
pub(crate) struct Peers {
    transport: Transport,
    events: mpsc::Receiver<LinkEvent>,
}

impl Peers {
    /// Binds the UDP socket. Must be called within the runtime that serves it.
    ///
    /// # Errors
    /// `ICN-E0131`.
    pub(crate) fn bind(config: &Config, key: KeyFile) -> Result<Self, Failure> {
        let keypair = Arc::new(key.keypair);
        let card = key.card;
        let listen = |address| {
            let (sender, events) = mpsc::channel(EVENTS_MAX);
            let keypair = Arc::clone(&keypair);
            let mut settings = icn_net::Config::new(address, keypair, card.clone(), config.network);
            settings.discovery = config.mdns;
            settings.timing = config.timing;
            Transport::bind(settings, sender).map(|transport| Self { transport, events })
        };
        let bound = match listen(config.listen) {
            Err(BindError::Listen { source, .. })
                if source.kind() == std::io::ErrorKind::AddrInUse && !config.listen_explicit =>
            {
                tracing::warn!(
                    "Another process uses {}; peers reach the node on a free port",
                    config.listen
                );
                listen(SocketAddr::new(config.listen.ip(), 0))
            }
            other => other,
        };
        bound.map_err(|error| {
            let message = format!("The socket for peers cannot be opened: {error}.");
            Failure::new(codes::PEERS_NOT_SERVED, message)
        })
    }

    /// The bound address.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.transport.local_addr().ok()
    }

    /// The transport.
    pub(crate) fn transport(&self) -> Transport {
        self.transport.clone()
    }

    /// Dials the configured targets and the last address of every known peer, from now on.
    pub(crate) fn seek(&self, configured: &[Target], state: &State) {
        for target in configured {
            dial(&self.transport, target);
        }
        let known = state.peers().filter_map(|(did, peer)| Some((*did, peer.address?)));
        let left_out = known.filter(|(did, address)| !self.transport.learn(*did, *address)).count();
        if left_out > 0 {
            let remove = located("Remove some: icnctl peer remove DID");
            tracing::warn!(
                "{left_out} known peers are not dialled: a node dials at most {TARGETS_MAX}. They can dial \
                 this node. {remove}"
            );
        }
    }

    /// Passes transport events to the inbox until either of them ends.
    pub(crate) async fn serve(mut self, inbox: mpsc::Sender<Input>) {
        let mut sent = HashMap::new();
        while let Some(event) = self.events.recv().await {
            let (event, credit) = match event {
                LinkEvent::Up { link, peer, card, binding, address, .. } => {
                    tracing::info!("Connected to {peer} at {address}");
                    // The address is dialled when this link goes down: the peer may not know ours.
                    self.transport.learn(peer, address);
                    (PeerEvent::Up { link, card, binding, address }, None)
                }
                LinkEvent::Frame { link, frame, credit } => {
                    let kind = frame.kind();
                    let body = frame.body().clone();
                    let credit: Credit = Box::new(credit);
                    (PeerEvent::Frame { link, kind, body }, Some(credit))
                }
                LinkEvent::Sent { link, bytes } => {
                    let unreported = sent.entry(link).or_insert(0);
                    *unreported += bytes;
                    if *unreported < SENT_BYTES {
                        continue;
                    }
                    (PeerEvent::Sent { link, bytes: std::mem::take(unreported) }, None)
                }
                LinkEvent::Doubled(doubled) => (PeerEvent::Doubled(doubled), None),
                LinkEvent::Down { link, peer, reason } => {
                    sent.remove(&link);
                    tracing::info!("Lost the link to {peer}: {reason}");
                    (PeerEvent::Down { link }, None)
                }
            };
            if inbox.send(Input::Peer(event, credit)).await.is_err() {
                return;
            }
        }
    }
}

/// Dials a configured target from now on; `false`, and a line in the log, if it cannot be one.
pub(crate) fn dial(transport: &Transport, target: &Target) -> bool {
    let dialled = transport.dial(target.clone());
    if !dialled && transport.targets().len() < TARGETS_MAX {
        tracing::warn!("{target} is not dialled: it is this node");
    } else if !dialled {
        tracing::warn!("{target} is not dialled: a node dials at most {TARGETS_MAX} peers");
    }
    dialled
}

impl FrameSender for Transport {
    fn send(&self, link: LinkId, kind: u8, body: Bytes) {
        // Frames of the mesh are below the limit of the transport.
        if let Ok(frame) = Frame::new(kind, body) {
            Self::send(self, link, frame);
        }
    }

    fn close(&self, link: LinkId, code: u32, name: &'static str) {
        Self::close(self, link, code, name);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;
    use icn_gossip::{KeyCard, Keypair};
    use icn_net::TargetStatus;
    use tokio::time::{Duration, timeout};

    use super::*;
    use crate::config::Flags;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        flags: Flags,
    }

    fn key(seed: u8) -> KeyFile {
        let keypair = Keypair::from_seed([seed; 32]);
        let card = KeyCard::sign(&keypair, [seed; 32], 1);
        KeyFile { keypair, card, created: false }
    }

    pub(crate) fn peers(seed: u8) -> Peers {
        let arguments = ["icnd", "--data-dir", "/nowhere", "--listen", "127.0.0.1:0", "--no-mdns"];
        let config = Config::load(&Cli::parse_from(arguments).flags).expect("a configuration");
        Peers::bind(&config, key(seed)).expect("a port")
    }

    #[tokio::test]
    async fn a_target_that_cannot_be_dialled_is_reported() {
        let node = peers(1);
        let transport = node.transport();
        let own = Target::new(Some(key(1).keypair.did()), "127.0.0.1:9".parse().expect("one"));
        assert!(!dial(&transport, &own));
        let other = Target::new(None, "127.0.0.1:9".parse().expect("one"));
        assert!(dial(&transport, &other));
        assert_eq!(transport.targets().len(), 1);
    }

    #[tokio::test]
    async fn a_moving_peer_is_dialled_at_its_last_and_its_configured_address() {
        let node = peers(1);
        let transport = node.transport();
        let address = node.address().expect("an address");
        let configured =
            Target::new(Some(key(2).keypair.did()), "127.0.0.1:9".parse().expect("one"));
        node.seek(std::slice::from_ref(&configured), &State::default());
        let (inbox, mut inputs) = mpsc::channel(64);
        let served = tokio::spawn(node.serve(inbox));
        let mut last = None;
        for _ in 0..3 {
            let moved = peers(2);
            moved.transport.dial(Target::new(None, address));
            let up = async {
                while let Some(input) = inputs.recv().await {
                    if matches!(input, Input::Peer(PeerEvent::Up { .. }, _)) {
                        return;
                    }
                }
            };
            assert!(timeout(Duration::from_secs(30), up).await.is_ok(), "no link");
            last = moved.address();
            moved.transport.shutdown().await;
        }
        let last = Target::new(configured.did(), last.expect("an address"));
        let dialled = transport.targets().into_iter().map(|TargetStatus { target, .. }| target);
        let mut dialled: Vec<_> = dialled.map(|target| target.to_string()).collect();
        let mut expected = [configured.to_string(), last.to_string()];
        dialled.sort_unstable();
        expected.sort_unstable();
        assert_eq!(dialled, expected);
        served.abort();
    }
}
