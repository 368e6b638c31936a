//! The transport's side of the shell: link events into the inbox, frames out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use icn_gossip::State;
use icn_gossip::limits::UNDER_WAY_BYTES_MAX;
use icn_gossip::mesh::LinkId;
use icn_net::{BindError, Event, Frame, Target, Transport};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::data::keyfile::KeyFile;
use crate::failure::{Failure, exit};
use crate::node::PeerEvent;
use crate::shell::inbox::{Credit, Input};
use crate::shell::release::FrameSender;

/// What the transport has told and nobody has taken. Each link is bounded by itself.
const EVENTS_MAX: usize = 1024;

/// What a link may have sent without the core being told: it is not to wake for every frame that has
/// left, and needs to know only how much is under way of the most that may be.
const SENT_BYTES: usize = UNDER_WAY_BYTES_MAX / 16;

/// The socket, and what happens on it.
pub(crate) struct Peers {
    transport: Transport,
    events: mpsc::Receiver<Event>,
}

impl Peers {
    /// Listens. Called on the runtime that is to do the work.
    ///
    /// # Errors
    /// `ICN-E0131`.
    pub(crate) fn bind(config: &Config, key: KeyFile) -> Result<Self, Failure> {
        let (keypair, card) = (Arc::new(key.keypair), key.card);
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
                tracing::warn!("{} is taken; peers are met elsewhere", config.listen);
                listen(SocketAddr::new(config.listen.ip(), 0))
            }
            other => other,
        };
        bound.map_err(|error| {
            let message = format!("Peers cannot be met: {error}.");
            let advice = "Choose another address with --listen, or port 0 for any free one.";
            Failure::new("ICN-E0131", exit::FAILED, message, advice)
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.transport.local_addr().ok()
    }

    /// The transport.
    pub(crate) fn transport(&self) -> Transport {
        self.transport.clone()
    }

    /// Keeps a link to everybody who was asked for or was there before.
    pub(crate) fn seek(&self, asked: &[Target], state: &State) {
        let not_dialled = |target: &Target| {
            tracing::warn!("{target} is not dialled: it is this node, or one too many");
        };
        for target in asked {
            if !self.transport.dial(target.clone()) {
                not_dialled(target);
            }
        }
        let met = state.peers().filter_map(|(did, peer)| Some((*did, peer.address?)));
        for (did, address) in met {
            if !self.transport.learn(did, address) {
                not_dialled(&Target::new(Some(did), address));
            }
        }
    }

    /// Hands on what happens until the transport ends or nobody takes it.
    pub(crate) async fn serve(mut self, inbox: mpsc::Sender<Input>) {
        let mut sent = HashMap::new();
        while let Some(event) = self.events.recv().await {
            let (event, credit) = match event {
                Event::Up { link, peer, card, binding, address, .. } => {
                    tracing::info!("Connected to {peer} at {address}");
                    // It may be the peer that goes and does not know this node's address.
                    self.transport.learn(peer, address);
                    (PeerEvent::Up { link, card, binding, address }, None)
                }
                Event::Frame { link, frame, credit } => {
                    let (kind, body) = (frame.kind(), frame.body().clone());
                    let credit: Credit = Box::new(credit);
                    (PeerEvent::Frame { link, kind, body }, Some(credit))
                }
                Event::Sent { link, bytes } => {
                    let untold = sent.entry(link).or_insert(0);
                    *untold += bytes;
                    if *untold < SENT_BYTES {
                        continue;
                    }
                    (PeerEvent::Sent { link, bytes: std::mem::take(untold) }, None)
                }
                Event::Down { link, peer, why } => {
                    sent.remove(&link);
                    tracing::info!("Lost the link to {peer}: {why}");
                    (PeerEvent::Down { link }, None)
                }
            };
            if inbox.send(Input::Peer(event, credit)).await.is_err() {
                return;
            }
        }
    }
}

impl FrameSender for Transport {
    fn send(&self, link: LinkId, kind: u8, body: Bytes) {
        // What the mesh makes is smaller than a frame may be.
        if let Ok(frame) = Frame::new(kind, body) {
            Self::send(self, link, frame);
        }
    }

    fn close(&self, link: LinkId, code: u32, name: &'static str) {
        Self::close(self, link, code, name);
    }
}

#[cfg(test)]
mod tests {
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

    fn peers(seed: u8) -> Peers {
        let arguments = ["icnd", "--data-dir", "/nowhere", "--listen", "127.0.0.1:0", "--no-mdns"];
        let config = Config::load(&Cli::parse_from(arguments).flags).expect("a configuration");
        Peers::bind(&config, key(seed)).expect("a port")
    }

    #[tokio::test]
    async fn a_peer_that_moves_is_sought_where_it_was_met_last_and_where_it_was_asked_for() {
        let node = peers(1);
        let (transport, address) = (node.transport(), node.address().expect("an address"));
        let asked = Target::new(Some(key(2).keypair.did()), "127.0.0.1:9".parse().expect("one"));
        node.seek(std::slice::from_ref(&asked), &State::default());
        let (inbox, mut told) = mpsc::channel(64);
        let served = tokio::spawn(node.serve(inbox));
        let mut last = None;
        for _ in 0..3 {
            let moved = peers(2);
            moved.transport.dial(Target::new(None, address));
            let up = async {
                while let Some(input) = told.recv().await {
                    if matches!(input, Input::Peer(PeerEvent::Up { .. }, _)) {
                        return;
                    }
                }
            };
            assert!(timeout(Duration::from_secs(30), up).await.is_ok(), "no link");
            last = moved.address();
            moved.transport.shutdown().await;
        }
        let last = Target::new(asked.did(), last.expect("an address"));
        let sought = transport.targets().into_iter().map(|TargetStatus { target, .. }| target);
        let mut sought: Vec<_> = sought.map(|target| target.to_string()).collect();
        let mut expected = [asked.to_string(), last.to_string()];
        sought.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sought, expected);
        served.abort();
    }
}
